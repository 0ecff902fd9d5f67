"""Denoising diffusion implicit models, cut in half at x0."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from midms.core.limits import number
from midms.core.types import DenoiseFn, Level, Levels, NoiseFn, Step
from midms.diffusion.solvers.steps import step_from_x0


@dataclass(frozen=True)
class DDIM:
    """Song et al. 2021 (arXiv:2010.02502), eq. 12.

    | here                   | there                                    |
    |------------------------|------------------------------------------|
    | `step.x0`              | predicted x_0                            |
    | `step.eps`             | epsilon_theta(x_t)                       |
    | `to.alpha`, `to.sigma` | sqrt(alpha_{t-1}), sqrt(1 - alpha_{t-1}) |
    | `churn`                | sigma_t (eq. 16)                         |

    To choose first: one call a level, nothing drawn, and an edited x0 is taken on as it is.

    Args:
        levels: the noise levels.
        eta: 0 is deterministic, 1 has the variance of DDPM.

    Raises:
        ValueError: eta is not in [0, 1].
    """

    levels: Levels
    eta: float = 0.0

    def __post_init__(self) -> None:
        number(0, 1, eta=self.eta)

    def predict(self, denoise: DenoiseFn, x: Float[Tensor, "b c h w"], level: Level, previous: Step | None) -> Step:
        """x0, and the eps that explains x with it."""
        return step_from_x0(x, denoise(x, level), level)

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """x at the next level, from an x0 that may have been edited and the eps that was predicted (eq. 12)."""
        here = step.level
        churn = self.eta * to.sigma * (1 - (to.sigma * here.alpha / (here.sigma * to.alpha)) ** 2) ** 0.5
        x = to.alpha * step.x0 + (to.sigma**2 - churn**2) ** 0.5 * step.eps
        return x + churn * draw(tuple(x.shape)).to(x) if churn else x
