"""A pipeline of ours with a callback after each step, as pipelines of diffusers have one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from midms.core.protocols import Sampler
from midms.core.types import DenoiseFn, Level, Levels, NoiseFn, Step
from midms.loop import Moment, interleave
from midms.pipeline.pipeline import Pipeline


@dataclass(frozen=True, repr=False)
class PipelineWithCallback(Pipeline):
    """A pipeline that calls back after each step, and goes on with what it is given.

    Attributes:
        on_step_end: from a level and the latent after its step, x0 after the last one, to the latent to go on with.
        interrupted: whether to end after the step that was called back for last.
    """

    on_step_end: Callable[[Level, Tensor], Tensor] = lambda level, latents: latents
    interrupted: Callable[[], bool] = lambda: False

    def trajectory(self, *given: Any, **named: Any) -> Iterator[Moment]:
        """The moments of the loop; arguments as of `Pipeline.trajectory`."""
        sampler = _SamplerWithCallback(self.sampler, self._after)
        try:
            for moment in interleave(self.replace(sampler=sampler), self.policy, *given, **named):
                sampler.begun = True  # inversions step, too, before the loop does
                step = moment.step
                if moment.stage == "loop" and step.level.index == len(sampler.levels) - 1:
                    step = dataclasses.replace(step, x0=self.on_step_end(step.level, step.x0))
                yield dataclasses.replace(moment, step=step)
        except _Interrupted:
            return

    def _after(self, level: Level, latents: Tensor) -> Tensor:
        latents = self.on_step_end(level, latents)
        if self.interrupted():
            raise _Interrupted
        return latents


class _Interrupted(Exception):
    """Ends the loop with the moment before."""


class _SamplerWithCallback:
    """A sampler that calls back after its steps once the loop has begun."""

    def __init__(self, sampler: Sampler, on_step_end: Callable[[Level, Tensor], Tensor]) -> None:
        self.sampler, self.on_step_end, self.begun = sampler, on_step_end, False

    @property
    def levels(self) -> Levels:
        return self.sampler.levels

    def predict(self, denoise: DenoiseFn, x: Tensor, level: Level, previous: Step | None) -> Step:
        return self.sampler.predict(denoise, x, level, previous)

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Tensor:
        x = self.sampler.advance(step, to, draw)
        return self.on_step_end(step.level, x) if self.begun else x


def with_callback(
    pipe: Pipeline, on_step_end: Callable[[Level, Tensor], Tensor], interrupted: Callable[[], bool]
) -> PipelineWithCallback:
    """A pipeline with a callback; arguments as of `PipelineWithCallback`."""
    fields = {field.name: getattr(pipe, field.name) for field in dataclasses.fields(Pipeline)}
    return PipelineWithCallback(**fields, on_step_end=on_step_end, interrupted=interrupted)


def latents_of(given: Any, latents: Tensor) -> Tensor:
    """The latents that a callback of diffusers gave back, or those that it was given, if it gave none.

    Raises:
        ValueError: it gave something else than a mapping, or than latents of the same shape.
    """
    if given is None:
        return latents
    if not isinstance(given, Mapping) or (given.keys() - {"latents"}):
        got = f"a {type(given).__name__}" if not isinstance(given, Mapping) else ", ".join(map(repr, given))
        raise ValueError(f"callback_on_step_end: gives {got}, expected {{'latents': a tensor}}, {{}} or None")
    found = given.get("latents", latents)
    if not isinstance(found, Tensor) or found.shape != latents.shape:
        got = f"a tensor {[*found.shape]}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
        raise ValueError(f"callback_on_step_end: gives {got} for latents, expected a tensor {[*latents.shape]}")
    if not found.isfinite().all():
        raise ValueError("callback_on_step_end: gives latents that are not finite")
    return found.to(latents)
