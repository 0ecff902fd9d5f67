"""Photos of drawings: the sheet is found, straightened and bared of its ruling; a drawing alone is left as it is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from sample_pictures import face, photo
from sheets import drawn, photographed, seen_at, sheet, strokes
from shifting import Shifting
from torch import Tensor

from midms import create
from midms.conditions.sketch import Sketch
from midms.images import read_image
from midms.pipeline.translate import translate

ASPECT = 1.25
"""Height of the test's sheets over their width."""


def taken_out(picture: Tensor) -> Tensor:
    return Sketch().page(picture).picture


def assert_read(found: Tensor, strokes_apart: float = 0.07) -> None:
    """Alike the map of the page itself, without ruling."""
    plain = strokes(read_image(sheet().astype(np.uint8)))
    apart = (strokes(found) - plain).abs().mean((0, 2, 3))
    assert apart[0] < strokes_apart and apart[1] < 0.12, apart


@pytest.mark.parametrize(
    ("kind", "turn", "tilt", "page"),
    [
        ("wood", 8, 0, {}),
        ("wood", -12, 20, {"ruled": "lines margin"}),
        ("dark", 3, 10, {"ruled": "squared", "line": (180, 180, 185)}),
        ("light", 5, 8, {}),
        ("light", -25, 12, {"paper": (35, 60, 48), "pen": (235, 235, 230)}),
        ("dark", 10, 15, {"paper": (235, 190, 90), "pen": (70, 40, 30)}),
        ("wood", -6, 25, {"pen": (120, 120, 120), "ruled": "lines"}),
    ],
    ids=["wood", "ruled", "squared", "light", "blackboard", "coloured", "pencil"],
)
def test_a_photo_of_a_drawing_is_read_as_the_drawing(
    kind: str, turn: float, tilt: float, page: dict[str, object]
) -> None:
    found = taken_out(read_image(photographed(sheet(**page), kind, turn, tilt)))
    assert found.shape[-2] / found.shape[-1] == pytest.approx(ASPECT, rel=0.03)
    assert_read(found)


def test_a_sheet_far_away_and_one_that_the_photo_cuts() -> None:
    small = taken_out(read_image(photographed(sheet(), "dark", 15, 5, share=0.45)))
    assert small.shape[-2] / small.shape[-1] == pytest.approx(ASPECT, rel=0.05)
    assert_read(small, 0.08)
    whole = photographed(sheet(), "wood", 4, 0)
    below = taken_out(read_image(whole.crop((0, 0, 720, 700))))
    assert below.shape[-1] < 500 and strokes(below)[0, 0, :3].max() < 0.2


@pytest.mark.parametrize("side", ["left", "right", "below"])
def test_a_strip_of_desk_on_one_side_is_cut_off(side: str) -> None:
    whole = photographed(sheet(), "wood", 2, 4, share=1)
    box = {"left": (0, 80, 640, 820), "right": (80, 80, 720, 820), "below": (80, 80, 640, 900)}[side]
    part = read_image(whole.crop(box))
    found = taken_out(part)
    assert found is not part
    ends = {"left": strokes(found)[..., 0, :, :3], "right": strokes(found)[..., 0, :, -3:]}
    assert ends.get(side, strokes(found)[..., 0, -3:, :]).mean() < 0.05 < strokes(part)[:, 0].mean()


@pytest.mark.parametrize("ruled", ["lines", "lines margin", "squared"])
@pytest.mark.parametrize("turn", [0, 3])
def test_ruled_lines_go_and_strokes_stay_without_a_desk(ruled: str, turn: float) -> None:
    page = Image.fromarray(sheet(ruled=ruled).astype(np.uint8)).rotate(turn, Image.Resampling.BICUBIC)
    page = page.crop((40, 50, 600, 750))
    plain = Image.fromarray(sheet().astype(np.uint8)).rotate(turn, Image.Resampling.BICUBIC).crop((40, 50, 600, 750))
    ruled_map, bare, wanted = (
        strokes(picture) for picture in (read_image(page), taken_out(read_image(page)), read_image(plain))
    )
    assert (bare - wanted)[:, 0].abs().mean() < 0.02 < 0.1 < (ruled_map - wanted)[:, 0].abs().mean()


@pytest.mark.parametrize(
    "what", ["face", "frame", "thick frame", "box", "horizon", "line", "striped shirt", "rays", "uneven lines"]
)
def test_a_whole_page_is_left_as_it_is(what: str) -> None:
    picture = read_image(drawn(what))
    assert taken_out(picture) is picture


@pytest.mark.parametrize(("paper", "pen"), [("black", "white"), ((200, 190, 160), (140, 130, 110)), ("blue", "red")])
@pytest.mark.parametrize("side", [24, 256, 1400])
def test_plain_drawings_of_any_size_and_colour_are_left_as_they_are(side: int, paper: object, pen: object) -> None:
    picture = read_image(face(side, max(1, side // 80), paper, pen, filled=True))
    assert taken_out(picture) is picture


def test_the_result_has_the_sheets_proportions_and_shows_it() -> None:
    taken = photographed(sheet(ruled="lines"), "wood", 8, 10)
    result = translate(Shifting(), taken, photo(64, 64))
    assert result.image.size == (64, 80) and result.condition_map.shape == (2, 80, 64)
    assert result.condition.height / result.condition.width == pytest.approx(ASPECT, rel=0.03)
    assert result.condition_map[0, :4].max() < 0.2, "neither desk nor ruling above the head"
    assert result.correspondences[:, 1].max() < 80
    whole = translate(Shifting(condition=create("condition", "sketch", paper=False)), taken, photo(64, 64))
    assert whole.condition.size == taken.size
    assert (whole.condition_map - result.condition_map)[0].abs().mean() > 0.05


def test_points_of_the_sheet_are_points_of_the_photo() -> None:
    """A dot on the page is where the homography of the photo has it, whatever is done to the page in between."""
    page = sheet(ruled="lines").astype(np.uint8)
    dots = np.array([(60, 60), (590, 70), (300, 90), (80, 730), (560, 740)])
    for dot in dots.tolist():
        cv2.circle(page, dot, 11, (0, 120, 0), -1)
    taken = photographed(page.astype(np.float32), "wood", -14, 22)
    there = cv2.perspectiveTransform(dots[None].astype(np.float64), seen_at(page.shape, -14, 22, 0.72))[0]
    result = translate(Shifting(), taken, photo(64, 64))
    drawing = np.asarray(result.condition).astype(int)
    green = (drawing[..., 1] > drawing[..., 0] + 40) & (drawing[..., 1] > drawing[..., 2] + 40)
    _, _, sizes, centres = cv2.connectedComponentsWithStats(green.astype(np.uint8))
    found = torch.from_numpy(centres[1:][sizes[1:, cv2.CC_STAT_AREA] > 30])
    assert len(found) == 5
    scale = torch.tensor([result.image.width / result.condition.width, result.image.height / result.condition.height])
    home = result.frames[0].origins((found + 0.5) * scale - 0.5).numpy()
    apart = np.linalg.norm(home[:, None] - there, axis=2)
    assert apart.min(0).max() < 1.5 and apart.min(1).max() < 1.5, "pixels of the photo"
    pixel = torch.tensor([[3, 4]])
    torch.testing.assert_close(result.origins(pixel).condition, result.frames[0].origins(pixel.float()))


def test_the_sheet_of_an_exemplars_condition_is_found_too() -> None:
    taken = photographed(sheet(), "wood", 8, 10)
    result = translate(Shifting(), taken, photo(160, 200), exemplar_condition=taken)
    assert result.exemplar.size == (64, 80)


def test_a_picture_of_even_noise_is_left_as_it_is() -> None:
    noise = torch.rand(1, 3, 300, 400, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert taken_out(noise) is noise
