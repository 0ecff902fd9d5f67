"""Several exemplars at once, by region or by confidence, as tensors, pictures and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pairs_that_compose import composes
from PIL import Image
from sample_pictures import drawing, photo
from shifting import Shifting
from standins import Recorder, ToyPipeline, pictures
from torch import Tensor

from midms import build
from midms.compose.catalog import available
from midms.confidence.always import Always
from midms.core.protocols import written
from midms.core.types import scaling
from midms.diffusion.levels import noise_levels
from midms.diffusion.solvers.ddim import DDIM
from midms.images import PictureError
from midms.images.frame import Frame
from midms.images.reading import read_reduced
from midms.loop import Policy
from midms.loop.multi_exemplar import compare, side_by_side
from midms.matching import MATCHERS

ONE = DDIM(noise_levels((600,)))


def several() -> tuple[Tensor, list[Tensor]]:
    condition, first = pictures()
    second = torch.rand(2, 3, 12, 28, generator=torch.Generator().manual_seed(16), dtype=torch.float64) * 2 - 1
    return condition, [first, second]


def test_one_exemplar_in_a_list_is_that_exemplar() -> None:
    (condition, exemplar), pipe = pictures(), ToyPipeline(policy=Policy((1,)))
    alone = pipe(condition, exemplar, generator=Recorder())
    assert torch.equal(pipe(condition, [exemplar], generator=Recorder()), alone)


def test_regions_say_which_exemplar_a_cell_takes_from() -> None:
    """Left half from the one, right half from the other: the warp is that of each alone."""
    pipe, (condition, exemplars) = ToyPipeline(sampler=ONE, policy=Policy((0,))), several()
    left = torch.zeros(2, 1, 16, 24, dtype=torch.float64)
    left[..., :12] = 1
    (moment,) = pipe.trajectory(condition, exemplars, regions=[left, 1 - left], generator=Recorder())
    firsts = [next(ToyPipeline(sampler=ONE).trajectory(condition, one, generator=Recorder())) for one in exemplars]
    (start,) = ToyPipeline(sampler=ONE).trajectory(condition, exemplars, regions=[left, 1 - left], generator=Recorder())
    for there, expected in (("warp", [f.warp for f in firsts]), ("confidence", [f.confidence for f in firsts])):
        found = getattr(start, there)
        torch.testing.assert_close(found[..., :3], expected[0][..., :3])
        torch.testing.assert_close(found[..., 3:], expected[1][..., 3:])
    assert moment.match.grid == (4, 6) and moment.match.transpose().grid == (5, 3 + 7)


def test_without_regions_the_most_trusted_exemplar_wins() -> None:
    pipe, (condition, exemplars) = ToyPipeline(sampler=ONE), several()
    moment = next(pipe.trajectory(condition, exemplars, generator=Recorder()))
    firsts = [next(pipe.trajectory(condition, one, generator=Recorder())) for one in exemplars]
    confidences = torch.cat([first.confidence for first in firsts], 1)
    wins = (confidences[:, 1:] > confidences[:, :1]).double()
    assert 0 < wins.mean() < 1, "neither wins everywhere"
    torch.testing.assert_close(moment.warp, wins * firsts[1].warp + (1 - wins) * firsts[0].warp)
    torch.testing.assert_close(moment.confidence, confidences.amax(1, keepdim=True))
    tie = next(pipe.replace(confidence=Always()).trajectory(condition, exemplars, generator=Recorder()))
    torch.testing.assert_close(tie.warp, moment.warp, msg="where all are trusted alike, the more similar wins")


@pytest.mark.parametrize("name", list(MATCHERS))
def test_a_match_to_several_exemplars_is_a_match(name: str) -> None:
    """Its rows are an expectation over all exemplars side by side, and its transpose goes back."""
    numbers = torch.Generator().manual_seed(0)
    query, *keys = (
        torch.randn(2, 9, h, w, generator=numbers, dtype=torch.float64) for h, w in ((3, 4), (2, 5), (4, 3))
    )
    match, confidence = compare(MATCHERS.create(name), Always(), query, keys, None)
    back = match.transpose()
    assert back.grid == (4, 8) and back.transpose() is match and torch.all(confidence == 1)
    ones = side_by_side([torch.ones(2, 1, *key.shape[-2:], dtype=torch.float64) for key in keys])
    torch.testing.assert_close(match.apply(ones), torch.ones(2, 1, 3, 4, dtype=torch.float64))
    torch.testing.assert_close(back.apply(torch.ones(2, 1, 3, 4, dtype=torch.float64)), ones)
    apart = torch.cat([*written(match, 5, query)], 1) @ torch.cat([key.flatten(2).mT for key in keys], 1)
    torch.testing.assert_close(apart.mT.unflatten(2, (3, 4)), match.apply(side_by_side(keys)))
    assert (match.similarity().abs() <= 1 + 1e-9).all() and back.similarity().shape == (2, 1, 4, 8)
    lone = compare(MATCHERS.create(name), Always(), query, keys[:1], None)[0]
    torch.testing.assert_close(lone.apply(keys[0]), MATCHERS.create(name)(query, keys[0]).apply(keys[0]))


@pytest.mark.parametrize("confidence", [c for c in available("confidence") if composes("correlation", c)])
def test_every_confidence_judges_several_exemplars(confidence: str) -> None:
    pipe = build("midm-faces", confidence=confidence, rematch=(0,), edit="blend")
    exemplars = [torch.rand(1, 3, 48, 32) * 2 - 1, torch.rand(1, 3, 32, 40) * 2 - 1]
    assert pipe(torch.rand(1, 2, 32, 48), exemplars).isfinite().all()


def test_pictures_of_several_exemplars() -> None:
    """Two exemplars of two sizes, the upper half from the first: the picture is what each alone gives there."""
    pipe, sketch, exemplars = Shifting(), drawing(64, 64), [photo(96, 64), photo(64, 80).rotate(180)]
    top = Image.new("L", (32, 32))
    top.paste(255, (0, 0, 32, 16))
    result = pipe.translate(sketch, exemplars, regions=[top, Image.eval(top, lambda x: 255 - x)], seed=0)
    alone = [pipe.translate(sketch, one, seed=0) for one in exemplars]
    assert result.exemplar.size == (96 + 64, 80), "side by side"
    for rows, one, offset in ((slice(0, 32), alone[0], 0), (slice(32, 64), alone[1], 96)):
        assert np.array_equal(np.asarray(result.image)[rows], np.asarray(one.image)[rows])
        inner = slice(rows.start + 4, rows.stop - 4)
        torch.testing.assert_close(result.flow[0, inner, :32], one.flow[0, inner, :32] + offset, rtol=0, atol=1e-3)
    assert result.figure().size[0] > alone[0].figure().size[0]
    assert result.source.tolist() == [[0] * 64] * 32 + [[1] * 64] * 32 and not alone[0].source.any()
    points = torch.tensor([[10, 10], [30, 20], [20, 40], [12, 55]])
    found, expected = result.origins(points), [one.origins(points) for one in alone]
    assert found.source.tolist() == [0, 0, 1, 1]
    torch.testing.assert_close(found.exemplar[:2], expected[0].exemplar[:2], rtol=0, atol=1e-3)
    torch.testing.assert_close(found.exemplar[2:], expected[1].exemplar[2:], rtol=0, atol=1e-3)


def test_no_pixel_is_taken_from_between_two_exemplars() -> None:
    pipe, numbers = build("midm-faces"), torch.Generator().manual_seed(0)
    exemplars = [torch.rand(3, side, 64, generator=numbers) for side in (64, 96, 64)]
    regions = [torch.rand(3, 8, 8, generator=numbers).round().repeat_interleave(8, 1).repeat_interleave(8, 2)] * 2
    result = pipe.translate(drawing(64, 64), exemplars, regions=[*regions, 1 - regions[0]], seed=0)
    widths = torch.tensor([frame.picture[1] for frame in result.frames[1:]])
    start = (widths.cumsum(0) - widths)[result.source]
    x = torch.arange(result.source.shape[1]) + result.flow[0]
    assert {*result.source.unique().tolist()} == {0, 1, 2}, "where two cover as much, that which is trusted more"
    assert ((x >= start - 0.5) & (x <= start + widths[result.source] - 0.5)).all()


@pytest.mark.parametrize("own", [(64, 64), (128, 192), (333, 250), (4200, 4100)])
def test_origins_are_pixels_of_the_pictures_as_they_came(own: tuple[int, int]) -> None:
    """Whatever the size at which they were matched: the middle of a pixel is half a pixel from its edge."""
    sketch, exemplar = drawing(own[1], own[0]), photo(own[0], own[1])
    result = Shifting().translate(sketch, exemplar, seed=0)
    (height, width), (tall, wide) = (tuple(reversed(x.size)) for x in (result.image, result.exemplar))
    points = torch.tensor([[1, 2], [20, 30], [40, 17]])
    found = result.origins(points)
    expected = (points + 0.5) * torch.tensor([own[1] / width, own[0] / height]) - 0.5
    torch.testing.assert_close(found.condition, expected)
    x, y = points.T
    there = points + result.flow[:, y, x].T
    inside = there.clamp(min=0).minimum(torch.tensor([wide - 1.0, tall - 1.0]))
    expected = (inside + 0.5) * torch.tensor([own[0] / wide, own[1] / tall]) - 0.5
    torch.testing.assert_close(found.exemplar, expected, rtol=1e-4, atol=1e-3)
    for held in (points.tolist(), points.numpy().astype(np.uint8), points + 0.4):
        assert torch.equal(result.origins(held).exemplar, found.exemplar)
    for wrong in ([[-1, 0]], [[0, height]], [[width, 0]], [[torch.nan, 0.0]], [1, 2], [[1, 2, 3]], {"x": 1}):
        with pytest.raises(PictureError, match=r"^points: "):
            result.origins(wrong)
    assert len(result.origins().source) == len(result.correspondences) > 0
    torch.testing.assert_close(
        result.origins().condition, result.origins(result.correspondences[:, :2].long()).condition
    )


@pytest.mark.parametrize(("width", "height", "kind"), [(4099, 1030, "png"), (8404, 2104, "jpg"), (12300, 3080, "jpg")])
def test_a_file_that_is_reduced_in_reading_says_by_how_much(width: int, height: int, kind: str, tmp_path: Path) -> None:
    """A bright square is where it is in the file."""
    image = Image.new("L", (width, height))
    square = np.array([width * 2 // 3, height // 3]) // 16 * 16
    image.paste(255, (*square.tolist(), *(square + 96).tolist()))
    image.save(tmp_path / f"wide.{kind}")
    found, factor, _ = read_reduced(tmp_path / f"wide.{kind}", "wide")
    rows, columns = (found[0, 0] > 0).nonzero().double().mean(0).tolist()
    home = Frame((1, 1), (1, 1)).within(scaling(factor, factor)).origins(torch.tensor([[columns, rows]]))[0]
    assert factor > 1 and abs(home.numpy() - (square + 47.5)).max() < 1


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("given", [("a.png", "b.png"), (Path("a.png"), photo(64, 64)), (np.zeros((64, 64, 3)), None)])
def test_pictures_of_people_are_for_translate(given: tuple[object, object]) -> None:
    with pytest.raises(
        ValueError, match=r"^condition is a \w+, expected a tensor \[b, 2, height, width\]; .*translate"
    ):
        ToyPipeline()(*given)  # type: ignore[arg-type]
    condition, exemplar = pictures()
    for one, which in (("b.png", "exemplar"), ([exemplar, "b.png"], r"exemplar\[1\]"), (photo(64, 64), "exemplar")):
        with pytest.raises(ValueError, match=rf"^{which} is a \w+, expected a tensor"):
            ToyPipeline()(condition, one)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^regions\[0\] is a str"):
        ToyPipeline()(condition, [exemplar, exemplar], regions=["b.png", "c.png"])  # type: ignore[list-item]


def test_a_mask_without_white_is_no_mask() -> None:
    condition, exemplar = pictures()
    whole = torch.ones_like(condition[:, :1])
    first = whole * torch.tensor([1.0] + [0.0] * (len(whole) - 1)).view(-1, 1, 1, 1)
    for region, which in ((whole * 0, "0"), (first, "1")) if len(whole) > 1 else ((whole * 0, ""),):
        where = f" in picture {which} of the batch" if len(whole) > 1 else ""
        with pytest.raises(ValueError, match=rf"^regions\[1\] is 0 everywhere{where}: nothing would take from exempl"):
            ToyPipeline()(condition, [exemplar, exemplar], regions=[whole, region])


def test_what_is_wrong_with_several_is_said() -> None:
    pipe, sketch, exemplar = Shifting(), drawing(64, 64), photo(64, 64)
    with pytest.raises(PictureError, match="region: got 1, expected one for each of 2 exemplars"):
        pipe.translate(sketch, [exemplar, exemplar], regions=[exemplar])
    for one in (exemplar, [exemplar]):
        with pytest.raises(PictureError, match="regions: change nothing with one exemplar, expected several"):
            pipe.translate(sketch, one, regions=[exemplar])
    with pytest.raises(PictureError, match="exemplar_condition: got one, expected one for each of 2 exemplars"):
        pipe.translate(sketch, [exemplar, exemplar], exemplar_condition=sketch)
    with pytest.raises(PictureError, match="exemplar 2: is 1 x 1 pixels"):
        pipe.translate(sketch, [exemplar, Image.new("RGB", (1, 1))])
