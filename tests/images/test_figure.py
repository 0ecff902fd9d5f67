"""Figures: pictures in rows, lines between them, and the colours of a map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from midms.images.figure import Sheet, colour_map


def test_a_figure_draws_the_lines_between_the_right_points() -> None:
    grey = Image.new("RGB", (64, 64), (128, 128, 128))
    sheet = Sheet([[grey, grey]], ("one", "two"), 128)
    before = np.asarray(sheet.image).copy()
    sheet.connect([((0.25, 0.5), (0.75, 0.5))], 0, (0, 1))
    changed = (np.asarray(sheet.image) != before).any(-1)
    rows, columns = np.nonzero(changed)
    left, top, width, height = sheet.boxes[0, 0]
    assert abs(rows.mean() - (top + height / 2)) < 1.5
    assert abs(columns.min() - (left + width / 4)) < 7
    assert abs(columns.max() - (sheet.boxes[0, 1][0] + width * 3 / 4)) < 7


def test_a_sheet_says_when_a_row_is_short() -> None:
    with pytest.raises(ValueError, match="expected 2 pictures a row, for one, two; got 1"):
        Sheet([[Image.new("RGB", (8, 8))]], ("one", "two"), 64)


def test_the_colour_map_goes_from_dark_to_bright() -> None:
    colours = np.asarray(colour_map(torch.linspace(0, 1, 50)[None])).astype(float)[0]
    luminance = colours @ [0.299, 0.587, 0.114]
    assert (np.diff(luminance) > 0).all()
    assert tuple(colours[0]) == (68, 1, 84) and tuple(colours[-1]) == (253, 231, 37)
