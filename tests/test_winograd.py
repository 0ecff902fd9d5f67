"""Winograd's convolution: the usual one's numbers, whatever the size and the padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from midms.networks.winograd import WinogradConv2d, use_winograd


def made(**options: Any) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(5, 7, 3, **options).double()


@pytest.mark.parametrize("size", [(16, 16), (17, 30), (13, 65), (200, 9)])
@pytest.mark.parametrize(
    "options",
    [{"padding": 1}, {"padding": 1, "padding_mode": "reflect"}, {"padding": 0}, {"padding": 1, "bias": False}],
    ids=["zeros", "reflect", "none", "no bias"],
)
@torch.no_grad()
def test_it_is_the_convolution(size: tuple[int, int], options: dict[str, Any]) -> None:
    layer, x = made(**options), torch.randn(3, 5, *size, dtype=torch.float64)
    expected = layer(x)
    use_winograd(nn.Sequential(layer))
    found = layer(x.contiguous(memory_format=torch.channels_last))
    assert isinstance(layer, WinogradConv2d) and layer.transformed is not None, "it was taken"
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_single_precision_rounds_a_little_more() -> None:
    layer, x = nn.Conv2d(64, 64, 3, padding=1), torch.randn(1, 64, 32, 48)
    exact = nn.functional.conv2d(x.double(), layer.weight.double(), layer.bias.double(), padding=1)  # type: ignore[union-attr]
    usual = (layer(x) - exact).square().mean().sqrt()
    use_winograd(layer)
    off = (layer(x) - exact).square().mean().sqrt()
    assert usual < off < 30 * usual and off < 1e-5 * exact.std()


def test_what_it_leaves_alone() -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 3, stride=2), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, groups=2), made())
    layer = made(padding=1)
    use_winograd(network, layer)
    assert [isinstance(layer, WinogradConv2d) for layer in network] == [False, False, False, True]
    x = torch.randn(1, 5, 24, 24, dtype=torch.float64, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None and layer.transformed is None, "gradients take the usual way"
    with torch.no_grad():
        assert torch.equal(layer(x[..., :8, :8]), made(padding=1)(x[..., :8, :8])), "and so do small grids"
        layer(x)
    assert list(layer.state_dict()) == ["weight", "bias"]


@torch.no_grad()
def test_weights_that_change_are_transformed_again() -> None:
    layer, x = made(padding=1), torch.randn(1, 5, 24, 24, dtype=torch.float64)
    use_winograd(layer)
    before = layer(x)
    layer.load_state_dict({name: 2 * value for name, value in layer.state_dict().items()})
    torch.testing.assert_close(layer(x), 2 * before)
    torch.testing.assert_close(layer.float()(x.float()), (2 * before).float(), rtol=1e-4, atol=1e-4)
