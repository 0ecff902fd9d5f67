"""The match as a few operations, each with several implementations. Importing this imports no Triton."""

from midms.matching.kernels.dispatch import IMPLEMENTATIONS, PRECISIONS, Backend, NoImplementation, Precision, explain
from midms.matching.kernels.ops import (
    check,
    couple,
    couple_both,
    logsumexp,
    logsumexp_both,
    mutual_nearest,
    prepare,
    statistics,
    top_k,
)
from midms.matching.kernels.records import STATISTICS, Carried, Nearest

__all__ = [
    "IMPLEMENTATIONS",
    "PRECISIONS",
    "STATISTICS",
    "Backend",
    "Carried",
    "Nearest",
    "NoImplementation",
    "Precision",
    "check",
    "couple",
    "couple_both",
    "explain",
    "logsumexp",
    "logsumexp_both",
    "mutual_nearest",
    "prepare",
    "statistics",
    "top_k",
]
