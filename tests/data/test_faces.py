"""The portraits' truth: correspondence against brute force and against the pictures themselves, seeds, splits."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from midms.data.portraits import parameters, surface
from midms.data.portraits.hand import STEADY, UNSTEADY, sketch
from midms.data.portraits.pairs import ID, PORTRAIT_PARTS, draw_pairs, exact_flow, render, turns


def faces(geometry, style, size=64):
    return render(parameters.geometry(geometry), parameters.style(style), size)


def test_a_seed_gives_the_same_face_in_any_batch():
    together, alone = faces([3, 4, 5], [7, 8, 9]), faces([4], [8])
    torch.testing.assert_close(together.image[1:2], alone.image, atol=1e-5, rtol=0)
    assert torch.equal(together.parts[1:2], alone.parts)


def test_geometry_and_style_are_independent():
    one, other = faces([3, 3], [7, 8]).parts, faces([3, 4], [7, 7])
    bald = parameters.style([7, 8]).bald.flatten()
    assert bald[0] == bald[1]
    assert (one[0] == one[1]).float().mean() > 0.97  # a style has its own frayed hair
    assert (other.parts[0] == other.parts[1]).float().mean() < 0.97


@pytest.mark.parametrize("size", [64, 128, 256])
def test_every_size_shows_the_same_face(size):
    small, large = faces([11], [12], 64), faces([11], [12], size)
    shrunk = F.interpolate(large.image, (64, 64), mode="area")
    assert (shrunk - small.image).abs().mean() < 0.05
    assert large.parts.shape == (1, size, size)


@pytest.mark.parametrize("size", [32, 300])
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match=f"size must be a whole number from 64 to 256, got {size}"):
        faces([0], [0], size)


def test_a_face_has_its_parts():
    parts = faces(range(16), range(16)).parts
    for name in (
        "background",
        "skin",
        "left_eye",
        "right_eye",
        "nose",
        "upper_lip",
        "lower_lip",
        "neck",
        "cloth",
        "hair",
    ):
        assert (parts == ID[name]).any(), name
    assert parts.max() < len(PORTRAIT_PARTS)


def test_a_face_flows_to_itself():
    face, geometry = faces([5, 6], [5, 6]), parameters.geometry([5, 6])
    place, visible = exact_flow(geometry, face.parts, geometry, face.parts)
    x, y = surface.pixels(64)
    here = torch.stack([x, -y], 1).expand(2, -1, -1, -1)
    assert visible.float().mean() > 0.99
    assert ((place - here).abs().amax(1) * visible).max() < 2e-3


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.floats(-0.5, 0.5), st.floats(-0.9, 0.5))
def test_surface_and_projection_are_inverse(seed, x, y):
    geometry = parameters.geometry([seed])
    X, Y = torch.full((1, 1, 1), x), torch.full((1, 1, 1), y)
    point = surface.surface(geometry, X, Y)
    if point.rim.item() > 1e-3:
        back = torch.stack(surface.project(geometry, point.u, point.v)[:2])
        torch.testing.assert_close(back, torch.stack([X, Y]), atol=1e-3, rtol=0)


def test_flow_agrees_with_a_brute_force_search_of_canonical_coordinates():
    """On plain skin between the landmarks' knots the stretched (longitude, latitude) must agree at both ends."""
    target, source = parameters.geometry([1]), parameters.geometry([2])
    b, a = render(target, parameters.style([3]), 128), render(source, parameters.style([3]), 128)
    place, visible = exact_flow(target, b.parts, source, a.parts)
    rows, columns = torch.nonzero((b.parts[0] == ID["skin"]) & visible[0], as_tuple=True)
    chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:200]
    rows, columns = rows[chosen], columns[chosen]
    u, v = surface.transfer("skin", target, source, *b.canonical[:, :, rows, columns].transpose(0, 1)[:, :, None])
    wanted = torch.stack([u.flatten(), v.flatten()], 1)
    skin = a.parts[0] == ID["skin"]
    points = a.canonical[0, :, skin].T
    nearest = torch.cdist(wanted, points).argmin(1)
    where = torch.nonzero(skin)[nearest].flip(1)
    found = ((place[0, :, rows, columns].T + 1) / 2 * 128 - 0.5 - where).norm(dim=1)
    assert found.median() < 0.75
    assert found.quantile(0.95) < 2.5


def test_the_exemplar_warped_along_the_exact_flow_looks_like_the_answer():
    pairs = draw_pairs("test", range(8), 64)
    warped = F.grid_sample(pairs.exemplar, pairs.place.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)
    seen = (pairs.visible & pairs.head)[:, None]
    error = ((warped - pairs.answer).pow(2) * seen).sum() / (3 * seen.sum())
    copied = ((pairs.exemplar - pairs.answer).pow(2) * seen).sum() / (3 * seen.sum())
    assert error < 0.6 * copied  # light falls differently on a turned head


def test_splits_are_fixed_and_disjoint():
    again = draw_pairs("test", [0], 64), draw_pairs("test", [0], 64)
    assert torch.equal(again[0].sketch, again[1].sketch)
    assert torch.equal(again[0].answer, again[1].answer)
    assert not torch.equal(draw_pairs("train", [0], 64).answer, again[0].answer)
    with pytest.raises(ValueError, match="split must be one of train, validation, test, hard, got 'best'"):
        draw_pairs("best", [0], 64)
    with pytest.raises(ValueError, match="numbered 0 to"):
        draw_pairs("test", [-1], 64)


def test_the_hard_split_is_turned_further():
    easy, hard = draw_pairs("test", range(16), 64), draw_pairs("hard", range(16), 64)
    share = [((p.visible & p.head).sum() / p.head.sum()).item() for p in (easy, hard)]
    assert share[1] < share[0] - 0.1
    near, far = turns("test", range(16)), turns("hard", range(16))
    assert torch.all(far > 40) and torch.all(far < 86) and near.min() < 10 and torch.all(near < 64)


def test_turns_are_those_of_the_pairs_drawn():
    """Where the heads are turned alike the nose lies alike; else it moves with the turn."""
    angle, pairs = turns("test", range(24)), draw_pairs("test", range(24), 64)
    nose = pairs.parts == PORTRAIT_PARTS.index("nose")
    own = torch.linspace(-1, 1, 64).expand(24, 64, 64)
    moved = torch.stack([(pairs.place[i, 0] - own[i])[nose[i]].mean().abs() for i in range(24)])
    assert torch.corrcoef(torch.stack([angle, moved]))[0, 1] > 0.8


def test_a_hand_draws_the_borders():
    face = faces([2], [2])
    steady = sketch(face.fine_parts, STEADY, torch.Generator().manual_seed(0))
    unsteady = sketch(face.fine_parts, UNSTEADY, torch.Generator().manual_seed(0))
    border = torch.zeros_like(steady, dtype=torch.bool)
    border[..., :-1] |= face.fine_parts[:, None, :, 1:] != face.fine_parts[:, None, :, :-1]
    near = F.max_pool2d(border.float(), 7, 1, 3) > 0
    assert steady.unique().tolist() == [0.0, 1.0]
    assert (near & (steady > 0)).sum() / (steady > 0).sum() > 0.97
    assert (near & (unsteady > 0)).sum() / (unsteady > 0).sum() < 0.97
