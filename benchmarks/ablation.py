"""The paper's questions on faces, where the truth is known: what each part gives, one `midms.ablate` for each.

    python -m benchmarks.ablation --pairs 100                 # resumes; then writes the results file and the page
    python -m benchmarks.ablation --pairs 100 --sets rematch check

Leaves every run in `runs/ablation`, the figures in `benchmarks/results/ablation.json`, and writes `docs/ablation.md`
and what stands between the README's marks from them (`benchmarks/ablation_page.py`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.ablation_page import write
from benchmarks.results import RESULTS, machine, write_json
from midms import Spec, ablate, available

SPLITS = ("test", "hard")
START = 700
"""The noisiest timestep of `midm-faces`."""


@dataclass(frozen=True)
class Question:
    """What is asked, and the cross product that answers it."""

    text: str
    preset: str
    vary: Mapping[str, Sequence[Any]]
    splits: tuple[str, ...] = SPLITS


def steps(count: int) -> tuple[int, ...]:
    """So many timesteps, evenly from the start."""
    return tuple(round(START * (count - i) / count) for i in range(count))


def questions() -> dict[str, Question]:
    """By name; the parts are whatever is registered."""
    samplers = [Spec(name, timesteps=steps(count)) for name in available("sampler") for count in (2, 4, 8)]
    confidences = ["preset", *(name for name in available("confidence") if name != "calibrated")]
    blurs = [Spec("correlation", temperature=temperature) for temperature in (0.04, 0.1, 0.3)]
    paper = "midm-faces-paper"
    return {
        "rematch": Question(
            "Does re-matching help, how many times, and when the first match is how good?",
            paper, {"rematch": [(), (1,), (1, 2), (1, 2, 3)], "matcher": blurs},
        ),
        "edit": Question(
            "What should become of x0 then, and what should be matched?",
            paper, {"edit": ["blend", "replace", "context"], "look": ["x0", "latent"]},
        ),
        "check": Question(
            "Does confidence help, and the released check or the true one?",
            paper, {"confidence": [Spec("cycle", radius=0.05), "cycle-released", "always"], "rematch": [(1, 2)]},
        ),
        "matcher": Question(
            "Which matcher with which confidence?",
            "midm-faces", {"matcher": ["preset", *available("matcher")], "confidence": confidences}, ("test",),
        ),
        "sampler": Question(
            "Which sampler at how many steps?", "midm-faces", {"sampler": samplers}, ("test",)
        ),
        "conditional": Question(
            "A denoiser that sees warp and sketch, with re-matching or without?",
            "midm-faces", {"rematch": [(), (0,), (0, 1)], "edit": ["context", "blend"]},
        ),
        "unconditional": Question(
            "And one that sees the noisy latent alone, as the paper's?",
            paper, {"rematch": [(), (1, 2)], "edit": ["context", "blend"]},
        ),
    }  # fmt: skip


def main() -> int:
    """Measure, write the results file and the page; leaves with 1 if a combination failed."""
    asked = questions()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100, help="pairs of each split")
    parser.add_argument("--sets", nargs="+", default=[*asked], choices=[*asked], metavar="NAME", help=", ".join(asked))
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"), help="folder of the runs")
    parser.add_argument("--out", type=Path, default=RESULTS / "ablation.json")
    args = parser.parse_args()
    results = json.loads(args.out.read_text()) if args.out.exists() else {"sets": {}}
    failures = []
    for name in args.sets:
        question, began = asked[name], time.perf_counter()
        told: dict[str, Any] = {"question": question.text, "preset": question.preset, "splits": {}}
        for split in question.splits:
            folder = args.runs / f"{name}-{split}"
            found = ablate(question.preset, question.vary, pairs=args.pairs, split=split, out=folder)
            told["splits"][split] = [trimmed(record) for record in found.records]
            failures += [f"{name}, {split}: {failure}" for failure in found.failures]
        told["minutes"] = (time.perf_counter() - began) / 60
        results["sets"][name] = told
        results |= {"command": f"python -m benchmarks.ablation --pairs {args.pairs}", "pairs": args.pairs, **machine()}
        write_json(args.out, results)
    if args.out.parent == RESULTS:
        write(results)
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


def trimmed(record: Mapping[str, Any]) -> dict[str, Any]:
    """What of a record is kept: the figures, and PSNR by quarters of the pairs, worst first match first."""
    kept = {name: record[name] for name in ("run", "figures", "refused", "error") if name in record}
    if "each" in record:
        order = torch.tensor(record["each"]["first PCK@0.05"]).argsort()
        psnr = torch.tensor(record["each"]["PSNR"])[order]
        kept["quarters"] = [round(part.mean().item(), 3) for part in psnr.tensor_split(4) if len(part)]
    return kept


if __name__ == "__main__":
    sys.exit(main())
