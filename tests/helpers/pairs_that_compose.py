"""Which confidence can read which matcher's matches."""

from __future__ import annotations

from midms.confidence import CONFIDENCES
from midms.matching import MATCHERS

HARD = ("nearest", "mutual-nearest")
"""Matchers that give each cell to one other, so that there is no spread to ask for."""
PLACED = {name for name in MATCHERS if getattr(MATCHERS[name], "spatial", False)}
"""Matchers that look at where cells lie: shuffled cells are another picture to them."""
AMBIGUITY = {"entropy", "peak"}
"""Questions whether there is another candidate, not whether the best is like."""


def composes(matcher: str, confidence: str) -> bool:
    """Whether this confidence can read this matcher's matches."""
    if confidence == "mass":
        return matcher == "unbalanced-transport"
    if confidence == "semantic":
        return matcher == "semantic"
    asks = getattr(CONFIDENCES[confidence], "asks", frozenset())
    return not (isinstance(asks, frozenset) and AMBIGUITY & asks and matcher in HARD)
