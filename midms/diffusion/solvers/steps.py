"""What solvers share: x = alpha * x0 + sigma * eps read both ways, and the way from one level to the next."""

from __future__ import annotations

import math
from typing import Any

from jaxtyping import Float
from torch import Tensor

from midms.core.types import Level, Levels, NoiseFn, Step


def step_from_x0(
    x: Float[Tensor, "b c h w"], x0: Float[Tensor, "b c h w"], level: Level, past: tuple[Any, ...] = ()
) -> Step:
    """A step with the eps that, with this x0, explains x."""
    return Step(level, x0, (x - level.alpha * x0) / level.sigma, past)


def step_from_eps(
    x: Float[Tensor, "b c h w"], eps: Float[Tensor, "b c h w"], level: Level, past: tuple[Any, ...] = ()
) -> Step:
    """A step with the x0 that, with this eps, explains x."""
    return Step(level, (x - level.sigma * eps) / level.alpha, eps, past)


def ddim_step(
    x: Float[Tensor, "b c h w"], x0: Float[Tensor, "b c h w"], here: Level, to: Level
) -> Float[Tensor, "b c h w"]:
    """x at the next level, were x0 the truth: the step of DDIM (arXiv:2010.02502, eq. 13).

    It solves the probability-flow equation exactly where x0 is constant (arXiv:2211.01095, eq. 9); samplers of higher
    order differ in the x0 that they take it to be.
    """
    return to.alpha * x0 + to.sigma / here.sigma * (x - here.alpha * x0)


def posterior_sample(
    x: Float[Tensor, "b c h w"], x0: Float[Tensor, "b c h w"], here: Level, to: Level, draw: NoiseFn
) -> Float[Tensor, "b c h w"]:
    """A draw of x at the next level from its distribution given x and x0 (arXiv:2006.11239, eq. 6-7)."""
    ratio = to.sigma * here.alpha / (here.sigma * to.alpha)  # exp(-h), h the gain in `log_snr`
    mean = to.alpha * (1 - ratio**2) * x0 + to.sigma / here.sigma * ratio * x
    return mean + to.sigma * math.sqrt(1 - ratio**2) * draw(tuple(x.shape)).to(x)


def log_snr(level: Level) -> float:
    """Half the logarithm of the signal-to-noise ratio, the time in which multistep samplers extrapolate."""
    return math.log(level.alpha / level.sigma)


def extrapolate_x0(step: Step, to: Level, levels: Levels) -> Float[Tensor, "b c h w"]:
    """x0 half a step ahead, on the line through this level's and the one's before (arXiv:2211.01095, alg. 2).

    Args:
        step: its `past` holds the x0 of the level before, or nothing: then x0 is as it is.
        to: the next level.
        levels: the sampler's.
    """
    if not step.past:
        return step.x0
    last = log_snr(step.level) - log_snr(levels[step.level.index - 1])
    return step.x0 + (log_snr(to) - log_snr(step.level)) / (2 * last) * (step.x0 - step.past[0])
