"""Portraits as line art: the same faces, flat or in two tones, whose drawing is their outlines to the pixel."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from midms.conditions.sketch import Sketch
from midms.data.portraits.cached import CachedPortraits
from midms.data.portraits.dataset import Portraits
from midms.data.portraits.lineart import line_art
from midms.data.portraits.pairs import ID, draw_pairs, render
from midms.data.portraits.parameters import geometry, style, uniforms

SEEDS = range(6)
CEL = (uniforms(SEEDS, 2, 3)[:, 0] < 0.5).tolist()


def test_the_drawing_is_the_ink_of_the_picture() -> None:
    face = render(geometry(SEEDS), style(SEEDS), 64, "lineart")
    painted = render(geometry(SEEDS), style(SEEDS), 64)
    assert face.lines is not None and painted.lines is None
    assert torch.equal(face.parts, painted.parts) and torch.equal(face.canonical, painted.canonical)
    assert face.lines.unique().tolist() == [0.0, 1.0]
    ink = F.avg_pool2d(face.lines, 2)
    assert (face.image.amax(1, keepdim=True)[ink == 1] == -1).all() and 0.03 < ink.mean() < 0.3
    pairs = draw_pairs("train", [4], 64, rendering="lineart")
    black = F.avg_pool2d(pairs.sketch, 2)[0, 0] == 1
    assert black.any() and (pairs.answer[0, :, black] == -1).all()


def test_fills_are_of_one_colour_or_of_two_tones() -> None:
    """Which are the style's alone: another pose of the same face has the same."""
    assert 0 < sum(CEL) < len(CEL)
    seen = []
    for shift in (0, 100):
        pose = geometry([i + shift for i in SEEDS])
        parts = render(pose, style(SEEDS), 64).fine_parts
        picture, ink = line_art(pose, style(SEEDS), parts)
        shown = [(parts == ID[part]) & (ink[:, 0] == 0) for part in ("skin", "hair", "cloth", "background")]
        seen.append([[{*map(tuple, picture[i][:, one[i]].T.tolist())} for one in shown] for i in SEEDS])
    for i, cel in enumerate(CEL):
        bearded = style([i]).beard.item() > 0
        for part, (first, second) in enumerate(zip(seen[0][i], seen[1][i], strict=True)):
            most = (2 if cel and part < 3 else 1) * (2 if bearded and part == 0 else 1)
            assert len(first | second) <= most and (first & second or not (first and second))
    assert any(len(part) > 1 for i, cel in enumerate(CEL) if cel for part in seen[0][i])


def test_line_art_that_is_kept_is_what_is_drawn(tmp_path: Path) -> None:
    portraits = Portraits(condition=Sketch(), rendering="lineart")
    kept = CachedPortraits.open(tmp_path, portraits, 2, 2)
    (path,) = tmp_path.iterdir()
    assert path.name == "portraits-lineart-train-2x2-64.safetensors"
    drawn = portraits[0]
    pair = kept[0]
    assert (pair.target - drawn.target).abs().max() < 0.01 and (pair.exemplar - drawn.exemplar).abs().max() < 0.01
    assert (pair.condition - drawn.condition).abs().max() < 0.01


def test_another_rendering_is_refused() -> None:
    with pytest.raises(ValueError, match="rendering must be one of painted, lineart, got 'oil'"):
        Portraits(rendering="oil")
    with pytest.raises(ValueError, match="rendering must be one of"):
        render(geometry([0]), style([0]), 64, "oil")
