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
_MARKS = "os^Dv*PX"
_PANEL = (300.0, 260.0)
"""Typographic points across and up a panel of points, about."""
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
    shapes: Sequence[str] = (),
) -> Drawing:
    """Labelled points, a panel for each title of the axis across; colours tell groups apart, and marks other groups.

    Args:
        panels: title to (x, y) of each point; those that are not finite are left out.
        labels: what stands beside each.
        groups: what each belongs to.
        upwards: title of the y axes.
        shapes: what else each belongs to, shown by its mark.
    """
    drawing = Drawing(figsize=(6.4 * len(panels), 4.8), layout="constrained")
    marks = shapes or [""] * len(labels)
    kinds, forms = [*dict.fromkeys(groups)], [*dict.fromkeys(marks)]
    every = [*zip(groups, marks, strict=True)]
    for place, (across, points) in enumerate(panels.items(), 1):
        axes = drawing.add_subplot(1, len(panels), place)
        for i, kind in enumerate(kinds):
            axes.plot([], [], "o", label=kind[:32], color=f"C{i % 10}", markersize=4)
        for j, form in enumerate(forms if len(forms) > 1 else ()):
            axes.plot([], [], _MARKS[j % len(_MARKS)], label=form[:32], color="black", fillstyle="none", markersize=4)
        for point, (kind, form) in zip(points, every, strict=True):
            if finite_point(point):
                mark = _MARKS[forms.index(form) % len(_MARKS)]
                axes.plot(*point, mark, color=f"C{kinds.index(kind) % 10}", markersize=4)
        known = [(point, label) for point, label in zip(points, labels, strict=True) if finite_point(point)]
        for (point, label), offset in zip(known, _places(known), strict=True):
            axes.annotate(label, point, offset, textcoords="offset points", va="center", fontsize=8)
        axes.set_xlabel(across)
        axes.set_ylabel(upwards)
        axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return drawing


def _places(labelled: Sequence[tuple[tuple[float, float], str]]) -> list[tuple[float, float]]:
    """Where labels stand beside their points, in typographic points, so that none covers another or a point."""
    if not labelled:
        return []
    (x, y), size = zip(*(point for point, _ in labelled), strict=True), _PANEL
    spans = [(max(line) - min(line)) or 1.0 for line in (x, y)]
    at = [
        [(value - min(line)) / span * side for value in line]
        for line, span, side in zip((x, y), spans, size, strict=True)
    ]
    taken = [(px - 2, py - 2, px + 2, py + 2) for px, py in zip(*at, strict=True)]
    found = []
    for px, py, (_, label) in zip(*at, labelled, strict=True):
        width = 5.0 * len(label)
        offsets = [(dx, dy) for far in range(6) for dx in (4.0, -4 - width) for dy in (8.0 * far, -8.0 * far)]
        boxes = [(px + dx, py + dy - 4, px + dx + width, py + dy + 4) for dx, dy in offsets]
        free = (i for i, box in enumerate(boxes) if not any(_meet(box, other) for other in taken))
        chosen = next(free, 0)
        taken.append(boxes[chosen])
        found.append(offsets[chosen])
    return found


def _meet(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two boxes, left, low, right, high, have a place in common."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


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
