"""Random numbers of training, the same however many processes share it; see `midms.core.seeds`."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from midms.core.seeds import seeded
from midms.core.types import NoiseFn


def sample_generators(seed: int, positions: Iterable[int]) -> list[torch.Generator]:
    """A generator for each sample of a batch, whichever process trains on it.

    Args:
        seed: of the run.
        positions: of the samples, counted over all batches of the run.
    """
    return [seeded(seed, "sample", position) for position in positions]


def uniform(draw: NoiseFn, batch: int, count: int = 1) -> Float[Tensor, "b n"]:
    """Uniform draws in [0, 1) for each sample: the normal distribution function of its normal draws.

    So that whoever hands out normal draws, as `midms.core.types.Noise` does, decides all that is random.

    Args:
        draw: gives normals.
        batch: samples.
        count: draws for each.
    """
    below_one = 1 - torch.finfo(torch.float32).eps
    return torch.special.ndtr(draw((batch, count))).clamp(max=below_one)


def integers(draw: NoiseFn, batch: int, low: int, high: int, count: int = 1) -> Int[Tensor, "b n"]:
    """Whole numbers for each sample, uniform from `low` up to but not `high`."""
    return low + (uniform(draw, batch, count) * (high - low)).long()
