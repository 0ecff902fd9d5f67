"""What matching again gains, as a function of the first match: sentences, tables and a plot, from the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import median
from typing import Any

from PIL import Image

from midms.evaluation.report.plots import as_picture, scatters

Records = Sequence[Mapping[str, Any]]
LOWEST = -0.5
"""Gain at which the plot ends; lower ones stand there, named."""
USUAL = "(0, 1)"
"""After which levels the released code matches again."""


@dataclass(frozen=True)
class First:
    """One kind of first match, and what came of it.

    Attributes:
        name: of the kind.
        base: the record without matching again.
        rematched: levels of matching again to the record.
    """

    name: str
    base: Mapping[str, Any]
    rematched: Mapping[str, Mapping[str, Any]]

    def gain(self, levels: str, figure: str = "PSNR") -> float:
        """What matching again after these levels changes in a figure."""
        return float(self.rematched[levels]["figures"][figure] - self.base["figures"][figure])

    def error(self, levels: str) -> float:
        """The standard error of the gain in PSNR."""
        return float(self.rematched[levels]["gain"][1])

    def quarters(self, by: str) -> list[tuple[float, float]]:
        """Mean of what the pairs are sorted by, and gain in dB of the usual levels, in each quarter of the pairs."""
        pairs = zip(self.rematched[USUAL]["quarters"][by], self.base["quarters"][by], strict=True)
        return [(key, after - before) for (key, after), (_, before) in pairs]


def firsts(settings: Mapping[str, Records]) -> list[First]:
    """The first matches of a question: each setting and matcher that has figures with re-matching and without."""
    found = []
    for heading, records in settings.items():
        for matcher in dict.fromkeys(record["run"].get("matcher", "") for record in records):
            runs = {
                r["run"]["rematch"]: r for r in records if r["run"].get("matcher", "") == matcher and "figures" in r
            }
            if {"()", USUAL} <= set(runs):
                base = runs.pop("()")
                found.append(First(" ".join(filter(None, [f"`{matcher}`" if matcher else "", heading])), base, runs))
    return found


def said(rows: Sequence[First]) -> list[str]:
    """The answer in sentences, and two tables: gains by how often, and by quarters of the pairs."""
    if not rows:
        return []
    best = max(rows, key=lambda row: row.gain(USUAL))
    worst = min(rows, key=lambda row: row.gain(USUAL))
    helped, harmed = (sum(sign * row.gain(USUAL) > 2 * row.error(USUAL) for row in rows) for sign in (1, -1))
    before, after = (
        median(record["figures"]["AUROC"] for record in records if isfinite(record["figures"]["AUROC"]))
        for records in ([row.base for row in rows], [row.rematched[USUAL] for row in rows])
    )
    above = [row.rematched[USUAL]["figures"]["PSNR"] - row.base["figures"]["first PSNR"] for row in rows]
    text = (
        f"Matching again after levels {USUAL} helps {helped} of {len(rows)} kinds of first match and harms {harmed} "
        "by more than two standard errors: from "
        f"{_sentence(best)} to {_sentence(worst)}. The match itself changes by "
        f"{min(100 * row.gain(USUAL, 'PCK@0.05') for row in rows):+.1f} to "
        f"{max(100 * row.gain(USUAL, 'PCK@0.05') for row in rows):+.1f} points of PCK; right cells "
        f"are told from wrong ones with an AUROC of {before:.2f} before and {after:.2f} after, in the median. What "
        f"comes out is {min(above):+.2f} to {max(above):+.2f} dB from the first warp decoded as it is."
    )
    levels = list(rows[0].rematched)
    often = ", ".join(f"`{each}` {median(row.gain(each) for row in rows):+.2f} dB" for each in levels)
    ends = [_ends(rows, "first PCK@0.05", "matched worst at first", "matched best", ".2f")]
    ends += [_ends(rows, "degrees apart", "turned apart least", "turned apart most", ".0f")]
    return [text, f"In the median over them: {often}. {' '.join(ends)}", _table(rows, levels), _quarters(rows)]


def _ends(rows: Sequence[First], by: str, first: str, last: str, form: str) -> str:
    """The median gain of the first quarter of the pairs and of the last."""
    low, high = ([row.quarters(by)[end] for row in rows] for end in (0, -1))
    ends = [
        f"{median(gain for _, gain in end):+.2f} dB in the quarter of the pairs that is {name} "
        f"({median(key for key, _ in end):{form}})"
        for end, name in ((low, first), (high, last))
    ]
    return f"It gives {ends[0]}, {ends[1]}."


def _sentence(row: First) -> str:
    share = 100 * row.base["figures"]["first PCK@0.05"]
    return f"{row.gain(USUAL):+.2f} dB where {share:.0f} % match at first ({row.name})"


def _table(rows: Sequence[First], levels: Sequence[str]) -> str:
    head = [
        "first match",
        "PCK@0.05",
        "first PSNR",
        "PSNR",
        *(f"`{each}`" for each in levels),
        "SSIM",
        f"SSIM `{USUAL}`",
    ]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        figures = row.base["figures"]
        lines.append(
            [row.name, f"{figures['first PCK@0.05']:.3f}", f"{figures['first PSNR']:.2f}", f"{figures['PSNR']:.2f}"]
            + [f"{row.gain(each):+.2f} ± {row.error(each):.2f}" for each in levels]
            + [f"{figures['SSIM']:.3f}", f"{row.rematched[USUAL]['figures']['SSIM']:.3f}"]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _quarters(rows: Sequence[First]) -> str:
    lines = [
        "Gain in dB by quarters of the pairs: by their own first match, from the worst to the best (its PCK before the "
        "colon), and by how far the two heads are turned apart, from the nearest to the farthest (degrees).",
        "",
        "| first match | by PCK@0.05 of the pair | by degrees apart |",
        "| --- | --- | --- |",
    ]
    for row in rows:
        match = ", ".join(f"{key:.2f}: {gain:+.2f}" for key, gain in row.quarters("first PCK@0.05"))
        apart = ", ".join(f"{key:.0f}: {gain:+.2f}" for key, gain in row.quarters("degrees apart"))
        lines.append(f"| {row.name} | {match} | {apart} |")
    return "\n".join(lines)


def plot(questions: Mapping[str, Sequence[First]]) -> Image.Image:
    """Gain against the share that is matched at first, a point each kind of first match, a colour each question."""
    rows = [(i, row) for i, found in enumerate(questions.values()) for row in found]
    points = [(row.base["figures"]["first PCK@0.05"], max(row.gain(USUAL), LOWEST)) for _, row in rows]
    labels = [f"{row.name}: {row.gain(USUAL):+.2f}" if row.gain(USUAL) < LOWEST else "" for _, row in rows]
    asked = [list(questions)[i] for i, _ in rows]
    return as_picture(scatters({"PCK@0.05 of the first match": points}, labels, asked, "gain in dB"))
