"""`docs/ablation.md` and the README's ranking, from what `benchmarks.ablation` left.

python -m benchmarks.ablation.page
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch

from benchmarks.ablation import gains as ablation_gains
from benchmarks.ablation.gains import firsts, said
from benchmarks.results import RESULTS
from midms.core.files import atomic_write
from midms.evaluation.ablation.report import label, plot, ranked, table
from midms.evaluation.report.plots import as_picture
from midms.images import save_images

ROOT = Path(__file__).parents[2]
LONGEST = 40
"""Rows of a table."""
AGAIN = ("rematch", "training", "grid")
"""The questions about matching again."""
NAMED = 4
"""How many are named before "and so on"."""
PLAIN = {"confidence": "always", "edit": "context", "match_on": "x0", "rematch": "()"}
"""Slot to the value that the others are compared with."""
MARKS = r"(<!-- ablation: begin -->\n).*?(<!-- ablation: end -->)"

Records = Sequence[Mapping[str, Any]]


def write(results: Mapping[str, Any]) -> None:
    """The page with its plots, and the README's ranking if matchers were measured."""
    docs, sets = ROOT / "docs", results["sets"]
    _write(docs / "ablation.md", page(results))
    gains = {name: firsts(sets[name]["settings"]) for name in AGAIN if name in sets}
    if any(gains.values()):
        save_images({docs / "rematching.png": ablation_gains.plot(gains)})
    if "matcher" in sets:
        records = sets["matcher"]["settings"]["test split"]
        save_images({docs / "ablation.png": as_picture(plot(leaders(records)))})
        ranking = brief(records, results["pairs"])
        readme = (ROOT / "README.md").read_text()
        _write(ROOT / "README.md", re.sub(MARKS, lambda found: found[1] + ranking + found[2], readme, flags=re.S))


def page(results: Mapping[str, Any]) -> str:
    """The whole page, in Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    parts = [
        "# What each part gives, on faces",
        "Written by `python -m benchmarks.ablation`; do not edit.",
        f"Means over {results['pairs']} pairs of each setting, against the exact answer inside the head; how figures "
        "are measured: [faces.md](faces.md). `preset` is what the preset has, other parts have their own defaults, and "
        "nothing was trained again for them unless it is said. `first PSNR` is that of the first warp, decoded as it "
        "is. Milliseconds are of one thread on a machine that did other work beside, which changed them by factors of "
        "up to three; the first row's memory holds what is loaded once. "
        f"Made on {results['date'][:10]}, {results['hardware']}, {versions}.",
    ]
    for name, entry in results["sets"].items():
        count = sum(len(records) for records in entry["settings"].values())
        parts += [
            f"## {entry['question']}",
            f"In `{entry['preset']}`; {count} runs, {entry['minutes']:.0f} minutes. {entry['note']}".rstrip(),
        ]
        if name in AGAIN:
            parts += said(firsts(entry["settings"]))
            parts += ["![gain against the share matched at first](rematching.png)"] if name == AGAIN[-1] else []
            continue
        for heading, records in entry["settings"].items():
            parts += [f"### The {heading}", *answers(name, records), shortened(records)]
        parts += ["![quality against time and memory](ablation.png)"] if name == "matcher" else []
        parts += denoisers(results["sets"]) if name == "unconditional" else []
    return "\n\n".join(parts) + "\n"


def shortened(records: Records) -> str:
    """The table, its best rows, and what was refused: a line for each reason."""
    rows = [line for line in table(records).splitlines() if line.startswith("|")]
    left = len(rows) - 2 - LONGEST
    more = [f"\n{left} more rows are in the results file."] if left > 0 else []
    lines = [*rows[: LONGEST + 2], *more]
    for kind, title in (("refused", "Not composed"), ("error", "Failed")):
        reasons: dict[str, list[str]] = {}
        for record in records:
            if kind in record:
                reasons.setdefault(record[kind].replace("\n- ", " "), []).append(label(record))
        lines += [f"\n{title}:"] if reasons else []
        for reason, those in reasons.items():
            named = f"`{those[0]}`" + (f" and {len(those) - 1} more" if len(those) > 1 else "")
            lines.append(f"- {named}: {reason}")
    return "\n".join(lines)


def answers(name: str, records: Records) -> list[str]:
    """The answer in sentences, from the figures."""
    best = ranked(records)
    if not best:
        return []
    first, last = best[0], best[-1]
    gap = first["figures"]["PSNR"] - last["figures"]["PSNR"]
    near = [f"`{label(record)}`" for record in best[1:] if record["behind"][0] <= 2 * record["behind"][1]]
    sentences = [
        f"Best is `{label(first)}`, {gap:.2f} dB above the worst, `{label(last)}`; "
        f"{len(near) or 'none'} of the others come within two standard errors of it"
        f"{': ' if near else ''}{', '.join(near[:NAMED])}{' and so on' if len(near) > NAMED else ''}."
    ]
    if name == "sampler":
        return [*sentences, *_steps(best)]
    if name == "matcher":
        sentences += [_leaders(records), _spread(best)]
    return sentences + [_against(best, slot, value) for slot, value in PLAIN.items() if _several(best, slot)]


def _several(records: Records, slot: str) -> bool:
    return len({record["run"].get(slot) for record in records}) > 1


def _leaders(records: Records) -> str:
    those = [f"`{r['run']['matcher']}` {r['figures']['PSNR']:.2f}" for r in leaders(records)]
    return f"The matchers, each with the confidence that suits it best: {', '.join(those)} dB."


def _spread(best: Records) -> str:
    psnr = [record["figures"]["PSNR"] for record in best]
    by = {of: spearman(psnr, [record["figures"][of] for record in best]) for of in ("first PSNR", "PCK@0.05")}
    return (
        f"The rank correlation of PSNR over the rows is {by['first PSNR']:.2f} with that of the first warp and "
        f"{by['PCK@0.05']:.2f} with PCK, which looks at the middle of where a cell is sent and not at how widely."
    )


def _against(records: Records, slot: str, plain: str) -> str:
    """What each value of a slot gives over the plain one with the same other parts, on average, the best first."""
    alike: dict[str, dict[str, Mapping[str, Any]]] = {}
    for record in records:
        rest = " ".join(value for other, value in record["run"].items() if other != slot)
        alike.setdefault(rest, {})[record["run"][slot]] = record["figures"]
    found = []
    for value in dict.fromkeys(record["run"][slot] for record in records if record["run"][slot] != plain):
        both = [(those[value], those[plain]) for those in alike.values() if {value, plain} <= set(those)]
        if both:
            gain = fmean(one["PSNR"] - other["PSNR"] for one, other in both)
            auroc = f", AUROC {fmean(one['AUROC'] for one, _ in both):.2f}" if slot == "confidence" else ""
            better = sum(one["PSNR"] > other["PSNR"] for one, other in both)
            found.append((gain, f"`{value}` {gain:+.2f} dB (better in {better} of {len(both)}{auroc})"))
    listed = ", ".join(text for _, text in sorted(found, reverse=True))
    return f"Over {slot} `{plain}` with the same other parts, on average: {listed}."


def _steps(best: Records) -> list[str]:
    """The best sampler, the median and the worst of each number of steps, and what more steps do."""
    counts: dict[int, dict[str, float]] = {}
    for record in best:
        name, _, rest = record["run"]["sampler"].partition("(timesteps=(")
        counts.setdefault(rest.partition("))")[0].count(",") + 1, {})[name] = record["figures"]["PSNR"]
    sentences = []
    for count, rows in sorted(counts.items()):
        (first, high), *_, (last, low) = [*rows.items(), *rows.items()]
        sentences.append(
            f"With {count} steps the best is `{first}`, {high:.2f} dB; the median is {median(rows.values()):.2f}, "
            f"the worst `{last}`, {low:.2f}."
        )
    few, many = counts[min(counts)], counts[max(counts)]
    both = [name for name in few if name in many]
    worse = sum(many[name] < few[name] for name in both)
    return [
        *sentences,
        f"From {min(counts)} steps to {max(counts)} PSNR falls with {worse} of {len(both)} samplers. It may be "
        "expected to: one step gives the mean of all that may be, which PSNR asks for, and more steps draw one of it. "
        "`flow-euler` and `brownian-bridge` have levels of noise of their own, which the network was not trained for.",
    ]


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Rank correlation; NaN if all are equal."""
    return torch.corrcoef(torch.tensor([_ranks(a), _ranks(b)]))[0, 1].item()


def _ranks(values: Sequence[float]) -> list[float]:
    """Places in order; equal values share the mean of theirs."""
    ordered = sorted(values)
    return [ordered.index(value) + (ordered.count(value) - 1) / 2 for value in values]


def denoisers(sets: Mapping[str, Any]) -> list[str]:
    """The best with the conditional denoiser against the best without, in each setting."""
    sentences = []
    for heading, records in sets["unconditional"]["settings"].items():
        alone, seeing = ranked(records), ranked(sets.get("conditional", {"settings": {}})["settings"].get(heading, []))
        if alone and seeing:
            gap, best = seeing[0]["figures"]["PSNR"] - alone[0]["figures"]["PSNR"], label(seeing[0])
            sentences.append(
                f"On the {heading} the conditional denoiser at its best ({best}) gives {gap:+.2f} dB over this."
            )
    return sentences


def leaders(records: Records) -> list[Mapping[str, Any]]:
    """Each matcher with the confidence that suits it best, best first."""
    best: dict[str, Mapping[str, Any]] = {}
    for record in ranked(records):
        best.setdefault(record["run"]["matcher"], record)
    return list(best.values())


def brief(records: Records, pairs: int) -> str:
    """The README's ranking of matchers."""
    rows = []
    for record in leaders(records):
        run, figures = record["run"], record["figures"]
        rows.append(
            f"| `{run['matcher']}` | `{run['confidence']}` | {figures['PSNR']:.2f} | {figures['PCK@0.05']:.3f} "
            f"| {figures['AUROC']:.3f} |"
        )
    head = [
        "| matcher | best confidence | PSNR | PCK@0.05 | AUROC |",
        "| --- | --- | --- | --- | --- |",
    ]
    note = (
        f"\n\nMeans over {pairs} faces; `preset` is what `midm-faces` was trained with, the others have their own "
        "defaults; on grids this small `patchmatch` looks everywhere. Samplers, re-matching, confidence and what else "
        "was asked: [docs/ablation.md](docs/ablation.md).\n"
    )
    return "\n".join([*head, *rows]) + note


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as part:
        part.write_text(text)


if __name__ == "__main__":
    write(json.loads((RESULTS / "ablation.json").read_text()))
