"""What the operations refuse, in one line."""

from __future__ import annotations

import pytest
import torch

from midms.matching.kernels import attend, cycle

pytestmark = pytest.mark.usefixtures("unchecked")


def test_operands_of_other_kinds_are_named() -> None:
    q, k, v = torch.rand(1, 3, 2), torch.rand(1, 4, 2), torch.rand(1, 4, 1)
    with pytest.raises(ValueError, match=r"v: expected floating point numbers, got int64 \[1, 4, 1\]"):
        attend(q, k, v.long(), None, 1.0)
    with pytest.raises(ValueError, match="all operands on one device, got cpu and meta"):
        attend(q, k.to("meta"), v, None, 1.0)


@pytest.mark.parametrize(
    ("forward", "backward", "message"),
    [
        ((2, 2, 8, 8), (1, 2, 8, 8), r"backward: expected a map \[b 2 h w\], b as in forward, got .* \[1, 2, 8, 8\]"),
        ((1, 3, 8, 8), (1, 2, 8, 8), r"forward: expected a map .*, got float32 \[1, 3, 8, 8\]"),
        ((1, 2, 8), (1, 2, 8, 8), r"forward: expected a map .*, got float32 \[1, 2, 8\]"),
    ],
)
def test_maps_that_are_none_are_named(forward: tuple[int, ...], backward: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cycle(torch.zeros(forward), torch.zeros(backward), 0.25)
