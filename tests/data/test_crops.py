"""Crops and warps: what a picture and its map show is the same, and the flow of a warp is where things are."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from midms.data.crops import MARGIN, Cropping
from midms.data.warp import Warp, known_flow, warped


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32))
def test_a_warp_is_undone_by_its_closed_form_and_folds_nowhere(seed: int) -> None:
    warp = Warp.drawn(seeded(seed))
    line = torch.linspace(-1.5, 1.5, 31, dtype=torch.float64)
    places = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
    moved = warp.ahead(places)
    assert torch.allclose(warp.back(moved), places, atol=1e-12)
    across, down = moved[1:-1, 2:] - moved[1:-1, :-2], moved[2:, 1:-1] - moved[:-2, 1:-1]
    area = across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]
    assert (area > 0).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.tuples(st.integers(40, 90), st.integers(40, 90)))
def test_the_flow_of_a_warp_is_exact(seed: int, shape: tuple[int, int]) -> None:
    """A picture of plane waves, whose value is known everywhere: the exemplar has at the flow what the target has."""
    generator = seeded(seed)
    crop = Cropping(32)(shape, generator)
    warp = Warp.drawn(generator)
    height, width = crop.whole
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")

    def colours(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.sin(x / 9), torch.cos(y / 8), torch.sin((x + y) / 11)])[None]

    whole = colours(x, y)
    exemplar, (flow, visible) = warped(whole, crop, warp, "bilinear"), known_flow(crop, warp)
    found = torch.nn.functional.grid_sample(exemplar, flow.permute(0, 2, 3, 1), align_corners=False)
    off = (found - crop.cut(whole)).abs() * visible
    assert off.max() < 0.09 and off.mean() < 0.01  # bilinear twice, and at the picture's edge with its mirror
    assert visible.float().mean() > 0.3
    assert tuple(flow.shape) == (1, 2, 32, 32) and flow.dtype == torch.float32


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.tuples(st.integers(16, 60), st.integers(16, 60)), st.booleans())
def test_a_random_crop_lies_in_the_picture(seed: int, shape: tuple[int, int], squeezed: bool) -> None:
    crop = Cropping(16, squeezed=squeezed)(shape, seeded(seed))
    (height, width), (top, left) = crop.whole, crop.corner
    assert 0 <= top <= height - 16 and 0 <= left <= width - 16
    assert min(height, width) == round(16 * MARGIN)
    assert height == width or (not squeezed and math.isclose(height / width, shape[0] / shape[1], rel_tol=0.06))
    places = torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width)
    cut = crop.cut(crop.turned(places))
    assert torch.equal(cut, (places.flip(-1) if crop.mirrored else places)[..., top : top + 16, left : left + 16])


def test_random_crops_reach_every_corner_and_half_are_mirrored() -> None:
    generator = seeded(0)
    crops = [Cropping(16)((24, 32), generator) for _ in range(400)]
    whole = crops[0].whole
    assert whole == (18, 24)
    assert {crop.corner for crop in crops} == {(down, across) for down in range(3) for across in range(9)}
    assert abs(sum(crop.mirrored for crop in crops) - 200) < 50
    assert not any(Cropping(16, flip=False)((24, 32), generator).mirrored for _ in range(20))


def test_the_crop_that_is_not_random_is_the_middle() -> None:
    crop = Cropping(16)((24, 32))
    assert crop.whole == (16, 21) and crop.corner == (0, 2) and not crop.mirrored
    assert Cropping(16, squeezed=True)((24, 32)).whole == (16, 16)
