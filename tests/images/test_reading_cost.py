"""Reading takes work in proportion to the pixels, and gives the bits of the plain formulations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from midms.conditions.canny import _connected, canny
from midms.conditions.sketch import Sketch, _quantiles, ink, thin
from midms.conditions.strokes import distance_transform, edges, max_filter


class Work(TorchDispatchMode):
    """Counts what is written by PyTorch's operations; of a pool or convolution, what is read for it."""

    done = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        first = found[0] if isinstance(found, tuple | list) and found else found
        if isinstance(first, Tensor) and not func.is_view:
            window = math.prod(args[1]) if "max_pool" in str(func) else 1
            window = math.prod(args[1].shape[2:]) if "convolution" in str(func) else window
            self.done += window * first.numel()
        return found


def drawing(height: int, width: int) -> Tensor:
    """A thick ring, a filled disc and a thin line on grainy paper."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    radius = (x.square() + y.square()).sqrt()
    lines = (radius - 0.7).abs().lt(0.05) | ((x - 0.2).square() + y.square() < 0.15) | (x + y / 3).abs().lt(0.01)
    grain = 0.02 * torch.randn(height, width, generator=torch.Generator().manual_seed(0))
    return (0.9 + grain - 1.6 * lines.float()).clamp(-1, 1).expand(1, 3, height, width)


def serpentine(side: int) -> Tensor:
    """One chain of pixels through the whole picture."""
    mask = torch.zeros(1, 1, side, side, dtype=torch.bool)
    mask[..., ::2, :] = True
    mask[..., 1::4, -1] = mask[..., 3::4, 0] = True
    return mask


def follow(side: int) -> Tensor:
    start = torch.zeros(1, 1, side, side, dtype=torch.bool)
    start[..., 0, 0] = True
    return _connected(serpentine(side), start)


@pytest.mark.parametrize(
    "read",
    [
        lambda side: Sketch().drawing(drawing(side, side), (side, side)),
        lambda side: Sketch().drawing(drawing(side // 2, side * 2), (side // 2, side * 2)),
        lambda side: Sketch().photo(drawing(4 * side, 4 * side)),
        lambda side: canny(drawing(side, side)[:, :1]),
        follow,
    ],
    ids=["drawing", "wide drawing", "photo", "canny", "chain"],
)
def test_work_is_in_proportion_to_the_pixels(read: Callable[[int], Tensor], unchecked: None) -> None:
    work = []
    for side in (128, 256):
        with Work() as counted:
            read(side)
        work.append(counted.done / side**2)
    assert work[1] / work[0] < 1.3


@pytest.mark.parametrize("shape", [(96, 96), (40, 150), (130, 60)])
def test_strokes_are_those_of_the_plain_formulation(shape: tuple[int, int]) -> None:
    found = ink(drawing(*shape), (2 * shape[0], 2 * shape[1]))
    pen = max(1, round(max(found.shape[-2:]) / 128))
    depth = plain_distance(found <= 0.2, 6 * pen) * (6 * pen)
    middle = depth >= F.max_pool2d(depth, 4 * pen + 1, 1, 2 * pen) - pen
    filled = plain_distance(depth >= 6 * pen, 7 * pen) < 1
    assert filled.any() and not middle.all()
    assert torch.equal(thin(found), torch.where(torch.where(filled, depth <= 2 * pen, middle), found, 0))


def plain_distance(mask: Tensor, radius: int) -> Tensor:
    """The minimum over all shifts within the radius, along columns and then along rows."""
    squared = torch.where(mask, 0.0, float(radius**2))
    for dim in (-2, -1):
        shifts = []
        for shift in range(-radius + 1, radius):
            pad = [0, 0, radius, radius] if dim == -2 else [radius, radius, 0, 0]
            far = F.pad(squared, pad, value=float(radius**2))
            shifts.append(far.narrow(dim, radius + shift, squared.shape[dim]) + shift**2)
        squared = torch.stack(shifts).amin(0).clamp(max=radius**2)
    return squared.sqrt() / radius


@pytest.mark.parametrize("shape", [(1, 1), (20, 33), (64, 16)])
def test_distance_and_maximum_are_the_plain_ones_to_the_bit(shape: tuple[int, int]) -> None:
    values = torch.rand(2, 1, *shape, generator=torch.Generator().manual_seed(0))
    for radius in (1, 3, 9):
        assert torch.equal(distance_transform(values < 0.04, radius), plain_distance(values < 0.04, radius))
        assert torch.equal(max_filter(values, radius), F.max_pool2d(values, 2 * radius + 1, 1, radius))


@pytest.mark.parametrize("count", [1, 2, 1000, 40_001])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_quantiles_are_torchs_to_the_bit(count: int, dtype: torch.dtype) -> None:
    values = torch.rand(3, count, generator=torch.Generator().manual_seed(count), dtype=dtype)
    low, high = _quantiles(values.clone(), 0.4, 0.995)
    assert torch.equal(low, values.quantile(0.4, 1, keepdim=True))
    assert torch.equal(high, values.quantile(0.995, 1, keepdim=True))


def test_a_chain_is_followed_to_its_end_and_no_further() -> None:
    chain = serpentine(40)
    chain[..., 20, 7] = False
    found = _connected(chain, torch.zeros_like(chain).index_fill(2, torch.tensor([0]), True) & chain)
    assert found[..., :20, :].equal(chain[..., :20, :]) and found[0, 0, 20, :7].all()
    assert not found[0, 0, 20, 7:].any() and not found[..., 21:, :].any()
    assert not _connected(chain, torch.zeros_like(chain)).any()


def test_a_photos_edges_are_those_of_its_reduction() -> None:
    photo = F.interpolate(
        torch.rand(1, 3, 9, 12, generator=torch.Generator().manual_seed(0)), (768, 1024), mode="bicubic"
    )
    photo = 2 * photo.clamp(0, 1) - 1
    small = edges(F.interpolate(photo, (384, 512), mode="area"))
    found = F.interpolate(edges(photo), (384, 512), mode="area")
    assert (found - small).abs().mean() < 0.01 < small.std()
