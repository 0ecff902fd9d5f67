"""How much signal and noise a latent holds at each of a thousand timesteps."""

from __future__ import annotations

import functools
import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor

from midms.types import Level

TIMESTEPS = 1000
SCALED_LINEAR = {"scaled-linear": (0.00085, 0.012), "ldm-celeba": (0.0015, 0.0195), "ldm-church": (0.0015, 0.0155)}
"""First and last beta of schedules that are linear in sqrt(beta) (Rombach et al. 2022, arXiv:2112.10752)."""
SCHEDULES = ("cosine", "linear", *SCALED_LINEAR)


@functools.cache
def alpha_bar(schedule: str) -> Float[Tensor, " t"]:
    """Cumulative alphas in float64.

    "cosine": the signal is cos(pi/2 * (t + 1/2) / 1000), a half-way house of Nichol and Dhariwal 2021
    (arXiv:2102.09672, eq. 17) without their offset; "linear": betas from 0.0001 to 0.02 (Ho et al. 2020,
    arXiv:2006.11239); the others: linear in sqrt(beta).

    Raises:
        ValueError: no schedule has this name.
    """
    if schedule == "cosine":
        return torch.cos(math.pi / 2 * (torch.arange(TIMESTEPS, dtype=torch.float64) + 0.5) / TIMESTEPS) ** 2
    if schedule == "linear":
        betas = torch.linspace(0.0001, 0.02, TIMESTEPS, dtype=torch.float64)
    elif schedule in SCALED_LINEAR:
        first, last = SCALED_LINEAR[schedule]
        betas = torch.linspace(first**0.5, last**0.5, TIMESTEPS, dtype=torch.float64) ** 2
    else:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {schedule!r}")
    return torch.cumprod(1 - betas, 0)


def signal_and_noise(schedule: str, timestep: int) -> tuple[float, float]:
    """(sqrt(a_t), sqrt(1 - a_t)), so that x_t = signal * x0 + noise * eps.

    Raises:
        ValueError: the timestep is not in 0..999.
    """
    if not 0 <= timestep < TIMESTEPS:
        raise ValueError(f"timesteps are 0 to {TIMESTEPS - 1}, got {timestep}")
    a = float(alpha_bar(schedule)[timestep])
    return math.sqrt(a), math.sqrt(1 - a)


def levels(schedule: str, timesteps: tuple[int, ...]) -> tuple[Level, ...]:
    """The noise levels of falling timesteps.

    Raises:
        ValueError: there is none, or they do not fall.
    """
    if not timesteps or any(a <= b for a, b in itertools.pairwise(timesteps)):
        raise ValueError(f"timesteps must fall from the noisiest to the cleanest, got {timesteps}")
    return tuple(Level(i, t, *signal_and_noise(schedule, t)) for i, t in enumerate(timesteps))
