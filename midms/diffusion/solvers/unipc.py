"""Unified predictor-corrector sampling, cut at x0."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from midms.core.types import DenoiseFn, Level, Levels, NoiseFn, Step
from midms.diffusion.solvers.steps import ddim_step, extrapolate_x0, log_snr, step_from_x0


@dataclass(frozen=True)
class UniPC:
    """Zhao et al. 2023 (arXiv:2302.04867), UniPC-2 with B_2(h) = e^h - 1 on x0. Order 3.

    The predictor is that of `dpmpp-2m`. What the network says where it leads corrects how one came there, without
    another call: the step's x0 and eps explain the corrected x. An edited x0 is extrapolated as it was edited.

    To choose for five to ten levels, where `dpmpp-2m` is not exact enough.

    Args:
        levels: the noise levels.
    """

    levels: Levels

    def predict(self, denoise: DenoiseFn, x: Float[Tensor, "b c h w"], level: Level, previous: Step | None) -> Step:
        """x0, the eps that explains the corrected x with it, and the x0 before."""
        x0 = denoise(x, level)
        if previous is None:
            return step_from_x0(x, x0, level)
        corrected = ddim_step(previous.x, self._corrected_x0(previous, x0, level), previous.level, level)
        return step_from_x0(corrected, x0, level, (previous.x0,))

    def _corrected_x0(self, previous: Step, x0: Float[Tensor, "b c h w"], level: Level) -> Float[Tensor, "b c h w"]:
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
        """x at the next level (arXiv:2211.01095, eq. 9), x0 being what the last two make of it (alg. 2 there, D)."""
        return ddim_step(step.x, extrapolate_x0(step, to, self.levels), step.level, to)
