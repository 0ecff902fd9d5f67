"""The command line: one module a command. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path

from midms.cli import ablate, app, convert, demo, doctor, evaluate, explain, listing, pairs, train, translate
from midms.cli.messages import complain, logged_notes, show_warning
from midms.cli.options import Parser, load_plugin, message_of
from midms.compose.catalog import KINDS
from midms.core.errors import MidmsError
from midms.core.plugins import unreadable
from midms.core.version import __version__

__all__ = ["COMMANDS", "main", "parser"]

COMMANDS = (translate, explain, app, demo, convert, listing, pairs, train, evaluate, ablate, doctor)
"""Modules whose `add` adds a command, in the order of the help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, or 2 with one line on stderr for each error of the user."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as of stderr: no name of a file ends a command
    args = parser().parse_args(arguments)
    try:
        with logged_notes(), warnings.catch_warnings():
            warnings.showwarning = show_warning
            for path in getattr(args, "plugin", []):
                load_plugin(path)
            status: int = args.command(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt as error:
        return complain(" ".join(["interrupted", *map(str, error.args)]), status=130)
    except SystemExit as end:
        place = traceback.extract_tb(end.__traceback__)[-1]
        return complain(f"{place.filename}, line {place.lineno}: a part ended the program ({end.code})")
    except (MidmsError, OSError) as error:
        return complain(_with_hint(message_of(error, args), args))
    except Exception as error:
        names = {Path(place.filename).parent.name for place in traceback.extract_tb(error.__traceback__)}
        if "metadata" in names and (damaged := unreadable()):
            return complain(f"{', '.join(damaged)}: entry points of this package cannot be read, which torch asks for")
        raise


def _with_hint(text: str, args: argparse.Namespace) -> str:
    """A complaint of a part that nobody knows, with how a file of one's own is named."""
    unknown = re.search(rf"no ({'|'.join(KINDS)}|part or preset) is called", text)
    without = unknown and getattr(args, "plugin", None) == []
    return f"{text} A part of your own needs --plugin FILE.py." if without else text


def parser() -> Parser:
    """All commands and their options."""
    top = Parser(prog="midms", description="Translate a picture to the geometry of a sketch.", allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"midms {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in COMMANDS:
        module.add(commands)
    return top
