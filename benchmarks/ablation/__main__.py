"""MIDMs' questions on faces, where the truth is known: what each part gives, one `midms.ablate` for each.

    python -m benchmarks.ablation --pairs 100                 # resumes; then writes the results file and the page
    python -m benchmarks.ablation --pairs 100 --sets rematch check

Leaves every run in `runs/ablation`, the figures in `benchmarks/results/ablation.json`, and writes `docs/ablation.md`
and what stands between the README's marks from them (`benchmarks/ablation/page.py`).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.ablation.page import write
from benchmarks.ablation.weights import VARIANTS, trained
from benchmarks.results import RESULTS, machine, write_json
from midms import Spec, ablate, available
from midms.data.portraits.pairs import turns
from midms.evaluation.ablation.report import ranked

BOTH: dict[str, dict[str, Any]] = {"test split": {"split": "test"}, "hard split": {"split": "hard"}}
TEST = {"test split": BOTH["test split"]}
START = 700
"""The noisiest timestep of `midm-faces`."""
OFTEN = [(), (0,), (0, 1), (0, 1, 2), (1, 2)]
"""Levels after which to match again; after the first two is where the released code does."""


@dataclass(frozen=True)
class Question:
    """What is asked, and the cross product that answers it, in one setting after another.

    Attributes:
        text: the question.
        preset: that is varied.
        vary: as of `ablate`.
        note: what should be known to read the answer.
        settings: heading to other arguments of `ablate`; "weights" is one of the variants of `ablation_weights`.
    """

    text: str
    preset: str
    vary: Mapping[str, Sequence[Any]]
    note: str = ""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: BOTH)


def steps(count: int) -> tuple[int, ...]:
    """So many timesteps, evenly from the start."""
    return tuple(round(START * (count - i) / count) for i in range(count))


def questions() -> dict[str, Question]:
    """By name; the parts are whatever is registered."""
    samplers = [Spec(name, timesteps=steps(count)) for name in available("sampler") for count in (2, 4, 8)]
    confidences = ["preset", *(name for name in available("confidence") if name != "calibrated")]
    blurs = [Spec("correlation", temperature=temperature) for temperature in (0.04, 0.1, 0.3)]
    released = Spec("correlation", temperature=0.005)  # by its name alone it would be the preset's
    matchers = ["preset", *(released if name == released.name else name for name in available("matcher"))]
    published = "midm-faces-paper"
    return {
        "rematch": Question(
            "Does re-matching help, how many times, and when the first match is how good?",
            published, {"rematch": OFTEN, "matcher": blurs},
            "A high temperature blurs the first match and those that follow alike.",
        ),
        "training": Question(
            "And when features were trained for longer or shorter, with the exact truth or MIDMs' weak losses?",
            published, {"rematch": OFTEN[:3]},
            "Autoencoder and denoiser are the shipped ones. Of the weak losses only cycle consistency reaches the "
            "features that match again, and a wrong match can be consistent, and trusted, as well.",
            {name: {"weights": name} for name in VARIANTS} | {"shipped": {}},
        ),
        "grid": Question(
            "And on finer grids than that of training, 16 x 16?",
            published, {"rematch": OFTEN[:3]},
            "The weights are those trained on 16 x 16 cells.",
            {f"{size // 4} x {size // 4} cells": {"size": size} for size in (64, 96, 128)},
        ),
        "edit": Question(
            "What should become of x0 then, and what should be matched?",
            published, {"edit": ["blend", "replace", "context"], "match_on": ["x0", "latent"], "rematch": [(0, 1)]},
        ),
        "check": Question(
            "Does confidence help, and the released check or the true one?",
            published, {"confidence": [Spec("cycle", radius=0.05), "cycle-released", "always"], "rematch": [(0, 1)]},
        ),
        "matcher": Question(
            "Which matcher with which confidence?",
            "midm-faces", {"matcher": matchers, "confidence": confidences}, settings=TEST,
        ),
        "sampler": Question(
            "Which sampler at how many steps?", "midm-faces", {"sampler": samplers}, settings=TEST
        ),
        "conditional": Question(
            "A denoiser that sees warp and sketch, with re-matching or without?",
            "midm-faces", {"rematch": [(), (0,), (0, 1)], "edit": ["context", "blend"]},
            "Level 1 is the last: what is overwritten there comes out as it is, a warp, and is not denoised again.",
        ),
        "unconditional": Question(
            "And one that sees the noisy latent alone, as MIDMs'?",
            published, {"rematch": [(), (0, 1)], "edit": ["context", "blend"]},
        ),
    }  # fmt: skip


def main() -> int:
    """Measure, write the results file and the page; leaves with 1 if a combination failed."""
    asked = questions()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100, help="pairs of each setting")
    parser.add_argument("--sets", nargs="+", default=[*asked], choices=[*asked], metavar="NAME", help=", ".join(asked))
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"), help="folder of the runs")
    parser.add_argument("--out", type=Path, default=RESULTS / "ablation.json")
    args = parser.parse_args()
    results = json.loads(args.out.read_text()) if args.out.exists() else {"sets": {}}
    failures = []
    for name in args.sets:
        question = asked[name]
        entry: dict[str, Any] = {"question": question.text, "preset": question.preset, "note": question.note}
        entry |= {"minutes": 0.0, "settings": {}}
        for heading, setting in question.settings.items():
            weights = {"weights": trained(setting["weights"], args.runs / "weights")} if "weights" in setting else {}
            folder = args.runs / "-".join(re.findall(r"\w+", f"{name} {heading}"))
            found = ablate(question.preset, question.vary, pairs=args.pairs, out=folder, **{**setting, **weights})
            entry["settings"][heading] = trimmed(found.records)
            entry["minutes"] += sum(record["seconds"] for record in found.records) / 60
            failures += [f"{name}, {heading}: {failure}" for failure in found.failures]
        results["sets"][name] = entry
        results |= {"command": f"python -m benchmarks.ablation --pairs {args.pairs}", "pairs": args.pairs, **machine()}
        write_json(args.out, results)
    if args.out.parent == RESULTS:
        write(results)
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


def trimmed(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What of the records is kept: the figures, PSNR against others pair by pair, and by quarters of the pairs.

    "behind" is against the best of them, "gain" against the same without matching again: mean and standard error of the
    differences of the pairs, in dB. A quarter is [mean of what the pairs are sorted by, mean PSNR]: by the first match
    from the worst to the best, by how far the heads are turned apart from the nearest to the farthest.
    """
    best = ranked(records)
    once = {_rest(record): record for record in records if record["run"].get("rematch") == "()" and "each" in record}
    kept = []
    for record in records:
        kept.append({name: record[name] for name in ("run", "figures", "notes", "refused", "error") if name in record})
        if "each" in record:
            kept[-1] |= {"behind": difference(best[0], record), "quarters": quarters(record)}
        if "each" in record and _rest(record) in once:
            kept[-1]["gain"] = difference(record, once[_rest(record)])
    return kept


def _rest(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The run but for when it matches again."""
    return tuple(value for slot, value in record["run"].items() if slot != "rematch")


def difference(record: Mapping[str, Any], other: Mapping[str, Any]) -> list[float]:
    """By how much the first is better in PSNR, pair by pair: mean and standard error."""
    each = torch.tensor(record["each"]["PSNR"]) - torch.tensor(other["each"]["PSNR"])
    return [round(each.mean().item(), 3), round((each.std(correction=0) / len(each) ** 0.5).item(), 3)]


def quarters(record: Mapping[str, Any]) -> dict[str, list[list[float]]]:
    """PSNR by quarters of the pairs, see `trimmed`."""
    psnr = torch.tensor(record["each"]["PSNR"])
    by = {
        "first PCK@0.05": torch.tensor(record["each"]["first PCK@0.05"]),
        "degrees apart": turns(record["split"], range(record["pairs"])),
    }
    return {
        name: [
            [round(values[part].nanmean().item(), 4), round(psnr[part].mean().item(), 3)]
            for part in values.argsort().tensor_split(4)
            if len(part)
        ]
        for name, values in by.items()
    }


if __name__ == "__main__":
    sys.exit(main())
