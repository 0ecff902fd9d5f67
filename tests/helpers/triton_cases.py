"""What the tests of the Triton kernels share."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ROUNDING = {"ieee": 2**-20, "fp16x3": 2**-20, "tf32": 2**-11, "fp16x2k": 2**-11, "fp16": 2**-11, "bf16": 2**-8}
"""Of a unit feature. What comes of a logit is off by as much as the logit, which is scale times larger."""

every_precision = pytest.mark.parametrize("precision", ["ieee", "fp16x3", "fp16x2k", "fp16", "tf32"])


def allowed(precision: str, scale: float) -> float:
    """Relative to the largest of all entries."""
    return (scale / 4 + 2) * ROUNDING[precision]


def operands(seed: int, b: int, n: int, m: int, d: int, c: int, e: int) -> list[Tensor]:
    """q and k of unit length, v, u, row_bias, col_bias; in float64, but float32 holds them."""
    generator = torch.Generator().manual_seed(seed)
    shapes = (b, n, d), (b, m, d), (b, m, c), (b, n, e), (b, n), (b, m)
    q, k, *rest = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    normalize = torch.nn.functional.normalize
    return [x.float().double() for x in (normalize(q, dim=-1), normalize(k, dim=-1), *rest)]
