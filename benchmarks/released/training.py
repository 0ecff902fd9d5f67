"""What a step of training costs: the stage `joint`, forward, backward and AdamW, with and without checkpointing.

    python -m benchmarks.released.training --preset midm-celeba

Weights are random, of unit gain. Each variant runs in a process of its own, so that its peak memory is its own. `as
released` is the same step without checkpointing, its correlations whole and their softmax kept for every warp, as the
released code has it; `midms` streams over them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.released.inference import cpu, inputs, stir
from benchmarks.results import RESULTS, command, machine, write_json
from midms import build
from midms.compose.presets import PRESETS
from midms.core.normalize import l2_normalize
from midms.data.pair import Pair
from midms.features.vgg_network import VGG
from midms.training.stages import STAGES

VARIANTS = ("as released", "midms", "midms, checkpointing")
RELEASED_SECONDS = {"U-Net": 26.2 / 29, "decoding": 19.3 / 7, "encoding": 2.8 / 2, "match and its gradient": 0.79}
"""Of the released code's parts, by their call, measured once on two threads of another CPU at 256 x 256 pixels; all but
the last forwards alone. A step of training has nine, two, two, and six of them."""


@dataclass(frozen=True)
class Whole:
    """A match whose correlation [b h w H W] is there, and a softmax of it wherever it is applied."""

    correlation: Float[Tensor, "b h w y x"]

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the condition's cells."""
        return self.correlation.shape[1], self.correlation.shape[2]

    def apply(self, values: Float[Tensor, "b c y x"]) -> Float[Tensor, "b c h w"]:
        """Warped values."""
        share = (self.correlation.flatten(3).flatten(1, 2) / 0.005).softmax(2)
        warped = share @ values.expand(len(share), -1, -1, -1).flatten(2).transpose(1, 2)
        return warped.transpose(1, 2).unflatten(2, self.grid)

    def transpose(self) -> Whole:
        """From the exemplar to the condition."""
        return Whole(self.correlation.permute(0, 3, 4, 1, 2))

    def similarity(self) -> Float[Tensor, "b 1 h w"]:
        """Of no interest here: ones."""
        return self.correlation.new_ones(len(self.correlation), 1, *self.grid)


def whole(query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d y x"]) -> Whole:
    """The released matcher."""
    q, k = l2_normalize(query), l2_normalize(key)
    correlation = (q.flatten(2).transpose(1, 2) @ k.flatten(2)).clamp(min=0)
    return Whole(correlation.unflatten(2, k.shape[2:]).unflatten(1, q.shape[2:]))


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """One step of one variant; AdamW has its state already, as in every step but the first."""
    torch.manual_seed(args.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the weights are random
        pipe = build(args.preset)
    stir(pipe, args.seed)
    given = inputs(pipe, (args.size, args.size), args.seed)
    pair = Pair(given["condition"], given["exemplar"], given["truth"], given["exemplar_condition"])
    pipe = pipe.replace(matcher=whole) if args.variant == "as released" else pipe
    (settings,) = (spec.arguments for spec in PRESETS[args.preset].training if spec.name == "joint")
    trunk, checkpointing = VGG(19, caffe=True), args.variant == VARIANTS[-1]
    stage = STAGES.create("joint", pipe=pipe, vgg19=trunk, checkpointing=checkpointing, **settings)
    how = stage.optimisation
    optimiser = torch.optim.AdamW(stage.parameter_groups(), how.learning_rate, how.betas, weight_decay=how.weight_decay)
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    optimiser.zero_grad()
    before, start, used = peak(), time.perf_counter(), time.process_time()
    loss, _ = stage(pair, torch.Generator().manual_seed(args.seed))
    loss.backward()
    optimiser.step()
    used, seconds = time.process_time() - used, time.perf_counter() - start
    figures = {"seconds": seconds, "CPU seconds": used, "pictures a CPU second": 1 / used, "peak GiB": peak()}
    counted = sum(p.numel() for p in stage.parameters() if p.requires_grad)
    return figures | {"before the step GiB": before, "trained parameters": counted, "loss": loss.item()}


def peak() -> float:
    """Of the process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Measure each variant in its own process, write the results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="midm-celeba")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.variant:
        print(json.dumps(measured(args)))
        return
    rows: dict[str, dict[str, Any]] = {}
    stopped: list[str] = []
    for variant in VARIANTS:
        typed = [sys.executable, "-m", "benchmarks.released.training", *sys.argv[1:], "--variant", variant]
        patient = os.environ | {"OMP_WAIT_POLICY": "passive"}  # threads that wait leave the cores to others
        completed = subprocess.run(typed, stdout=subprocess.PIPE, env=patient)
        if completed.returncode:
            print(f"{variant}: did not run to its end ({completed.returncode})")
            stopped.append(variant)
            continue
        rows[variant] = json.loads(completed.stdout)
        print(f"{variant}: {rows[variant]['CPU seconds']:.1f} CPU s, at most {rows[variant]['peak GiB']:.1f} GiB")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    settings = {"command": command("released.training"), "preset": args.preset, "size": args.size, "batch": 1}
    settings |= {"stopped": stopped, "memory GiB": memory, "released seconds": RELEASED_SECONDS}
    out = args.out or RESULTS / f"training-{args.preset}.json"
    write_json(out, settings | {"seed": args.seed, "rows": rows, **machine(), "cpu": cpu()})


if __name__ == "__main__":
    main()
