"""Latent consistency models, cut at x0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from midms.core.types import Level, NoiseFn, Step
from midms.diffusion.levels import Schedule, levels
from midms.diffusion.solvers.steps import explained, noised

SIGMA_DATA = 0.5
SCALING = 10


@dataclass(frozen=True)
class LCM:
    """Luo et al. 2023 (arXiv:2310.04378), alg. 3: jump to x0, noise it afresh, jump again.

    For networks distilled to give x0 from any level at once; no integrator, so it has no order. As there, what the
    network says is mixed with x so that x0 is x at timestep 0 (sec. 4.1; eq. 9 of Song et al. 2023, arXiv:2303.01469):
    x0 = c_skip x + c_out network, with sigma_data = 1/2 and timesteps scaled by 10. The step's eps is kept out of it.

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
        """x0 as the consistency function has it, and the eps that explains x with it."""
        time = SCALING * level.timestep
        skip, out = SIGMA_DATA**2 / (time**2 + SIGMA_DATA**2), time / (time**2 + SIGMA_DATA**2) ** 0.5
        return explained(x, out * denoise(x, level) + skip * x, level)

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """x0 noised afresh."""
        return noised(step.x0, to, draw)
