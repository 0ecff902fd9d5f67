"""What an ablation found: a table, a plot of quality against cost, a contact sheet."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Float
from matplotlib.figure import Figure as Drawing
from PIL import Image
from torch import Tensor

from midms.compose.catalog import create
from midms.core.files import atomic_write, read_regular
from midms.data.pair import Pair
from midms.data.portraits.pairs import draw_pairs
from midms.evaluation.ablation.run import PICTURES, REPORT_FILES, SHOWN, Setting
from midms.evaluation.report.plots import as_picture, as_svg, scatters
from midms.evaluation.report.tables import markdown_table
from midms.images import save_images, to_pil
from midms.images.figure import Sheet, note
from midms.images.page import cards, html_table, inline, items, page, picture_card, section, slider
from midms.pipeline.datasets import condition_picture, read_pairs
from midms.pipeline.pretrained import preset_recipe

_COLUMNS = {"PSNR": 2, "SSIM": 3, "PCK@0.05": 3, "EPE px": 2, "AUROC": 3, "first PSNR": 2, "ms a pair": 0, "peak MB": 0}
"""Figures of the table, and their digits."""
_SIDE = 96
"""Pixels a side of the contact sheet's pictures."""
_OUTCOMES = {"notes": "* Mind", "refused": "Not composed", "error": "Failed"}
"""What `listed` knows, and its title."""


def ranked(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that have figures, the highest PSNR first."""
    return sorted((r for r in records if "figures" in r), key=lambda record: -record["figures"]["PSNR"])


def table(records: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table, best first; under it what was refused and what failed."""
    text = markdown_table(*_cells(records, "`"))
    for kind, title in _OUTCOMES.items():
        text += f"\n\n{title}:\n" + "\n".join(rows) if (rows := [f"- {line}" for line in listed(records, kind)]) else ""
    return text


def _cells(records: Sequence[Mapping[str, Any]], quote: str = "") -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table, values within quotes."""
    slots, rows = list(records[0]["run"]) if records else [], []
    columns = [name for name in _COLUMNS if all(name in record["figures"] for record in ranked(records))]
    for place, record in enumerate(ranked(records), 1):
        figures = [f"{record['figures'][name]:.{_COLUMNS[name]}f}" for name in columns]
        mark = "*" if "notes" in record else ""
        rows.append([f"{place}{mark}", *(f"{quote}{record['run'][slot]}{quote}" for slot in slots), *figures])
    return ["", *slots, *columns], rows


def listed(records: Sequence[Mapping[str, Any]], kind: str) -> tuple[str, ...]:
    """The combinations that have "notes", "refused" or "error", and what it says."""
    having = [(record, record[kind]) for record in records if kind in record]
    return tuple(f"{label(record)}: {'; '.join([said] if isinstance(said, str) else said)}" for record, said in having)


def label(record: Mapping[str, Any]) -> str:
    """A combination as one would type it."""
    return " ".join(f"{slot}={value}" for slot, value in record["run"].items())


def plot(records: Sequence[Mapping[str, Any]]) -> Drawing:
    """PSNR against milliseconds and megabytes; points bear their place in the table.

    Colours tell the first slot, marks the second.
    """
    best = ranked(records)
    panels = {
        name: [(record["figures"][name], record["figures"]["PSNR"]) for record in best]
        for name in ("ms a pair", "peak MB")
    }
    values = [[*record["run"].values(), "", ""] for record in best]
    colours, marks = ([row[i] for row in values] for i in (0, 1))
    return scatters(panels, [str(place) for place in range(1, len(best) + 1)], colours, "PSNR", marks)


def sheet(setting: Setting, records: Sequence[Mapping[str, Any]], pictures: Path) -> Image.Image:
    """The first pairs in columns; sketch, exemplar and answer, then the results of each combination, best first."""
    condition, pairs = _first_pairs(setting)
    rows = [
        [note(name, _SIDE), *(to_pil(one[None]) for one in batch)]
        for name, batch in (("condition", condition), ("exemplar", pairs.exemplar), ("answer", pairs.target))
    ]
    count = len(rows[0]) - 1
    for place, record in enumerate(ranked(records), 1):
        ones = _strip(pictures / f"{record['id']}.png", pairs.target) or [note("lost", _SIDE)] * count
        rows.append([note("\n".join([f"{place}.", *record["run"].values()]), _SIDE), *ones])
    return Sheet(rows, ["", *(f"pair {i}" for i in range(count))], _SIDE).image


def _first_pairs(setting: Setting) -> tuple[Float[Tensor, "b 3 y x"], Pair]:
    """The conditions as pictures, and the pairs."""
    first = range(min(SHOWN, setting.pairs))
    if setting.data is None:
        pair = draw_pairs(setting.split, first, setting.size).pair()
        return (1 - 2 * pair.condition).expand(-1, 3, -1, -1), pair
    spec = preset_recipe(setting.preset).slots["condition"]
    extractor = create("condition", spec.name, **spec.arguments)
    pair = read_pairs(setting.dataset(extractor), first)
    return condition_picture(extractor, pair.condition), pair


def _strip(path: Path, answers: Float[Tensor, "b 3 y x"]) -> list[Image.Image]:
    """The results that `run.save_strip` put side by side; none if the file is lost, damaged or another."""
    try:
        strip = Image.open(io.BytesIO(read_regular(path)), formats=["PNG"])
        count, _, height, width = answers.shape
        if strip.size != (count * width, height):
            return []
        return [strip.crop((i * width, 0, (i + 1) * width, height)) for i in range(count)]
    except Exception:  # decoders raise whatever they like
        return []


def ablation_page(setting: Setting, records: Sequence[Mapping[str, Any]], pictures: Path) -> str:
    """The same as a page: the table, the plot, and results of the best and of the worst under their answers."""
    best, (_, pairs) = ranked(records), _first_pairs(setting)
    shown = []
    for record in best[:1] + best[1:][-1:]:
        results = _strip(pictures / f"{record['id']}.png", pairs.target)
        shown += [(record, i, result) for i, result in enumerate(results)]
    parts = [
        picture_card(
            f"{label(record)}, pair {i}: PSNR {record['each']['PSNR'][i]:.2f}",
            slider(to_pil(pairs.target[i][None]), result, ("answer", "result")),
            inline(to_pil(pairs.exemplar[i][None]), "exemplar"),
        )
        for record, i, result in shown
    ]
    return page(
        f"Parts of {setting.preset} on {setting.pairs} pairs of {setting.data_name}, split {setting.split}",
        html_table(*_cells(records)),
        *(section(title, items(listed(records, kind), "failures")) for kind, title in _OUTCOMES.items()),
        section("Quality against cost", as_svg(plot(records))),
        section("The best combination, then the worst", cards(parts)),
    )


def write_report(setting: Setting, records: Sequence[Mapping[str, Any]], out: Path) -> None:
    """`table.md` in the folder; `plot.png`, `sheet.png` and `report.html` if there are figures, else there are none."""
    text, *pictures, shown = (out / name for name in REPORT_FILES)
    with atomic_write(text) as part:
        part.write_text(table(records) + "\n")
    if ranked(records):
        drawn = as_picture(plot(records)), sheet(setting, records, out / PICTURES)
        save_images(dict(zip(pictures, drawn, strict=True)))
        with atomic_write(shown) as part:
            part.write_text(ablation_page(setting, records, out / PICTURES), encoding="utf-8")
    else:
        for path in (*pictures, shown):
            path.unlink(missing_ok=True)
