"""Samplers run level by level, on a formula in place of a network, and on Gaussian data, whose answer is known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from midms.core.types import Level, Step
from midms.diffusion.levels import alpha_bar


def network(x: Tensor, timestep: int) -> Tensor:
    """Any function will do as a predictor of noise."""
    return torch.tanh(1.3 * x - timestep / 700) + 0.2 * x.roll(1, -1)


def denoise(x: Tensor, level: Level) -> Tensor:
    return (x - level.sigma * network(x, level.timestep)) / level.alpha


def normals(seed: int) -> Callable[[tuple[int, ...]], Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda shape: torch.randn(shape, generator=generator)


def betas(schedule: str) -> list[float]:
    a = torch.cat([torch.ones(1, dtype=torch.float64), alpha_bar(schedule)])
    return (1 - a[1:] / a[:-1]).tolist()


def trajectory(sampler: Any, x: Tensor, draw: Callable[[tuple[int, ...]], Tensor]) -> list[tuple[Tensor, Tensor]]:
    """x and x0 at each level."""
    seen: list[tuple[Tensor, Tensor]] = []
    step: Step | None = None
    for level in sampler.levels:
        if step is not None:
            x = sampler.advance(step, level, draw)
        step = sampler.predict(denoise, x, level, step)
        seen.append((x, step.x0))
    return seen


SPREAD = 0.3  # of the Gaussian data


def exact(x: Tensor, level: Level) -> Tensor:
    """The posterior mean of data N(0, SPREAD^2)."""
    return level.alpha * SPREAD**2 / (level.alpha**2 * SPREAD**2 + level.sigma**2) * x


def order(errors: list[float]) -> list[float]:
    return [math.log2(a / b) for a, b in itertools.pairwise(errors)]
