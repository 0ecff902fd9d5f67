"""Registered data sets, made and looked at before anything is done with them."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from midms.compose.catalog import create, registry
from midms.compose.spec import Spec
from midms.core.errors import MidmsError
from midms.core.protocols import AnnotationReader, ConditionExtractor
from midms.core.signatures import parameters
from midms.core.tensors import checksum
from midms.data.errors import BrokenSample, DatasetError
from midms.data.pair import Pair, collate, wrong_fields
from midms.loop.inputs import OVERSHOOT
from midms.pipeline.failures import blamed

_OURS = ("split", "size", "condition")
"""Settings that are given by what a data set is made for."""


def make_dataset(spec: Spec, split: str, size: int, condition: ConditionExtractor) -> Any:
    """A split of a registered data set, whose first pair is as it should be.

    Args:
        spec: the data set and its settings.
        split: "train", "validation", or what else it has.
        size: pixels of the shorter side.
        condition: what reads conditions for the networks; data sets that take a `condition` get it.

    Raises:
        UnknownName: there is no such data set.
        BadArguments: it does not take these settings.
        DatasetError: it cannot be made, or its first pair is none, or of another size.
        PartFailed: it does not tell how many it has, or does not give the first.
    """
    if fixed := [name for name in _OURS if name in spec.arguments]:
        raise DatasetError(f"data set {spec.typed()}: takes no {', '.join(fixed)} here, which the model gives")
    own = {"condition": condition} if "condition" in parameters(registry("dataset")[spec.name]).parameters else {}
    try:
        dataset = create("dataset", spec.name, **spec.arguments, **own, size=size, split=split)
    except ValueError as error:
        if isinstance(error, MidmsError):
            raise
        raise DatasetError(f"data set {spec.typed()}: split {split!r}, size {size}: {error}") from error
    if lacking := [name for name in ("__len__", "__getitem__") if not hasattr(dataset, name)]:
        raise DatasetError(f"data set {spec.typed()}: {type(dataset).__name__} has no {' and no '.join(lacking)}")
    with blamed({f"dataset: {spec.name}": dataset}), contextlib.suppress(BrokenSample):
        if len(dataset):
            check_pair(pair := dataset[0], dataset, 0)
            height, width = pair.target.shape[-2:]
            if min(height, width) != size:
                raise DatasetError(
                    f"data set {spec.typed()}: pair 0 is {height} x {width} pixels, expected a shorter side of {size},"
                    " the `size` it is given"
                )
    return dataset


def read_pairs(dataset: Any, indices: Sequence[int]) -> Pair:
    """Some pairs of a data set as one batch.

    Raises:
        DatasetError: one is not what a model can work with, or they do not go together.
        PartFailed: the data set raised something else.
    """
    with blamed({f"dataset: {type(dataset).__name__}": dataset}):
        pairs = [dataset[index] for index in indices]
    for index, pair in zip(indices, pairs, strict=True):
        check_pair(pair, dataset, index)
    return collate(pairs)


def pairs_digest(dataset: Any, name: str) -> str:
    """Tells data sets of one length apart, by those of the first pair, the middle one and the last that can be read."""
    sums = []
    for index in sorted({0, len(dataset) // 2, len(dataset) - 1}):
        with contextlib.suppress(BrokenSample), blamed({f"dataset: {name}": dataset}):
            check_pair(pair := dataset[index], dataset, index)
            sums.append(checksum({name: value for name, value in vars(pair).items() if value is not None}))
    return hashlib.sha256(" ".join(sums).encode()).hexdigest()[:16]


def condition_picture(condition: ConditionExtractor, maps: Float[Tensor, "b k y x"]) -> Float[Tensor, "b 3 y x"]:
    """Maps as pictures in [-1, 1]: as the extractor shows them, else the first channel as ink on paper."""
    if isinstance(condition, AnnotationReader):
        return condition.picture(maps)
    return (1 - 2 * maps[:, :1]).expand(-1, 3, -1, -1)


def check_pair(pair: Any, dataset: Any, index: int) -> None:
    """Find out whether a data set gave what a model can work with.

    Raises:
        DatasetError: it did not; names the data set, the pair and the field.
    """
    if wrong := wrong_fields(pair, OVERSHOOT):
        raise DatasetError(f"data set {type(dataset).__name__}: pair {index}: {wrong}")
