"""Micro-benchmarks of the kernels' operations: `python -m pytest benchmarks/test_kernels.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.measure import inputs
from benchmarks.peers import SCALE
from midms.core.normalize import l2_normalize
from midms.matching.kernels import IMPLEMENTATIONS, couple, couple_both, logsumexp_both, mutual_nearest, top_k
from midms.matching.kernels.dispatch import objections
from midms.matching.matches.factored import tokens

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
OPERATIONS: dict[str, Callable[[Tensor, Tensor, Tensor, str], object]] = {
    "couple": lambda q, k, v, via: couple(q, k, v, None, SCALE, 0.0, via),
    "couple_both": lambda q, k, v, via: couple_both(q, k, v, v, None, None, SCALE, 0.0, via),
    "logsumexp_both": lambda q, k, v, via: logsumexp_both(q, k, None, None, 20.0, None, via),
    "top_k": lambda q, k, v, via: top_k(q, k, 4, via),
    "mutual_nearest": lambda q, k, v, via: mutual_nearest(q, k, via),
}


@pytest.mark.parametrize("via", IMPLEMENTATIONS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation(benchmark: Any, operation: str, via: str) -> None:
    """A grid of 32 x 32 cells, 256 channels, 20 values."""
    x = inputs("smooth", 32, device=DEVICE)
    q, k, v = tokens(l2_normalize(x.q)), tokens(l2_normalize(x.k)), tokens(x.values)
    asked = "couple_both" if operation == "logsumexp_both" else operation
    if reasons := objections(via, asked, q, k, v):
        pytest.skip("; ".join(reasons))
    benchmark(OPERATIONS[operation], q, k, v, via)
