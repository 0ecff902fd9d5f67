"""`docs/ablation.md` and the README's ranking, from what `benchmarks.ablation` left.

python -m benchmarks.ablation_page
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.results import RESULTS
from midms.ablation.report import called, ranked, table
from midms.files import whole

ROOT = Path(__file__).parent.parent
LONGEST = 40
"""Rows of a table."""
MARKS = r"(<!-- ablation: begin -->\n).*?(<!-- ablation: end -->)"

Records = Sequence[Mapping[str, Any]]


def write(results: Mapping[str, Any]) -> None:
    """The page, and the README's ranking if matchers were measured."""
    _write(ROOT / "docs" / "ablation.md", page(results))
    if "matcher" in results["sets"]:
        ranking = brief(results["sets"]["matcher"]["splits"]["test"], results["pairs"])
        readme = (ROOT / "README.md").read_text()
        _write(ROOT / "README.md", re.sub(MARKS, lambda found: found[1] + ranking + found[2], readme, flags=re.S))


def page(results: Mapping[str, Any]) -> str:
    """The whole page, in Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    parts = [
        "# What each part gives, on faces",
        "Written by `python -m benchmarks.ablation`; do not edit.",
        f"Means over {results['pairs']} pairs of each split, against the exact answer inside the head; how figures are "
        "measured: [faces.md](faces.md). `preset` is what the preset has, other parts have their own defaults, and "
        f"nothing was trained again for them. Made on {results['date'][:10]}, {results['hardware']}, {versions}.",
    ]
    for name, told in results["sets"].items():
        parts += [f"## {told['question']}", f"In `{told['preset']}`; {told['minutes']:.0f} minutes."]
        for split, records in told["splits"].items():
            parts += [f"### The {split} split", *_said(name, records), shortened(records)]
    return "\n\n".join(parts) + "\n"


def shortened(records: Records) -> str:
    """The table, its best rows, and what could not be composed in one line each."""
    lines = table(records).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    others = lines[len(rows) :]
    left = len(rows) - 2 - LONGEST
    more = [f"\n{left} more rows are in the results file."] if left > 0 else []
    return "\n".join([*rows[: LONGEST + 2], *more, *others])


def _said(name: str, records: Records) -> list[str]:
    """The answer in a sentence, from the figures."""
    best = ranked(records)
    if not best:
        return []
    if name == "rematch":
        return _rematching(records)
    first, last = best[0], best[-1]
    gap = first["figures"]["PSNR"] - last["figures"]["PSNR"]
    return [f"Best is {called(first)}, {gap:.2f} dB above the worst, {called(last)}."]


def _rematching(records: Records) -> list[str]:
    """What matching again gained, for each quality of the first match."""
    told = []
    for matcher in dict.fromkeys(record["run"]["matcher"] for record in records):
        runs = {r["run"]["rematch"]: r for r in records if r["run"]["matcher"] == matcher and "figures" in r}
        if "()" not in runs or len(runs) < 2:
            continue
        base = runs.pop("()")
        gains = {count: run["figures"]["PSNR"] - base["figures"]["PSNR"] for count, run in runs.items()}
        often, gain = max(gains.items(), key=lambda pair: pair[1])
        quarters = [a - b for a, b in zip(runs[often]["quarters"], base["quarters"], strict=True)]
        told.append(
            f"`{matcher}` matches {100 * base['figures']['first PCK@0.05']:.0f} % at first; matching again, at best "
            f"{often}, gives {gain:+.2f} dB, by quarters of the pairs from the worst first match to the best "
            f"{', '.join(f'{quarter:+.2f}' for quarter in quarters)}."
        )
    return ["\n".join(f"- {line}" for line in told)] if told else []


def brief(records: Records, pairs: int) -> str:
    """The README's ranking: each matcher with the confidence that suits it best."""
    rows, seen = [], set[str]()
    for record in ranked(records):
        matcher = record["run"]["matcher"]
        if matcher not in seen:
            seen.add(matcher)
            figures = record["figures"]
            rows.append(
                f"| `{matcher}` | `{record['run']['confidence']}` | {figures['PSNR']:.2f} | {figures['PCK@0.05']:.3f} "
                f"| {figures['AUROC']:.3f} | {figures['ms a pair']:.0f} |"
            )
    head = [
        "| matcher | best confidence | PSNR | PCK@0.05 | AUROC | ms a pair |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    note = (
        f"\n\nMeans over {pairs} faces; `preset` is what `midm-faces` was trained with, the others have their own "
        "defaults. Samplers, re-matching, confidence and what else was asked: [docs/ablation.md](docs/ablation.md).\n"
    )
    return "\n".join([*head, *rows]) + note


def _write(path: Path, text: str) -> None:
    with whole(path) as part:
        part.write_text(text)


if __name__ == "__main__":
    write(json.loads((RESULTS / "ablation.json").read_text()))
