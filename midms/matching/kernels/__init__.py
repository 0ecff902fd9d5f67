"""The match as a few operations, each with several implementations. Importing this imports no Triton."""

from midms.matching.kernels.dispatch import IMPLEMENTATIONS, PRECISIONS, Backend, NoImplementation, Precision
from midms.matching.kernels.ops import (
    attend,
    attend_both,
    cycle,
    logsumexp,
    logsumexp_both,
    mutual_nearest,
    statistics,
    top_k,
)
from midms.matching.kernels.records import STATISTICS, Attended, NearestCells

__all__ = [
    "IMPLEMENTATIONS",
    "PRECISIONS",
    "STATISTICS",
    "Attended",
    "Backend",
    "NearestCells",
    "NoImplementation",
    "Precision",
    "attend",
    "attend_both",
    "cycle",
    "logsumexp",
    "logsumexp_both",
    "mutual_nearest",
    "statistics",
    "top_k",
]
