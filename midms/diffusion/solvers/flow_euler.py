"""Rectified flow by Euler's method."""

from __future__ import annotations

from midms.core.limits import divisor
from midms.core.types import Level, Levels
from midms.diffusion.levels import TIMESTEPS, check_timesteps
from midms.diffusion.solvers.euler import Euler


def flow_euler(timesteps: tuple[int, ...], shift: float = 1.0) -> Euler:
    """Liu et al. 2022 (arXiv:2209.03003), eq. 1: `Euler` along straight lines x = (1 - sigma) x0 + sigma eps. Order 1.

    For networks trained on such levels, which mostly predict the velocity eps - x0; networks of diffusion saw a latent
    of another scale at these. sigma = timestep / 1000, shifted towards noise as
    sigma' = shift sigma / (1 + (shift - 1) sigma) (Esser et al. 2024, arXiv:2403.03206, eq. 23); what the network is
    given is 1000 sigma'.

    Args:
        timesteps: from the noisiest to the cleanest, 1 to 1000, before they are shifted.
        shift: larger for larger pictures, 3 in Stable Diffusion 3.

    Raises:
        ValueError: timesteps do not fall or are out of range, or the shift is not positive.
    """
    divisor(shift=shift)
    timesteps = check_timesteps(timesteps)
    if timesteps[0] > TIMESTEPS or timesteps[-1] < 1:
        raise ValueError(f"timesteps of a flow are 1 to {TIMESTEPS}, got {timesteps}")
    plain = [timestep / TIMESTEPS for timestep in timesteps]
    sigmas = [shift * sigma / (1 + (shift - 1) * sigma) for sigma in plain]
    items = tuple(Level(i, TIMESTEPS * sigma, 1 - sigma, sigma) for i, sigma in enumerate(sigmas))
    return Euler(Levels(items, schedule="rectified flow"))
