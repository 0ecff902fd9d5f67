"""Drawings with a reference and the exact answer: faces, portraits, shapes and emoji, or from a table of files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from midms import create
from midms.core.protocols import ConditionExtractor
from midms.data.lineart.shapes import Shapes
from midms.data.portraits.pairs import draw_pairs
from midms.data.portraits.surface import ID
from midms.images import resize
from midms.images.reading import read_image

SCALE = 4
"""How many times as large as its answer a drawing is."""
PLAIN = 0.9
"""How much of a slot's colour a pixel shows that is counted."""
_SHOWN = 30
"""Pixels of a slot from which a reference shows it."""
_HEAD = ("skin", "left_ear", "right_ear", "nose", "neck")
_PORTRAIT_SLOTS = {"skin": _HEAD, "hair": ("hair",), "clothes": ("cloth",), "background": ("background",)}
FACESJS_SLOTS = {"primary": "clothes", "secondary": "second clothes", "accent": "third clothes"}


@dataclass(frozen=True)
class Case:
    """A drawing to be coloured.

    Attributes:
        drawing: in [-1, 1], `SCALE` times as large as the answer.
        condition: its map, of the answer's size.
        reference: of any size, in [-1, 1].
        answer: the drawing in the reference's colours, in [-1, 1].
        slots: pixels of the answer that show the plain colour of a slot which the reference shows, by its name.
    """

    drawing: Float[Tensor, "1 3 Y X"]
    condition: Float[Tensor, "1 k y x"]
    reference: Float[Tensor, "1 3 y2 x2"]
    answer: Float[Tensor, "1 3 y x"]
    slots: Mapping[str, Bool[Tensor, "y x"]]


Cases = Callable[[ConditionExtractor, int, int], Iterator[Case]]
"""From what reads conditions, a size and a number to so many cases."""


def facesjs(folder: Path) -> Cases:
    """Held-out faces in held-out palettes."""

    def cases(condition: ConditionExtractor, size: int, count: int) -> Iterator[Case]:
        dataset = create("dataset", "facesjs", path=folder, size=size, condition=condition, split="test")
        large = replace(dataset, size=SCALE * size, condition=None)
        for index in range(count):
            pair, own, shown = dataset[index], dataset.masks(index), dataset.masks((index + 1) % len(dataset))
            slots = {FACESJS_SLOTS.get(slot, slot): own[slot] for slot in own if _enough(shown[slot])}
            yield _case(dataset.drawing(index, large.size), pair.condition, large[index].exemplar, pair.target, slots)

    return cases


def openmoji(folder: Path) -> Cases:
    """Emoji of five skin colourings, each coloured like another emoji; none of them were trained on."""

    def cases(condition: ConditionExtractor, size: int, count: int) -> Iterator[Case]:
        dataset = create("dataset", "openmoji", path=folder, size=size, condition=condition, split="test")
        large = replace(dataset, size=SCALE * size, condition=None)
        tones = len(dataset) // len(dataset.families)
        for index in range(0, len(dataset), max(1, len(dataset) // count)):
            other = (index + tones) % len(dataset)
            slots = dataset.masks(index) if _enough(dataset.masks(other)["skin"]) else {}
            pair = dataset[index]
            yield _case(dataset.drawing(index, large.size), pair.condition, large[index].exemplar, pair.target, slots)

    return cases


def portraits(condition: ConditionExtractor, size: int, count: int) -> Iterator[Case]:
    """Computer-drawn portraits in line art, flat or cel-shaded."""
    for index in range(count):
        drawn = draw_pairs("test", [index], size, rendering="lineart")
        ink = (1 - 2 * drawn.sketch).expand(-1, 3, -1, -1)
        clear = F.avg_pool2d(drawn.sketch, 2) < 1 - PLAIN
        slots = {}
        for slot, names in _PORTRAIT_SLOTS.items():
            parts = torch.tensor([ID[name] for name in names])
            own, shown = (torch.isin(x, parts)[:, None] for x in (drawn.parts, drawn.exemplar_parts))
            if _enough(shown.float()):
                slots[slot] = (own & clear).float()
        condition_map = condition.drawing(ink, (size, size))
        yield _case(resize(ink, (SCALE * size,) * 2), condition_map, drawn.exemplar, drawn.answer, slots)


def shapes(condition: ConditionExtractor, size: int, count: int) -> Iterator[Case]:
    """Held-out figures of random shapes, each seen twice; their slots have no names."""
    figures = Shapes("test", size, condition)
    large = replace(figures, size=SCALE * size, condition=None)
    for number in range(count):
        pair = figures.pair(number)
        yield _case(figures.drawing(number, large.size), pair.condition, large.pair(number).exemplar, pair.target, {})


def table(file: Path) -> Cases:
    """A CSV with columns drawing, reference, answer and any slots, whose cells are paths of pictures from its folder.

    Slots are white where the answer shows them; a cell may be empty.
    """

    def cases(condition: ConditionExtractor, size: int, count: int) -> Iterator[Case]:
        with file.open(newline="") as lines:
            rows = [row for row, _ in zip(csv.DictReader(lines), range(count), strict=False)]
        if rows and not {"drawing", "reference", "answer"} <= rows[0].keys():
            raise SystemExit(f"{file}: expected columns drawing, reference and answer, got {', '.join(rows[0])}")
        for row in rows:
            pictures = {name: read_image(file.parent / path) for name, path in row.items() if path}
            small = {name: resize(picture, (size, size)) for name, picture in pictures.items()}
            masks = {name: (small[name].mean(1, keepdim=True) + 1) / 2 for name in small}
            slots = {name: masks[name] for name in masks.keys() - {"drawing", "reference", "answer"}}
            drawing = resize(pictures["drawing"], (SCALE * size,) * 2)
            condition_map = condition.drawing(drawing, (size, size))
            yield _case(drawing, condition_map, pictures["reference"], small["answer"], slots)

    return cases


def _enough(mask: Float[Tensor, "1 1 y x"]) -> bool:
    return bool((mask > PLAIN).sum() >= _SHOWN)


def _case(
    drawing: Tensor, condition: Tensor, reference: Tensor, answer: Tensor, slots: Mapping[str, Float[Tensor, "1 1 y x"]]
) -> Case:
    plain = {slot: mask[0, 0] > PLAIN for slot, mask in slots.items()}
    return Case(drawing, condition, reference, answer, {slot: mask for slot, mask in plain.items() if mask.any()})
