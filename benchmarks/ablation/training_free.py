"""Edits without training on faces, whose truth is known: in `midm-faces-paper`, whose network is a plain diffusion's.

    python -m benchmarks.ablation.training_free --pairs 50    # resumes; then writes the results file and the page

Leaves every run in `runs/training-free`, the figures in `benchmarks/results/ablation-training-free.json`, and writes
what stands between marks in `docs/diffusion_models.md` from them.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.ablation.__main__ import BOTH, Question, trimmed
from benchmarks.ablation.page import ROOT, spearman
from benchmarks.results import RESULTS, between, machine, table, write_json
from midms import Spec, ablate
from midms.diffusion.levels import alpha_sigma
from midms.evaluation.ablation.report import label, ranked

FILE = RESULTS / "ablation-training-free.json"
PRESET = "midm-faces-paper"
LAYERS = ("up_blocks.0", "up_blocks.1")
"""Of the network's decoder, all that attend: on grids of 4 x 4 and 8 x 8 cells of its 16 x 16."""
WITHIN = {
    "cross-attention": Spec("cross-attention", layers=LAYERS, first=0.0, structure_every=0),
    "ctrlx": Spec("ctrlx", appearance_layers=LAYERS, structure_layers=LAYERS, structure_results=(), structure=0.0),
    "ctrlx, structure": Spec(
        "ctrlx", appearance_layers=LAYERS, structure_layers=LAYERS, structure_results=("up_blocks.0.resnets.0",)
    ),
    "graft": Spec("graft", layers=LAYERS, dropout=0.0),
}
"""Injections whose layers are this network's."""
FROM_NOISE = Spec("ddim", timesteps=tuple(range(951, 0, -80)), schedule="cosine")
MATCHERS = (
    *(Spec("correlation", temperature=temperature) for temperature in (0.04, 0.1, 0.3)),
    *("nearest", "mutual-nearest", "optimal-transport", "dual-softmax"),
)
DIFT = tuple(
    Spec(
        "diffusion",
        network="denoiser",
        blocks=(block,),
        timestep=timestep,
        sigma=round(alpha_sigma("cosine", timestep)[1], 3),
        draws=8,
    )
    for timestep in (63, 261)
    for block in (0, 1, 2)
)
"""Features of the denoiser's own network, by its upward block and by its timestep, with sigma of its schedule."""


def questions() -> dict[str, Question]:
    """By name."""
    plain: dict[str, Sequence[Any]] = {"refiner": [None]}
    trusting: dict[str, Sequence[Any]] = plain | {"style": [1.0]}
    return {
        "edit": Question(
            "Which edit transfers best, from the noised warp on?",
            PRESET,
            plain | {"edit": ["context", "blend", "replace", "adain"], "rematch": [(1, 2)]},
            "`context` leaves x0 as it is: all that the exemplar gives is the noised warp.",
        ),
        "within": Question(
            "And which injection into the network's layers, from the noised warp on?",
            PRESET,
            trusting | {"injection": [None, *WITHIN.values()], "edit": ["context"], "rematch": [(1, 2)]},
            "Here and below every match is trusted everywhere, as in the articles: `style` is 1.",
        ),
        "alone": Question(
            "And from noise alone, where all of the appearance has to come through the edit?",
            PRESET,
            trusting
            | {"sampler": [FROM_NOISE], "start": ["renoise"], "injection": [None, *WITHIN.values()]}
            | {"edit": ["context", "adain"], "rematch": [(2, 5, 8)]},
            "The network was trained on its own levels of noise, all of them; the sketch is seen by the match alone.",
        ),
        "matcher": Question(
            "Is a better matcher a better translation?",
            PRESET,
            trusting | {"matcher": [*MATCHERS], "edit": ["context", "blend", "adain"], "rematch": [(1, 2)]},
        ),
        "features": Question(
            "And are features of the same network (DIFT) as good to match as those that were trained?",
            PRESET,
            trusting | {"features": ["preset", *DIFT], "edit": ["blend"], "rematch": [(1, 2)]},
            "The first match is between condition maps, encoded as if they were pictures.",
        ),
    }


def summary(results: Mapping[str, Any]) -> str:
    """The two answers, and the tables, in Markdown."""
    parts = [
        f"Made by `{results['command']}` on {results['date'][:10]}, {results['hardware']}, torch "
        f"{results['versions']['torch']}: means over {results['pairs']} pairs of each split against the exact answer."
    ]
    parts += answers(results)
    for entry in results["sets"].values():
        parts.append(f"**{entry['question']}** {entry['note']}".rstrip())
        rows: dict[str, dict[str, float]] = {}
        for heading, records in entry["settings"].items():
            for record in ranked(records):
                figures = {name: record["figures"][name] for name in ("PSNR", "SSIM", "first PSNR", "PCK@0.05")}
                named = {f"{heading.split()[0]} {name}": value for name, value in figures.items()}
                rows.setdefault(f"`{shown(record)}`", {}).update(named)
        parts += [table(rows), *not_composed(entry)]
    return "\n\n".join(parts)


def shown(record: Mapping[str, Any]) -> str:
    """What of a run differs from others of its question."""
    fixed = ("refiner", "style", "sampler", "start", "rematch")
    run = {slot: value for slot, value in record["run"].items() if slot not in fixed}
    names = {spec.typed(): name for name, spec in WITHIN.items()}
    return label({"run": {slot: names.get(value, value) for slot, value in run.items()}})


def not_composed(entry: Mapping[str, Any]) -> list[str]:
    """What could not be composed, and why; a line each."""
    records = [record for records in entry["settings"].values() for record in records]
    lines = {
        f"- `{shown(record)}`: {record[kind]}" for record in records for kind in ("refused", "error") if kind in record
    }
    return ["\n".join(sorted(lines))] if lines else []


def answers(results: Mapping[str, Any]) -> list[str]:
    """The two questions, answered from the figures."""
    sets, found = results["sets"], []
    for name in ("edit", "within", "alone"):
        for heading, records in sets.get(name, {"settings": {}})["settings"].items():
            best = ranked(records)
            if best:
                gaps = ", ".join(
                    f"`{shown(one)}` {-one['behind'][0]:+.2f} ± {one['behind'][1]:.2f}" for one in best[1:4]
                )
                found.append(f"- {sets[name]['question']} {heading}: `{shown(best[0])}`, then {gaps} dB.")
    for name, of in (("matcher", "edit"), ("features", "edit")):
        for heading, records in sets.get(name, {"settings": {}})["settings"].items():
            for value in dict.fromkeys(record["run"][of] for record in ranked(records)):
                rows = [record["figures"] for record in ranked(records) if record["run"][of] == value]
                psnr = [row["PSNR"] for row in rows]
                by = {key: spearman(psnr, [row[key] for row in rows]) for key in ("first PCK@0.05", "first PSNR")}
                found.append(
                    f"- {sets[name]['question']} {heading}, {of} `{value}`: rank correlation of PSNR over "
                    f"{len(rows)} with PCK of the first match {by['first PCK@0.05']:+.2f}, with PSNR of the first warp "
                    f"{by['first PSNR']:+.2f}."
                )
    return ["\n".join(found)] if found else []


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write the results file and the page; leaves with 1 if a combination failed."""
    asked = questions()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=50, help="pairs of each setting")
    parser.add_argument("--sets", nargs="+", default=[*asked], choices=[*asked], metavar="NAME", help=", ".join(asked))
    parser.add_argument("--runs", type=Path, default=Path("runs/training-free"), help="folder of the runs")
    parser.add_argument("--out", type=Path, default=FILE)
    args = parser.parse_args(argv)
    results = json.loads(args.out.read_text()) if args.out.exists() else {"sets": {}}
    failures = []
    for name in args.sets:
        question = asked[name]
        entry: dict[str, Any] = {"question": question.text, "note": question.note, "settings": {}}
        for heading, setting in BOTH.items():
            folder = args.runs / "-".join(re.findall(r"\w+", f"{name} {heading}"))
            found = ablate(question.preset, question.vary, pairs=args.pairs, out=folder, **setting)
            entry["settings"][heading] = trimmed(found.records)
            failures += [f"{name}, {heading}: {failure}" for failure in found.failures]
        results["sets"][name] = entry
        command = f"python -m benchmarks.ablation.training_free --pairs {args.pairs}"
        results |= {"command": command, "pairs": args.pairs, **machine()}
        write_json(args.out, results)
    if args.out == FILE:
        between(ROOT / "docs" / "diffusion_models.md", "training-free", summary(results))
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
