"""Micro-benchmarks of the kernels' operations: `python -m pytest benchmarks/kernels/test_kernels.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.kernels.peers import SCALE
from benchmarks.measure import inputs
from midms.core.normalize import l2_normalize
from midms.matching.kernels import IMPLEMENTATIONS, attend, attend_both, logsumexp_both, mutual_nearest, top_k
from midms.matching.kernels.dispatch import unsupported
from midms.matching.matches.factored import tokens

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
OPERATIONS: dict[str, Callable[[Tensor, Tensor, Tensor, str], object]] = {
    "attend": lambda q, k, v, backend: attend(q, k, v, None, SCALE, 0.0, backend),
    "attend_both": lambda q, k, v, backend: attend_both(q, k, v, v, None, None, SCALE, 0.0, backend),
    "logsumexp_both": lambda q, k, v, backend: logsumexp_both(q, k, None, None, 20.0, None, backend),
    "top_k": lambda q, k, v, backend: top_k(q, k, 4, backend),
    "mutual_nearest": lambda q, k, v, backend: mutual_nearest(q, k, backend),
}


@pytest.mark.parametrize("backend", IMPLEMENTATIONS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation(benchmark: Any, operation: str, backend: str) -> None:
    """A grid of 32 x 32 cells, 256 channels, 20 values."""
    x = inputs("smooth", 32, device=DEVICE)
    q, k, v = tokens(l2_normalize(x.q)), tokens(l2_normalize(x.k)), tokens(x.values)
    asked = "attend_both" if operation == "logsumexp_both" else operation
    if reasons := unsupported(backend, asked, q, k, v):
        pytest.skip("; ".join(reasons))
    benchmark(OPERATIONS[operation], q, k, v, backend)
