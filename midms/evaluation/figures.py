"""What an evaluation found: numbers, each with all that it is of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midms.evaluation.inputs import Plan
from midms.evaluation.report.tables import markdown_table, short

TABLE_HEADER = ("figure", "value", "deviation", "best", "of", "pixels", "format")
"""Of a table of figures."""


@dataclass(frozen=True)
class Figure:
    """One number, and all that it is of.

    Attributes:
        name: with what sees the pictures.
        metric: that gives it, as one would type it.
        value: of the sets, or the mean over pairs; NaN where no pair has one.
        ideal: of results that are as they should be.
        count: of results, or of pairs that have it.
        real: how many real pictures; None of pairs.
        deviation: standard deviation over pairs; None of sets.
        each: the figures of pairs by key; empty of sets.
    """

    name: str
    metric: str
    value: float
    ideal: float
    count: int
    real: int | None
    deviation: float | None
    each: Mapping[str, float]


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        figures: in the order of the metrics.
        failures: what could not be read, compared, measured or written, a line each.
        inputs: sizes, formats and counts of what was compared, and the settings.
        plan: the files.
        page: `report.html`; None where none was asked for, or the disk refused it.
    """

    figures: tuple[Figure, ...]
    failures: tuple[str, ...]
    inputs: Mapping[str, Any]
    plan: Plan
    page: Path | None = None

    def table(self) -> str:
        """The figures in Markdown, each with what it is of; then what failed."""
        text = markdown_table(TABLE_HEADER, self.rows())
        return text + ("\n\nFailed:\n" + "\n".join(f"- {line}" for line in self.failures) if self.failures else "")

    def rows(self) -> list[list[str]]:
        """A row a figure, under `TABLE_HEADER`."""
        return [self._row(figure) for figure in self.figures]

    def _row(self, figure: Figure) -> list[str]:
        sizes, formats = (label_of(self.inputs[name], figure) for name in ("sizes", "formats"))
        count = f"{figure.count:,} pairs" if figure.real is None else f"{figure.count:,} and {figure.real:,} real"
        numbers = [short(one) for one in (figure.value, figure.deviation, figure.ideal)]
        return [figure.name, *numbers, count, sizes, formats]


def label_of(labels: Mapping[str, str], figure: Figure) -> str:
    """Of a figure of sets also the label of the real pictures, where it is another."""
    ours, real = labels["result"] if "result" in labels else labels["results"], labels["real"]
    return ours if figure.real is None or ours == real else f"{ours}, real {real}"


def extent(sizes: Counter[tuple[int, int]]) -> str:
    """Width and height of pictures, or those of the smallest and the largest."""
    ends = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return " to ".join(f"{width} x {height}" for height, width in dict.fromkeys(ends[:1] + ends[-1:])) or "none"


def worst_first(figure: Figure) -> list[str]:
    """Keys of a figure's pairs, those farthest from its ideal first; without those that have none."""
    known = {key: value for key, value in figure.each.items() if not math.isnan(value)}
    far = {key: -value if math.isinf(figure.ideal) else abs(value - figure.ideal) for key, value in known.items()}
    return sorted(far, key=lambda key: (-far[key], key))
