"""Conditions: from what a person draws or photographs to a map in [0, 1]."""

from __future__ import annotations

from midms.registry import Registry

CONDITIONS = Registry("condition", "midms.conditions")
CONDITIONS.row("sketch", "midms.conditions.sketch:Sketch", "a drawing as it comes, to strokes and the distance to them")
CONDITIONS.row("edges", "midms.conditions.edges:Edges", "colour edges of a photo (Sobel) and the distance to them")
