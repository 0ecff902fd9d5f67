"""Winograd's convolution: the usual one's numbers, whatever the size and the padding."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from midms.diffusion.winograd import WinogradConv2d, use_winograd


class Convolutions(TorchFunctionMode):
    """Counts the convolutions that are PyTorch's own."""

    count = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function is nn.functional.conv2d
        return function(*args, **kwargs or {})


def made(channels: int = 64, outputs: int = 256, **options: Any) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(channels, outputs, 3, **{"padding": 1} | options).double()


def grid(*size: int, channels: int = 64) -> Tensor:
    return torch.randn(size[0], channels, *size[1:], dtype=torch.float64)


def tiled(layer: nn.Module, x: Tensor) -> bool:
    """Whether a layer computes without PyTorch's convolution."""
    with Convolutions() as usual:
        layer(x)
    return usual.count == 0


FOUR, TWO = [(1, 40, 33), (3, 13, 65), (5, 24, 21), (1, 9, 600), (16, 5, 7)], [(1, 18, 18), (1, 33, 10), (15, 6, 7)]
"""Batches and sizes that tiles of 4 x 4 and 2 x 2 are for."""
OPTIONS: list[dict[str, Any]] = [{}, {"padding": 0}, {"bias": False}, {"padding_mode": "reflect"}]


@pytest.mark.parametrize("size", FOUR + TWO, ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@torch.no_grad()
def test_it_is_the_convolution(size: tuple[int, int, int], options: dict[str, Any]) -> None:
    layer, x = made(**options), grid(*size)
    expected = layer(x)
    use_winograd(nn.Sequential(layer))
    assert isinstance(layer, WinogradConv2d) and tiled(layer, x)
    for order in (torch.contiguous_format, torch.channels_last):
        torch.testing.assert_close(layer(x.contiguous(memory_format=order)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 8, 8), (1, 1, 1), (2, 5, 3), (1, 1, 100)], ids=str)
@torch.no_grad()
def test_the_smallest_grids(size: tuple[int, int, int]) -> None:
    layer, x = made(512, 544), grid(*size, channels=512)
    expected = layer(x)
    use_winograd(layer)
    assert tiled(layer, x)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("channels", "side", "worst"), [(128, 48, 15), (128, 16, 3), (512, 8, 1.5)])
@torch.no_grad()
def test_how_single_precision_rounds(channels: int, side: int, worst: float) -> None:
    layer, x = nn.Conv2d(channels, channels, 3, padding=1), torch.randn(1, channels, side, side)
    exact = copy.deepcopy(layer).double()(x.double())
    usual = (layer(x) - exact).square().mean().sqrt()
    use_winograd(layer)
    off = (layer(x) - exact).square().mean().sqrt()
    assert 0 < off < worst * usual and off < 5e-6 * exact.std()


def test_what_it_leaves_alone() -> None:
    others = [nn.Conv2d(4, 4, 3, stride=2), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, groups=2), nn.Conv2d(4, 4, 3)]
    nn.utils.parametrizations.spectral_norm(others[-1])
    kinds = [type(other) for other in others]
    use_winograd(*others)
    assert [type(other) for other in others] == kinds
    layer, narrow, x = made(), made(8, 8), grid(1, 24, 24)
    use_winograd(layer, narrow)
    wanted = x.clone().requires_grad_()
    layer(wanted).sum().backward()
    assert wanted.grad is not None and layer.weight.grad is not None, "gradients take the usual way"
    with torch.no_grad():
        assert tiled(layer, x) and not tiled(layer, x[..., :8, :8]), "and so do small grids of few channels"
        assert not tiled(narrow, x[:, :8])
        assert not tiled(layer, grid(64, 24, 24)[:, :, 0]), "a picture that is no batch"
        assert not tiled(layer.bfloat16(), x.bfloat16()), "and half precision"
    assert list(layer.state_dict()) == ["weight", "bias"]


@pytest.mark.parametrize("size", [(1, 0, 8, 8), (1, 65, 24, 24), (1, 128, 24, 24)], ids=str)
@torch.no_grad()
def test_what_does_not_fit_is_told_as_ever(size: tuple[int, ...]) -> None:
    layer = made()
    use_winograd(layer)
    with pytest.raises(RuntimeError, match="to have 64 channels"):
        layer(torch.randn(size, dtype=torch.float64))


@torch.no_grad()
def test_weights_that_change_are_transformed_again() -> None:
    layer, x = made(), grid(1, 24, 24)
    use_winograd(layer)
    before = layer(x)
    layer.load_state_dict({name: 2 * value for name, value in layer.state_dict().items()})
    torch.testing.assert_close(layer(x), 2 * before)
    layer.load_state_dict({name: 2 * value for name, value in layer.state_dict().items()}, assign=True)
    torch.testing.assert_close(layer(x), 4 * before)
    for parameter in layer.parameters():
        parameter.div_(4)
    torch.testing.assert_close(layer(x), before)
    torch.testing.assert_close(layer.float()(x.float()), before.float(), rtol=1e-4, atol=1e-4)
    layer.double()
    layer.weight = nn.Parameter(2 * layer.weight)
    torch.testing.assert_close(layer(x), nn.functional.conv2d(x, layer.weight, layer.bias, padding=1))


@torch.no_grad()
def test_one_layer_on_grids_of_many_sizes() -> None:
    layer, plain = made(512, 512), made(512, 512)
    use_winograd(layer)
    for size in ((1, 8, 8), (1, 16, 16), (1, 32, 32), (1, 8, 8)):
        x = grid(*size, channels=512)
        torch.testing.assert_close(layer(x), plain(x), rtol=0, atol=1e-12)


@torch.no_grad()
def test_copies_and_files_hold_the_weights_alone() -> None:
    layer, x = made(), grid(1, 24, 24)
    use_winograd(layer)
    before, files = io.BytesIO(), io.BytesIO()
    torch.save(layer, before)
    expected = layer(x)
    torch.save(layer, files)
    assert files.tell() < before.tell() + 1000
    files.seek(0)
    for other in (copy.deepcopy(layer), torch.load(files, weights_only=False)):
        torch.testing.assert_close(other(x), expected)
        other.weight.mul_(2)
        torch.testing.assert_close(layer(x), expected)
        assert not torch.allclose(other(x), expected)


def test_weights_of_inference_mode() -> None:
    with torch.inference_mode():
        layer, x = made(), grid(1, 24, 24)
        expected = layer(x)
        use_winograd(layer)
        assert tiled(layer, x)
        torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)
