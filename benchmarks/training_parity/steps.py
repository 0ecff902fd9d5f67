"""A step of ours on what was recorded, in the precision that is asked for."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks.training_parity.recorded import Recorded
from midms.data.pair import Pair
from midms.training.losses.contextual import contextual_losses
from midms.training.losses.perceptual import activations
from midms.training.stages.midm import MidmStage
from midms.training.stages.streams import Streams

RUNS = 3
"""Of a step in float32, to know what that leaves open."""


@dataclass(frozen=True)
class Computed:
    """A step of ours.

    Attributes:
        stage: with its gradients.
        made: both streams.
        predicted: x0 at each level of each, as the denoiser gave it.
        losses: by our names.
    """

    stage: MidmStage
    made: Streams
    predicted: list[Tensor]
    losses: dict[str, float]


def computed(
    recorded: Recorded, step: str, dtype: torch.dtype, checkpointing: bool = False, moved: int | None = None
) -> Computed:
    """Our step, forwards and backwards.

    Args:
        recorded: the set.
        step: its name.
        dtype: of weights and pictures.
        checkpointing: whether denoiser and decoder are computed again going back.
        moved: a seed, by which pictures are moved to the next float32 number up or down.
    """
    stage = recorded.stage(step, checkpointing).to(dtype)
    given = {name: value.to(dtype) for name, value in vars(nudged(recorded.pair(), moved)).items() if value is not None}
    predicted: list[Tensor] = []
    hook = stage.denoiser.register_forward_hook(lambda module, given, x0: predicted.append(x0.detach()))
    made = stage.streams(Pair(**given), recorded.noise(step))
    hook.remove()
    terms = stage.terms(made, stage.weights)
    total = torch.stack([weight * terms[name] for name, weight in stage.weights.items()]).sum()
    total.backward()
    losses = {name: term.item() for name, term in terms.items()} | {"total": total.item()}
    segmented = any("seg" in name for name in recorded.steps[step]["losses"])
    return Computed(stage, made, predicted, losses | _others(stage, made, segmented))


def nudged(pair: Pair, seed: int | None) -> Pair:
    """The same pair, with each number of its pictures moved to the next up or down, if there is a seed."""
    if seed is None:
        return pair
    generator = torch.Generator().manual_seed(seed)

    def next_to(picture: Tensor) -> Tensor:
        way = torch.rand(picture.shape, generator=generator) - 0.5
        return torch.nextafter(picture, way.sign() * math.inf)

    return replace(pair, exemplar=next_to(pair.exemplar), target=next_to(pair.target))


def rounding(recorded: Recorded, step: str, exact: MidmStage, checkpointing: bool = False) -> dict[str, float]:
    """How far float32 moves each gradient of one number, by its released name: the largest difference in `RUNS` runs.

    Such a gradient is one sum over the whole picture, in which parts cancel; in others few of many numbers do.

    Args:
        recorded: the set.
        step: its name.
        exact: our stage after the step in float64.
        checkpointing: see `computed`.
    """
    largest = defaultdict[str, float](float)
    for seed in range(RUNS):
        stage = computed(recorded, step, torch.float32, checkpointing, seed).stage
        both = zip(recorded.origins(exact), recorded.origins(stage), strict=True)
        for (name, parameter, _), (_, other, _) in both:
            if parameter.numel() == 1:
                moved = (gradient_of(other) - gradient_of(parameter)).abs().item()
                largest[name] = max(largest[name], moved)
    return largest


def gradient_of(parameter: Tensor) -> Tensor:
    """In float64; zeros where there is none."""
    return (torch.zeros_like(parameter) if parameter.grad is None else parameter.grad).double()


@torch.no_grad()
def _others(stage: MidmStage, made: Streams, segmentation: bool) -> dict[str, float]:
    """Losses that are recorded and do not count, and the parts of the contextual one."""
    assert stage.trunk is not None
    layers = contextual_losses(*(activations(stage.trunk, x) for x in (made.picture, made.pair.exemplar)))
    parts = {f"ctx {layer}": value.item() for layer, value in layers.items()}
    parts |= {"ctx": sum(parts.values())}
    return parts | ({"seg": stage.terms(made, ["seg"])["seg"].item()} if segmentation else {})
