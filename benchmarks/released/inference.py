"""What a translation costs, and what it costs when everything is computed that the released code computes.

    python -m benchmarks.released.inference --preset midm-celeba

Weights are random, of unit gain, so that every part has something to do. Each variant runs in a process of its own, so
that its peak memory is its own; all of them have the same weights, inputs and noise. Beside the seconds that passed it
counts those of the CPU, over all threads, in which other work on the machine does not count; factors are of these.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.results import RESULTS, machine, write_json
from midms import build
from midms.confidence.always import Always
from midms.core.types import Context, Features
from midms.diffusion.winograd import use_winograd
from midms.features.midm import without_spectral_norm
from midms.pipeline.pipeline import Pipeline

VARIANTS = ("as released", "midms", "midms, Winograd", "midms, bfloat16")
SLOTS = ("features", "denoiser", "autoencoder")
PARTS = {
    "encode": ("autoencoder", ("encode",)),
    "features": ("features", ("condition", "exemplar", "rematch_query")),
    "U-Net": ("denoiser", ("forward",)),
    "decode": ("autoencoder", ("decode",)),
}
"""What is timed: slot and methods. The rest is matching: correlations, warps, checks, and the loop itself."""


class Clock:
    """CPU seconds and calls of a composition's parts."""

    def __init__(self, pipe: Pipeline) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self.calls = dict.fromkeys(PARTS, 0)
        for name, (slot, methods) in PARTS.items():
            for method in methods:
                part = getattr(pipe, slot)
                setattr(part, method, self._timed(name, getattr(part, method)))

    def reset(self) -> None:
        """Forget what was."""
        for name in PARTS:
            self.seconds[name], self.calls[name] = 0.0, 0

    def _timed(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            start = time.process_time()
            result = method(*arguments)
            self.seconds[name] += time.process_time() - start
            self.calls[name] += 1
            return result

        return timed


def stir(pipe: Pipeline, seed: int) -> None:
    """Weights of unit gain, biases that are small, scales near one."""
    generator = torch.Generator().manual_seed(seed)
    for module in pipe.modules():
        for name, value in module.named_parameters():
            draw = torch.randn(value.shape, generator=generator)
            if value.ndim > 1:
                value.data.copy_(
                    draw * (0.5 if "embedding" in name and "time" not in name else value[0].numel() ** -0.5)
                )
            else:
                value.data.copy_(0.05 * draw + (1 if name.endswith("weight") else 0))


def inputs(pipe: Pipeline, size: tuple[int, int], seed: int) -> dict[str, Tensor]:
    """Smooth random maps and pictures."""
    generator = torch.Generator().manual_seed(seed)

    def smooth(channels: int) -> Tensor:
        return F.interpolate(torch.rand(1, channels, 8, 8, generator=generator), size, mode="bicubic").clamp(0, 1)

    maps = {name: smooth(pipe.condition.channels) for name in ("condition", "exemplar_condition")}
    return maps | {name: 2 * smooth(3) - 1 for name in ("exemplar", "truth")}


def translated(pipe: Pipeline, given: dict[str, Tensor], seed: int) -> Tensor:
    """The picture, with nothing computed that it does not need."""
    generator = torch.Generator().manual_seed(seed)
    return pipe(given["condition"], given["exemplar"], given["exemplar_condition"], generator)


@torch.no_grad()
def translated_as_released(pipe: Pipeline, given: dict[str, Tensor], seed: int) -> Tensor:
    """The same picture at the released cost: with the ground truth's stream, one more U-Net call and six more decodes.

    The condition's features are computed once for both streams and the check for the exemplar's alone, as there.
    """
    generator, condition = torch.Generator().manual_seed(seed), given["condition"]
    pipe = pipe.replace(features=Shared(pipe.features))
    moments = list(pipe.trajectory(condition, given["exemplar"], given["exemplar_condition"], generator))
    other = pipe.replace(refiner=None, confidence=Always())
    stream = list(other.trajectory(condition, given["truth"], condition, generator))
    seen = stream[2]
    pipe.denoiser(seen.step.x0, seen.step.level, Context(seen.warp, condition, seen.confidence))
    for moment in (moments[0], moments[3], *stream):
        pipe.autoencoder.decode(moment.step.x0)
    return pipe.autoencoder.decode(moments[-1].step.x0)


class Shared:
    """Features that remember those of the condition."""

    def __init__(self, features: Any) -> None:
        self._condition: Features | None = None
        self._features, self.exemplar, self.rematch_query = features, features.exemplar, features.rematch_query

    def condition(self, condition: Tensor) -> Features:
        """As the features that it was made of, the first time."""
        if self._condition is None:
            self._condition = self._features.condition(condition)
        return self._condition


@torch.no_grad()
def measured(args: argparse.Namespace) -> dict[str, Any]:
    """One variant: the quickest of some runs."""
    torch.manual_seed(args.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the weights are random
        pipe = build(args.preset)
    stir(pipe, args.seed)
    without_spectral_norm(pipe.features)  # type: ignore[arg-type]
    if args.variant == "midms, Winograd":
        use_winograd(*pipe.modules())
    given = inputs(pipe, (args.height, args.width), args.seed)
    translate = translated_as_released if args.variant == "as released" else translated
    warm_up(pipe, given)
    clock, best = Clock(pipe), {"CPU seconds": math.inf}
    for _ in range(args.repeats):
        clock.reset()
        start, used = time.perf_counter(), time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=args.variant == "midms, bfloat16"):
            image = translate(pipe, given, args.seed)
        seconds, used = time.perf_counter() - start, time.process_time() - used
        if used < best["CPU seconds"]:
            best = {"seconds": seconds, "CPU seconds": used} | {name: clock.seconds[name] for name in PARTS}
    torch.save(image, args.image)
    best["matching"] = best["CPU seconds"] - sum(best[name] for name in PARTS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    counts = {f"{name} calls": clock.calls[name] for name in ("U-Net", "decode", "encode")}
    parameters = {slot: sum(p.numel() for p in getattr(pipe, slot).parameters()) for slot in SLOTS}
    return best | counts | {"peak GiB": peak, "parameters": parameters}


def warm_up(pipe: Pipeline, given: dict[str, Tensor]) -> None:
    """Whatever happens when a part is used for the first time."""
    latent = pipe.autoencoder.encode(given["exemplar"])
    query = pipe.features.condition(given["condition"])
    pipe.features.exemplar(latent, given["exemplar_condition"])
    pipe.features.rematch_query(latent, query)
    pipe.denoiser(latent, pipe.sampler.levels[0], Context(latent, given["condition"], latent[:, :1]))
    pipe.autoencoder.decode(latent)


def psnr(image: Tensor, other: Tensor) -> float:
    """In dB, of pictures whose range is 2; pictures that are the same have 200."""
    return min(200.0, 20 * math.log10(2 / max(1e-12, (image - other).square().mean().sqrt().item())))


def main() -> None:
    """Measure each variant in its own process, compare the pictures, write the results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="midm-celeba")
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--bfloat16", action="store_true", help="measure that too; slow where the processor lacks it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--image", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.variant:
        print(json.dumps(measured(args)))
        return
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for variant in VARIANTS if args.bfloat16 else VARIANTS[:-1]:
            image = str(Path(folder) / variant)
            more = ["--variant", variant, "--image", image]
            command = [sys.executable, "-m", "benchmarks.released.inference", *sys.argv[1:], *more]
            patient = os.environ | {"OMP_WAIT_POLICY": "passive"}  # threads that wait leave the cores to others
            completed = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=patient)
            rows[variant] = json.loads(completed.stdout)
            parameters = rows[variant].pop("parameters")
            rows[variant]["times faster"] = rows[VARIANTS[0]]["CPU seconds"] / rows[variant]["CPU seconds"]
            rows[variant]["PSNR"] = psnr(torch.load(image), torch.load(str(Path(folder) / VARIANTS[0])))
            print(f"{variant}: {rows[variant]['seconds']:.1f} s, {rows[variant]['times faster']:.2f} times faster")
    typed = " ".join(["python -m benchmarks.released.inference", *sys.argv[1:]])
    settings = {
        "command": typed,
        "preset": args.preset,
        "size": [args.height, args.width],
        "repeats": args.repeats,
        "seed": args.seed,
    }
    out = args.out or RESULTS / f"inference-{args.preset}.json"
    write_json(out, settings | {"parameters": parameters, "rows": rows, **machine(), "cpu": cpu()})


def cpu() -> dict[str, Any]:
    """The processor's name, and what it has for numbers of half the width."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    name = next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")), "")
    return {"name": name, "flags": [flag for flag in ("avx512f", "avx512_bf16", "amx_bf16") if f" {flag} " in text]}


if __name__ == "__main__":
    main()
