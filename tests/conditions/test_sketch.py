"""One drawing in many guises must give one map."""

from __future__ import annotations

import functools

import pytest
import torch
from PIL import Image, ImageDraw
from sample_pictures import face
from torch import Tensor

from midms.conditions.edges import Edges
from midms.conditions.sketch import Sketch, ink
from midms.images import read_image

SIZE = (64, 64)


def drawn(image: Image.Image) -> Tensor:
    return Sketch().drawing(read_image(image), SIZE)


@functools.cache
def reference() -> Tensor:
    return drawn(face(512, 8))


def assert_alike(found: Tensor, strokes: float = 0.06, distance: float = 0.05) -> None:
    assert found.shape == (1, 2, *SIZE)
    assert found.min() >= 0 and found.max() <= 1
    difference = (found - reference()).abs().mean((0, 2, 3))
    assert difference[0] < strokes and difference[1] < distance, difference


def test_the_reference_has_thin_strokes_where_they_were_drawn() -> None:
    strokes, distance = reference()[0]
    assert 0.03 < (strokes > 0.2).float().mean() < 0.16
    assert strokes[8, 32] > 0.5, "the crown of the head"
    assert strokes[32, 16] > 0.5, "the left cheek"
    assert strokes[3, 3] == 0 and distance[3, 3] == 1, "the empty corner"
    assert distance[32, 16] == 0


@pytest.mark.parametrize(
    ("paper", "stroke"),
    [
        ("black", "white"),
        ("white", "yellow"),
        ("blue", "red"),
        ((200, 190, 160), (140, 130, 110)),
        ("white", (30, 60, 160)),
        ((20, 60, 30), (200, 220, 200)),
    ],
)
def test_colours_and_polarity_do_not_matter(paper: object, stroke: object) -> None:
    assert_alike(drawn(face(512, 8, paper, stroke)), strokes=0.02, distance=0.01)


@pytest.mark.parametrize(("side", "pen"), [(2048, 3), (2048, 80), (1024, 16), (256, 2), (128, 2), (64, 1), (512, 28)])
def test_sizes_and_pens_do_not_matter_much(side: int, pen: int) -> None:
    assert_alike(drawn(face(side, pen)))


def test_a_hairline_survives_the_reduction_from_2048_pixels() -> None:
    image = Image.new("L", (2048, 2048), 255)
    ImageDraw.Draw(image).line([300, 200, 300, 1900], fill=0, width=1)
    strokes = drawn(image)[0, 0]
    assert (strokes[8:58].amax(1) > 0.5).all()
    assert (strokes > 0.2).sum(1).max() <= 2


@pytest.mark.parametrize("stroke", ["black", "white", "red"])
def test_transparent_drawings(stroke: str) -> None:
    opaque = face(512, 8)
    alpha = opaque.convert("L").point(lambda v: 255 - v)
    image = Image.new("RGBA", opaque.size, stroke)
    image.putalpha(alpha)
    assert_alike(drawn(image), strokes=0.02, distance=0.01)


def test_uneven_light_and_grain_do_not_matter() -> None:
    generator = torch.Generator().manual_seed(1)
    picture = read_image(face(512, 8)) * 0.5 + 0.5
    slope = torch.linspace(0.45, 1, 512)
    shaded = picture * slope * slope[:, None].flip(0)
    grainy = shaded + 0.015 * torch.randn(shaded.shape, generator=generator)
    assert_alike(Sketch().drawing((grainy * 2 - 1).clamp(-1, 1), SIZE))


def test_filled_areas_keep_their_outline() -> None:
    found = drawn(face(512, 8, filled=True))[0, 0]
    assert found[7, 32] > 0.5, "the outline of the filled hair"
    assert found[9:16, 28:36].max() < 0.2, "its inside"


def test_the_map_may_have_any_shape_and_a_batch_is_its_rows() -> None:
    pictures = torch.cat([read_image(face(300, 5)), read_image(face(300, 9, "black", "white"))])
    together = Sketch().drawing(pictures, (48, 80))
    assert together.shape == (2, 2, 48, 80)
    for row in range(2):
        torch.testing.assert_close(together[row : row + 1], Sketch().drawing(pictures[row : row + 1], (48, 80)))


@pytest.mark.parametrize("level", [-1.0, 0.2, 1.0])
def test_an_even_picture_is_no_drawing(level: float) -> None:
    with pytest.raises(ValueError, match="no strokes"):
        Sketch().drawing(torch.full((1, 3, 90, 70), level), SIZE)


def test_strokes_too_faint_are_told_their_contrast() -> None:
    picture = torch.ones(1, 3, 96, 96)
    picture[..., 40:44, 10:80] -= 0.08  # of a range of 2: 4 %
    with pytest.raises(ValueError, match=r"no strokes: contrast with its paper [34]\.\d %, expected 6 % on"):
        Sketch().drawing(picture, (96, 96))


def test_bare_paper_is_no_drawing() -> None:
    light = torch.linspace(0.2, 0.9, 300)
    grain = 0.02 * torch.randn(1, 3, 300, 300, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="no strokes"):
        Sketch().drawing((light + grain).clamp(-1, 1), SIZE)


def test_ink_keeps_faint_strokes_beside_strong_ones() -> None:
    image = Image.new("L", (256, 256), 255)
    draw = ImageDraw.Draw(image)
    draw.line([60, 20, 60, 236], fill=0, width=4)
    draw.line([180, 20, 180, 236], fill=170, width=4)
    found = ink(read_image(image), (128, 128))[0, 0]
    assert found[64, 28:32].max() > 0.9
    assert found[64, 88:92].max() > 0.3


@pytest.mark.parametrize("extractor", [Sketch(), Edges()])
def test_photos_give_maps_of_their_own_size(extractor: Sketch | Edges) -> None:
    photo = torch.rand(2, 3, 40, 56, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = extractor.photo(photo)
    assert found.shape == (2, extractor.channels, 40, 56)
    assert found.min() >= 0 and found.max() <= 1


def test_edges_take_a_photo_as_condition() -> None:
    photo = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0)) * 2 - 1
    enlarged = torch.nn.functional.interpolate(photo, (256, 256), mode="bicubic", align_corners=False).clamp(-1, 1)
    found, own = Edges().drawing(enlarged, (64, 64)), Edges().photo(enlarged)
    brought = torch.nn.functional.interpolate(own, (64, 64), mode="area")
    assert (found - brought)[:, 0].abs().mean() < 0.05


def test_a_bold_drawing_on_even_paper_has_strokes() -> None:
    """Rings that are more ink than paper where they lie, 38 % of the picture; read as the thin gaps say."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 256), torch.linspace(-1, 1, 256), indexing="ij")
    away = torch.hypot(x, y)
    inked = ((away / 0.16) % 1 < 0.8) & (away < 0.8)
    picture = torch.where(inked, -1.0, 1.0).expand(1, 3, -1, -1)
    strokes = Sketch().drawing(picture, (128, 128))[0, 0]
    cover = torch.nn.functional.avg_pool2d(inked[None].float(), 2)[0]
    assert 0.05 < strokes.mean() < 0.2 and strokes[cover == 0].mean() < 0.02
