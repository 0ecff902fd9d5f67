"""What an ablation found: a table, a plot of quality against cost, a contact sheet."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from midms.core.files import atomic_write, read_regular
from midms.data.portraits.pairs import SIZES, draw_pairs
from midms.evaluation.ablation.run import PICTURES, REPORT_FILES, SHOWN, Setting
from midms.images import save_images, to_pil
from midms.images.figure import Sheet, note, scatter

COLUMNS = {"PSNR": 2, "SSIM": 3, "PCK@0.05": 3, "EPE px": 2, "AUROC": 3, "first PSNR": 2, "ms a pair": 0, "peak MB": 0}
"""Figures of the table, and their digits."""
_SIDE = 96
"""Pixels a side of the contact sheet's pictures."""


def ranked(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that have figures, the highest PSNR first."""
    return sorted((r for r in records if "figures" in r), key=lambda record: -record["figures"]["PSNR"])


def table(records: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table, best first; under it what was refused and what failed."""
    slots = list(records[0]["run"]) if records else []
    lines = [["", *slots, *COLUMNS], ["---"] * (1 + len(slots) + len(COLUMNS))]
    for place, record in enumerate(ranked(records), 1):
        figures = [f"{record['figures'][name]:.{digits}f}" for name, digits in COLUMNS.items()]
        mark = "*" if "notes" in record else ""
        lines.append([f"{place}{mark}", *(f"`{record['run'][slot]}`" for slot in slots), *figures])
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    for kind, title in (("notes", "* Mind"), ("refused", "Not composed"), ("error", "Failed")):
        text += (
            f"\n\n{title}:\n" + "\n".join(items) if (items := [f"- {line}" for line in listed(records, kind)]) else ""
        )
    return text


def listed(records: Sequence[Mapping[str, Any]], kind: str) -> tuple[str, ...]:
    """The combinations that have "notes", "refused" or "error", and what it says."""
    having = [(record, record[kind]) for record in records if kind in record]
    return tuple(f"{label(record)}: {'; '.join([said] if isinstance(said, str) else said)}" for record, said in having)


def label(record: Mapping[str, Any]) -> str:
    """A combination as one would type it."""
    return " ".join(f"{slot}={value}" for slot, value in record["run"].items())


def plot(records: Sequence[Mapping[str, Any]]) -> Image.Image:
    """PSNR against milliseconds and megabytes; points bear their place in the table, colours tell the first slot."""
    best = ranked(records)
    kinds = list(dict.fromkeys(next(iter(record["run"].values()), "") for record in best))
    colours = [kinds.index(next(iter(record["run"].values()), "")) for record in best]
    panels = []
    for name in ("ms a pair", "peak MB"):
        points = [(record["figures"][name], record["figures"]["PSNR"]) for record in best]
        panels.append(scatter(points, [str(place) for place in range(1, len(best) + 1)], colours, kinds, name, "PSNR"))
    joined = Image.new("RGB", (sum(panel.width for panel in panels), panels[0].height), "white")
    for i, panel in enumerate(panels):
        joined.paste(panel, (i * panel.width, 0))
    return joined


def sheet(setting: Setting, records: Sequence[Mapping[str, Any]], pictures: Path) -> Image.Image:
    """The first pairs in columns; sketch, exemplar and answer, then the results of each combination, best first."""
    pairs = draw_pairs(setting.split, range(min(SHOWN, setting.pairs)), setting.size)
    sketch = torch.nn.functional.avg_pool2d(1 - 2 * pairs.sketch, 2).expand(-1, 3, -1, -1)
    rows = [
        [note(name, _SIDE), *(to_pil(one[None]) for one in batch)]
        for name, batch in (("sketch", sketch), ("exemplar", pairs.exemplar), ("answer", pairs.answer))
    ]
    count = len(rows[0]) - 1
    for place, record in enumerate(ranked(records), 1):
        ones = _strip(pictures / f"{record['id']}.png", count) or [note("lost", _SIDE)] * count
        rows.append([note("\n".join([f"{place}.", *record["run"].values()]), _SIDE), *ones])
    return Sheet(rows, ["", *(f"pair {i}" for i in range(count))], _SIDE).image


def _strip(path: Path, count: int) -> list[Image.Image]:
    """The results that `run.save_strip` put side by side; none if the file is lost, damaged or another."""
    try:
        strip = Image.open(io.BytesIO(read_regular(path)), formats=["PNG"])
        side = strip.height
        if side > SIZES[1] or strip.width != count * side:
            return []
        return [strip.crop((i * side, 0, (i + 1) * side, side)) for i in range(count)]
    except Exception:  # decoders raise whatever they like
        return []


def write_report(setting: Setting, records: Sequence[Mapping[str, Any]], out: Path) -> None:
    """`table.md` in the folder; `plot.png` and `sheet.png` if there are figures, else there are none."""
    text, *pictures = (out / name for name in REPORT_FILES)
    with atomic_write(text) as part:
        part.write_text(table(records) + "\n")
    if ranked(records):
        shown = plot(records), sheet(setting, records, out / PICTURES)
        save_images(dict(zip(pictures, shown, strict=True)))
    else:
        for path in pictures:
            path.unlink(missing_ok=True)
