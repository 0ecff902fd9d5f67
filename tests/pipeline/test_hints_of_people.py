"""Hints of people: from pixels of their pictures to places on canvases, regions, and what is wrong with hints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sample_pictures import drawing, photo
from shifting import Shifting, Warped
from torch import Tensor

from midms import build, create
from midms.compose.recipe import Recipe
from midms.core.domain import Domain
from midms.core.types import Context, Level
from midms.data.portraits.pairs import draw_pairs
from midms.images import PictureError
from midms.images.finishers.composite import Composite
from midms.images.finishers.tiles import Tiles
from midms.images.frame import framed
from midms.loop import Hints
from midms.pipeline.hints import PixelColour, hint_warnings, placed, read_hints

SQUARE = Shifting(recipe=Recipe(domain=Domain(square=True)))


@pytest.mark.parametrize("pipe", [Shifting(), SQUARE])
@pytest.mark.parametrize(("own", "other"), [((200, 130), (90, 120)), ((100, 240), (1000, 700))])
def test_places_are_in_pixels_of_pictures_as_they_came(
    pipe: Shifting, own: tuple[int, int], other: tuple[int, int]
) -> None:
    """Of any size and shape, laid in a square or not: the pixel there comes from the pixel named, to half a cell."""
    here, there = (own[0] * 0.3, own[1] * 0.7), (other[0] * 0.8, other[1] * 0.2)
    anchors = [{"here": here, "there": np.array(there), "exemplar": 1}]
    result = pipe.translate(drawing(*own), [photo(64, 64), photo(*other)], anchors=anchors, seed=0)
    scale = torch.tensor(result.image.size) / torch.tensor(own)
    x, y = ((torch.tensor(here) + 0.5) * scale - 0.5).round().int().tolist()
    found = result.origins([[x, y]])
    assert found.source.tolist() == [1] and result.confidence[y, x] > 0.7
    for place, named, cell in ((found.condition, here, 1 / scale), (found.exemplar, there, max(other) / 64)):
        assert ((place[0] - torch.tensor(named)).abs() <= 3.5 * cell).all(), (
            "two and a half pixels of four, and rounding"
        )
    assert Shifting().translate(drawing(*own), photo(*other), colours=[], anchors=(), seed=0).image == (
        Shifting().translate(drawing(*own), photo(*other), seed=0).image
    )


def test_places_on_a_sheet_that_was_straightened_are_those_of_the_photo() -> None:
    bent = torch.tensor([[1.1, 0.2, 30], [-0.1, 1.3, 20], [1e-4, -2e-4, 1]], dtype=torch.float64)
    frame = framed((300, 200), 64, 4, square=True).within(bent)
    handed = frame.origins(torch.tensor([[10.25, 50.5], [10.25, 51.5]], dtype=torch.float64))
    found = placed([{"here": handed[0], "there": (5, 5)}], None, None, frame, [framed((64, 64), 64, 4, False)], 4)
    assert isinstance(found, Hints)
    (anchor,) = found.anchors
    expected = ((10.25 + frame.corner[1] + 0.5) / 64, (50.5 + frame.corner[0] + 0.5) / 64)
    assert anchor.here == pytest.approx(expected, abs=1e-9) and anchor.there == pytest.approx((5.5 / 64, 5.5 / 64))


class Mixed(Warped):
    """All of what it predicts depends on all of the warp."""

    def forward(self, x: Tensor, level: Level, context: Context) -> Tensor:
        return super().forward(x, level, context) + context.warp.mean() + 0.01 * x


def test_outside_of_the_regions_of_hints_nothing_changes() -> None:
    """Although the method spreads what changes over all of the picture: with a seed, and with draws of one's own."""
    regions = np.zeros((45, 60), np.uint8)
    regions[:, 30:], regions[20:] = 1, 2
    colours = [{"here": (110, 10), "colour": "red"}]
    for noise in ({"seed": 3}, {"generator": lambda shape: torch.full(shape, 0.1)}):
        options = {"condition": drawing(120, 90), "exemplar": photo(64, 64), **noise}
        pipe = Shifting(denoiser=Mixed())
        plain, free = pipe.translate(**options), pipe.translate(**options, colours=colours)
        result = pipe.translate(**options, colours=colours, hint_regions=regions)
        before, spread, after = (np.asarray(one.image).astype(int) for one in (plain, free, result))
        inside = np.zeros(before.shape[:2], bool)
        inside[:28, 42:] = True
        assert (before == after)[~inside].all() and (before != spread)[~inside].mean() > 0.3
        assert (before != after)[inside].any(-1).mean() > 0.9
        assert np.asarray(result.warp)[:24, 44:, 0].min() > 250 > np.asarray(plain.warp)[:24, 44:, 0].min()


@pytest.mark.parametrize("run", [Shifting(), SQUARE])
def test_hints_end_at_the_lines_that_a_finisher_finds(run: Shifting) -> None:
    """Two boxes of a drawing three times as large: in the hinted one alone, all of it, has a colour another."""
    picture = np.full((180, 240, 3), 255, np.uint8)
    for left in (20, 130):
        picture[20:160, left : left + 90] = 0
        picture[24:156, left + 4 : left + 86] = 255
    options = {"condition": picture, "exemplar": photo(64, 64), "seed": 3}
    run = run.replace(denoiser=Mixed(), finisher=Composite())
    plain, result = run.translate(**options), run.translate(**options, colours=[{"here": (40, 40), "colour": "red"}])
    before, after = (np.asarray(one.image).astype(int) for one in (plain, result))
    assert before.shape == picture.shape and result.finished is not None
    inside = np.zeros(before.shape[:2], bool)
    inside[24:156, 24:106] = True
    around = np.zeros_like(inside)
    around[20:160, 20:110] = True
    assert (before == after)[~around].all() and (picture[around & ~inside] == after[around & ~inside]).all()
    assert (after[inside] == [255, 0, 0]).all()
    np.testing.assert_array_equal(*(one.finished.regions.numpy() for one in (plain, result) if one.finished))
    given = run.translate(
        **options, colours=[{"here": (40, 40), "colour": "red"}], hint_regions=plain.layers()["regions"]
    )
    assert given.image == result.image


def test_a_hint_of_one_flat_colour_paints_its_region() -> None:
    """An anchor on a flat place or a thin stripe; none on texture or with a radius, nor two of different colours."""
    picture = np.full((180, 240, 3), 255, np.uint8)
    picture[20:160, 20:110] = 0
    picture[24:156, 24:106] = 255
    exemplar = np.asarray(photo(64, 64)).copy()
    exemplar[:32] = 10, 120, 60
    exemplar[60, 10:50] = 200, 30, 90
    run = Shifting(denoiser=Mixed(), finisher=Composite())
    flat = {"here": (40, 40), "there": (20, 12)}

    def inside(*anchors: dict[str, object]) -> np.ndarray:
        made = run.translate(picture, exemplar, seed=3, anchors=list(anchors))
        return np.asarray(made.image).astype(int)[24:156, 24:106]

    assert np.abs(inside(flat) - [10, 120, 60]).max() <= 1
    assert np.abs(inside({"here": (40, 40), "there": (30, 60)}) - [200, 30, 90]).max() <= 1
    assert np.abs(inside(flat, {"here": (80, 120), "there": (40, 20)}) - [10, 120, 60]).max() <= 1
    for others in (
        [flat, {"here": (80, 120), "there": (40, 50)}],
        [flat | {"radius": 20}],
        [flat, {"here": (80, 120), "there": (40, 20), "radius": 9}],
    ):
        assert np.abs(inside(*others) - [10, 120, 60]).max() > 20


def test_hints_that_can_do_little_are_warned_of() -> None:
    """A colour without a finisher that paints, none of its colours reached; whatever an injection does not heed."""
    red, anchor = {"colours": [{"here": (40, 40), "colour": "red"}]}, {"anchors": [{"here": (40, 40), "there": (9, 9)}]}
    pair, (line,) = draw_pairs("test", [0], 64), hint_warnings(Shifting(), ["colours"])
    assert line.startswith("colours: ") and "composite" in line and "\n" not in line
    for hints, finisher, said in (
        (red, None, (line,)),
        (red, Tiles(scale=2), (line,)),
        (red, Composite(), ()),
        (anchor, None, ()),
        ({"colours": []}, None, ()),
    ):
        run = Shifting(finisher=finisher)
        assert run.translate(drawing(120, 90), photo(64, 64), seed=0, **hints).warnings == said
    pipe, away = build("midm-faces"), []
    for one in (pipe, pipe.replace(finisher=Composite())):
        result = one.translate(
            1 - 2 * pair.sketch, pair.exemplar, seed=0, colours=[{"here": (64, 20), "colour": "lime"}]
        )
        assert (line in result.warnings) == (one is pipe)
        x, y = (round(share * side) for share, side in zip((0.5, 20 / 128), result.image.size, strict=True))
        away.append(abs(np.array(result.image.getpixel((x, y))) - [0, 255, 0]).max())
    assert away[0] > 50 and away[1] <= 1
    (line,) = hint_warnings(Shifting(injection=create("injection", "ctrlx")), ["anchors", "colours"])
    assert line.startswith("anchors and colours: CtrlX ") and "injection none" in line


WRONG = {
    "a place outside": (
        {"anchors": [{"here": (120, 10), "there": (1, 1)}]},
        r"anchors\[0\]\.here: \(120, 10\) is outside of the condition, whose pixels go from \(0, 0\) to \(119, 89\)",
    ),
    "another outside": (
        {"anchors": [{"here": (1, 1), "there": (9, -4)}]},
        r"anchors\[0\]\.there: \(9, -4\) is outside of the exemplar, whose pixels go from \(0, 0\) to \(63, 99\)",
    ),
    "two of one place": (
        {"anchors": [{"here": (9, 9), "there": (1, 1)}, {"here": (10, 9), "there": (40, 40)}]},
        r"anchors\[1\]: is where anchors\[0\] is, within a cell of 4 pixels, and takes from elsewhere",
    ),
    "a colour where an anchor is": (
        {"anchors": [{"here": (9, 9), "there": (1, 1)}], "colours": [{"here": (9, 9), "colour": "red"}]},
        r"colours\[0\]: is where anchors\[0\] is",
    ),
    "not finite": (
        {"colours": [{"here": (float("nan"), 1), "colour": "red"}]},
        r"colours\[0\]: here\.0: .*finite.*nan",
    ),
    "no place": ({"anchors": [{"here": (1, 1)}]}, r"anchors\[0\]: has no there"),
    "three numbers": ({"colours": [{"here": (1, 1, 1), "colour": "red"}]}, r"colours\[0\]: here: .* at most 2 items"),
    "no colour": (
        {"colours": [{"here": (1, 1), "colour": "#12345"}]},
        r"colours\[0\]: colour: expected a colour such as \"#c04020\" or \"teal\", got '#12345'",
    ),
    "a colour that is seen through": (
        {"colours": [{"here": (1, 1), "colour": "#ff000080"}]},
        r"colours\[0\]: colour: ",
    ),
    "a colour beyond white": (
        {"colours": [{"here": (1, 1), "colour": "rgb(300, 0, 0)"}]},
        r"colours\[0\]: colour: expected a colour such as",
    ),
    "a radius beyond all": (
        {"colours": [{"here": (1, 1), "colour": "red", "radius": 1e308}]},
        r"colours\[0\]: radius: .*less than or equal to 1000000",
    ),
    "a radius that no float can be divided by": (
        {"anchors": [{"here": (1, 1), "there": (1, 1), "radius": 1e-300}]},
        r"anchors\[0\]: radius: .*greater than or equal to 0\.1",
    ),
    "a radius of nothing": ({"colours": [{"here": (1, 1), "colour": "red", "radius": 0}]}, r"colours\[0\]: radius: "),
    "another exemplar": (
        {"anchors": [{"here": (1, 1), "there": (1, 1), "exemplar": 1}]},
        r"anchors\[0\]\.exemplar: got 1, expected less than 1, from 0",
    ),
    "no list": ({"anchors": {"here": (1, 1)}}, r"anchors: expected a list of anchors, got \{'here'"),
    "no mapping": ({"anchors": [(1, 1)]}, r"anchors\[0\]: "),
    "too many": (
        {"colours": [{"here": (1, 1), "colour": "red"}] * 201},
        r"colours: has 201 colours, expected at most 200",
    ),
    "regions of another shape": (
        {"colours": [{"here": (1, 1), "colour": "red"}], "hint_regions": np.zeros((50, 50), int)},
        r"hint_regions: is 50 x 50 pixels, expected the condition's proportions, 84 : 64",
    ),
    "regions that are none": (
        {"colours": [{"here": (1, 1), "colour": "red"}], "hint_regions": np.zeros((45, 60))},
        r"hint_regions: expected whole numbers",
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_with_hints_is_one_line(fault: str) -> None:
    options, message = WRONG[fault]
    with pytest.raises(PictureError, match=f"^{message}") as result:
        Shifting().translate(drawing(120, 90), photo(64, 100), **options)
    assert "\n" not in str(result.value)


def test_files_of_hints_are_read_within_bounds(tmp_path: Path) -> None:
    path = tmp_path / "colours.json"
    path.write_text(json.dumps([{"here": [1, 2.5], "colour": "rgb(255, 0, 51)"}]))
    (one,) = read_hints(PixelColour, path, "colours")
    assert one.here == [1, 2.5] and one.rgb == pytest.approx((1, -1, -0.6))
    for content, message in (
        ("[{", r"cannot be read as JSON"),
        ('[{"here": [1, NaN], "colour": "red"}]', r"finite"),
        (f"[{' ' * 2**18}]", r"cannot be read \("),
    ):
        path.write_text(content)
        with pytest.raises(PictureError, match=message) as result:
            read_hints(PixelColour, str(path), "colours")
        assert str(result.value).startswith(str(path))
