"""`midms demo`: rendered faces."""

from __future__ import annotations

import argparse
from pathlib import Path

from midms.cli.messages import say
from midms.cli.options import Commands, command, composed, composition, networks, parts
from midms.cli.values import a_path, integer
from midms.core.limits import SEEDS


def add(commands: Commands) -> None:
    """The command and its options."""
    show = command(
        commands,
        "demo",
        _demo,
        "translate a few rendered faces and write a contact sheet",
        examples=("", "--out out/demo --faces 12 --seed 1", "--matcher optimal-transport"),
    )
    show.add_argument(
        "--out",
        type=a_path,
        default=Path("midms-demo"),
        metavar="DIR",
        help="folder to write to (default %(default)s)",
    )
    show.add_argument("--faces", type=integer(1, 64), default=6, metavar="N", help="how many (default %(default)s)")
    show.add_argument(
        "--seed",
        type=integer(0, SEEDS),
        default=0,
        metavar="N",
        help="another seed takes other faces (default %(default)s)",
    )
    composition(show)
    networks(show)
    parts(show)


def _demo(args: argparse.Namespace) -> int:
    from midms.pipeline.demo import demo

    sheet = demo(composed(args), args.out, args.faces, args.seed)
    say(f"written to {sheet}; next to it, the single pictures")
    return 0
