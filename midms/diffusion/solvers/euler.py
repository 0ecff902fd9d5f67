"""Euler's method on the probability-flow equation, cut at x0."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from midms.core.types import DenoiseFn, Level, Levels, NoiseFn, Step
from midms.diffusion.solvers.steps import step_from_x0


@dataclass(frozen=True)
class Euler:
    """Karras et al. 2022 (arXiv:2206.00364), alg. 1 without the correction. Order 1.

    In z = x / alpha and s = sigma / alpha the equation is dz/ds = eps, and a step of Euler's method is the step of
    DDIM: choose either. On the levels of a rectified flow (`flow_euler`) it is dx/dsigma = eps - x0, and the step is
    the same again.

    To choose with weights whose levels are given in noise, such as those of k-diffusion; else `ddim` is the same.

    Args:
        levels: the noise levels.
    """

    levels: Levels

    def predict(self, denoise: DenoiseFn, x: Float[Tensor, "b c h w"], level: Level, previous: Step | None) -> Step:
        """x0, and the eps that explains x with it."""
        return step_from_x0(x, denoise(x, level), level)

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """z + (s' - s) * eps, times alpha (alg. 1, line 5)."""
        return to.alpha * step.x0 + to.sigma * step.eps
