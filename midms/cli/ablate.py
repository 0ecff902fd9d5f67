"""`midms ablate`: which part is best."""

from __future__ import annotations

import argparse
from typing import Any

from midms.cli.messages import complain, say
from midms.cli.options import Commands, command, composition, device
from midms.cli.values import a_path, dataset_value, integer
from midms.core.errors import MidmsError
from midms.registry import BadArguments

FAILED = 1


def add(commands: Commands) -> None:
    """The command and its options."""
    one = command(
        commands,
        "ablate",
        _ablate,
        "measure every combination of some parts on pairs whose exact answer is known",
        "Writes a line a combination to DIR/runs.jsonl, then DIR/table.md, plot.png, sheet.png and report.html. Run"
        " again, it goes on where it was stopped. Leaves with 1 if a combination failed or none has figures;"
        " those that cannot be composed are listed.",
        (
            "--vary matcher=preset,nearest --vary confidence=preset,always --pairs 20 --out which",
            '--vary "confidence=cycle(radius=0.1),cycle(radius=0.2)" --out radii',
            "--preset runs/mine --plugin shapes.py --data shapes --vary confidence=preset,always --out shapes",
            '--vary "rematch=none,(0,),(0,1)" --preset midm-faces-paper --out rematch',
        ),
    )
    one.add_argument(
        "--vary",
        action="append",
        required=True,
        metavar="SLOT=A,B",
        help="a slot or loop setting and its values: matcher=preset,nearest, confidence=cycle(radius=0.1),always,"
        " rematch=none,(0,1); of several slots, all combinations. A part of the preset's own name keeps the preset's"
        " other settings",
    )
    one.add_argument(
        "--data",
        type=dataset_value,
        default="portraits",
        metavar="DATASET",
        help="what to measure on, see `midms list dataset`; figures of the match where its pairs have a flow (default"
        " %(default)s, drawn faces)",
    )
    one.add_argument("--pairs", type=integer(1), default=100, metavar="N", help="at most (default %(default)s)")
    one.add_argument(
        "--split", metavar="S", help="of the data set (default: validation; of portraits test, which have hard too)"
    )
    one.add_argument("--size", type=integer(32, 1024), metavar="N", help="pixels a side (default: the preset's)")
    one.add_argument("--seed", type=integer(0), default=0, metavar="N", help="of the noise (default %(default)s)")
    one.add_argument("--out", type=a_path, required=True, metavar="DIR", help="resumes if it was begun")
    composition(one)


def _ablate(args: argparse.Namespace) -> int:
    from midms.evaluation.ablation import ablate
    from midms.evaluation.ablation.vary import parse

    vary: dict[str, list[Any]] = {}
    for text in args.vary:
        try:
            slot, values = parse(text)
        except MidmsError as error:
            raise BadArguments(f"--vary {text}: {error}") from None
        vary.setdefault(slot, []).extend(values)
    found = ablate(
        args.preset,
        vary,
        out=args.out,
        data=args.data,
        pairs=args.pairs,
        split=args.split,
        size=args.size,
        seed=args.seed,
        device=device(args.device),
        weights=args.weights,
    )
    say(*found.table().split("\n"))
    measured = any("figures" in record for record in found.records)
    say("", f"written to {args.out}: runs.jsonl, table.md{', plot.png, sheet.png, report.html' if measured else ''}")
    for note in found.notes:
        complain(f"note: {note}")
    for failure in found.failures:
        complain(f"failed: {failure}")
    return FAILED if found.failures or not measured else 0
