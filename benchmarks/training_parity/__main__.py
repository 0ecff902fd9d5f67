"""Our training step against recorded steps of the released MIDMs: losses, gradients, latents, spectral norms.

    python -m benchmarks.training_parity FOLDER

The folder has `manifest.json`, `inference.safetensors` with the inputs, and a file a step. Prints a line for each loss
and each tensor, the worst gradients, and whatever is beyond its bound; exits with 1 if anything is BAD.

Ours is computed in float64, so that the rounding that is left is the record's, which is of float32. A gradient of one
number, such as that of a PReLU's slope, is a sum in which much cancels, and nobody knows it to its bound then. So where
one is beyond its bound, the step is computed three times in float32 too, each time of pictures that are moved to the
next number up or down, and the line says how far that moves it. Up to three times the largest of these is ROUNDING,
more is BAD, and so is any other gradient beyond its bound.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.training_parity.recorded import NAMES, Recorded, ours
from benchmarks.training_parity.rule import noise
from benchmarks.training_parity.steps import Computed, computed, gradient_of, rounding
from midms.checkpoints.convert.names import matching
from midms.confidence.cycle_released import twice_forward
from midms.training.stages.midm import MidmStage
from midms.training.stages.streams import Streams

LOSS, CONTEXTUAL, GRADIENT, LATENT, SPECTRAL = 1e-4, 1e-3, 1e-2, 1e-4, 1e-5
COUNTED = 1e-6
"""Gradients whose norm is a smaller share of the whole are rounding alone."""
ALLOWED = 3
"""Times what float32 moves a gradient by in `RUNS` runs, by which a record may be off."""
WORST = 8
"""Gradients that have a line."""


class Line(NamedTuple):
    """How far something is off, and may be; no bound for what is shown alone. `rounding`: what float32 moves it by."""

    name: str
    off: float
    bound: float | None
    note: str = ""
    rounding: float = 0.0

    @property
    def beyond(self) -> bool:
        """Whether it is beyond its bound; what is no number is."""
        return self.bound is not None and not self.off <= self.bound

    @property
    def bad(self) -> bool:
        """Whether that is more than rounding."""
        return self.beyond and not self.off <= ALLOWED * self.rounding

    def __str__(self) -> str:
        verdict = "BAD" if self.bad else "ROUNDING" if self.beyond else ""
        bound = "" if self.bound is None else f" of {self.bound:.0e}"
        reason = f"; float32 moves it by {self.rounding:.2e}" if self.beyond and self.rounding else ""
        return f"{verdict:<9}{self.name:<44} {self.off:.2e}{bound}  {self.note}{reason}".rstrip()


def main() -> None:
    """Compare every step of a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpointing", action="store_true", help="compute denoiser and decoder again going back")
    parser.add_argument("--step", help="that alone, such as train_full")
    args = parser.parse_args()
    recorded = Recorded(args.folder)
    every: list[Line] = []
    for step in [args.step] if args.step else recorded.steps:
        lines = compared(recorded, step, args.checkpointing)
        print(f"{args.folder.name}, {step}: {len(lines)} comparisons", flush=True)
        print("\n".join(str(line) for line in shown(lines)))
        every += lines
    bad, beyond = sum(line.bad for line in every), sum(line.beyond for line in every)
    print(f"{len(every)} comparisons, {bad} BAD, {beyond - bad} beyond their bounds by ROUNDING of float32")
    sys.exit(1 if bad else 0)


def shown(lines: list[Line]) -> list[Line]:
    """All but most gradients and spectral vectors: of each kind the worst, and whatever is bad."""
    kinds = defaultdict(list)
    for line in lines:
        kinds[line.name.partition(" ")[0]].append(line)
    found = []
    for kind, some in kinds.items():
        if kind in ("gradient", "spectral"):
            some = sorted(some, key=lambda line: (line.bound is None, -line.off))
            some = [line for i, line in enumerate(some) if line.beyond or i < WORST]
        found += some
    return found


def compared(recorded: Recorded, step: str, checkpointing: bool = False) -> list[Line]:
    """Everything that is recorded of a step, against ours."""
    found = computed(recorded, step, torch.float64, checkpointing)
    lines = lines_of(recorded, step, found)
    if any(line.beyond and "gradient" in line.name for line in lines):
        lines = lines_of(recorded, step, found, rounding(recorded, step, found.stage, checkpointing))
    return lines


def lines_of(
    recorded: Recorded, step: str, found: Computed, moved: Mapping[str, float] = MappingProxyType({})
) -> list[Line]:
    """A step of ours against the recorded one.

    Args:
        recorded: the set.
        step: its name.
        found: ours.
        moved: what `rounding` gives.
    """
    kept = recorded.tensors(step)
    return [
        *losses(recorded.steps[step]["losses"], found.losses),
        *tensors(kept, tensors_of(found.made, found.predicted), recorded.salt),
        *gradients(recorded, step, kept, found.stage, moved),
        *vectors(kept, found.stage),
    ]


def losses(recorded: Mapping[str, float], found: Mapping[str, float]) -> Iterator[Line]:
    """Relative differences, one a loss."""
    wanted = ours(recorded) | {"total": recorded["total"]}
    lost = [name for name in recorded if name not in NAMES and name != "total" and "seg" not in name]
    lost = [name for name in lost if not name.startswith("context_")]
    for name in lost:
        yield Line(f"loss {name}", math.nan, 0.0, "nobody knows this loss")
    for name, value in wanted.items():
        mine = found.get(name, math.nan)
        off, bound = abs(mine - value) / max(abs(value), 1e-12), CONTEXTUAL if "ctx" in name else LOSS
        yield Line(f"loss {name}", off, bound, f"{mine:.6g}, was {value:.6g}")


def tensors_of(made: Streams, predicted: list[Tensor]) -> dict[str, Tensor]:
    """Ours by the recorded names."""
    ends = (made.first.warp, made.first_truth.warp)
    found: dict[str, Tensor] = {}
    for i, (style, content) in enumerate(made.moments):
        found |= {f"step{i}/pred_ref_x0": predicted[2 * i], f"step{i}/pred_src_x0": predicted[2 * i + 1]}
        ends = style.step.x0, content.step.x0
        if style.rematched:
            found[f"iter{i + 1}/warped_ref_feat"] = style.warp
            found[f"iter{i + 1}/fb_mask"] = style.confidence
            found[f"iter{i + 1}/fb_error"] = twice_forward(style.match)
    found |= {"final_latent": ends[0], "final_src_latent": ends[1]}
    return found | {"warped_ref_image": made.picture, "warped_src_image": made.truth_picture, "original": made.estimate}


def tensors(kept: Mapping[str, Tensor], found: Mapping[str, Tensor], salt: str) -> Iterator[Line]:
    """Largest differences of latents and pictures, as shares of their largest number where that is above 1.

    Two runs of the released code differ by up to 1e-4 in latents of 6 already. Masks must be the same, and the noise
    that of the rule.
    """
    for name, value in kept.items():
        kind = name.partition("/")[0]
        if kind in ("loss", "grad", "after"):
            continue
        if kind == "noise":
            mine: Tensor | None = torch.from_numpy(noise(salt, name.partition("/")[2], tuple(value.shape)))
        else:
            mine = found.get("original" if name.endswith("_x0_original") else name)
        if mine is None or mine.shape != value.shape:
            yield Line(f"tensor {name}", math.nan, 0.0, "nobody makes this tensor")
            continue
        off, largest = (mine.detach() - value).abs().amax().item(), max(1.0, value.abs().amax().item())
        bound = 0.0 if kind == "noise" or "mask" in name else None if name.endswith("fb_error") else LATENT
        note = "no latent: the mask that is made of it must agree" if bound is None else f"{off:.2e} of {largest:.3g}"
        yield Line(f"tensor {name}", off / largest, bound, note)


def gradients(
    recorded: Recorded, step: str, kept: Mapping[str, Tensor], stage: MidmStage, moved: Mapping[str, float]
) -> Iterator[Line]:
    """Relative differences of every parameter's norm, and of the gradients that are kept whole."""
    norms: Mapping[str, float] = recorded.steps[step]["grad_norms"]
    whole = math.sqrt(sum(norm**2 for norm in norms.values()))
    squares, apart = (defaultdict[str, float](float) for _ in range(2))
    for name, parameter, origin in recorded.origins(stage):
        gradient = gradient_of(parameter)
        squares[name] += gradient.square().sum().item()
        if (value := kept.get(f"grad/{name}")) is not None:
            apart[name] += (origin.take(value) - gradient).square().sum().item()
    for name, norm in norms.items():
        off = abs(math.sqrt(squares.get(name, math.nan)) - norm) / max(norm, 1e-30)
        bound = GRADIENT if norm > COUNTED * whole else None
        alone = moved.get(name, 0.0) / max(norm, 1e-30)
        yield Line(f"gradient {name}", off, bound, f"norm {norm:.3g} of {whole:.3g}", alone)
    for name in squares.keys() - norms.keys():
        yield Line(f"gradient {name}", math.sqrt(squares[name]), COUNTED * whole, "had none")
    for name in (key.removeprefix("grad/") for key in kept if key.startswith("grad/")):
        norm = kept[f"grad/{name}"].double().norm().item()
        off, alone = math.sqrt(apart.get(name, math.nan)) / norm, moved.get(name, 0.0) / norm
        yield Line(f"kept gradient {name}", off, GRADIENT, f"norm {norm:.3g}", alone)


def vectors(kept: Mapping[str, Tensor], stage: MidmStage) -> Iterator[Line]:
    """Largest differences of spectral norms' vectors after the step."""
    state = stage.features.state_dict()
    own = {origin.name: state[name] for name, origin in matching(state).items()}
    for name in (key.removeprefix("after/") for key in kept if key.startswith("after/")):
        off = (own[name] - kept[f"after/{name}"]).abs().amax().item() if name in own else math.nan
        yield Line(f"spectral {name}", off, SPECTRAL)


if __name__ == "__main__":
    main()
