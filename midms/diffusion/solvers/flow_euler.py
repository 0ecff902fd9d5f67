"""Rectified flow by Euler's method."""

from __future__ import annotations

from midms.core.limits import divisor
from midms.diffusion.levels import FLOW, noise_levels
from midms.diffusion.solvers.euler import Euler


def flow_euler(timesteps: tuple[int, ...], shift: float = 1.0) -> Euler:
    """Liu et al. 2022 (arXiv:2209.03003), eq. 1: `Euler` along straight lines x = (1 - sigma) x0 + sigma eps. Order 1.

    For networks trained on such levels, which mostly predict the velocity eps - x0; networks of diffusion saw a latent
    of another scale at these. The same is `euler` with the schedule "flow:SHIFT": see `noise_levels`.

    To choose with networks of rectified flows.

    Args:
        timesteps: from the noisiest to the cleanest, 1 to 1000, before they are shifted.
        shift: larger for larger pictures, 3 in Stable Diffusion 3.

    Raises:
        ValueError: timesteps do not fall or are out of range, or the shift is not positive.
    """
    divisor(shift=shift)
    return Euler(noise_levels(timesteps, f"{FLOW}{float(shift)!r}"))
