"""How much of x0 (alpha) and of noise (sigma) a latent holds at each timestep."""

from __future__ import annotations

import functools
import itertools
import math
import reprlib
from collections.abc import Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.defaults import defaults
from midms.core.limits import LARGE, OutOfLimits, number, whole
from midms.core.types import Level

TIMESTEPS = 1000
MOST = 10_000
"""Levels of a sampler."""
Schedule: TypeAlias = "str | tuple[float, ...]"
"""One of `SCHEDULES`, or the betas of a schedule that has no name here, one a timestep."""
SCALED_LINEAR = {"scaled-linear": (0.00085, 0.012), "ldm-celeba": (0.0015, 0.0195), "ldm-church": (0.0015, 0.0155)}
"""First and last beta of schedules that are linear in sqrt(beta) (Rombach et al. 2022, arXiv:2112.10752)."""
SCHEDULES = ("cosine", "linear", "karras", *SCALED_LINEAR)
RHO = 7
SIGMAS = (0.002, 80.0)
"""Least and most noise of Karras et al. 2022 (arXiv:2206.00364), tab. 1."""


@functools.cache
@defaults()
def alpha_bar(schedule: Schedule) -> Float[Tensor, " t"]:
    """Cumulative alphas in float64.

    "cosine": alpha is cos(pi/2 * (t + 1/2) / 1000), a half-way house of Nichol and Dhariwal 2021
    (arXiv:2102.09672, eq. 17) without their offset; "linear": betas from 0.0001 to 0.02 (Ho et al. 2020,
    arXiv:2006.11239); "karras": sigma / alpha is even in its seventh root from 0.002 to 80 (Karras et al.
    2022, arXiv:2206.00364, eq. 5); the others: linear in sqrt(beta). Betas are taken as they are.

    Raises:
        ValueError: no schedule has this name, or a beta is not in (0, 1].
    """
    if schedule == "cosine":
        return torch.cos(math.pi / 2 * (torch.arange(TIMESTEPS, dtype=torch.float64) + 0.5) / TIMESTEPS) ** 2
    if schedule == "karras":
        low, high = (sigma ** (1 / RHO) for sigma in SIGMAS)
        return 1 / (1 + torch.linspace(low, high, TIMESTEPS, dtype=torch.float64) ** (2 * RHO))
    if schedule == "linear":
        betas = torch.linspace(0.0001, 0.02, TIMESTEPS, dtype=torch.float64)
    elif isinstance(schedule, tuple):
        if not schedule or not all(0 < beta <= 1 for beta in schedule):
            raise ValueError("a schedule's betas must be above 0 and at most 1, and at least one")
        betas = torch.tensor(schedule, dtype=torch.float64)
    elif isinstance(schedule, str) and schedule in SCALED_LINEAR:
        first, last = SCALED_LINEAR[schedule]
        betas = torch.linspace(first**0.5, last**0.5, TIMESTEPS, dtype=torch.float64) ** 2
    else:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {schedule!r}")
    return torch.cumprod(1 - betas, 0)


def alpha_sigma(schedule: Schedule, timestep: int) -> tuple[float, float]:
    """(sqrt(a_t), sqrt(1 - a_t)), so that x_t = alpha * x0 + sigma * eps.

    Raises:
        ValueError: the schedule has no such timestep, or nothing of x0 is left there.
    """
    table = alpha_bar(schedule)
    if not 0 <= timestep < len(table):
        raise ValueError(f"timesteps are 0 to {len(table) - 1}, got {timestep}")
    a = float(table[timestep])
    if a == 0:
        raise ValueError(f"at timestep {timestep} the schedule leaves nothing of x0")
    return math.sqrt(a), math.sqrt(1 - a)


def levels(schedule: Schedule, timesteps: tuple[int, ...]) -> tuple[Level, ...]:
    """The noise levels of falling timesteps.

    Raises:
        ValueError: there is none, or they do not fall.
    """
    for timestep in falling(timesteps):
        whole(-int(LARGE), int(LARGE), timesteps=timestep)
    return tuple(Level(i, t, *alpha_sigma(schedule, t)) for i, t in enumerate(timesteps))


def falling(timesteps: tuple[int, ...]) -> tuple[int, ...]:
    """The timesteps, if they can be levels.

    Raises:
        ValueError: there is none, or they do not fall.
    """
    if not isinstance(timesteps, Sequence) or isinstance(timesteps, str) or len(timesteps) > MOST:
        raise OutOfLimits(f"timesteps must be a tuple of at most {MOST} numbers, got {reprlib.repr(timesteps)}")
    for timestep in timesteps:
        number(-LARGE, LARGE, timesteps=timestep)
    if not timesteps or any(a <= b for a, b in itertools.pairwise(timesteps)):
        raise ValueError(f"timesteps must fall from the noisiest to the cleanest, got {timesteps}")
    return tuple(timesteps)


@defaults()
def karras(schedule: str, count: int, first: int = TIMESTEPS - 1, last: int = 0) -> tuple[int, ...]:
    """Timesteps of a schedule whose noise levels are spaced as in Karras et al. 2022 (arXiv:2206.00364, eq. 5).

    sigma / alpha falls evenly in its seventh root.

    Args:
        schedule: one of `SCHEDULES`.
        count: how many, at least 2.
        first: the noisiest.
        last: the cleanest.

    Returns:
        The nearest timesteps; fewer than `count` where several are nearest to the same.
    """
    sigmas = (1 / alpha_bar(schedule) - 1).sqrt()
    wanted = torch.linspace(float(sigmas[first]) ** (1 / RHO), float(sigmas[last]) ** (1 / RHO), count).double() ** RHO
    nearest = (sigmas.log()[:, None] - wanted.log()).abs().argmin(0)
    return tuple(sorted(set(nearest.tolist()), reverse=True))
