"""Denoising diffusion probabilistic models, cut in half at x0."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from midms.core.types import DenoiseFn, Level, Levels, NoiseFn, Step
from midms.diffusion.solvers.steps import step_from_x0


@dataclass(frozen=True)
class DDPM:
    """Ho et al. 2020 (arXiv:2006.11239), eq. 6-7, with the posterior variance, between any two timesteps.

    Here alpha is sqrt(alpha_bar_t) there; `kept` is alpha_t there, and `beta` is beta_t.

    To choose where the network was trained on all levels and many are walked; it draws at each.

    Args:
        levels: the noise levels.
    """

    levels: Levels

    def predict(self, denoise: DenoiseFn, x: Float[Tensor, "b c h w"], level: Level, previous: Step | None) -> Step:
        """x0, and the eps that explains x with it."""
        return step_from_x0(x, denoise(x, level), level)

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """A draw from q(x_{t-1} | x_t, x0) (eq. 6-7), x_t being what x0 and eps say it was."""
        here, x = step.level, step.x
        kept = (here.alpha / to.alpha) ** 2
        beta = 1 - kept
        mean = (to.alpha * beta * step.x0 + kept**0.5 * to.sigma**2 * x) / here.sigma**2
        return mean + (beta * to.sigma**2 / here.sigma**2) ** 0.5 * draw(tuple(x.shape)).to(x)
