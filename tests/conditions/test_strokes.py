"""Distance against scipy's exact transform; edges against what a step edge must look like."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from midms.conditions.strokes import distance_transform, edges, line_map


def exact(mask: np.ndarray, radius: int) -> np.ndarray:
    distance = distance_transform_edt(~mask) if mask.any() else np.full(mask.shape, np.inf)
    return np.minimum(distance, radius) / radius


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    radius=st.integers(1, 50),
    share=st.sampled_from([0.0, 0.004, 0.03, 0.3, 1.0]),
    seed=st.integers(0, 10_000),
)
def test_distance_is_scipys(height: int, width: int, radius: int, share: float, seed: int) -> None:
    mask = torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(seed)) < share
    ours = distance_transform(mask, radius)
    for row in range(2):
        np.testing.assert_allclose(ours[row, 0].numpy(), exact(mask[row, 0].numpy(), radius), atol=1e-6)


def test_distance_without_strokes_is_one_everywhere() -> None:
    mask = torch.zeros(2, 1, 16, 24, dtype=torch.bool)
    mask[1, 0, 3, 4] = True
    distance = distance_transform(mask, 5)
    assert (distance[0] == 1).all()
    assert distance[1, 0, 3, 4] == 0
    assert distance[1, 0, 3, 8] == pytest.approx(0.8)


def test_distance_refuses_a_radius_below_a_pixel() -> None:
    with pytest.raises(ValueError, match="at least 1 pixel, got 0"):
        distance_transform(torch.ones(1, 1, 4, 4, dtype=torch.bool), 0)


def step_edge(size: int) -> torch.Tensor:
    image = torch.full((1, 3, size, size), -0.6)
    image[..., size // 2 :] = 0.6
    return image


def test_an_edge_is_where_the_step_is_and_flat_ground_has_none() -> None:
    found = edges(step_edge(64))[0, 0]
    assert found[:, 31:33].min() > 0.8
    assert found[:, :28].abs().max() < 1e-4
    assert found.min() >= 0 and found.max() <= 1


@pytest.mark.parametrize("colour", [0, 1, 2])
def test_an_edge_of_one_colour_counts_like_a_grey_one(colour: int) -> None:
    grey = step_edge(64)
    tinted = torch.zeros_like(grey)
    tinted[:, colour] = grey[:, colour]
    torch.testing.assert_close(edges(tinted), edges(grey), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [48, 128, 256])
def test_edges_look_alike_at_any_resolution(size: int) -> None:
    rough = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(0)) * 2 - 1
    at_64, at_size = (
        edges(F.interpolate(rough, (n, n), mode="bicubic", align_corners=False).clamp(-1, 1)) for n in (64, size)
    )
    brought = F.interpolate(at_size, (64, 64), mode="bilinear", antialias=True, align_corners=False)
    assert (brought - at_64).abs().mean() < 0.02
    assert at_64.std() > 0.1


def test_edges_of_one_colour_are_none_and_their_map_is_far_from_all() -> None:
    lines = edges(torch.full((2, 3, 20, 30), 0.3))
    drawn = line_map(lines, 0.35)
    assert drawn.shape == (2, 2, 20, 30)
    assert drawn[:, 0].max() < 1e-4
    assert (drawn[:, 1] == 1).all()
