"""Translation with parts whose answer is known: the warp is a shift of the exemplar, and nothing else happens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sample_pictures import drawing, photo
from shifting import SHIFT, Plain, Pooled, Shifted, Shifting, Warped
from torch import Tensor

from midms import Spec, build
from midms.conditions.edges import Edges
from midms.conditions.sketch import Sketch
from midms.core.limits import OutOfLimits
from midms.core.types import Context, Features, Level
from midms.data.portraits.pairs import draw_pairs
from midms.images import PictureError, read_image
from midms.images.frame import Frame
from midms.loop import Policy
from midms.loop.multi_exemplar import MultiExemplarMatch
from midms.matching.matches.dense import DenseMatch
from midms.pipeline.correspondence import (
    SCATTERED,
    concentration,
    correspondences,
    flat_matches,
    match_to_pixel_flow,
    telling_points,
)
from midms.pipeline.result import Translation
from midms.pipeline.translate import translate


def test_a_drawing_for_edges_and_a_flat_match_are_told() -> None:
    """Pairs of the test split; the thresholds' figures are beside them."""
    pairs = draw_pairs("test", range(2), 64)
    sketches, pictures = (1 - 2 * pairs.sketch).expand(-1, 3, -1, -1), pairs.exemplar
    for sketch, picture in zip(sketches, pictures, strict=True):
        (said,) = Edges().page(sketch[None]).warnings
        assert said.startswith("the drawing is one already: edges takes both sides") and "condition sketch" in said
        assert Edges().page(picture[None]).warnings == ()
    flat = "the match is flat: all of the drawing takes the same mean of the picture"
    found = build("midm-faces", condition="edges").translate(sketches[0], pictures[0], seed=0)
    assert any(line.startswith("the drawing is one already") for line in found.warnings)
    assert not any(line.startswith(flat) for line in found.warnings)
    for matcher in (Spec("correlation", temperature=5), Spec("optimal-transport", epsilon=5)):
        found = build("midm-faces", matcher=matcher).translate(sketches[0], pictures[0], seed=0)
        assert any(line.startswith(flat) for line in found.warnings)
        found = build("midm-faces", matcher=matcher).translate(sketches[0], [*pictures], seed=0)
        assert any(line.startswith(flat) for line in found.warnings)
    assert build("midm-faces").translate(sketches[0], pictures[0], seed=0).warnings == ()


def test_a_match_with_all_that_has_a_colour_is_not_flat() -> None:
    """Both cells take from two, whose middle is the same; their colours are far apart."""
    weights = torch.zeros(1, 2, 4)
    weights[0, 0, [0, 3]] = weights[0, 1, [1, 2]] = 0.5
    match = DenseMatch(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 4), weights.log())
    exemplar = torch.tensor([1.0, -1, -1, 1]).view(1, 1, 1, 4).expand(-1, 3, -1, -1)
    assert flat_matches(match, match.apply(exemplar), [exemplar]) == [False]
    assert flat_matches(match, torch.zeros(1, 3, 1, 2), [exemplar]) == [True]


def test_only_the_result_and_the_warp_are_decoded_before_they_are_looked_at(unchecked: None) -> None:
    decoded: list[Tensor] = []

    class Counting(Pooled):
        def decode(self, latent: Tensor) -> Tensor:
            decoded.append(latent)
            return super().decode(latent)

    found = translate(Shifting(autoencoder=Counting()), drawing(128, 128), photo(128, 128))
    assert len(decoded) == 2
    assert [stage.size for stage in found.stages[:1]] == [found.image.size] and len(decoded) == 3


def test_a_translation_holds_what_the_parts_said() -> None:
    found = translate(Shifting(), drawing(128, 128), photo(256, 256), seed=3)
    assert isinstance(found, Translation)
    assert found.image.size == found.warp.size == found.exemplar.size == (64, 64)
    assert len(found.stages) == 2
    left = np.asarray(found.exemplar, float)[:, SHIFT * 4 :]
    moved = np.asarray(found.image, float)[:, : -SHIFT * 4]
    assert np.abs(left - moved)[:, 4:-4].max() < 10, "the result is the exemplar, moved"
    torch.testing.assert_close(found.flow[0, :, :40], torch.full((64, 40), 4.0 * SHIFT), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.flow[1], torch.zeros(64, 64), atol=1e-3, rtol=0)
    assert (found.confidence[:, :28] == 1).all() and (found.confidence[:, 36:] == 0).all()


@pytest.mark.parametrize("rematch", [(), (0, 1)])
def test_the_dial_leaves_the_confidence_as_it_was_measured(rematch: tuple[int, ...]) -> None:
    def translated(style: float) -> tuple[Translation, Tensor]:
        seen: list[Tensor] = []

        class Watching(Warped):
            def forward(self, x: Tensor, level: Level, context: Context) -> Tensor:
                seen.append(context.confidence)
                return super().forward(x, level, context)

        pipe = Shifting(denoiser=Watching(), policy=Policy(rematch=rematch, style=style))
        return translate(pipe, drawing(64, 64), photo(64, 64), seed=0), torch.cat(seen)

    measured, counted = translated(0.5)
    assert 0 < measured.confidence.mean() < 1
    for style, weight in ((0.0, torch.zeros_like(counted)), (0.25, counted / 2), (1.0, torch.ones_like(counted))):
        dialled, seen = translated(style)
        assert torch.equal(dialled.confidence, measured.confidence) and torch.equal(seen, weight)
        assert dialled.panels()["confidence"] == measured.panels()["confidence"]


def test_the_result_is_what_the_tensors_give() -> None:
    pipe = Shifting()
    sketch, exemplar = drawing(64, 64), photo(64, 64)
    found = pipe.translate(sketch, exemplar, seed=5)
    condition = pipe.condition.drawing(read_image(sketch), (64, 64))
    image = pipe(condition, read_image(exemplar), generator=torch.Generator().manual_seed(5))
    expected = ((image[0].clamp(-1, 1) + 1) * 127.5).round().permute(1, 2, 0).numpy()
    assert (np.asarray(found.image) == expected).all()
    assert found.image == found.stages[-1]


def test_the_result_has_the_conditions_shape_and_the_exemplar_keeps_its_own() -> None:
    found = translate(Shifting(), drawing(300, 400), photo(500, 250))
    assert found.image.size == found.warp.size == (64, 84)
    assert found.confidence.shape == (84, 64) and found.flow.shape == (2, 84, 64)
    assert found.exemplar.size == (128, 64)
    assert found.condition.size == (300, 400)
    assert found.figure().height > found.figure(scale=2.0).height > 2 * 84
    for scale in (0, -1.0, float("nan"), 1e6):
        with pytest.raises(OutOfLimits, match=r"^scale must "):
            found.figure(scale)


def test_what_was_read_of_the_condition_is_told_and_shown() -> None:
    found = translate(Shifting(), drawing(300, 400), photo(500, 250))
    expected = Sketch().drawing(read_image(drawing(300, 400)), (84, 64))[0]
    assert torch.equal(found.condition_map, expected)
    panels = found.panels()
    assert list(panels) == ["condition", "strokes as read", "exemplar", "first warp", "result", "confidence"]
    shown = np.asarray(panels["strokes as read"], float)
    np.testing.assert_allclose(255 * (1 - expected[0].numpy()), shown, atol=0.51)


def test_an_annotation_is_shown_once() -> None:
    class Labels(Sketch):
        def read(self, source: object, name: str, fit: Callable[[tuple[int, int]], tuple[int, int]]) -> Tensor:
            return self.drawing(read_image(source), fit((128, 128)))

        def picture(self, condition: Tensor) -> Tensor:
            return 2 * condition[:, 1:].expand(-1, 3, -1, -1) - 1

    found = translate(Shifting(condition=Labels()), drawing(128, 128), photo(128, 128))
    assert "strokes as read" not in found.panels() and found.condition_map.shape == (2, 64, 64)
    assert found.condition.size == (64, 64) and found.figure().height > 64


def test_another_size() -> None:
    assert translate(Shifting(), drawing(300, 400), photo(500, 250), size=96).image.size == (96, 128)
    for size in (8, 100_000):
        with pytest.raises(ValueError, match=f"size: expected 32 to 1024 pixels, got {size}"):
            translate(Shifting(), drawing(300, 400), photo(500, 250), size=size)
    for size, near in ((65, "64 or 68"), (34, "32 or 36"), (1022, "1020 or 1024")):
        with pytest.raises(ValueError, match=f"size: expected a multiple of 4 pixels, {near}, got {size}"):
            translate(Shifting(), drawing(300, 400), photo(500, 250), size=size)


def test_a_condition_for_the_exemplar_may_be_given() -> None:
    seen: list[Tensor] = []

    class Watching(Plain):
        def exemplar(self, latent: Tensor, condition: Tensor) -> Features:
            seen.append(condition)
            return super().exemplar(latent, condition)

    pipe = Shifting(features=Watching())
    translate(pipe, drawing(64, 64), photo(80, 64), exemplar_condition=drawing(160, 128))
    translate(pipe, drawing(64, 64), photo(80, 64))
    torch.testing.assert_close(seen[0], pipe.condition.drawing(read_image(drawing(160, 128)), (64, 80)))
    assert seen[1].shape == (1, 2, 64, 80)
    assert (seen[0] - seen[1]).abs().mean() > 0.1


def test_where_the_weights_are_is_where_and_how_it_is_computed() -> None:
    found = translate(Shifting().to(torch.float64), drawing(64, 64), photo(64, 64), seed=0)
    assert found.flow.dtype == found.confidence.dtype == torch.float32
    assert found.image == translate(Shifting(), drawing(64, 64), photo(64, 64), seed=0).image


def test_what_is_wrong_is_said_with_the_pictures_name(tmp_path: Path) -> None:
    empty = tmp_path / "empty.png"
    Image.new("RGB", (64, 64), "white").save(empty)
    with pytest.raises(PictureError, match=r"empty\.png: the drawing has no strokes"):
        translate(Shifting(), empty, photo(64, 64))
    with pytest.raises(PictureError, match="exemplar_condition: the drawing has no strokes"):
        translate(Shifting(), drawing(64, 64), photo(64, 64), exemplar_condition=Image.open(empty))
    with pytest.raises(PictureError, match="exemplar: is 1 x 1 pixels"):
        translate(Shifting(), drawing(64, 64), photo(1, 1))
    black, two = Image.new("L", (64, 64)), [photo(64, 64)] * 2
    black.save(tmp_path / "black.png")
    with pytest.raises(PictureError, match=r"black.png: is black everywhere, .* from exemplar 1; leave both out"):
        translate(Shifting(), drawing(64, 64), two, regions=[tmp_path / "black.png", black])
    with pytest.raises(PictureError, match="exemplar_condition: expected numbers, got text"):
        translate(Shifting(), drawing(64, 64), photo(64, 64), exemplar_condition=[str(empty)])
    with pytest.raises(ValueError, match="either a seed or a generator"):
        translate(Shifting(), drawing(64, 64), photo(64, 64), seed=1, generator=torch.Generator())


@pytest.mark.parametrize(("grid", "other"), [((8, 8), (8, 8)), ((8, 12), (16, 10)), ((5, 7), (9, 3))])
def test_flow_between_grids_of_any_size(grid: tuple[int, int], other: tuple[int, int]) -> None:
    """A match that scales one grid onto another; the middle of a cell is half a pixel off the middle of its pixels."""
    shape, exemplar_shape = (grid[0] * 4, grid[1] * 4), (other[0] * 6, other[1] * 6)
    frames = Frame(shape, shape), Frame(exemplar_shape, exemplar_shape)
    ((_, flow),) = match_to_pixel_flow(Shifted(grid, other, 0), frames[:1], [frames[1:]], torch.zeros(()), [()])
    centres = torch.arange(grid[1]) * 4 + 1.5
    expected = torch.linspace(2.5, other[1] * 6 - 3.5, grid[1]) - centres
    middle = (flow[0, 0, 1::4] + flow[0, 0, 2::4]) / 2
    torch.testing.assert_close(middle[1:-1], expected[1:-1], atol=1e-3, rtol=1e-4)


def test_telling_points_are_trusted_on_the_strokes_and_apart() -> None:
    condition = Sketch().drawing(read_image(drawing(128, 128)), (64, 64))[0]
    confidence = torch.ones(64, 64)
    confidence[:, 32:] = 0
    points = telling_points(confidence, condition, 6)
    assert len(points) == 6
    assert (points[:, 0] < 32).all()
    assert (condition[1, points[:, 1], points[:, 0]] < 1).all(), "within reach of a stroke"
    assert torch.pdist(points.float()).min() > 6
    assert len(telling_points(torch.zeros(64, 64), condition, 6)) == 0


def test_no_line_leads_to_a_mean_of_far_places() -> None:
    """1 from one cell; in a picture of four cells, places of two side by side deviate by an eighth of it."""
    weights = torch.zeros(1, 3, 16)
    weights[0, 0, 5] = 1
    weights[0, 1, [4, 5]] = 0.5
    weights[0, 2, [4, 6]] = 0.5
    match = DenseMatch(torch.zeros(1, 1, 1, 3), torch.zeros(1, 1, 4, 4), weights.log())
    found = concentration(match, torch.zeros(1, 1, 1, 1))
    torch.testing.assert_close(found.flatten(), torch.tensor([1, 1 - 0.125 / SCATTERED, 0]), atol=1e-3, rtol=0)
    several = MultiExemplarMatch((match,) * 2, (torch.full((1, 1, 1, 3), 0.5),) * 2)
    torch.testing.assert_close(concentration(several, torch.zeros(1, 1, 1, 1)), found)


def test_correspondences_stay_inside_the_exemplar() -> None:
    points = torch.tensor([[1, 2], [9, 5]])
    flow = torch.tensor([3.0, -4.0]).view(2, 1, 1).expand(2, 8, 10)
    assert correspondences(points, flow, (7, 11)).tolist() == [[1, 2, 4, 0], [9, 5, 10, 1]]


def test_what_is_replaced_and_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"^no slot or setting is called 'styel'\. Did you mean 'style'\? .*; no slot"):
        Shifting().replace(styel=0.3, matchr="nearest")
