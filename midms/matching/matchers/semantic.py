"""Any matcher, between cells of one label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from midms.core.protocols import Match, Matcher, answers_of
from midms.matching.matchers.correlation import Correlation
from midms.matching.matches.partitioned import Block, PartitionedMatch


@dataclass(frozen=True)
class Semantic:
    """Another matcher, each label by itself: P_ij = 0 where label_i and label_j differ.

    The last channel of the features is the cell's label, a whole number; the features `labelled` put it there. Sky is
    matched to sky, as in the segmented style transfer of Luan et al. (2017, arXiv:1703.07511, sec. 3). The matcher sees
    the cells of a label as one row, so balanced transport balances each label. A label that the other picture lacks is
    matched to all of it, and the confidence `semantic` refuses it.

    To choose where both pictures have reliable label maps. It also costs less: labels are products of their own.

    Args:
        matcher: one that does not depend on where cells lie; `midms.create` and `build` take its name or a `Spec` too.

    Raises:
        ValueError: it does.
    """

    gives: ClassVar[type[Match]] = PartitionedMatch
    labelled: ClassVar[bool] = True
    nested: ClassVar[dict[str, str]] = {"matcher": "matcher"}
    matcher: Matcher = Correlation()  # noqa: RUF009 (it is frozen)

    def __post_init__(self) -> None:
        if getattr(self.matcher, "spatial", False):
            name = type(self.matcher).__name__
            raise ValueError(f"matcher {name} depends on where cells lie, which the cells of a label do not tell")

    @property
    def answers(self) -> frozenset[str] | None:
        """What its matches answer: whatever those of the other matcher do, and the agreement of labels."""
        inner = answers_of(self.matcher)
        return None if inner is None else inner | PartitionedMatch.answers

    def __call__(self, query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"]) -> PartitionedMatch:
        """Match the condition's features to the exemplar's, up to their last channel, which is the label."""
        rows, columns = _labels(query), _labels(key)
        query, key, inner = query[:, :-1], key[:, :-1], self.matcher
        there, back = [], []
        for sample in range(len(query)):
            for label in torch.cat([rows[sample], columns[sample]]).unique():
                here, counterpart = rows[sample] == label, columns[sample] == label
                in_condition, in_exemplar = bool(here.any()), bool(counterpart.any())
                here, counterpart = (torch.nonzero(side if side.any() else ~side)[:, 0] for side in (here, counterpart))
                match = inner(_pick(query, sample, here), _pick(key, sample, counterpart))
                block = Block(sample, here, counterpart, match, in_condition and in_exemplar)
                there += [block] if in_condition else []
                back += [block.transpose()] if in_exemplar else []
        return PartitionedMatch(query, key, tuple(there), tuple(back))


def _labels(features: Float[Tensor, "b d h w"]) -> Int[Tensor, "b n"]:
    return features[:, -1].flatten(1).float().nan_to_num(0, 0, 0).round().long()


def _pick(x: Float[Tensor, "b d h w"], sample: int, cells: Int[Tensor, " n"]) -> Float[Tensor, "1 d 1 n"]:
    """Some cells of a sample as one row."""
    return x[sample].flatten(1)[None, :, None, cells]
