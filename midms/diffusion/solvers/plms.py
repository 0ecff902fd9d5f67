"""Pseudo linear multistep sampling, cut at x0."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from midms.core.types import DenoiseFn, Level, Levels, NoiseFn, Step
from midms.diffusion.solvers.heun import heun_eps
from midms.diffusion.solvers.steps import step_from_eps, step_from_x0

_WEIGHTS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
"""Adams-Bashforth weights of one to four levels, newest first."""


@dataclass(frozen=True)
class PLMS:
    """Liu et al. 2022 (arXiv:2202.09778), eq. 12, as latent diffusion has it: eps over four levels. Order 2.

    Adams-Bashforth weights for evenly spaced timesteps in DDIM's step, started by one step of Heun's method (which asks
    the network twice), then with two and three levels. There order 2 is proven, since evenly spaced timesteps are not
    evenly spaced in noise. The step's eps is the extrapolated one, its x0 that which explains x with it; `past` holds
    what the network said, newest first.

    To choose for comparison with pictures that latent diffusion made by it.

    Args:
        levels: the noise levels.
    """

    levels: Levels

    def predict(self, denoise: DenoiseFn, x: Float[Tensor, "b c h w"], level: Level, previous: Step | None) -> Step:
        """The extrapolated eps, and the x0 that explains x with it."""
        said = step_from_x0(x, denoise(x, level), level)
        past = (said.eps, *(previous.past[:3] if previous else ()))
        eps = sum(weight * one for weight, one in zip(_WEIGHTS[len(past) - 1], past, strict=True))
        if previous is None and len(self.levels) > 1:
            eps = heun_eps(denoise, x, said, self.levels[level.index + 1])
        return step_from_eps(x, eps, level, past)

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """x at the next level, straight along the extrapolated eps (eq. 12)."""
        return to.alpha * step.x0 + to.sigma * step.eps
