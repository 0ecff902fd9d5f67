"""A Brownian bridge from the warp to the picture, cut at x0."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from midms.core.limits import number
from midms.core.types import DenoiseFn, Level, Levels, NoiseFn, Step
from midms.diffusion.levels import check_timesteps
from midms.diffusion.solvers.steps import step_from_x0


@dataclass(frozen=True)
class BrownianBridge:
    """BBDM (Li et al. 2023, arXiv:2205.07680, eq. 4 and 14), which EBDM (ECCV 2024) takes for exemplars. Order 1.

    The walk starts at y, the warp as it is, and ends at x0:

        x = (1 - m) x0 + m y + sqrt(delta) n,   m = timestep / first timestep,   delta = 2 spread (m - m^2)

    so a step's eps, with which x = (1 - m) x0 + m eps, is y + sqrt(delta) / m n. y stays in `past`. For networks
    trained on such a bridge, which mostly predict the difference x - x0.

    Args:
        levels: with alpha 1 - m and sigma m, see `brownian_bridge`.
        spread: largest delta times 2; s in BBDM.
        eta: share of the randomness of the walk, 1 for the walk itself, 0 for none but the first draw.

    Raises:
        ValueError: the spread is negative, or eta is not in [0, 1].
    """

    levels: Levels
    spread: float = 1.0
    eta: float = 1.0

    def __post_init__(self) -> None:
        number(0, 100, spread=self.spread)
        number(0, 1, eta=self.eta)

    def predict(self, denoise: DenoiseFn, x: Float[Tensor, "b c h w"], level: Level, previous: Step | None) -> Step:
        """x0, the eps that explains x with it, and y."""
        return step_from_x0(x, denoise(x, level), level, previous.past if previous else (x,))

    def advance(self, step: Step, to: Level, draw: NoiseFn) -> Float[Tensor, "b c h w"]:
        """A draw at the next level given x, x0 and y (eq. 14)."""
        (y,) = step.past
        here, there = (2 * self.spread * level.alpha * level.sigma for level in (step.level, to))
        fresh = self.eta**2 if step.level.alpha else 1.0  # where the bridge is pinned nothing was drawn yet
        churn = there * fresh * (1 - to.sigma * step.level.alpha / (step.level.sigma * to.alpha))
        kept = ((there - churn) / here) ** 0.5 * step.level.sigma if here else 0.0
        x = to.alpha * step.x0 + to.sigma * y + kept * (step.eps - y)
        return x + churn**0.5 * draw(tuple(x.shape)).to(x) if churn else x


def brownian_bridge(timesteps: tuple[int, ...], spread: float = 1.0, eta: float = 1.0) -> BrownianBridge:
    """A `BrownianBridge` on its own levels: alpha 1 - m, sigma m, and a start at the latent as it is.

    To choose where the latent begins as the warp itself, with a network that was trained on such a bridge.

    Args:
        timesteps: from the noisiest, where the bridge is pinned to the warp, to the cleanest, which is above 0.
        spread: largest variance on the way, times 2; s in BBDM.
        eta: share of the randomness of the walk, 1 for the walk itself, 0 for none but the first draw.

    Raises:
        ValueError: timesteps do not fall or reach 0, the spread is negative, or eta is not in [0, 1].
    """
    timesteps = check_timesteps(timesteps)
    if timesteps[-1] < 1:
        raise ValueError(f"timesteps of a bridge are above 0, got {timesteps}")
    times = [timestep / timesteps[0] for timestep in timesteps]
    items = tuple(Level(i, t, 1 - m, m) for i, (t, m) in enumerate(zip(timesteps, times, strict=True)))
    return BrownianBridge(Levels(items, Level(0, timesteps[0], 1.0, 0.0), "Brownian bridge"), spread, eta)
