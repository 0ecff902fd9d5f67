"""Figures of shapes, seen twice: what their pairs show, against what another painter makes of the figure."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import seeded
from made_drawings import dataset_of
from PIL import Image, ImageDraw

from midms.conditions.sketch import Sketch
from midms.core.limits import OutOfLimits
from midms.data.lineart.drawn import Reframing
from midms.data.lineart.figures import Shape, colours, figure, seen_again
from midms.data.lineart.shapes import Shapes

SPLITS = ("train", "validation", "test")
SHAPES = Shapes("train", 64)
numbers = st.integers(0, 2**31 - 1)
quick = settings(max_examples=15, deadline=None)


def painted(parts: list[Shape], palette: np.ndarray, side: int) -> torch.Tensor:
    """By Pillow, without outlines, in [-1, 1]."""
    picture = Image.new("RGB", (side, side), tuple(palette[0].tolist()))
    draw = ImageDraw.Draw(picture)
    for part in parts:
        points = [tuple(point) for point in ((part.outline + 1) * side / 2 - 0.5).tolist()]
        draw.polygon(points, tuple(palette[part.slot].tolist()))
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 127.5 - 1


@quick
@given(numbers)
def test_the_answer_is_the_drawing_in_the_exemplars_colours(number: int) -> None:
    """Away from ink, pixels are what Pillow paints; and every colour of the answer is one that the exemplar shows."""
    scene, pair = SHAPES.scene(number), SHAPES.pair(number)
    expected = painted(scene.drawing, scene.palette, 64)
    clear = F.max_pool2d(pair.condition, 3, 1, 1) == 0
    off = (pair.target - expected).abs().amax(1, keepdim=True)[clear]
    assert len(off) > 500 and (off < 0.02).float().mean() > 0.98
    shown = {part.slot for part in scene.exemplar}
    assert {part.slot for part in scene.drawing} <= shown and len(scene.drawing) >= 3
    plain = painted(scene.exemplar, scene.palette, 256)
    for slot in shown:
        colour = torch.from_numpy(scene.palette[slot]) / 127.5 - 1
        assert ((plain - colour.view(1, 3, 1, 1)).abs().amax(1) < 0.01).any()


@quick
@given(numbers)
def test_outlines_lie_on_borders_and_borders_have_outlines(number: int) -> None:
    """Of what Pillow paints in a colour for each part; a pen is at most .022 wide, of which half is on either side."""
    scene = SHAPES.scene(number)
    each = [Shape(part.outline, index) for index, part in enumerate(scene.drawing, 1)]
    flat = painted(each, np.arange(14)[:, None].repeat(3, 1) * 18, 256)[:, :1]
    border = (F.max_pool2d(flat, 3, 1, 1) + F.max_pool2d(-flat, 3, 1, 1)) > 0
    ink = (1 - SHAPES.drawing(number, 256)[:, :1]) / 2
    inside = torch.zeros_like(ink, dtype=torch.bool)
    inside[..., 8:-8, 8:-8] = True
    near = F.max_pool2d(border.float(), 13, 1, 6) > 0
    inked = F.max_pool2d(ink, 5, 1, 2) > 0.3
    assert (ink > 0.5).any() and border.any()
    assert (near[(ink > 0.5) & inside]).float().mean() > 0.97  # else an outline crosses itself
    assert inked[border & inside].float().mean() > 0.99


@quick
@given(numbers, st.sampled_from(SPLITS))
def test_a_number_always_gives_the_same_pair_and_each_split_another(number: int, split: str) -> None:
    pair, again, *others = (Shapes(one, 64).pair(number) for one in (split, split, *SPLITS))
    assert torch.equal(pair.exemplar, again.exemplar) and torch.equal(pair.condition, again.condition)
    assert [torch.equal(pair.target, other.target) for other in others] == [split == one for one in SPLITS]
    assert not torch.equal(pair.target, Shapes(split, 64).pair(number + 1).target)
    assert pair.foreground is not None and 0.02 < pair.foreground.float().mean() < 0.98


@quick
@given(numbers, st.booleans())
def test_figures_have_fewer_colours_than_shapes(seed: int, emoji: bool) -> None:
    rng = np.random.default_rng(seed)
    parts = figure(rng, emoji)
    slots = {part.slot for part in parts}
    assert 3 <= len(parts) <= 12 and len(slots) < len(parts) and min(slots) >= 1
    again = seen_again(parts, rng, 1.0)
    assert [part.slot for part in again] == [part.slot for part in parts]
    assert all(
        len(a.outline) == len(b.outline) >= 3 and np.isfinite(a.outline).all()
        for a, b in zip(again, parts, strict=True)
    )
    still = seen_again(parts, rng, 0.0)
    assert all(np.allclose(a.outline, b.outline, atol=1e-9) for a, b in zip(still, parts, strict=True))


def test_palettes_are_wide_and_their_colours_apart() -> None:
    found = np.stack([colours(np.random.default_rng(seed), 6) for seed in range(200)]).astype(int)
    far = np.abs(found[:, :, None] - found[:, None]).max(3) + 1000 * np.eye(6, dtype=int)
    assert (far.min((1, 2)) >= 64).mean() > 0.98
    assert 0.4 < (found[:, 0] == 255).all(1).mean() < 0.6
    assert all(np.histogram(found[:, 1:, channel], 4, (0, 256))[0].min() > 100 for channel in range(3))


def test_some_exemplars_are_bare_some_shaded_and_some_views_lack_a_part() -> None:
    scenes = [SHAPES.scene(number) for number in range(60)]
    assert 5 < sum(scene.widths[0] == 0 for scene in scenes) < 35 and all(scene.widths[1] > 0 for scene in scenes)
    assert (
        4 < sum(scene.shade.any() for scene in scenes) < 25 and 4 < sum(scene.gradient.any() for scene in scenes) < 25
    )
    assert 5 < sum(len(scene.exemplar) != len(scene.drawing) for scene in scenes) < 50


def test_line_art_has_as_many_figures_as_asked_for() -> None:
    alone = dataset_of("lineart", portraits=0.0, shapes=1.0, faces=5)
    assert torch.equal(alone[3].target, Shapes("train", 64, Sketch()).pair(3).target)
    drawn, other = (alone.draw(3, seeded(seed)) for seed in (0, 1))
    assert not torch.equal(drawn.target, other.target) and torch.equal(drawn.target, alone.draw(3, seeded(0)).target)
    none = dataset_of("lineart", portraits=0.0, shapes=0.0, faces=5)
    assert torch.equal(none[3].target, dataset_of("facesjs", faces=5)[3].target)
    with pytest.raises(OutOfLimits, match=r"at most 1 together, got 0[.]8 and 0[.]3"):
        dataset_of("lineart", portraits=0.8)
    with pytest.raises(OutOfLimits, match="shapes must be between 0 and 1, got 2"):
        dataset_of("lineart", shapes=2)


@quick
@given(numbers)
def test_a_framing_moves_what_is_shown_and_fills_the_rest(seed: int) -> None:
    framing = Reframing.drawn(seeded(seed))
    assert 0.7 <= framing.scale <= 1.15 and max(abs(framing.right), abs(framing.down)) <= 0.15
    dot = torch.zeros(1, 1, 200, 200)
    dot[..., 86:94, 116:124] = 1  # its middle at (120, 90)
    shown = framing(dot, 0)
    y, x = torch.meshgrid(torch.arange(200) + 0.5, torch.arange(200) + 0.5, indexing="ij")
    middle = [(shown[0, 0] * at).sum() / shown.sum() for at in (x, y)]
    expected = [100 + framing.scale * (at - 100) + 200 * by for at, by in ((120, framing.right), (90, framing.down))]
    assert middle == pytest.approx(expected, abs=0.5)
    fill = torch.tensor([0.0, 0.5, -1.0])
    full = framing(torch.ones(1, 3, 200, 200), fill)
    beyond = full[0, 1] < 0.51
    assert (full[0, :, beyond] - fill[:, None]).abs().lt(0.05).all() and not beyond[-1, 100]
    assert (~beyond).float().mean() < framing.scale**2 + 0.02


def test_a_framed_drawing_takes_its_answer_with_it() -> None:
    dataset, palette = dataset_of("facesjs", size=128), torch.rand(6, 3, generator=seeded(0))
    framing = Reframing(0.8, 0.1, 0.12)
    plain, drawing, exemplar = (
        dataset.pair(1, 2, palette, framings=pair) for pair in ((None, None), (None, framing), (framing, None))
    )
    assert torch.equal(plain.exemplar, drawing.exemplar) and torch.equal(plain.target, exemplar.target)
    assert torch.equal(plain.condition, exemplar.condition) and not torch.equal(plain.exemplar, exemplar.exemplar)
    background = 2 * palette[5] - 1
    assert torch.allclose(drawing.target[0, :, 0, 0], background) and torch.allclose(
        exemplar.exemplar[0, :, 0, 0], background
    )
    white = dataset_of("facesjs", size=128, condition=None).pair(1, 2, torch.ones(6, 3), framings=(None, framing))
    assert ((1 - white.target.mean(1)) / 2 - white.condition[:, 0]).abs().max() < 0.05 < white.condition.max()
