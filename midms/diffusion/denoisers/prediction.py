"""From what a network predicts to x0."""

from __future__ import annotations

import torch
from jaxtyping import Float, Real
from torch import Tensor

from midms.core.types import Level

PREDICTIONS = ("eps", "v", "x0", "flow", "difference")


def expand_level(x: Float[Tensor, "b c h w"], level: Level) -> tuple[Real[Tensor, " b"], Tensor, Tensor]:
    """A level's timestep, alpha and sigma for each sample of a batch."""
    column = x.new_ones(len(x), 1, 1, 1)
    kind = torch.int64 if isinstance(level.timestep, int) else torch.float32
    timestep = torch.full((len(x),), level.timestep, dtype=kind, device=x.device)
    return timestep, level.alpha * column, level.sigma * column


def x0_from_prediction(
    prediction: str,
    output: Float[Tensor, "b c h w"],
    x: Float[Tensor, "b c h w"],
    alpha: Float[Tensor, "b 1 1 1"],
    sigma: Float[Tensor, "b 1 1 1"],
) -> Float[Tensor, "b c h w"]:
    """x0 from what a network predicts, where x = alpha * x0 + sigma * eps.

    Args:
        prediction: "eps"; "x0"; "v" = alpha * eps - sigma * x0 (Salimans and Ho 2022, arXiv:2202.00512, app. D);
            "flow", the velocity eps - x0 (Liu et al. 2022, arXiv:2209.03003); "difference", x - x0 (Li et al. 2023,
            arXiv:2205.07680, eq. 12).
        output: of the network.
        x: what it looked at.
        alpha: of the level.
        sigma: of the level.
    """
    if prediction == "eps":
        return (x - sigma * output) / alpha
    if prediction == "v":
        return alpha * x - sigma * output
    if prediction == "flow":
        return (x - sigma * output) / (alpha + sigma)
    return x - output if prediction == "difference" else output


def check_prediction(prediction: str) -> str:
    """The prediction, if it is one of `PREDICTIONS`.

    Raises:
        ValueError: it is not.
    """
    if prediction not in PREDICTIONS:
        raise ValueError(f"prediction must be one of {', '.join(PREDICTIONS)}, got {prediction!r}")
    return prediction
