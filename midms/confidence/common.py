"""What confidences share: asking a match, and turning evidence into confidence."""

from __future__ import annotations

from typing import Any

from jaxtyping import Float
from torch import Tensor

from midms.core.limits import LARGE, divisor, number
from midms.core.protocols import Match, Unanswered


def ask(match: Match, question: str, *arguments: Any) -> Any:
    """The answer to something that not every match can tell.

    Raises:
        Unanswered: this one cannot.
    """
    if not hasattr(match, question):
        raise Unanswered(f"{type(match).__name__} does not tell its {question}")
    return getattr(match, question)(*arguments)


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
