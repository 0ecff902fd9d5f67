"""What confidences share: turning evidence into confidence."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from midms.core.limits import LARGE, divisor, number


def threshold(evidence: Float[Tensor, "b 1 h w"], threshold: float, softness: float) -> Float[Tensor, "b 1 h w"]:
    """1 where the evidence reaches the threshold, else 0; with softness, sigmoid((evidence - threshold) / softness)."""
    if softness:
        return ((evidence - threshold) / softness).sigmoid()
    return (evidence >= threshold).to(evidence.dtype)


def check_softness(softness: float) -> None:
    """Refuse what no sigmoid can have.

    Raises:
        OutOfLimits: the softness is negative, or so near 0 that nothing can be divided by it.
    """
    number(0, LARGE, softness=softness)
    if softness:
        divisor(softness=softness)
