"""Finishers: from a result of the size that a method computes to what a person gets, with the drawing at hand."""

from __future__ import annotations

from midms.registry import Registry

FINISHERS = Registry("finisher", "midms.finishers")
FINISHERS.row(
    "composite",
    "midms.images.finishers.composite:Composite",
    "flat regions in the drawing's own resolution, its lines untouched on top",
)
FINISHERS.row("tiles", "midms.images.finishers.tiles:Tiles", "several times as large, detail from overlapping tiles")
