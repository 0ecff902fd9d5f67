"""Any data set as the stages of training read it: random pairs, whose pictures are numbered."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from midms.compose.catalog import registry
from midms.compose.spec import Spec
from midms.core.errors import MidmsError
from midms.core.protocols import ConditionExtractor
from midms.core.signatures import parameters
from midms.data.pair import Pair, collate
from midms.data.portraits.dataset import Portraits
from midms.training.cached_portraits import CachedPortraits

HELD_OUT = 128
"""The most pairs, the first of the validation split, on which a stage is measured; no more than it is trained on."""
REMEMBERED = 64
"""Pairs that are kept for a second question about them."""


class DataError(MidmsError, ValueError):
    """A data set that cannot be trained on; the message says why."""


@runtime_checkable
class TrainingData(Protocol):
    """Pairs to train on. Pictures have numbers of their own: what follows from a picture alone is computed once."""

    @property
    def pictures(self) -> int:
        """How many pictures there are."""

    def __len__(self) -> int:
        """How many pairs there are."""

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, " b"]:
        """Random pairs, by index."""

    def numbers(self, index: Int[Tensor, " b"]) -> tuple[Int[Tensor, " b"], Int[Tensor, " b"]]:
        """The pictures that are the exemplars and the targets of these pairs."""

    def images(self, number: Int[Tensor, " b"]) -> Float[Tensor, "b 3 y x"]:
        """Pictures in [-1, 1]."""

    def exemplar_conditions(self, number: Int[Tensor, " b"]) -> Float[Tensor, "b k y x"]:
        """The condition maps that go with pictures where they are exemplars."""

    def pairs(self, index: Int[Tensor, " b"]) -> Pair:
        """Pairs without their flow."""

    def flow(
        self, index: Int[Tensor, " b"], corner: tuple[int, int] = (0, 0), step: int = 1
    ) -> tuple[Float[Tensor, "b 2 h w"], Bool[Tensor, "b 1 h w"]] | None:
        """Flow and visibility of pairs at every `step`-th pixel from `corner`, row and column; None if nobody knows."""

    def checksum(self) -> str:
        """Tells pictures apart: a digest of all."""


class DatasetPairs:
    """A data set whose pairs are read when they are needed. Pictures 2i and 2i + 1 are exemplar and target of pair i.

    Args:
        dataset: gives a `Pair` an index; see `midms.testing.DatasetLaws`.
        name: what errors call it.
        limit: the most pairs, the first; None for all.

    Raises:
        DataError: it has no pairs, or pairs that no stage can be trained on.
    """

    def __init__(self, dataset: Any, name: str, limit: int | None = None) -> None:
        self._count = len(dataset) if limit is None else min(limit, len(dataset))
        self._pair = functools.lru_cache(REMEMBERED)(dataset.__getitem__)
        if not self._count:
            raise DataError(f"data set {name}: has no pairs")
        first = self._pair(0)
        if first.exemplar.shape != first.target.shape or first.exemplar_condition is None:
            raise DataError(
                f"data set {name}: to be trained on, exemplar and target must have one size, and an exemplar a"
                f" condition; got {tuple(first.exemplar.shape)}, {tuple(first.target.shape)} and exemplar_condition"
                f" {'None' if first.exemplar_condition is None else 'known'}"
            )

    @property
    def pictures(self) -> int:
        """Two a pair."""
        return 2 * self._count

    def __len__(self) -> int:
        return self._count

    def draw(self, count: int, generator: torch.Generator) -> Int[Tensor, " b"]:
        """See `TrainingData`."""
        return torch.randint(self._count, (count,), generator=generator)

    def numbers(self, index: Int[Tensor, " b"]) -> tuple[Int[Tensor, " b"], Int[Tensor, " b"]]:
        """See `TrainingData`."""
        return 2 * index, 2 * index + 1

    def images(self, number: Int[Tensor, " b"]) -> Float[Tensor, "b 3 y x"]:
        """See `TrainingData`."""
        pairs = [(self._pair(n // 2), n % 2) for n in number.tolist()]
        return torch.cat([pair.target if is_target else pair.exemplar for pair, is_target in pairs])

    def exemplar_conditions(self, number: Int[Tensor, " b"]) -> Float[Tensor, "b k y x"]:
        """A target's is its condition."""
        pairs = [(self._pair(n // 2), n % 2) for n in number.tolist()]
        return torch.cat([pair.condition if is_target else pair.exemplar_condition for pair, is_target in pairs])

    def pairs(self, index: Int[Tensor, " b"]) -> Pair:
        """See `TrainingData`."""
        return collate([self._pair(i) for i in index.tolist()])

    def flow(
        self, index: Int[Tensor, " b"], corner: tuple[int, int] = (0, 0), step: int = 1
    ) -> tuple[Float[Tensor, "b 2 h w"], Bool[Tensor, "b 1 h w"]] | None:
        """See `TrainingData`."""
        pair = self.pairs(index)
        if pair.flow is None:
            return None
        visible = torch.ones_like(pair.flow[:, :1], dtype=torch.bool) if pair.visible is None else pair.visible
        chosen = (..., slice(corner[0], None, step), slice(corner[1], None, step))
        return pair.flow[chosen], visible[chosen]

    def checksum(self) -> str:
        """See `TrainingData`."""
        found = hashlib.sha256()
        for picture in torch.arange(self.pictures).split(2 * REMEMBERED):
            found.update(self.images(picture).numpy().tobytes())
        return found.hexdigest()


def training_data(
    spec: Spec, size: int, condition: ConditionExtractor, folder: Path
) -> tuple[TrainingData, TrainingData]:
    """What is trained on, and what is held out: the splits "train" and "validation" of a registered data set.

    Args:
        spec: the data set and its settings.
        size: pixels a side.
        condition: what reads conditions for the networks that are trained; data sets that take a `condition` get it.
        folder: where pictures are kept that take long to make.

    Raises:
        UnknownName: there is no such data set.
        BadArguments: it does not take these settings.
        DataError: it cannot be trained on.
        CheckpointError: what was kept is damaged; or the disk refuses.
    """
    if fixed := [name for name in ("split", "size", "condition") if name in spec.arguments]:
        raise DataError(f"data set {spec.typed()}: training itself gives {', '.join(fixed)}, and takes none here")
    datasets = registry("dataset")
    own = {"condition": condition} if "condition" in parameters(datasets[spec.name]).parameters else {}
    train, validation = (
        datasets.create(spec.name, **spec.arguments, **own, size=size, split=split) for split in ("train", "validation")
    )
    if isinstance(train, Portraits):
        few = min(HELD_OUT, train.styles)
        return (
            CachedPortraits.open(folder, train, train.styles, train.geometries),
            CachedPortraits.open(folder, validation, few, 2),
        )
    data = DatasetPairs(train, spec.typed())
    return data, DatasetPairs(validation, spec.typed(), min(HELD_OUT, len(data)))
