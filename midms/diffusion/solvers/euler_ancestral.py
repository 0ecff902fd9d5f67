"""Ancestral sampling by Euler steps, cut at x0."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from midms.core.types import DenoiseFn, Level, Levels, NoiseFn, Step
from midms.diffusion.solvers.steps import step_from_x0


@dataclass(frozen=True)
class EulerAncestral:
    """The ancestral sampler of k-diffusion: an Euler step down past the next level, and noise back up to it. Order 1.

    With z = x / alpha and s = sigma / alpha,

        up^2 = s'^2 (s^2 - s'^2) / s^2,   down^2 = s'^2 - up^2,   z' = z + (down - s) eps + up n

    (`get_ancestral_step` and `sample_euler_ancestral` of github.com/crowsonkb/k-diffusion; Song et al. 2021,
    arXiv:2011.13456, app. F). On levels that keep the variance this is the distribution of DDPM and of DDIM with eta 1.

    To choose where drawn detail is wanted, and many levels can be afforded.

    Args:
        levels: the noise levels.
    """

    levels: Levels

    def predict(self, denoise: DenoiseFn, x: Float[Tensor, "b c h w"], level: Level, previous: Step | None) -> Step:
        """x0, and the eps that explains x with it."""
        return step_from_x0(x, denoise(x, level), level)

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """z' of the formula above, times alpha: down, then up by a draw."""
        here, there = step.level.sigma / step.level.alpha, to.sigma / to.alpha
        up = there * (1 - (there / here) ** 2) ** 0.5
        down = there**2 / here
        return to.alpha * (step.x0 + down * step.eps + up * draw(tuple(step.x0.shape)).to(step.x0))
