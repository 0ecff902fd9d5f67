"""Unified predictor-corrector sampling, cut at x0."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from midms.core.types import Level, NoiseFn, Step
from midms.diffusion.levels import Schedule, levels
from midms.diffusion.solvers.steps import carried, explained, extrapolated, latent, log_snr, noised


@dataclass(frozen=True)
class UniPC:
    """Zhao et al. 2023 (arXiv:2302.04867), UniPC-2 with B_2(h) = e^h - 1 on x0. Order 3.

    The predictor is that of `dpmpp-2m`. What the network says where it leads corrects how one came there, without
    another call: the step's x0 and eps explain the corrected x. An edited x0 is extrapolated as it was edited.

    Args:
        timesteps: from the noisiest to the cleanest; what the network is told.
        schedule: one of `midms.diffusion.levels.SCHEDULES`, or betas.
        levels: follows from the others.

    Raises:
        ValueError: timesteps do not fall or the schedule is unknown.
    """

    timesteps: tuple[int, ...]
    schedule: Schedule = "cosine"
    levels: tuple[Level, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", levels(self.schedule, self.timesteps))

    def noise(self, x0: Float[Tensor, "b c h w"], draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """Bring a clean latent to the first level."""
        return noised(x0, self.levels[0], draw)

    def predict(
        self,
        denoise: Callable[[Tensor, Level], Tensor],
        x: Float[Tensor, "b c h w"],
        level: Level,
        previous: Step | None,
    ) -> Step:
        """x0, the eps that explains the corrected x with it, and the x0 before."""
        x0 = denoise(x, level)
        if previous is None:
            return explained(x, x0, level)
        mended = carried(latent(previous), self._corrected(previous, x0, level), previous.level, level)
        return explained(mended, x0, level, (previous.x0,))

    def _corrected(self, previous: Step, x0: Float[Tensor, "b c h w"], level: Level) -> Float[Tensor, "b c h w"]:
        """The x0 with which the last step should have been made (eq. 3 and 8)."""
        if not previous.past:
            return (previous.x0 + x0) / 2
        h = log_snr(level) - log_snr(previous.level)
        r = (log_snr(self.levels[previous.level.index - 1]) - log_snr(previous.level)) / h
        scale = math.expm1(-h)
        first = scale / -h - 1
        second = first / -h - 1 / 2
        older = (first - 2 * second) / scale / (1 - r)
        newer = first / scale - older
        return previous.x0 + older / r * (previous.past[0] - previous.x0) + newer * (x0 - previous.x0)

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """x at the next level, x0 being what the last two make of it."""
        return carried(latent(step), extrapolated(step, to, self.levels), step.level, to)
