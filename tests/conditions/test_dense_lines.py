"""Drawings on paper with dense lines and among patterns: strokes are those of the page, or a warning comes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image
from sample_pictures import photo
from sheets import SEEN, drawn, photographed, seen_at, sheet, strokes
from shifting import Shifting
from torch import Tensor

from midms.conditions.ruled import LEFT, _seen
from midms.conditions.sketch import Sketch
from midms.conditions.straighten import MIXED
from midms.images import read_image
from midms.pipeline.translate import translate


def page_with(lines: str) -> np.ndarray:
    """A drawn face on paper with lines as dense as paper has them."""
    page = sheet(ruled="").astype(np.uint8)
    pen = (page < 150).all(2)
    for at in range(4, 800, 12 if lines in ("graph", "dense") else 20):
        colour, width = ((170, 195, 170), 1) if at % 60 != 4 or lines != "graph" else ((130, 170, 130), 2)
        if lines == "dots":
            for x in range(4, 640, 20):
                cv2.circle(page, (x, at), 1, (150, 150, 160), -1)
            continue
        cv2.line(page, (0, at), (640, at), colour, width)
        if lines != "dense":
            cv2.line(page, (at, 0), (at, 800), colour, width)
    page[pen] = (30, 30, 40)
    return page.astype(np.float32)


def agreement(found: Tensor) -> float:
    """F1 of strokes with those of the page itself, to a cell."""
    (got, wanted) = (
        (strokes(x)[0, 0] > 0.35).numpy().astype(np.uint8) for x in (found, read_image(sheet().astype(np.uint8)))
    )
    near = np.ones((3, 3), np.uint8)
    precision = (got & cv2.dilate(wanted, near)).sum() / got.sum()
    recall = (wanted & cv2.dilate(got, near)).sum() / wanted.sum()
    return float(2 * precision * recall / (precision + recall))


@pytest.mark.parametrize(("turn", "tilt"), [(0, 0), (-8, 22), (14, 30)])
@pytest.mark.parametrize("lines", ["graph", "dense", "squared", "dots"])
def test_dense_lines_go_at_any_angle(lines: str, turn: float, tilt: float) -> None:
    page = Sketch().page(read_image(photographed(page_with(lines), "dark", turn, tilt)))
    assert agreement(page.picture) > 0.95 and not page.warnings


def on_cloth(page: np.ndarray, cell: int) -> Image.Image:
    """A page on a chequered cloth."""
    (height, width), turned = SEEN, seen_at(page.shape, 6, 12, 0.72)
    y, x = np.mgrid[:height, :width] // cell
    cloth = ((x + y) % 2)[..., None] * np.array([150, 120, 110]) + np.array([60, 40, 50])
    lies = cv2.warpPerspective(np.ones(page.shape[:2], np.float32), turned, (width, height))[..., None]
    picture = cloth * (1 - lies) + cv2.warpPerspective(page, turned, (width, height)) * lies
    picture += 3 * np.random.default_rng(1).standard_normal(picture.shape)
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("cell", [40, 90])
@pytest.mark.parametrize("ruled", ["", "lines"])
def test_a_sheet_on_a_chequered_cloth(cell: int, ruled: str) -> None:
    page = Sketch().page(read_image(on_cloth(sheet(ruled=ruled), cell)))
    assert agreement(page.picture) > 0.95 and not page.warnings


def test_surroundings_that_are_not_told_from_the_sheet_are_a_warning() -> None:
    taken = on_cloth(sheet(), 20)
    page = Sketch().page(read_image(taken))
    assert agreement(page.picture) > 0.95 or page.warnings == (MIXED,)
    assert translate(Shifting(), taken, photo(64, 64)).warnings[: len(page.warnings)] == page.warnings


@pytest.mark.parametrize("what", ["face", "frame", "box", "striped shirt", "rays", "uneven lines"])
def test_a_drawing_gives_no_warning(what: str) -> None:
    assert not Sketch().page(read_image(drawn(what))).warnings


def test_lines_that_are_left_are_a_warning() -> None:
    """Of pencil hardly darker than the lines, which darkness cannot tell apart."""
    page = sheet(pen=(150, 150, 155))
    for at in range(4, 800, 9):
        page[at] = page[:, min(at, 639)] = (165, 170, 175)
    found = Sketch().page(read_image(photographed(page, "dark", 5, 10)))
    assert agreement(found.picture) > 0.9 or found.warnings == (LEFT,)


@pytest.mark.parametrize("blank", [slice(0, 6), slice(40, 46), slice(0, 0)])
def test_a_short_line_is_seen_as_little_as_its_ends(blank: slice) -> None:
    """Level, through all of a picture; either end that is not drawn makes it none."""
    mask = np.zeros((20, 46), bool)
    mask[10] = True
    mask[10, blank] = False
    assert _seen((10.0, np.pi / 2), mask) == (blank.stop == 0)
