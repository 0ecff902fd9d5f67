"""Any scheduler of diffusers as a sampler cut at x0."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from midms.core.limits import int_range
from midms.core.signatures import takes_also
from midms.core.types import Level, Levels
from midms.diffusion.levels import TIMESTEPS, Schedule, alpha_bar, check_timesteps, flow_shift
from midms.diffusion.solvers.from_diffusers import DiffusersSolver
from midms.registry import UnknownName, unknown

_OURS = {
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "clip_sample",
}
"""Settings of schedulers that follow from the levels and from what a sampler is handed."""
_SHIFTS = {"shift", "use_dynamic_shifting", "base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len"}
"""Settings that a schedule "flow:SHIFT" says."""
TOLERANCE = 0.1
"""Of mean and deviation over 64 x 64 draws; a scheduler that takes something else is off by more."""


def factory(scheduler: str) -> Callable[..., DiffusersSolver]:
    """The factory behind `diffusers:<scheduler>`; its signature shows what the scheduler takes.

    Args:
        scheduler: the name of a class of `diffusers.schedulers`.

    Raises:
        UnknownName: diffusers has no such scheduler.
    """
    schedulers = importlib.import_module("diffusers.schedulers")
    kind = getattr(schedulers, scheduler, None) if scheduler.endswith("Scheduler") else None
    if kind is None:
        listed = {name for name in dir(schedulers) if name.endswith("Scheduler")}
        names = sorted(name for name in listed if hasattr(schedulers, name))  # it lists some that it has no more
        raise UnknownName(unknown("scheduler of diffusers", scheduler, names, "diffusers' documentation"))

    def make(
        timesteps: tuple[int, ...] = (), schedule: Schedule = "cosine", steps: int | None = None, **options: Any
    ) -> DiffusersSolver:
        return make_solver(kind, timesteps, schedule, steps, options)

    known = inspect.signature(kind).parameters
    takes_also(make, {name: p for name, p in known.items() if name not in _OURS})
    make.__doc__ = f"{scheduler} of diffusers, see its documentation there.\n\n{inspect.getdoc(make_solver)}"
    return make


def make_solver(
    kind: Any, timesteps: tuple[int, ...], schedule: Schedule, steps: int | None, options: dict[str, Any]
) -> DiffusersSolver:
    """A scheduler of diffusers as a sampler.

    Schedulers in units of x / alpha are converted to a latent of unit power; where a scheduler asks twice a level, as
    Heun's does, both times are levels here.

    Args:
        kind: the class.
        timesteps: from the noisiest to the cleanest, for schedulers that can be given any.
        schedule: as of `midms.diffusion.levels.noise_levels`; flow-matching schedulers take "flow:SHIFT", or have
            their own.
        steps: instead of timesteps, how many of the scheduler's own.
        options: more arguments of the class.

    Raises:
        ValueError: the timesteps do not fall, the scheduler cannot take them, or it does not go from noise to x0.
    """
    timesteps = check_timesteps(timesteps) if steps is None else ()
    if steps is not None:
        int_range(1, TIMESTEPS, steps=steps)
    try:
        scheduler = _scheduler(kind, timesteps, schedule, steps, options)
        solver = DiffusersSolver(*_levels(scheduler, schedule))
        sound = _sound(solver)
    except LookupError as error:
        why = f"it fails on its own timesteps with {error!r}"
        raise ValueError(f"{kind.__name__} cannot be a sampler: {why}") from error
    except (TypeError, ValueError, AttributeError, ImportError, RuntimeError, ArithmeticError) as error:
        raise ValueError(f"{kind.__name__} cannot be a sampler: {error}") from error
    if not sound:
        raise ValueError(f"{kind.__name__} cannot be a sampler: it takes something else than eps and x")
    return solver


def own_settings(scheduler: Any) -> dict[str, Any]:
    """The settings of a scheduler that are not as usual, and not those of the levels: arguments of its sampler."""
    usual = inspect.signature(type(scheduler)).parameters
    known = usual.keys() - _OURS - _SHIFTS
    return {name: value for name, value in scheduler.config.items() if name in known and value != usual[name].default}


def _levels(scheduler: Any, schedule: Schedule) -> tuple[Levels, Any, tuple[float, ...]]:
    """The levels that a scheduler is about to walk, it, and how many times the latent its x is at each."""
    native = [_coefficients(scheduler, timestep) for timestep in scheduler.timesteps]
    relative = native[0][0] == 1 and native[0][1] > 0
    scales = tuple(math.hypot(*pair) if relative else 1.0 for pair in native)
    items = tuple(
        Level(i, _plain(timestep), alpha / scale, sigma / scale)
        for i, (timestep, (alpha, sigma), scale) in enumerate(zip(scheduler.timesteps, native, scales, strict=True))
    )
    return Levels(items, schedule=schedule), scheduler, scales


def _scheduler(
    kind: Any, timesteps: tuple[int, ...], schedule: Schedule, steps: int | None, options: dict[str, Any]
) -> Any:
    """The scheduler, about to walk these timesteps, or so many of its own."""
    known = inspect.signature(kind).parameters
    start = kind(**{name: value for name, value in _trained(schedule).items() if name in known} | options)
    taken = inspect.signature(start.set_timesteps).parameters
    if steps is not None:
        start.set_timesteps(steps)
    elif "sigmas" in taken and not hasattr(start, "alphas_cumprod"):
        start.set_timesteps(sigmas=[timestep / TIMESTEPS for timestep in timesteps])
    elif "timesteps" in taken:
        start.set_timesteps(timesteps=list(timesteps))
    else:
        start.set_timesteps(len(timesteps))
        if len(getattr(start, "sigmas", ())) != len(timesteps) + 1:
            raise ValueError(f"it walks its own timesteps; give steps=N instead of {timesteps}")
        a = start.alphas_cumprod[list(timesteps)]
        start.timesteps = torch.tensor(timesteps, dtype=start.timesteps.dtype)
        start.sigmas = torch.cat([((1 - a) / a).sqrt(), start.sigmas[-1:]])
    if hasattr(start, "sigmas_interpol"):
        raise RuntimeError("it asks between its levels")
    return start


def _trained(schedule: Schedule) -> dict[str, Any]:
    """Settings of schedulers that follow from the schedule, or are ours."""
    if (shift := flow_shift(schedule)) is not None:
        return {"num_train_timesteps": TIMESTEPS, "shift": shift}
    alphas = torch.cat([torch.ones(1, dtype=torch.float64), alpha_bar(schedule)])
    return {
        "num_train_timesteps": len(alphas) - 1,
        "trained_betas": (1 - alphas[1:] / alphas[:-1]).tolist(),
        "prediction_type": "epsilon",
        "clip_sample": False,
    }


def _sound(solver: DiffusersSolver) -> bool:
    """Whether noise falls, and x0 being 1 everywhere, x is distributed at every level as the level says."""
    numbers, one = torch.Generator().manual_seed(0), torch.ones(1, 1, 64, 64, dtype=torch.float32)

    def draw(shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=numbers, dtype=torch.float32)

    x, step = solver.levels.add_noise(one, draw), None
    for level in solver.levels:
        if step is not None:
            x = solver.advance(step, level, draw)
            if level.sigma > step.level.sigma:
                return False
        if not abs(x.mean().item() - level.alpha) + abs(x.std().item() - level.sigma) < TOLERANCE:
            return False
        step = solver.predict(lambda x, level: one, x, level, step)
    return True


def _coefficients(scheduler: Any, timestep: Tensor) -> tuple[float, float]:
    """How much of x0 and of noise there is in x, in the scheduler's own units."""
    one, zero, when = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64), timestep[None]
    if hasattr(scheduler, "add_noise"):
        return scheduler.add_noise(one, zero, when).item(), scheduler.add_noise(zero, one, when).item()
    return scheduler.scale_noise(one, when, zero).item(), scheduler.scale_noise(zero, when, one).item()


def _plain(timestep: Tensor) -> float:
    value: float = timestep.item()
    return int(value) if value == int(value) else value
