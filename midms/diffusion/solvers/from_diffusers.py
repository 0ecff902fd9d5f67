"""A scheduler of diffusers, cut at x0."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from midms.core.torch_defaults import defaults
from midms.core.types import DenoiseFn, Level, Levels, NoiseFn, Step
from midms.diffusion.solvers.steps import step_from_x0
from midms.diffusion.torch_randn import RandnFrom, replayed


@dataclass(frozen=True)
class DiffusersSolver:
    """A scheduler of diffusers (github.com/huggingface/diffusers), as `midms.diffusion.diffusers_schedulers` makes it.

    A step hands the scheduler the eps and the x that a step's x0 and eps stand for, so that it, too, sees x0 as it was
    edited. What it draws is asked of the loop's draw. Its state is copied from step to step and none is kept.

    Args:
        levels: as the scheduler walks them.
        scheduler: at its first step.
        scales: at each level, how many times the latent its own x is.
    """

    levels: Levels
    scheduler: Any
    scales: tuple[float, ...]

    def __repr__(self) -> str:
        return f"{type(self.scheduler).__name__}({self.levels})"

    def predict(self, denoise: DenoiseFn, x: Float[Tensor, "b c h w"], level: Level, previous: Step | None) -> Step:
        """x0, the eps that explains x with it, the scheduler as it was before this level, and room for its draws."""
        state = self.scheduler if previous is None else self._stepped(previous, replayed(previous.past[1]))[1]
        return step_from_x0(x, denoise(x, level), level, (state, []))

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """Where the scheduler goes, the `prev_sample` of its `step`."""
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
        with defaults(), RandnFrom(draw):
            x = state.step(output, state.timesteps[index], self.scales[index] * step.x).prev_sample
        following = self.scales[index + 1] if index + 1 < len(self.scales) else 1.0
        return (x / following).to(step.x0), state
