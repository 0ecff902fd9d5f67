"""What an evaluation found: a results file, a table, figures pair by pair, and a page."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from midms.core.files import atomic_write, made
from midms.core.results import machine, write_json
from midms.core.version import __version__
from midms.evaluation.figures import TABLE_HEADER, Evaluation, Figure, label_of, worst_first
from midms.evaluation.inputs import Entry
from midms.evaluation.report.plots import as_svg, histograms
from midms.evaluation.report.tables import short
from midms.images import PictureError, read_image, to_pil
from midms.images.page import cards, html_table, inline, items, page, picture_card, section, slider

_SHOWN = 3
"""Pairs that the page shows of each figure, from either end."""


def record(found: Evaluation) -> dict[str, Any]:
    """The results file: figures with all that they are of, and the versions, hardware, seed and date that made them."""
    own = machine()
    own["versions"] = {"midms": __version__, **own["versions"]}
    figures = []
    for figure in found.figures:
        entry = {name: value for name, value in vars(figure).items() if name != "each" and value is not None}
        entry |= {name: _json(entry[name]) for name in ("value", "ideal")}
        of = {name: label_of(found.inputs[name], figure) for name in ("sizes", "formats")}
        figures.append({**entry, **of})
    return {"figures": figures, **found.inputs, "failures": list(found.failures), **own}


def _json(value: float) -> float | str | None:
    """JSON has no numbers that are not finite."""
    return value if math.isfinite(value) else None if math.isnan(value) else str(value)


def write_evaluation(found: Evaluation, out: Path) -> Path:
    """`evaluation.json`, `table.md`, `figures.csv` and `report.html` in a folder, each whole or not at all.

    Returns:
        The last of these.

    Raises:
        OSError: the disk refuses.
    """
    with made(out):
        write_json(out / "evaluation.json", record(found))
        with atomic_write(out / "table.md") as part:
            part.write_text(found.table() + "\n", encoding="utf-8")
        pairs = [figure for figure in found.figures if figure.real is None]
        with atomic_write(out / "figures.csv") as part, part.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["key", *(figure.name for figure in pairs)])
            for entry in found.plan.entries:
                table.writerow([entry.key, *(figure.each.get(entry.key, "") for figure in pairs)])
        with atomic_write(out / "report.html") as part:
            part.write_text(evaluation_page(found), encoding="utf-8")
    return out / "report.html"


def evaluation_page(found: Evaluation) -> str:
    """The same as a page: tables, how figures are spread over pairs, and the worst and best pairs of each."""
    pairs = [figure for figure in found.figures if figure.real is None and figure.count]
    entries = {entry.key: entry for entry in found.plan.entries}
    shown = [section(f"{figure.name}: worst, then best", _examples(figure, entries)) for figure in pairs]
    facts = [[name, str(value)] for name, value in {**found.inputs, **_made()}.items() if not isinstance(value, dict)]
    return page(
        f"Evaluation of {found.inputs['results']}",
        html_table(TABLE_HEADER, found.rows()),
        section("Failed", items(found.failures, "failures")),
        section("Spread over pairs", as_svg(histograms({f.name: [*f.each.values()] for f in pairs})) if pairs else ""),
        *shown,
        section("Made by", html_table(["", ""], facts)),
    )


def _made() -> dict[str, str]:
    own = machine()
    versions = ", ".join(f"{name} {version}" for name, version in own["versions"].items())
    return {"date": own["date"], "versions": f"midms {__version__}, {versions}", "hardware": own["hardware"]}


def _examples(figure: Figure, entries: dict[str, Entry]) -> str:
    """The pairs that are farthest from the ideal figure and those that are nearest, each once."""
    order = worst_first(figure)
    chosen: Sequence[str] = dict.fromkeys([*order[:_SHOWN], *order[-_SHOWN:]])  # type: ignore[assignment]
    return cards([_card(entries[key], f"{key}: {short(figure.each[key])}") for key in chosen])


def _card(entry: Entry, caption: str) -> str:
    """A result under a slider with its answer, or else its exemplar; beside it what it was made of."""
    pictures: dict[str, Image.Image] = {}
    for kind in ("result", "answer", "exemplar", "condition"):
        if kind in entry.files:
            try:
                pictures[kind] = to_pil(read_image(entry.files[kind]))
            except PictureError:  # which is among the failures
                continue
    if "result" not in pictures:
        return picture_card(caption, *(inline(picture, kind) for kind, picture in pictures.items()))
    result = pictures.pop("result")
    partner = next(iter(pictures), None)
    main = inline(result, "result") if partner is None else slider(pictures[partner], result, (partner, "result"))
    return picture_card(
        caption, main, *(inline(picture, kind) for kind, picture in pictures.items() if kind != partner)
    )
