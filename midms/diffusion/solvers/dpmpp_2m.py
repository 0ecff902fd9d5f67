"""DPM-Solver++ with two levels, cut at x0."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from midms.core.types import DenoiseFn, Level, Levels, NoiseFn, Step
from midms.diffusion.solvers.steps import ddim_step, extrapolate_x0, step_from_x0


@dataclass(frozen=True)
class DPMPP2M:
    """Lu et al. 2022 (arXiv:2211.01095), alg. 2: x0 extrapolated over the last two levels, midpoint form. Order 2.

    DDIM's step with D = x0 + (x0 - x0_before) / (2 r), where r is the last step over this one in half log-SNR. An
    edited x0 is extrapolated as it was edited.

    To choose for fifteen to twenty levels at one call each; an edit of x0 is felt at the next level too.

    Args:
        levels: the noise levels.
    """

    levels: Levels

    def predict(self, denoise: DenoiseFn, x: Float[Tensor, "b c h w"], level: Level, previous: Step | None) -> Step:
        """x0, the eps that explains x with it, and the x0 before."""
        return step_from_x0(x, denoise(x, level), level, (previous.x0,) if previous else ())

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """x at the next level (eq. 9), x0 being what the last two make of it (alg. 2, D)."""
        return ddim_step(step.x, extrapolate_x0(step, to, self.levels), step.level, to)
