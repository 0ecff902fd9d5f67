"""Finishers against drawings whose exact colouring is known, and what people may hand in as a drawing."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from command_line import complaint, run
from PIL import Image, ImageDraw
from sample_pictures import drawing, photo
from shifting import Shifting
from skimage.measure import label
from torch import Tensor

from midms import build, create
from midms.compose.compose import BuildError
from midms.core.errors import NotFinite
from midms.core.limits import OutOfLimits
from midms.core.types import Finished
from midms.images import read_image, resize
from midms.images.finishers.composite import NO_LINES, Composite
from midms.images.finishers.lines import line_layer
from midms.images.finishers.regions import find_regions, line_distance
from midms.images.finishers.tiles import Tiles
from midms.images.frame import Frame
from midms.pipeline.finishing import NoResult, crop_translator, finish, layer_pictures
from midms.pipeline.translate import translate

BACK, SKIN, EYE, HAT = (190, 220, 240), (240, 190, 150), (250, 250, 250), (160, 30, 60)


def cartoon(size: int = 480, gap: int = 0) -> tuple[Image.Image, Image.Image]:
    """A drawing, black on white with soft edges, and the same coloured; the head's outline has a gap in it."""
    lines, colours = Image.new("L", (3 * size, 3 * size), 255), Image.new("RGB", (3 * size, 3 * size), BACK)
    pen, fill, scale = ImageDraw.Draw(lines), ImageDraw.Draw(colours), 3 * size / 100
    for box, colour in (((20, 30, 80, 95), SKIN), ((15, 10, 85, 42), HAT), ((36, 52, 44, 58), EYE)):
        corners = [scale * side for side in box]
        fill.ellipse(corners, colour)
        if colour == HAT:
            pen.ellipse(corners, 255)
        pen.arc(corners, 0 if colour == SKIN else -gap, 360 - gap, 0, round(1.2 * scale))
    line, coloured = (
        lines.resize((size, size), Image.Resampling.BOX),
        colours.resize((size, size), Image.Resampling.BOX),
    )
    whole = np.asarray(coloured) * (np.asarray(line)[..., None] / 255)
    return line, Image.fromarray(whole.round().astype(np.uint8))


def psnr(one: Tensor, other: Tensor) -> float:
    return float(-10 * ((one.clamp(-1, 1) - other) / 2).square().mean().log10())


@pytest.mark.parametrize("gap", [0, 2])
def test_an_exact_prediction_becomes_the_exact_picture(gap: int) -> None:
    """Within 2 of 255 but at soft edges; a gap of 2 degrees in the hat's outline, 5 pixels, lets nothing out."""
    line, coloured = (read_image(picture) for picture in cartoon(gap=gap))
    predicted = F.interpolate(coloured, (96, 96), mode="area")
    found = Composite()(predicted, line, [], lambda box: None)
    near = (found.image - coloured).abs().amax(1) <= 4 / 255
    assert near.float().mean() > 0.97
    assert psnr(found.image, coloured) > psnr(resize(predicted, (480, 480)), coloured) + 8
    black = (line == -1).all(1)
    assert black.sum() > 2000 and torch.equal(found.image[:, :, black[0]], line[:, :, black[0]])


def test_where_a_region_is_not_flat_it_stays_as_it_was_predicted() -> None:
    line, _ = cartoon()
    predicted = read_image(photo(96, 96))
    found = Composite()(predicted, read_image(line), [], lambda box: None).colours
    assert psnr(found, resize(predicted, (480, 480))) > 30


def test_regions_keep_to_their_side_of_a_line() -> None:
    """Each lies in one component of the paper, as scikit-image finds them, and none of these is without."""
    scribble = Image.new("1", (200, 160))
    pen, numbers = ImageDraw.Draw(scribble), np.random.default_rng(0)
    for _ in range(12):
        pen.line([tuple(map(float, end)) for end in numbers.uniform(0, 200, (4, 2))], 1, 2)
    lines = np.asarray(scribble)
    regions = find_regions(lines, line_distance(lines), 9, 50)
    assert np.array_equal(regions > 0, ~lines)
    components = label(~lines, connectivity=1)
    pairs = np.unique(np.stack([regions[~lines], components[~lines]]), axis=1)
    assert pairs.shape[1] == regions.max() > components.max()


@pytest.mark.parametrize("mode", ["L", "1", "RGBA", "LA"])
def test_lines_on_their_paper_are_the_drawing(mode: str) -> None:
    """Of a drawing in grey, in one bit, and as lines on nothing."""
    line, _ = cartoon(200)
    picture = line.convert(mode)
    if mode.endswith("A"):
        picture = Image.new(mode, line.size)
        picture.putalpha(line.point(lambda level: 255 - level))
    given = read_image(picture)
    layer = line_layer(given)
    assert layer[:, 3].max() == 1 and layer[:, 3].min() == 0
    assert (torch.lerp(torch.ones_like(given), layer[:, :3], layer[:, 3:]) - given).abs().max() < 1 / 255


def test_lines_are_found_on_grey_paper_with_a_shadow_and_on_a_blackboard() -> None:
    line = read_image(cartoon(200)[0])
    shade = torch.linspace(0.9, 0.6, 200).view(1, 1, 1, -1)
    grain = 0.02 * torch.randn(line.shape, generator=torch.Generator().manual_seed(0))
    for given in ((line + 1) * shade - 1 + grain, -0.8 * line):
        found, wanted = line_layer(given.clamp(-1, 1))[0, 3] > 0.5, line[0, 0] < 0
        assert (found & wanted).sum() > 0.95 * wanted.sum() and (found & ~wanted).sum() < 0.05 * wanted.sum()


def test_tiles_add_what_the_result_is_too_coarse_for_and_leave_its_colours() -> None:
    """Each tile is off by a colour of its own: reduced, the finished picture is the result, and no seam shows."""
    truth = read_image(cartoon(192)[1])
    coarse = F.interpolate(truth, (64, 64), mode="area")
    numbers = torch.Generator().manual_seed(0)
    asked: list[Tensor] = []

    def translate_crop(box: tuple[float, float, float, float]) -> Tensor:
        top, left, bottom, right = (round(192 * share) for share in box)
        asked.append(truth[..., top:bottom, left:right] + 0.3 * torch.rand(1, 3, 1, 1, generator=numbers))
        return asked[-1]

    found = Tiles(scale=3)(coarse, truth, [], translate_crop).image
    assert len(asked) == 16 and {one.shape for one in asked} == {(1, 3, 64, 64)}
    assert psnr(found, truth) > psnr(resize(coarse, (192, 192)), truth) + 6
    assert (resize(found, (64, 64)) - coarse).abs().mean() < 0.02


def test_tiles_are_parts_of_the_drawing_matched_with_the_whole_exemplar() -> None:
    """Where nothing is drawn, none is translated; regions of several exemplars are cut as the drawing is."""
    plain = translate(Shifting(), drawing(128, 96), photo(96, 128), size=64)
    large = translate(Shifting(finisher=Tiles(scale=2)), drawing(128, 96), photo(96, 128), size=64)
    width, height = plain.image.size
    assert large.image.size == (2 * width, 2 * height) and large.stages[-1].size == plain.image.size
    mask = Image.new("L", (128, 96), 255)
    both = translate(
        Shifting(finisher=Tiles(scale=2)), drawing(128, 96), [photo(96, 128)] * 2, regions=[mask, mask], size=64
    )
    assert both.image.size == large.image.size


@pytest.mark.parametrize(("scale", "shown"), [(2, ""), (4, "tiles:   0%")])
def test_many_tiles_show_how_far_they_are(scale: int, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a terminal, with the time that is left; nothing of few."""
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    picture = torch.zeros(1, 3, 16, 16)
    Tiles(scale=scale)(picture, picture, [], lambda box: picture)
    assert shown in terminal.getvalue() and bool(terminal.getvalue()) == bool(shown)


def test_a_photo_is_not_cut_into_regions() -> None:
    noise = torch.rand(1, 3, 90, 120, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = Composite()(resize(noise, (24, 32)), noise, [], lambda box: None)
    assert found.warnings == (NO_LINES,) and found.image.shape == noise.shape and found.regions.max() == 1


def test_layers_are_pictures_that_lie_on_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the command line: result, layers, and what has none."""
    line, coloured = cartoon(200)
    line.save(tmp_path / "drawing.png")
    coloured.save(tmp_path / "photo.png")
    words = ("translate", "--condition", tmp_path / "drawing.png", "--exemplar", tmp_path / "photo.png")
    words += ("--out", tmp_path / "out.png", "--layers", tmp_path / "layers")
    assert run(*words, "--finisher", "composite(gap=0.02)", "--figure", tmp_path / "figure.png") == 0
    assert "out.png, 200 x 200 pixels" in capsys.readouterr().out
    out, colours, lines, regions = (
        Image.open(tmp_path / name)
        for name in ("out.png", *(f"layers/{n}.png" for n in ("colours", "lines", "regions")))
    )
    assert (colours.mode, lines.mode, regions.mode[0]) == ("RGB", "RGBA", "I")
    assert {one.size for one in (colours, lines, regions)} == {(200, 200)} and np.asarray(regions).min() == 1
    laid = colours.convert("RGBA")
    laid.alpha_composite(lines)
    assert np.abs(np.asarray(laid.convert("RGB")).astype(int) - np.asarray(out)).max() <= 2
    black = np.asarray(line) == 0
    assert (np.asarray(out)[black] == 0).all()
    (tmp_path / "out.png").unlink()
    assert run(*words) == 2
    assert complaint(capsys).endswith("there are none without a finisher such as --finisher composite")
    assert run(*words, "--finisher", "tiles(scale=1)") == 2
    assert complaint(capsys).endswith("layers: the result has no layers, which the finisher composite gives")
    assert not (tmp_path / "out.png").exists()


def large(*channels: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.ones(*channels, 40, 40, dtype=dtype)


@pytest.mark.parametrize(
    ("gives", "message"),
    [
        (lambda: large(1, 3), "Tensor, expected midms.core.types.Finished"),
        (lambda: None, "NoneType, expected midms.core.types.Finished"),
        (lambda: Finished(large(3)), "torch.float32 (3, 40, 40) as colours, expected floats (1, 3, any, any)"),
        (
            lambda: Finished(large(1, 3, dtype=torch.uint8)),
            "torch.uint8 (1, 3, 40, 40) as colours, expected floats (1, 3, any, any)",
        ),
        (lambda: Finished(large(1, 3)[..., :30]), "30 x 40 pixels, expected the proportions of the result, 64 : 64"),
        (lambda: Finished(large(1, 3)[..., :0]), "0 x 40 pixels, expected the proportions of the result, 64 : 64"),
        (
            lambda: Finished(large(1, 3), large(1, 4)[..., 1:]),
            "torch.float32 (1, 4, 40, 39) as lines, expected floats (1, 4, 40, 40)",
        ),
        (
            lambda: Finished(large(1, 3), regions=large(1)),
            "torch.float32 (1, 40, 40) as regions, expected whole numbers (1, 40, 40)",
        ),
        (lambda: Finished(large(1, 3), warnings="odd"), "'odd' as warnings, expected a tuple of lines"),
        (lambda: Finished(large(1, 3) * torch.nan), "4,800 of 4,800 numbers from the finisher (Odd) are not finite"),
        (
            lambda: Finished(large(1, 3), torch.inf * large(1, 4)),
            "4,800 of 4,800 numbers from the finisher (Odd) are not finite",
        ),
    ],
)
def test_a_finisher_that_gives_no_result_is_named(gives: Callable[[], object], message: str, unchecked: None) -> None:
    class Odd:
        def __call__(self, coloured: Tensor, drawing: Tensor, exemplars: object, translate_crop: object) -> object:
            return gives()

    with pytest.raises((NoResult, NotFinite)) as caught:
        finish(Odd(), torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 80, 80), [], lambda box: None)
    start = "no picture: " if isinstance(caught.value, NotFinite) else "finisher: Odd gives "
    assert str(caught.value) == start + message


def test_only_where_nothing_is_drawn_is_a_part_left_out() -> None:
    """An error of a condition is one, not an empty part."""
    sketch, frame = create("condition", "sketch"), Frame((64, 64), (64, 64))

    class Broken(type(sketch)):  # type: ignore[misc]
        def drawing(self, picture: Tensor, size: tuple[int, int]) -> Tensor:
            raise ValueError("a fault")

    blank, whole = torch.ones(1, 3, 64, 64), (0.0, 0.0, 1.0, 1.0)
    made = [crop_translator(one, blank, None, lambda shape: frame, lambda *_: blank) for one in (sketch, Broken())]
    assert made[0](whole) is None
    with pytest.raises(ValueError, match=r"^a fault$"):
        made[1](whole)


def test_what_a_finisher_cannot_be() -> None:
    with pytest.raises(OutOfLimits, match=r"^gap must be a number from 0 to 0.2, got 3$"):
        Composite(gap=3)
    with pytest.raises(OutOfLimits, match=r"^scale must be a whole number from 1 to 16, got 0$"):
        create("finisher", "tiles", scale=0)
    with pytest.raises(BuildError, match="finisher: takes a drawing, and the condition ADE20KSegmentation reads"):
        build("midm-faces", condition="ade20k-segmentation", finisher="composite")
    assert build("midm-faces", finisher=None).finisher is None
    assert layer_pictures(Tiles(scale=1)(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8), [], lambda box: None)) == {}
