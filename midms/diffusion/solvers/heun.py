"""Heun's method, cut at x0."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from midms.core.types import DenoiseFn, Level, Levels, NoiseFn, Step
from midms.diffusion.solvers.steps import ddim_step, step_from_eps, step_from_x0


@dataclass(frozen=True)
class Heun:
    """Karras et al. 2022 (arXiv:2206.00364), alg. 1: the slope is the mean of those at both ends. Order 2.

    With z = x / alpha and s = sigma / alpha the equation is dz/ds = eps. The network is asked twice a level, but for
    the last: at the level, and where an Euler step would lead. The step's eps is the mean of both, its x0 that which
    explains x with it; an edit of this x0 is taken to the next level as by DDIM.

    To choose where few levels have to do and a second call at each can be afforded.

    Args:
        levels: the noise levels.
    """

    levels: Levels

    def predict(self, denoise: DenoiseFn, x: Float[Tensor, "b c h w"], level: Level, previous: Step | None) -> Step:
        """The mean slope as eps, and the x0 that explains x with it."""
        step = step_from_x0(x, denoise(x, level), level)  # alg. 1, line 4
        if level.index + 1 == len(self.levels):
            return step
        return step_from_eps(x, heun_eps(denoise, x, step, self.levels[level.index + 1]), level)

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """x at the next level, straight along the mean slope (alg. 1, line 8)."""
        return to.alpha * step.x0 + to.sigma * step.eps


def heun_eps(denoise: DenoiseFn, x: Float[Tensor, "b c h w"], step: Step, to: Level) -> Float[Tensor, "b c h w"]:
    """The mean of eps here and of eps where an Euler step leads (arXiv:2206.00364, alg. 1, lines 5, 7 and 8).

    Args:
        denoise: the network, which is asked once more.
        x: the latent.
        step: what the network made of it.
        to: the next level.
    """
    ahead = ddim_step(x, step.x0, step.level, to)
    return (step.eps + step_from_x0(ahead, denoise(ahead, to), to).eps) / 2
