"""How much of x0 (alpha) and of noise (sigma) a latent holds at each timestep."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import reprlib
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.limits import LARGE, OutOfLimits, divisor, int_range, number
from midms.core.signatures import parameters, takes_also
from midms.core.torch_defaults import defaults
from midms.core.types import Level, Levels

TIMESTEPS = 1000
_MOST = 10_000
"""Levels of a sampler."""
Schedule: TypeAlias = "str | tuple[float, ...]"
"""One of `SCHEDULES`, "flow:SHIFT", or the betas of a schedule that has no name here, one a timestep."""
SCALED_LINEAR = {"scaled-linear": (0.00085, 0.012), "ldm-celeba": (0.0015, 0.0195), "ldm-church": (0.0015, 0.0155)}
"""First and last beta of schedules that are linear in sqrt(beta) (Rombach et al. 2022, arXiv:2112.10752)."""
SCHEDULES = ("cosine", "linear", "karras", *SCALED_LINEAR)
"""Those of diffusion, whose alpha and sigma have squares that add up to one."""
FLOW = "flow:"
"""What the names of rectified flows begin with; their shift follows."""
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


def flow_shift(schedule: Schedule) -> float | None:
    """The shift of a rectified flow "flow:SHIFT"; None for schedules of diffusion.

    Raises:
        ValueError: what follows is no positive number.
    """
    if not isinstance(schedule, str) or not schedule.startswith(FLOW):
        return None
    try:
        shift = float(schedule.removeprefix(FLOW))
    except ValueError:
        raise ValueError(
            f"schedule {FLOW!r} must be followed by its shift, as in 'flow:3.0', got {schedule!r}"
        ) from None
    divisor(shift=shift)
    return shift


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


def noise_levels(timesteps: tuple[int, ...], schedule: Schedule = "cosine", start: int | None = None) -> Levels:
    """The noise levels of a diffusion model.

    Args:
        timesteps: from the noisiest to the cleanest; what the network gets. Of a flow they are 1 to 1000 and shifted.
        schedule: one of `midms.diffusion.levels.SCHEDULES`, or betas; or "flow:SHIFT", such as "flow:3.0", a rectified
            flow: x = (1 - sigma) x0 + sigma eps (Liu et al. 2022, arXiv:2209.03003, eq. 1) where sigma =
            timestep / 1000, shifted towards noise as sigma' = shift sigma / (1 + (shift - 1) sigma) (Esser et al. 2024,
            arXiv:2403.03206, eq. 23), and the network gets 1000 sigma'.
        start: timestep that a clean latent is noised to before the first step; by default the first of `timesteps`.
            The released MIDMs starts noisier than it tells the network.

    Raises:
        ValueError: timesteps do not fall, the schedule is unknown, or has no such timestep.
    """
    for timestep in check_timesteps(timesteps):
        int_range(-int(LARGE), int(LARGE), timesteps=timestep)
    items = tuple(_level(i, timestep, schedule) for i, timestep in enumerate(timesteps))
    if start is None:
        return Levels(items, schedule=schedule)
    int_range(0, int(LARGE), start=start)
    return Levels(items, _level(0, start, schedule), schedule)


def _level(index: int, timestep: int, schedule: Schedule) -> Level:
    shift = flow_shift(schedule)
    if shift is None:
        return Level(index, timestep, *alpha_sigma(schedule, timestep))
    if not 1 <= timestep <= TIMESTEPS:
        raise ValueError(f"timesteps of a flow are 1 to {TIMESTEPS}, got {timestep}")
    sigma = shift * timestep / (TIMESTEPS + (shift - 1) * timestep)
    return Level(index, TIMESTEPS * sigma, 1 - sigma, sigma)


def on_levels(solver: Callable[..., Any]) -> Callable[..., Any]:
    """From a solver that takes `levels` to a sampler that takes `timesteps`, `schedule` and `start` in their place.

    What takes no `levels` is a sampler already, and comes back as it is. The sampler is from the solver's module.
    """
    others = dict(parameters(solver).parameters)
    if others.pop("levels", None) is None:
        return solver

    def make(
        timesteps: tuple[int, ...], schedule: Schedule = "cosine", start: int | None = None, **options: Any
    ) -> Any:
        return solver(levels=noise_levels(timesteps, schedule, start), **options)

    takes_also(make, others)
    make.__module__ = solver.__module__
    how = "`levels` is made of timesteps, schedule and start:"
    make.__doc__ = f"{inspect.getdoc(solver)}\n\n{how}\n\n{inspect.getdoc(noise_levels)}"
    return make


def check_timesteps(timesteps: tuple[int, ...]) -> tuple[int, ...]:
    """The timesteps, if they can be levels.

    Raises:
        ValueError: there is none, or they do not fall.
    """
    if not isinstance(timesteps, Sequence) or isinstance(timesteps, str) or len(timesteps) > _MOST:
        raise OutOfLimits(f"timesteps must be a tuple of at most {_MOST} numbers, got {reprlib.repr(timesteps)}")
    for timestep in timesteps:
        number(-LARGE, LARGE, timesteps=timestep)
    if not timesteps or any(a <= b for a, b in itertools.pairwise(timesteps)):
        raise ValueError(f"timesteps must fall from the noisiest to the cleanest, got {timesteps}")
    return tuple(timesteps)
