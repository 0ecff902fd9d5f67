"""Any scheduler of diffusers as a sampler cut at x0."""

from __future__ import annotations

import copy
import importlib
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

from midms.core.defaults import defaults
from midms.core.limits import whole
from midms.core.types import Level, NoiseFn, Step
from midms.diffusion.levels import TIMESTEPS, Schedule, alpha_bar, falling
from midms.diffusion.solvers.steps import explained, latent
from midms.registry import UnknownName, unknown

OURS = {
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "clip_sample",
}
"""Settings of schedulers that follow from the levels and from what a sampler is handed."""
TOLERANCE = 0.1
"""Of mean and deviation over 64 x 64 draws; a scheduler that takes something else is off by more."""


def named(scheduler: str) -> Callable[..., Scheduler]:
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
    ) -> Scheduler:
        return Scheduler(kind, timesteps, schedule, steps, options)

    first = [p for p in inspect.signature(make).parameters.values() if p.kind is not p.VAR_KEYWORD]
    known = [p for p in inspect.signature(kind).parameters.values() if p.kind is not p.VAR_KEYWORD]
    theirs = [p.replace(kind=p.KEYWORD_ONLY) for p in known if p.name not in OURS]
    make.__signature__ = inspect.Signature([*first, *theirs])  # type: ignore[attr-defined]
    make.__doc__ = f"{scheduler} of diffusers, see its documentation there.\n\n{inspect.getdoc(Scheduler)}"
    return make


@dataclass(frozen=True)
class Scheduler:
    """A scheduler of diffusers (github.com/huggingface/diffusers) as a sampler.

    A step hands the scheduler the eps and the x that a step's x0 and eps stand for, so that it, too, sees x0 as it was
    edited. What it draws is asked of the loop's draw. Its state is copied from step to step and none is kept.
    Schedulers in units of x / alpha are converted to a latent of unit power; where a scheduler asks twice a level, as
    Heun's does, both times are levels here.

    Args:
        kind: the class.
        timesteps: from the noisiest to the cleanest, for schedulers that can be given any.
        schedule: one of `midms.diffusion.levels.SCHEDULES`, or betas; flow-matching schedulers have their own.
        steps: instead of timesteps, how many of the scheduler's own.
        options: more arguments of the class.
        levels: follows from the others.

    Raises:
        ValueError: the timesteps do not fall, the scheduler cannot take them, or it does not go from noise to x0.
    """

    kind: Any
    timesteps: tuple[int, ...] = ()
    schedule: Schedule = "cosine"
    steps: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    levels: tuple[Level, ...] = field(init=False, repr=False)
    _start: Any = field(init=False, repr=False, compare=False)
    _scales: tuple[float, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        timesteps = falling(self.timesteps) if self.steps is None else ()
        if self.steps is not None:
            whole(1, TIMESTEPS, steps=self.steps)
        try:
            start = self._made(timesteps)
            native = [_coefficients(start, timestep) for timestep in start.timesteps]
            relative = native[0][0] == 1 and native[0][1] > 0
            scales = tuple(math.hypot(*pair) if relative else 1.0 for pair in native)
            levels = tuple(
                Level(i, _plain(timestep), alpha / scale, sigma / scale)
                for i, (timestep, (alpha, sigma), scale) in enumerate(zip(start.timesteps, native, scales, strict=True))
            )
            for name, value in (("levels", levels), ("_start", start), ("_scales", scales)):
                object.__setattr__(self, name, value)
            sound = self._sound()
        except LookupError as error:
            why = f"it fails on its own timesteps with {error!r}"
            raise ValueError(f"{self.kind.__name__} cannot be a sampler: {why}") from error
        except (TypeError, AttributeError, ImportError, RuntimeError, ArithmeticError, NotImplementedError) as error:
            raise ValueError(f"{self.kind.__name__} cannot be a sampler: {error}") from error
        if not sound:
            raise ValueError(f"{self.kind.__name__} cannot be a sampler: it takes something else than eps and x")

    def noise(self, x0: Float[Tensor, "b c h w"], draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """Bring a clean latent to the first level."""
        return self.levels[0].alpha * x0 + self.levels[0].sigma * draw(tuple(x0.shape)).to(x0)

    def predict(
        self,
        denoise: Callable[[Tensor, Level], Tensor],
        x: Float[Tensor, "b c h w"],
        level: Level,
        previous: Step | None,
    ) -> Step:
        """x0, the eps that explains x with it, the scheduler as it was before this level, and room for its draws."""
        state = self._start if previous is None else self._stepped(previous, _again(previous.past[1]))[1]
        return explained(x, denoise(x, level), level, (state, []))

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """Where the scheduler goes."""
        drawn = step.past[1]
        drawn.clear()

        def kept(shape: tuple[int, ...]) -> Tensor:
            drawn.append(draw(shape))
            return drawn[-1]

        return self._stepped(step, kept)[0]

    def _stepped(self, step: Step, draw: NoiseFn) -> tuple[Tensor, Any]:
        """x at the next level, and the scheduler after the step."""
        state, index = copy.copy(step.past[0]), step.level.index
        for name, value in vars(state).items():
            if isinstance(value, list | Tensor):  # what a step may change in place
                setattr(state, name, list(value) if isinstance(value, list) else value.clone())
        state.is_scale_input_called = True  # some warn if `scale_model_input` was not called
        output = step.eps if hasattr(state, "add_noise") else step.eps - step.x0
        with defaults(), _Drawing(draw):
            x = state.step(output, state.timesteps[index], self._scales[index] * latent(step)).prev_sample
        following = self._scales[index + 1] if index + 1 < len(self._scales) else 1.0
        return (x / following).to(step.x0), state

    def _made(self, timesteps: tuple[int, ...]) -> Any:
        """The scheduler, about to walk these timesteps, or so many of its own."""
        alphas = torch.cat([torch.ones(1, dtype=torch.float64), alpha_bar(self.schedule)])
        ours = {
            "num_train_timesteps": len(alphas) - 1,
            "trained_betas": (1 - alphas[1:] / alphas[:-1]).tolist(),
            "prediction_type": "epsilon",
            "clip_sample": False,
        }
        known = inspect.signature(self.kind).parameters
        start = self.kind(**{name: value for name, value in ours.items() if name in known}, **self.options)
        taken = inspect.signature(start.set_timesteps).parameters
        if self.steps is not None:
            start.set_timesteps(self.steps)
        elif "sigmas" in taken and not hasattr(start, "alphas_cumprod"):
            start.set_timesteps(sigmas=[timestep / TIMESTEPS for timestep in timesteps])
        elif "timesteps" in taken:
            start.set_timesteps(timesteps=list(timesteps))
        else:
            start.set_timesteps(len(timesteps))
            if len(getattr(start, "sigmas", ())) != len(timesteps) + 1:
                raise ValueError(f"{self.kind.__name__} walks its own timesteps; give steps=N instead of {timesteps}")
            a = start.alphas_cumprod[list(timesteps)]
            start.timesteps = torch.tensor(timesteps, dtype=start.timesteps.dtype)
            start.sigmas = torch.cat([((1 - a) / a).sqrt(), start.sigmas[-1:]])
        if hasattr(start, "sigmas_interpol"):
            raise RuntimeError("it asks between its levels")
        return start

    def _sound(self) -> bool:
        """Whether noise falls, and x0 being 1 everywhere, x is distributed at every level as the level says."""
        numbers, one = torch.Generator().manual_seed(0), torch.ones(1, 1, 64, 64, dtype=torch.float32)

        def draw(shape: tuple[int, ...]) -> Tensor:
            return torch.randn(shape, generator=numbers, dtype=torch.float32)

        x, step = self.noise(one, draw), None
        for level in self.levels:
            if step is not None:
                x = self.advance(step, level, draw)
                if level.sigma > step.level.sigma:
                    return False
            if not abs(x.mean().item() - level.alpha) + abs(x.std().item() - level.sigma) < TOLERANCE:
                return False
            step = self.predict(lambda x, level: one, x, level, step)
        return True


class _Drawing(TorchFunctionMode):
    """While this is entered, `torch.randn` gives what a draw gives."""

    def __init__(self, draw: NoiseFn) -> None:
        super().__init__()
        self.draw = draw

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is not torch.randn:
            return function(*args, **(kwargs or {}))
        return self.draw(tuple(args[0])).to(dtype=kwargs["dtype"], device=kwargs["device"])


def _again(drawn: list[Tensor]) -> NoiseFn:
    """The same draws once more; zeros where there was none."""
    left = iter(drawn)
    return lambda shape: next(left, torch.zeros(shape))


def _coefficients(scheduler: Any, timestep: Tensor) -> tuple[float, float]:
    """How much of x0 and of noise there is in x, in the scheduler's own units."""
    one, zero, when = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64), timestep[None]
    if hasattr(scheduler, "add_noise"):
        return scheduler.add_noise(one, zero, when).item(), scheduler.add_noise(zero, one, when).item()
    return scheduler.scale_noise(one, when, zero).item(), scheduler.scale_noise(zero, when, one).item()


def _plain(timestep: Tensor) -> float:
    value: float = timestep.item()
    return int(value) if value == int(value) else value
