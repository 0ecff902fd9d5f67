"""Rectified flow by Euler's method, cut at x0."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from midms.core.limits import divisor
from midms.core.types import Level, NoiseFn, Step
from midms.diffusion.levels import TIMESTEPS, falling
from midms.diffusion.solvers.steps import explained, noised


@dataclass(frozen=True)
class FlowEuler:
    """Liu et al. 2022 (arXiv:2209.03003), eq. 1: straight lines x = (1 - sigma) x0 + sigma eps. Order 1.

    For networks trained on such levels, which mostly predict the velocity eps - x0; networks of diffusion saw a latent
    of another scale at these. sigma = timestep / 1000, shifted towards noise as
    sigma' = shift sigma / (1 + (shift - 1) sigma) (Esser et al. 2024, arXiv:2403.03206, eq. 23).

    Args:
        timesteps: from the noisiest to the cleanest, 1 to 1000, before they are shifted.
        shift: larger for larger pictures, 3 in Stable Diffusion 3.
        levels: follows from the others; their timestep is 1000 sigma.

    Raises:
        ValueError: timesteps do not fall or are out of range, or the shift is not positive.
    """

    timesteps: tuple[int, ...]
    shift: float = 1.0
    levels: tuple[Level, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        divisor(shift=self.shift)
        timesteps = falling(self.timesteps)
        if timesteps[0] > TIMESTEPS or timesteps[-1] < 1:
            raise ValueError(f"timesteps of a flow are 1 to {TIMESTEPS}, got {timesteps}")
        plain = [timestep / TIMESTEPS for timestep in timesteps]
        sigmas = [self.shift * sigma / (1 + (self.shift - 1) * sigma) for sigma in plain]
        levels = tuple(Level(i, TIMESTEPS * sigma, 1 - sigma, sigma) for i, sigma in enumerate(sigmas))
        object.__setattr__(self, "levels", levels)

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
        """x0, and the eps that explains x with it; the velocity is eps - x0."""
        return explained(x, denoise(x, level), level)

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """x + (sigma' - sigma) (eps - x0)."""
        return to.alpha * step.x0 + to.sigma * step.eps
