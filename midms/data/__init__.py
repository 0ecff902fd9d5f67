"""Data sets: pairs of a condition and an exemplar, with what is known of the target, by index."""

from __future__ import annotations

from midms.registry import Registry

DATASETS = Registry("dataset", "midms.datasets")
DATASETS.row(
    "portraits",
    "midms.data.portraits.dataset:Portraits",
    "computer-drawn faces whose correspondence is known exactly",
)
