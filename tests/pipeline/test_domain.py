"""What lies outside of what weights know: shapes, sizes, and pictures of something else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from sample_pictures import drawing, photo
from scipy.spatial.distance import mahalanobis
from shifting import SHIFT, Shifting
from skimage import data

from benchmarks.faces.domain import page
from benchmarks.faces.out_of_domain import make
from benchmarks.lineart.domain import page as lineart_page
from benchmarks.results import RESULTS
from midms import build, from_pretrained
from midms.compose.presets import PRESETS
from midms.compose.recipe import SHIPPED, Recipe
from midms.core.domain import Domain
from midms.data.portraits.pairs import draw_pairs
from midms.evaluation.metrics.pictures import psnr
from midms.images import read_image
from midms.images.frame import Frame, framed
from midms.pipeline.out_of_domain import Usual

SQUARE = Shifting(recipe=Recipe(domain=Domain(square=True)))


@pytest.mark.parametrize("shape", [(64, 64), (60, 40), (40, 60), (30, 90), (257, 123), (100, 97)])
def test_a_frame_takes_out_what_it_laid_in(shape: tuple[int, int]) -> None:
    frame = framed(shape, 64, 4, square=True)
    assert frame.canvas == (64, 64) and max(frame.picture) == 64
    picture = torch.rand(1, 2, *frame.picture)
    canvas = frame.pad(picture)
    assert canvas.shape[-2:] == frame.canvas and torch.equal(frame.crop(canvas), picture)
    assert torch.equal(canvas[..., 0, :], canvas[..., frame.corner[0], :]), "the edge goes on"
    height, width = frame.pad(torch.rand(1, 3, *shape)).shape[-2:]
    assert abs(height - width) <= 0.05 * max(shape), "also of a larger picture"
    assert abs(frame.picture[0] / frame.picture[1] / (shape[0] / shape[1]) - 1) < 0.05


def test_without_a_shape_that_weights_know_nothing_is_padded() -> None:
    assert framed((300, 400), 64, 4, square=False) == Frame((64, 84), (64, 84))
    assert framed((400, 400), 64, 4, square=True) == Frame((64, 64), (64, 64))


@pytest.mark.parametrize(("width", "height"), [(96, 192), (192, 96), (64, 256)])
def test_a_drawing_that_is_not_square_is_the_middle_of_one_that_is(width: int, height: int) -> None:
    result = SQUARE.translate(drawing(width, height), photo(128, 128), seed=0)
    more = [((max(width, height) - side) // 2,) * 2 for side in (height, width)]
    laid = np.pad(np.asarray(drawing(width, height)), [*more, (0, 0)], mode="edge")
    whole = Shifting().translate(laid, photo(128, 128), seed=0)
    left, top = (64 - result.image.width) // 2, (64 - result.image.height) // 2
    assert result.image.width * height == result.image.height * width and max(result.image.size) == 64
    box = (left, top, left + result.image.width, top + result.image.height)
    for found, expected in (
        (result.image, whole.image),
        (result.warp, whole.warp),
        (result.stages[0], whole.stages[0]),
    ):
        assert found == expected.crop(box)
    inside = (..., slice(top, box[3]), slice(left, box[2]))
    assert torch.equal(result.confidence, whole.confidence[inside])
    assert torch.equal(result.condition_map, whole.condition_map[inside])
    torch.testing.assert_close(
        result.flow[0], whole.flow[0][inside] + left
    )  # by how much the picture begins further in
    torch.testing.assert_close(result.flow[1], whole.flow[1][inside] + top)
    assert result.condition.size == (width, height) and result.figure().height > 64


def test_places_in_an_exemplar_that_is_not_square_are_its_own() -> None:
    result = SQUARE.translate(drawing(128, 128), photo(100, 200), seed=0)
    assert result.exemplar.size == (32, 64)
    middle = result.flow[0, :, 16:36]  # of what lies on the picture and not on its repeated edges
    torch.testing.assert_close(middle, torch.full_like(middle, 4.0 * SHIFT - 16), atol=1e-3, rtol=0)
    x = result.flow[0] + torch.arange(64)
    assert x.min() >= -2 and x.max() <= 33, "to half a cell"
    assert (result.correspondences[:, 2:] >= 0).all() and (
        result.correspondences[:, 2:] <= torch.tensor([31, 63])
    ).all()


def test_places_in_several_exemplars_are_on_their_pictures_side_by_side() -> None:
    white, dark = Image.new("RGB", (128, 128), "white"), Image.new("RGB", (128, 128), (1, 1, 1))
    pictures, left, right = [photo(100, 200), photo(200, 100)], [white, dark], [dark, white]
    for regions, begin, end in ((left, 0, 31), (right, 32, 95)):
        result = SQUARE.translate(drawing(128, 128), pictures, regions=regions, seed=0)
        assert result.exemplar.size == (96, 64)
        x = result.flow[0] + torch.arange(64)
        assert x.min() >= begin - 2 and x.max() <= end + 2


def test_regions_lie_on_the_drawing_that_is_not_square() -> None:
    upper = Image.fromarray(np.repeat(np.repeat([[255], [0]], 100, 0), 100, 1).astype(np.uint8))
    lower = Image.fromarray(255 - np.asarray(upper))
    result = SQUARE.translate(drawing(96, 192), [photo(128, 128)] * 2, regions=[upper, lower], seed=0)
    x = result.flow[0] + torch.arange(32)
    assert (x[:28] <= 65).all() and (x[36:] >= 62).all()


@pytest.mark.parametrize(("shape", "least"), [((96, 64), 21.5), ((64, 96), 21)])
def test_a_face_survives_a_drawing_that_is_not_square(shape: tuple[int, int], least: float) -> None:
    """The middle of a drawing whose answer is known; without a square around it, it was 20.0 and 19.3 dB."""
    pairs = draw_pairs("validation", range(3000, 3004), 64)
    more = [(96 - side) // 3 * 2 for side in shape]  # what is cut off, of 128
    down, across = (slice(k, 128 - k) for k in more)
    found = []
    for sketch, exemplar, answer, head in zip(pairs.sketch, pairs.exemplar, pairs.answer, pairs.head, strict=True):
        result = build("midm-faces").translate(1 - 2 * sketch[:, down, across], exemplar, seed=0)
        assert not any(line.startswith("size") for line in result.warnings)
        (top, left), (width, height) = (k // 2 for k in more), result.image.size
        inside = (..., slice(top, top + height), slice(left, left + width))
        found.append(psnr(read_image(result.image), answer[inside][None], head[inside][None]).item())
    assert sum(found) / len(found) > least


def test_another_size_than_the_trained_one_is_said() -> None:
    pipe = Shifting(recipe=Recipe(domain=Domain(size=64)))
    assert pipe.translate(drawing(64, 64), photo(64, 64)).warnings == ()
    for other in (pipe, pipe.replace(size=96)):
        (line,) = other.translate(drawing(64, 90), photo(64, 64), size=96).warnings
        assert line.startswith("size 96: the weights were trained at 64 pixels") and "size 64 suits" in line
    (line,) = pipe.replace(size=32).translate(drawing(64, 64), photo(64, 64)).warnings
    assert "size 32" in line
    assert Shifting().translate(drawing(64, 64), photo(64, 64), size=96).warnings == ()


def test_presets_say_what_their_weights_know(tmp_path: Path) -> None:
    for preset in PRESETS.values():
        assert preset.purpose and preset.domain.trained_on and preset.domain.square
        assert preset.domain.size == preset.loop["size"]
        assert preset.shipped == preset.source.startswith(("trained here", "the loop of"))
    pipe = build("midm-faces")
    assert pipe.domain == PRESETS["midm-faces"].domain
    assert build("midm-faces", size=128).domain.size == 64
    pipe.save_pretrained(tmp_path / "saved")
    assert from_pretrained(tmp_path / "saved").domain == pipe.domain
    pipe.replace(recipe=Recipe(slots=pipe.recipe.slots)).save_pretrained(tmp_path / "untold")
    own = build("midm-faces", weights=tmp_path / "untold").domain
    assert own.square and own.size is None and own.usual == "", "other weights know something else"
    own = build("midm-faces", weights=SHIPPED / "midm-faces").domain
    assert own == pipe.domain, "or say what they know"


@pytest.mark.parametrize(
    "field",
    [
        {"trained_on": 3},
        {"trained_on": "a\nb"},
        {"trained_on": "a" * 1001},
        {"size": 0},
        {"size": 1.5},
        {"size": 10**9},
        {"square": 1},
        {"usual": "../mine"},
    ],
)
def test_a_domain_is_checked(field: dict[str, object], unchecked: None) -> None:
    (name,) = field
    with pytest.raises(ValueError, match=f"^{name} must be") as error:
        Domain(**field)  # type: ignore[arg-type]
    assert len(str(error.value)) < 200


def test_faces_like_those_trained_on_are_not_warned_of() -> None:
    pipe, pairs = build("midm-faces"), draw_pairs("test", range(12), 64)
    for sketch, exemplar in zip(pairs.sketch, pairs.exemplar, strict=True):
        assert pipe.translate(1 - 2 * sketch, exemplar, seed=0).warnings == ()


def strangers() -> dict[str, tuple[object, object, str]]:
    """A drawing, a picture, and which of them is strange."""
    pairs = draw_pairs("test", [20], 64)
    drawing, face = 1 - 2 * pairs.sketch, pairs.exemplar
    small = face[:, :, :1, :1].expand_as(face).clone()
    small[..., 42:, 42:] = face[..., ::3, ::3]
    return {
        "a landscape's drawing": (make("landscape", 3)[0], face, "the drawing is"),
        "a cat's drawing": (make("animal head", 1)[0], face, "the drawing is"),
        "a drawing upside down": (drawing.flip(2), face, "the drawing is"),
        "a landscape": (drawing, make("landscape", 3)[1], "the picture is"),
        "a cat": (drawing, make("animal head", 1)[1], "the picture is"),
        "a page of text": (drawing, make("text", 0)[1], "the picture is"),
        "a face small and to the side": (drawing, small, "the picture is"),
        "swapped": (face, drawing, "unlike"),
        "nothing as it should be": (make("town", 0)[0], make("noise", 0)[1], "the drawing and the picture are"),
        "one of several": (drawing, [face, make("insect", 0)[1]], "the picture is"),
    }


def test_outside_of_what_the_weights_know_a_line_says_so() -> None:
    pipe = build("midm-faces")
    for name, (condition, picture, said) in strangers().items():
        warnings = pipe.translate(condition, picture, seed=0).warnings
        (line,) = [line for line in warnings if pipe.domain.trained_on in line]
        assert said in line and "\n" not in line, name


def test_what_is_strange_is_told_with_other_parts_as_long_as_the_features_are_those_measured() -> None:
    cat, face = make("animal head", 1)[0], draw_pairs("test", [20], 64).exemplar
    pipe = build("midm-faces", matcher="nearest", confidence="always", sampler="ddpm")
    assert len(pipe.translate(cat, face, seed=0).warnings) == 1
    assert len(pipe.replace(style=0.0, rematch=(0,)).translate(cat, face, seed=0).warnings) == 1
    other = pipe.replace(features=build("midm-faces").features)
    assert other.domain.usual == "" and other.translate(cat, face, seed=0).warnings == ()


def test_the_distance_is_that_of_mahalanobis() -> None:
    generator = torch.Generator().manual_seed(0)
    some = (
        torch.randn(50, 5, generator=generator, dtype=torch.float64) @ torch.randn(5, 5, generator=generator).double()
    )
    precision = torch.linalg.inv(some.T.cov())
    found = Usual(some.mean(0), precision, 1.0).distance(some)
    expected = [mahalanobis(x, some.mean(0), precision) / 5**0.5 for x in some.numpy()]
    np.testing.assert_allclose(found, expected)


def test_what_is_said_of_warnings_is_what_was_measured() -> None:
    found = json.loads((RESULTS / "domain.json").read_text())
    assert found["false alarms"]["test"] < 0.01 and found["misses, kept back"] < 0.1
    assert all(key in found for key in ("date", "hardware", "versions", "command", "seed"))
    assert (Path(__file__).parents[2] / "docs/domain.md").read_text() == page(found)


def test_line_arts_references_are_judged_and_its_drawings_are_not() -> None:
    pipe, pair = build("midm-lineart"), draw_pairs("test", [3], 128, rendering="lineart")
    drawing = (1 - 2 * pair.sketch).expand(-1, 3, -1, -1)
    for condition, reference, said in (
        (drawing, pair.exemplar, 0),
        (make("town", 0)[0], pair.exemplar, 0),
        (drawing, make("noise", 0)[1], 1),
        (drawing, make("text", 1)[1], 1),
        (drawing, data.rocket(), 1),
    ):
        warnings = pipe.translate(condition, reference, seed=0).warnings
        assert len(warnings) == said and all(line.startswith("the picture is unlike") for line in warnings)


def test_a_folder_that_names_the_usual_pictures_of_another_is_used_without_them(tmp_path: Path) -> None:
    build("midm-lineart").save_pretrained(tmp_path / "own")
    settings = json.loads((tmp_path / "own" / "config.json").read_text())
    settings["domain"]["usual"] = "midm-faces"
    (tmp_path / "own" / "config.json").write_text(json.dumps(settings))
    pair = draw_pairs("test", [3], 128, rendering="lineart")
    found = from_pretrained(tmp_path / "own").translate(1 - 2 * pair.sketch, pair.exemplar, seed=0)
    expected = build("midm-lineart").translate(1 - 2 * pair.sketch, pair.exemplar, seed=0)
    assert found.image == expected.image


def test_what_is_said_of_line_arts_warnings_is_what_was_measured() -> None:
    found = json.loads((RESULTS / "domain-lineart.json").read_text())
    reference = found["judged by"]["the reference"]
    assert reference["false alarms"] < 0.01 and reference["misses"] < 0.1
    between = (Path(__file__).parents[2] / "docs/lineart.md").read_text().split("<!-- domain: begin -->\n")[1]
    assert between.startswith(f"{lineart_page(found).rstrip()}\n<!-- domain: end -->")


def test_a_hosts_autocast_hides_no_warning() -> None:
    pipe = build("midm-faces")
    picture = Image.linear_gradient("L").convert("RGB")
    circle = Image.new("RGB", (128, 128), "white")
    ImageDraw.Draw(circle).ellipse((20, 20, 100, 100), outline="black", width=4)
    expected = pipe.translate(circle, picture, seed=0).warnings
    with torch.autocast("cpu", torch.float16):
        assert pipe.translate(circle, picture, seed=0).warnings == expected
    assert len(expected) == 1 and "the drawing and the picture are unlike" in expected[0]
