"""Registered data sets, made and looked at before anything is done with them."""

from __future__ import annotations

import contextlib
from typing import Any

from midms.compose.catalog import create, registry
from midms.compose.spec import Spec
from midms.core.protocols import ConditionExtractor
from midms.core.signatures import parameters
from midms.data.errors import BrokenSample, DatasetError
from midms.data.pair import wrong_fields
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
    dataset = create("dataset", spec.name, **spec.arguments, **own, size=size, split=split)
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


def check_pair(pair: Any, dataset: Any, index: int) -> None:
    """Find out whether a data set gave what a model can work with.

    Raises:
        DatasetError: it did not; names the data set, the pair and the field.
    """
    if wrong := wrong_fields(pair, OVERSHOOT):
        raise DatasetError(f"data set {type(dataset).__name__}: pair {index}: {wrong}")
