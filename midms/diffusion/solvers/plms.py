"""Pseudo linear multistep sampling, cut at x0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from midms.core.types import Level, NoiseFn, Step
from midms.diffusion.levels import Schedule, levels
from midms.diffusion.solvers.steps import carried, explained, noised

WEIGHTS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
"""Adams-Bashforth weights of one to four levels, newest first."""


@dataclass(frozen=True)
class PLMS:
    """Liu et al. 2022 (arXiv:2202.09778), eq. 12, as latent diffusion has it: eps over four levels. Order 2.

    Adams-Bashforth weights for evenly spaced timesteps in DDIM's step, started by one step of Heun's method (which asks
    the network twice), then with two and three levels. The paper proves order 2, since evenly spaced timesteps are not
    evenly spaced in noise. The step's eps is the extrapolated one, its x0 that which explains x with it; `past` holds
    what the network said, newest first.

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
        """The extrapolated eps, and the x0 that explains x with it."""
        said = explained(x, denoise(x, level), level)
        past = (said.eps, *(previous.past[:3] if previous else ()))
        slope = sum(weight * eps for weight, eps in zip(WEIGHTS[len(past) - 1], past, strict=True))
        if previous is None and len(self.levels) > 1:
            to = self.levels[level.index + 1]
            ahead = carried(x, said.x0, level, to)
            slope = (said.eps + explained(ahead, denoise(ahead, to), to).eps) / 2
        return Step(level, (x - level.sigma * slope) / level.alpha, slope, past)

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """x at the next level, straight along the extrapolated eps."""
        return to.alpha * step.x0 + to.sigma * step.eps
