"""Latent consistency models, cut at x0."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from midms.core.types import DenoiseFn, Level, Levels, NoiseFn, Step
from midms.diffusion.solvers.steps import step_from_x0

SIGMA_DATA = 0.5
SCALING = 10


@dataclass(frozen=True)
class LCM:
    """Luo et al. 2023 (arXiv:2310.04378), alg. 3: jump to x0, noise it afresh, jump again.

    For networks distilled to give x0 from any level at once; no integrator, so it has no order. As there, what the
    network says is mixed with x so that x0 is x at timestep 0 (sec. 4.1; eq. 9 of Song et al. 2023, arXiv:2303.01469):
    x0 = c_skip x + c_out network, with sigma_data = 1/2 and timesteps scaled by 10. The step's eps is kept out of it.

    To choose with networks distilled for it, and with no others.

    Args:
        levels: the noise levels.
    """

    levels: Levels

    def predict(self, denoise: DenoiseFn, x: Float[Tensor, "b c h w"], level: Level, previous: Step | None) -> Step:
        """x0 as the consistency function has it (alg. 3, f(z, tau)), and the eps that explains x with it."""
        time = SCALING * level.timestep
        skip, out = SIGMA_DATA**2 / (time**2 + SIGMA_DATA**2), time / (time**2 + SIGMA_DATA**2) ** 0.5
        return step_from_x0(x, out * denoise(x, level) + skip * x, level)

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """x0 noised afresh: a draw of N(alpha(tau) x0, sigma(tau)^2) (alg. 3, z_tau)."""
        return to.add_noise(step.x0, draw)
