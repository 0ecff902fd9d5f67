"""Plots by Matplotlib, without its global state: the same numbers give the same bytes."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure as Drawing
from PIL import Image

_STYLE: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "midms", "font.size": 9, "axes.spines.top": False}
_COLUMNS = 3
"""Plots side by side."""


def histograms(figures: Mapping[str, Sequence[float]]) -> Drawing:
    """How the numbers of pairs are spread, a plot for each figure; those that are not finite are left out."""
    rows = max(1, math.ceil(len(figures) / _COLUMNS))
    drawing = Drawing(figsize=(4 * _COLUMNS, 2.4 * rows), layout="constrained")
    for place, (name, numbers) in enumerate(figures.items(), 1):
        axes = drawing.add_subplot(rows, _COLUMNS, place)
        known = [number for number in numbers if math.isfinite(number)]
        axes.hist(known, bins=min(30, max(5, len(known) // 3)), color="#4878a8")
        axes.set_title(name, fontsize=8)
        axes.set_ylabel("pairs" if place % _COLUMNS == 1 else "")
    return drawing


def scatters(
    panels: Mapping[str, Sequence[tuple[float, float]]],
    labels: Sequence[str],
    groups: Sequence[str],
    upwards: str,
) -> Drawing:
    """Labelled points, a panel for each title of the axis across; colours tell groups apart.

    Args:
        panels: title to (x, y) of each point; those that are not finite are left out.
        labels: what stands beside each.
        groups: what each belongs to.
        upwards: title of the y axes.
    """
    drawing = Drawing(figsize=(6.4 * len(panels), 4.8), layout="constrained")
    kinds = [*dict.fromkeys(groups)]
    for place, (across, points) in enumerate(panels.items(), 1):
        axes = drawing.add_subplot(1, len(panels), place)
        for i, kind in enumerate(kinds):
            own = [point for point, group in zip(points, groups, strict=True) if group == kind and finite_point(point)]
            x, y = zip(*own, strict=True) if own else ((), ())
            axes.plot(x, y, "o", label=kind[:32], color=f"C{i % 10}", markersize=4)
        for point, label in zip(points, labels, strict=True):
            if finite_point(point):
                axes.annotate(label, point, (4, 0), textcoords="offset points", va="center", fontsize=8)
        axes.set_xlabel(across)
        axes.set_ylabel(upwards)
        axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return drawing


def finite_point(point: tuple[float, float]) -> bool:
    """Whether a point has a place."""
    return all(map(math.isfinite, point))


def as_svg(drawing: Drawing) -> str:
    """For a page."""
    file = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        drawing.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()[file.getvalue().index("<svg") :]


def as_picture(drawing: Drawing) -> Image.Image:
    """For a file of its own."""
    file = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        drawing.savefig(file, format="png", dpi=100)
    return Image.open(file).convert("RGB")
