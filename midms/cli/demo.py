"""`midms demo`: rendered faces."""

from __future__ import annotations

import argparse
from pathlib import Path

from midms.cli.options import SEEDS, Commands, command, composed, composition, whole


def add(commands: Commands) -> None:
    """The command and its options."""
    show = command(commands, "demo", _demo, "translate a few rendered faces and write a contact sheet")
    show.add_argument("--out", type=Path, default=Path("midms-demo"), metavar="DIR", help="default: midms-demo")
    show.add_argument("--faces", type=whole(1, 64), default=6, metavar="N", help="how many (default 6)")
    show.add_argument(
        "--seed", type=whole(0, SEEDS), default=0, metavar="N", help="another seed takes other faces (default 0)"
    )
    composition(show)


def _demo(args: argparse.Namespace) -> int:
    from midms.demo import demo

    sheet = demo(composed(args), args.out, args.faces, args.seed)
    print(f"written to {sheet}; next to it, the single pictures")
    return 0
