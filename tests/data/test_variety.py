"""Portraits in the wide variety: what is asked for is drawn, and their flow is exact wherever the heads are."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from midms.data.portraits import parameters
from midms.data.portraits.dataset import Portraits
from midms.data.portraits.pairs import draw_pairs, render
from midms.data.portraits.parameters import BOXES
from midms.data.portraits.variety import VARIETIES

SEEDS = [*range(2000)]
WIDE = VARIETIES["wide"]


def test_heads_are_scaled_and_moved_as_far_as_it_says() -> None:
    plain = parameters.geometry(SEEDS)
    framed = WIDE.framed(plain, SEEDS)
    scale = (framed.scale / plain.scale).flatten()
    right, up = (
        (getattr(framed, name) - getattr(plain, name) * scale.view(-1, 1, 1)).flatten() / 2  # in widths
        for name in ("centre_x", "centre_y")
    )
    moved = scale != 1
    assert abs(moved.float().mean() - 0.6) < 0.04 and (right[~moved] == 0).all() and (up[~moved] == 0).all()
    assert 0.5 <= scale.min() < 0.51 and 1.19 < scale.max() <= 1.2
    for aside in (right[moved], up[moved]):
        assert -0.25 <= aside.min() < -0.24 and 0.24 < aside.max() <= 0.25 and abs(aside.mean()) < 0.02
    assert abs(framed.glasses.mean() - (1 - 0.82 * 0.8)) < 0.04 and (framed.glasses >= plain.glasses).all()


def test_backdrops_are_empty_or_cluttered_in_their_shares() -> None:
    style = WIDE.backed(parameters.style(SEEDS))
    empty = (style.backdrop[0] == style.backdrop[1]).all(1).flatten()
    assert abs(empty.float().mean() - 0.35) < 0.04 and (style.backdrop_kind.flatten()[empty] == 0).all()
    assert abs((style.backdrop_kind == BOXES).float().mean() - 0.2) < 0.04
    few = SEEDS[:12]
    faces = render(parameters.geometry(few), WIDE.backed(parameters.style(few)), 64)
    shown = [face[:, parts == 0] for face, parts in zip(faces.image, faces.parts, strict=True)]
    spread = torch.stack([(x.quantile(0.8, 1) - x.quantile(0.2, 1)).mean() for x in shown])
    assert spread[empty[:12]].max() < 0.1 < spread[style.backdrop_kind.flatten()[:12] == BOXES].min()


def test_the_narrow_variety_changes_nothing() -> None:
    few = SEEDS[:4]
    geometry, style = parameters.geometry(few), parameters.style(few)
    framed, backed = VARIETIES["narrow"].framed(geometry, few), VARIETIES["narrow"].backed(style)
    assert torch.equal(render(framed, backed, 64).image, render(geometry, style, 64).image)


def test_the_exemplar_along_the_exact_flow_looks_like_the_answer() -> None:
    pairs = draw_pairs("test", range(12), 64, variety="wide")
    warped = F.grid_sample(pairs.exemplar, pairs.place.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)
    seen = (pairs.visible & pairs.head)[:, None]
    off, apart = (((image - pairs.answer).square() * seen).sum() for image in (warped, pairs.exemplar))
    assert off < 0.3 * apart


def test_another_variety_is_refused() -> None:
    for make in (lambda: Portraits(variety="wild"), lambda: draw_pairs("test", [0], 64, variety="wild")):
        with pytest.raises(ValueError, match="variety must be one of narrow, wide, got 'wild'"):
            make()
