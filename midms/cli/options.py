"""What commands share: how they are added, common options, how mistakes are told."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from midms.registry import BadArguments

if TYPE_CHECKING:
    from midms.loop import MatchingInterleavedDiffusion

MISTAKE = 2
"""Exit status when the user can do something about it."""
SEEDS = 2**63 - 1
"""The largest that PyTorch takes."""
Commands = Any
"""What `argparse` calls the action of sub-commands; it has no public name."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Print it and leave."""
        self.exit(MISTAKE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def command(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], summary: str, more: str = ""
) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: to which it is added.
        name: what users type.
        run: from the options to the exit status.
        summary: for the list of commands, in lower case, without a full stop.
        more: that the command's own help says after it.
    """
    description = f"{summary[0].upper()}{summary[1:]}. {more}"
    added: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description, allow_abbrev=False
    )
    added.set_defaults(command=run)
    return added


def composition(added: argparse.ArgumentParser, saved: bool = True) -> None:
    """The options that `composed` reads; `saved` is whether a composition may be one that was saved."""
    added.add_argument(
        "--preset",
        default="midm-faces",
        metavar="P",
        help="see `midms list preset` (default midm-faces)"
        + ("; or a folder that run.save_pretrained wrote" if saved else ""),
    )
    added.add_argument(
        "--weights",
        type=Path,
        metavar="DIR",
        help="a folder as `midms train` or `midms convert` leaves it, one of diffusers, or its id on the hub",
    )
    added.add_argument("--device", default="cpu", help="such as cuda (default cpu)")


def composed(args: argparse.Namespace, **changes: Any) -> MatchingInterleavedDiffusion:
    """Compose what the options say, with notes for the user as lines on stderr.

    Raises:
        BadArguments: weights are given for a composition that has its own, or there is no such device.
    """
    from midms.compose import build
    from midms.pretrained import from_pretrained
    from midms.saved import CONFIG

    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        if Path(args.preset, CONFIG).is_file():
            if args.weights is not None:
                raise BadArguments(
                    f"--weights {args.weights}: not with --preset {args.preset}, which has its own weights"
                )
            run = from_pretrained(args.preset, **changes)
        else:
            run = build(args.preset, weights=args.weights, **changes)
    for text in dict.fromkeys(str(one.message) for one in notes if one.category is UserWarning):
        complain(f"note: {text}")
    return run.to(device(args.device))


def device(name: str) -> str:
    """The name, if there is such a device.

    Raises:
        BadArguments: there is none.
    """
    import torch

    try:
        torch.ones(1, device=name).item()
    except (RuntimeError, AssertionError, NotImplementedError):
        raise BadArguments(f"--device {name}: there is no such device here") from None
    return name


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """An argument type: a whole number within bounds."""

    def whole(text: str) -> int:
        value = int(text)
        if value < least or (most is not None and value > most):
            bounds = f"at least {least}" if most is None else f"{least} to {most}"
            raise argparse.ArgumentTypeError(f"expected a whole number, {bounds}, got {value}")
        return value

    whole.__name__ = "whole number"
    return whole


def note(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Show a warning as a line of ours, in the place of `warnings.showwarning`."""
    if category is UserWarning:
        complain(f"note: {message}")
    else:
        print(warnings.formatwarning(message, category, *where[:2]), end="", file=sys.stderr)


def complain(message: str, status: int = MISTAKE) -> int:
    """One line on stderr; returns the status."""
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    joined = "; ".join(line for line in lines if line).replace(":;", ":")
    print(f"midms: {joined}", file=sys.stderr)
    return status
