"""Losses on colours, against all pairs of cells spelled out."""

from __future__ import annotations

import torch
from torch import Tensor

from midms.matching.matchers.correlation import Correlation
from midms.matching.matches.factored import FactoredMatch
from midms.training.losses import matching as losses


def made(dtype: torch.dtype = torch.float64) -> tuple[FactoredMatch, Tensor, Tensor]:
    """A match of 3 x 4 cells to 5 x 2, an exemplar of five colours, and a target, one of whose halves has them."""
    g = torch.Generator().manual_seed(0)
    query, key = (torch.randn(2, 6, *grid, generator=g, dtype=dtype) for grid in ((3, 4), (5, 2)))
    colours = torch.rand(2, 3, 5, 1, generator=g, dtype=dtype) * 2 - 1
    target = torch.rand(2, 3, 12, 16, generator=g, dtype=dtype) * 2 - 1
    target[..., :8] = colours[:, :, :2].repeat_interleave(6, 2).expand(-1, -1, -1, 8)
    return Correlation(0.3)(query.requires_grad_(), key), colours.repeat_interleave(4, 2).expand(-1, -1, -1, 8), target


def cells(picture: Tensor, grid: tuple[int, int]) -> Tensor:
    return torch.nn.functional.adaptive_avg_pool2d(picture, grid).flatten(2)


def test_palette_is_the_likelihood_of_the_target_s_colour() -> None:
    match, exemplar, target = made()
    there, here = cells(exemplar, (5, 2)), cells(target, (3, 4))
    q, k = match.query.flatten(2), match.key.flatten(2)
    share = (torch.einsum("bdn,bdm->bnm", q, k) / 0.3).softmax(2)
    far = (here[..., None] - there[..., None, :]).square().sum(1)
    right = (share * torch.exp(-far / (2 * 0.15**2))).sum(2)
    expected = -(right + 0.01).log().mean()
    found = losses.palette(match, exemplar, target)
    torch.testing.assert_close(found, expected)
    (slope,) = torch.autograd.grad(found, match.query, retain_graph=True)
    (wanted,) = torch.autograd.grad(expected, match.query)
    torch.testing.assert_close(slope, wanted)
    single = [x.detach().float() for x in (match.query, match.key, exemplar, target)]
    torch.testing.assert_close(
        losses.palette(Correlation(0.3)(*single[:2]), *single[2:]).double(), found, rtol=1e-5, atol=0
    )


def test_palette_teaches_nothing_of_colours_that_are_not_there() -> None:
    match, exemplar, target = made()
    loss = losses.palette(match, exemplar.clamp(max=-0.5), torch.full_like(target, 0.9))
    assert abs(loss.item() + torch.tensor(0.01).log().item()) < 1e-6
    (slope,) = torch.autograd.grad(loss, match.query)
    assert slope.abs().max() < 1e-6


def test_colours_are_right_where_they_are_near_in_each_channel() -> None:
    match, exemplar, target = made()
    target = torch.nn.functional.interpolate(
        match.apply(cells(exemplar, (5, 2)).unflatten(2, (5, 2))), (12, 16)
    ).detach()
    target[..., ::2, :8] += 0.5
    share = (torch.einsum("bdn,bdm->bnm", match.query.flatten(2), match.key.flatten(2)) / 0.3).softmax(2)
    warp = torch.einsum("bnm,bcm->bcn", share, cells(exemplar, (5, 2)))
    expected = ((warp - cells(target, (3, 4))).abs() < 0.2).all(1)
    found = losses.right_colours(match, exemplar, target)
    assert torch.equal(found.flatten(1), expected) and found.any() and not found.all()
