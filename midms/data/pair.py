"""The record that every data set gives: what goes into a translation, and what should come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from midms.data.errors import DatasetError

_MASKS = ("visible", "foreground")
_MAY_LACK = ("exemplar_condition", "flow", *_MASKS)
_BEYOND = 0.05
"""Share of a side by which what is visible may lie beyond the border, as half a pixel does."""
_CHANNELS = {"exemplar": 3, "target": 3, "flow": 2, "visible": 1, "foreground": 1}


@dataclass(frozen=True)
class Pair:
    """A batch of pairs of a condition and an exemplar. What a data set does not know is None.

    Attributes:
        condition: condition maps of the targets, in [0, 1].
        exemplar: pictures in [-1, 1] whose style is wanted.
        target: pictures in [-1, 1] that the translation should be.
        exemplar_condition: condition maps of the exemplars, in [0, 1].
        flow: where each pixel of the target lies in the exemplar: (x, y) in [-1, 1] from border to border, y downwards,
            as `grid_sample(align_corners=False)` reads it.
        visible: whether the exemplar shows it; without, flow holds everywhere.
        foreground: which pixels of the target are the subject. Errors there count twice; matches are measured there.
    """

    condition: Float[Tensor, "b k y x"]
    exemplar: Float[Tensor, "b 3 Y X"]
    target: Float[Tensor, "b 3 y x"]
    exemplar_condition: Float[Tensor, "b k Y X"] | None = None
    flow: Float[Tensor, "b 2 y x"] | None = None
    visible: Bool[Tensor, "b 1 y x"] | None = None
    foreground: Bool[Tensor, "b 1 y x"] | None = None

    def to(self, device: torch.device | str) -> Pair:
        """The same pairs on another device."""
        moved = {name: value.to(device) for name, value in vars(self).items() if value is not None}
        return replace(self, **moved)


def wrong_fields(pair: Any, slack: float = 0.0) -> str:
    """What is wrong with what a data set gave for one index: the first field that is not as `Pair` says.

    Args:
        pair: what it gave.
        slack: how far numbers may go beyond their range, as a share of it, as those of resized pictures do.

    Returns:
        The field, what came and what was expected; nothing if all is right.
    """
    if not isinstance(pair, Pair):
        return f"is a {type(pair).__name__}, expected a midms.data.pair.Pair"
    for name in dict.fromkeys(("target", "exemplar", *vars(pair))):  # others have the sizes of these
        value = getattr(pair, name)
        if value is None and name in _MAY_LACK:
            continue
        if not isinstance(value, Tensor):
            return f"{name} is a {type(value).__name__}, expected a tensor"
        if wrong := _wrong_tensor(name, value, pair) or _wrong_numbers(name, value, pair, slack):
            return f"{name} {wrong}"
    return "" if pair.visible is None or pair.flow is not None else "visible says where a flow holds, and there is none"


def _wrong_tensor(name: str, value: Tensor, pair: Pair) -> str:
    if value.ndim != 4 or len(value) != 1:
        return f"has shape {tuple(value.shape)}, expected (1, channels, height, width)"
    channels = _CHANNELS.get(name) or (pair.condition if name == "exemplar_condition" else value).shape[1]
    size = (pair.exemplar if name.startswith("exemplar") else pair.target).shape[-2:]
    if tuple(value.shape) != (expected := (1, channels, *size)):
        return f"has shape {tuple(value.shape)}, expected {expected}"
    dtypes = [torch.bool] if name in _MASKS else [torch.float32, torch.float64]
    return "" if value.dtype in dtypes else f"is {value.dtype}, expected {dtypes[0]}"


def _wrong_numbers(name: str, value: Tensor, pair: Pair, slack: float) -> str:
    if name in _MASKS:
        return ""
    if not value.isfinite().all():
        return "holds numbers that are not finite"
    (low, high), where = (0, 1) if name.endswith("condition") else (-1, 1), ""
    if name == "flow":
        slack, where = max(slack, _BEYOND), " from border to border, where the exemplar is visible"
        value = value if pair.visible is None else value * pair.visible
    (least, most), spare = value.aminmax(), slack * (high - low)
    if low - spare <= least and most <= high + spare:
        return ""
    return f"goes from {least:.3g} to {most:.3g}, expected numbers in [{low}, {high}]{where}"


def collate(pairs: Sequence[Pair]) -> Pair:
    """One batch of several, as `DataLoader(dataset, collate_fn=collate)` wants it.

    Raises:
        DatasetError: some pairs have a field that others lack, or one of another shape.
    """
    joined: dict[str, Tensor | None] = {}
    for name in (field.name for field in fields(Pair)):
        found = [value for pair in pairs if (value := getattr(pair, name)) is not None]
        if found and len(found) < len(pairs):
            raise DatasetError(f"{name}: {len(found)} of {len(pairs)} pairs have it, expected all or none")
        if len(shapes := {value.shape[1:]: None for value in found}) > 1:
            shown = " and ".join(str((1, *shape)) for shape in shapes)
            raise DatasetError(f"{name}: pairs of one batch have shapes {shown}, expected one")
        joined[name] = torch.cat(found) if found else None
    return Pair(**joined)  # type: ignore[arg-type]
