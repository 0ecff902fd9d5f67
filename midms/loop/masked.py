"""A match of which some of the exemplar's cells may be taken from, and the others not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from midms.core.protocols import QUESTIONS, Match, written

_LEAST = 1e-3
"""Share of a row from which its similarity counts in full."""


@dataclass(frozen=True)
class MaskedMatch:
    """A match whose rows are shared out anew over the cells of a mask: log P' = log P + log m - log of the row's sum.

    The match is to features that are zero outside of the mask, so that what is forbidden is like nothing. Of a softmax
    this changes nothing; it keeps a row from lying so wholly on what is forbidden that nothing is left of the rest,
    and lets matchers that choose the best cell choose one that is allowed.

    Attributes:
        match: to all cells.
        mask: 1 where a cell may be taken from, else 0; somewhere 1 in each picture.
    """

    match: Match
    mask: Float[Tensor, "b 1 H W"]

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the condition's cells."""
        return self.match.grid

    def apply(self, values: Float[Tensor, "#b c H W"]) -> Float[Tensor, "b c h w"]:
        """The expectation under each row; the mean of what is allowed for a row that has nothing there."""
        allowed = self.mask * values
        taken, share = self.match.apply(torch.cat([allowed, self.mask], 1)).split([values.shape[1], 1], 1)
        least = _least(share)
        mean = allowed.mean((2, 3), keepdim=True) / self.mask.mean((2, 3), keepdim=True)
        return torch.where(share > least, taken / share.clamp(min=least), mean).to(values.dtype)

    def weights(self, rows: int) -> Iterator[Float[Tensor, "b r m"]]:
        """The coupling, some rows at a time: see `midms.core.protocols.Written`."""
        allowed = self.mask.flatten(2)
        for some in written(self.match, rows, self.mask):
            taken = some * allowed
            share = taken.sum(-1, keepdim=True)
            least = _least(share)
            yield torch.where(share > least, taken / share.clamp(min=least), allowed / allowed.sum(-1, keepdim=True))

    def transpose(self) -> TransposedMaskedMatch:
        """The same coupling read from the exemplar to the condition."""
        return TransposedMaskedMatch(self)

    def similarity(self) -> Float[Tensor, "b 1 h w"]:
        """Expected cosine similarity, towards 0 for a row of which next to nothing is allowed."""
        share = self.share()
        whole = (self.match.similarity() / share.clamp(min=_LEAST)).clamp(-1, 1)
        return whole * (share / _LEAST).clamp(max=1)

    def share(self) -> Float[Tensor, "b 1 h w"]:
        """How much of each row lies on what is allowed, in [0, 1]: little where only what is forbidden is like it."""
        return self.match.apply(self.mask).clamp(0, 1)

    def __getattr__(self, question: str) -> Any:
        """What else the match tells of its rows, forbidden cells being like nothing; -1 for the place of one."""
        if question not in QUESTIONS:
            raise AttributeError(question)
        answer = getattr(self.match, question)
        return (lambda: self._allowed(answer())) if question == "argmax" else answer

    def _allowed(self, places: Int[Tensor, "b 1 h w"]) -> Int[Tensor, "b 1 h w"]:
        there = self.mask.flatten(1).expand(len(places), -1).gather(1, places.flatten(1).clamp(min=0))
        return places.where(there.view_as(places) > 0, -1)


def _least(share: Tensor) -> float:
    """What can be divided by."""
    return torch.finfo(share.dtype).tiny / torch.finfo(share.dtype).eps


@dataclass(frozen=True)
class TransposedMaskedMatch:
    """A masked match read from the exemplar: forbidden cells see nothing, others what they see without the mask."""

    forth: MaskedMatch

    @property
    def grid(self) -> tuple[int, int]:
        """(H, W) of the exemplar's cells."""
        return self.forth.match.transpose().grid

    def apply(self, values: Float[Tensor, "#b c h w"]) -> Float[Tensor, "b c H W"]:
        """Warp the condition's values to the exemplar; 0 where it is forbidden."""
        return self._seen(self.forth.match.transpose().apply(values))

    def transpose(self) -> MaskedMatch:
        """The masked match itself."""
        return self.forth

    def similarity(self) -> Float[Tensor, "b 1 H W"]:
        """Expected cosine similarity with the condition; 0 where it is forbidden."""
        return self._seen(self.forth.match.transpose().similarity())

    def __getattr__(self, question: str) -> Any:
        """The best place of each cell; -1 where it is forbidden."""
        if question != "argmax":
            raise AttributeError(question)
        answer = self.forth.match.transpose().argmax  # type: ignore[attr-defined]
        return lambda: self._seen(answer(), -1)

    def _seen(self, answers: Tensor, otherwise: int = 0) -> Tensor:
        return answers.where(self.forth.mask > 0, otherwise)
