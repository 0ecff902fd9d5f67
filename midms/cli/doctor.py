"""`midms doctor`: what can run here."""

from __future__ import annotations

import argparse

from midms.cli.messages import say
from midms.cli.options import Commands, command


def add(commands: Commands) -> None:
    """The command; it has no options."""
    command(commands, "doctor", _doctor, "say what can run here, and why the rest cannot", examples=("",))


def _doctor(args: argparse.Namespace) -> int:
    from midms.cli.environment import report

    say(*report().split("\n"))
    return 0
