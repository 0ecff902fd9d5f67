"""The command line. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import argparse
import inspect
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import midms
from midms.catalog import KINDS, available, registry
from midms.presets import PRESETS, Preset
from midms.registry import BadArguments, BrokenPart, UnknownName, unknown

if TYPE_CHECKING:
    from midms.loop import MatchingInterleavedDiffusion

MISTAKE = 2
"""Exit status when the user can do something about it."""
SLOTS = ("matcher", "sampler", "confidence")
"""What `translate` lets one exchange."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Print it and leave."""
        self.exit(MISTAKE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, or 2 with one line on stderr for each mistake of the user."""
    args = parser().parse_args(arguments)
    try:
        status: int = args.command(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return _complain("interrupted", status=130)
    except (UnknownName, BadArguments, BrokenPart, OSError) as error:
        return _complain(str(error))
    except ValueError as error:
        if not _is_mistake(error):
            raise
        return _complain(str(error))


def _is_mistake(error: ValueError) -> bool:
    """Whether an error is one of those that are raised for the user to read."""
    from midms.compose import BuildError, CheckpointError
    from midms.pictures import PictureError

    return isinstance(error, BuildError | CheckpointError | PictureError)


def _complain(message: str, status: int = MISTAKE) -> int:
    """One line on stderr."""
    lines = [line.strip().removeprefix("- ") for line in message.splitlines()]
    joined = "; ".join(line for line in lines if line).replace(":;", ":")
    print(f"midms: {joined}", file=sys.stderr)
    return status


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = Parser(prog="midms", description="Translate a picture to the geometry of a sketch.", allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"midms {midms.__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(
        name: str, run: Callable[[argparse.Namespace], int], summary: str, more: str = ""
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}. {more}", allow_abbrev=False
        )
        added.set_defaults(command=run)
        return added

    one = command(
        "translate",
        _translate,
        "give a picture the geometry of a sketch",
        "With folders, pictures are paired by name without suffix, or in the order of names if they share none;"
        " one picture alone goes with each of the other side."
        " Results are called like the folder's picture that they came from.",
    )
    one.add_argument(
        "--condition", type=Path, required=True, metavar="SKETCH", help="the sketch, or a folder of sketches"
    )
    one.add_argument(
        "--exemplar", type=Path, required=True, metavar="PICTURE", help="the picture, or a folder of pictures"
    )
    one.add_argument(
        "--out", type=Path, required=True, metavar="OUT.png", help="the result, or a folder for the results"
    )
    one.add_argument("--figure", type=Path, metavar="FIG.png", help="also draw how it came about")
    _composition(one)
    for slot in SLOTS:
        one.add_argument(f"--{slot}", metavar=slot[0].upper(), help=f"another {slot}, see `midms list {slot}`")
    one.add_argument("--seed", type=_whole(0), default=0, metavar="N", help="of the noise (default 0)")
    one.add_argument(
        "--size", type=_whole(8), metavar="N", help="pixels of the shorter side (default: the preset's own)"
    )

    show = command("demo", _demo, "translate a few rendered faces and write a contact sheet")
    show.add_argument("--out", type=Path, default=Path("midms-demo"), metavar="DIR", help="default: midms-demo")
    show.add_argument("--faces", type=_whole(1, 64), default=6, metavar="N", help="how many (default 6)")
    show.add_argument(
        "--seed", type=_whole(0), default=0, metavar="N", help="another seed takes other faces (default 0)"
    )
    _composition(show)

    names = command("list", _list, "list the parts and presets")
    names.add_argument("kind", nargs="?", metavar="KIND", help=f"preset, {', '.join(KINDS)}; default: all")
    detail = command("show", _show, "show what a part or preset is and takes")
    detail.add_argument("name", metavar="NAME")

    _training(command("train", _train, "train the faces model, one stage after the other"))
    return top


def _composition(added: argparse.ArgumentParser) -> None:
    added.add_argument(
        "--preset", default="midm-faces", metavar="P", help="see `midms list preset` (default midm-faces)"
    )
    added.add_argument("--weights", type=Path, metavar="DIR", help="weights of your own, as `midms train` leaves them")
    added.add_argument("--device", default="cpu", help="such as cuda (default cpu)")


def _training(added: argparse.ArgumentParser) -> None:
    added.add_argument("what", choices=["faces"], help="what to train on")
    added.add_argument("--stage", choices=["autoencoder", "matching", "diffusion"], required=True, help="in this order")
    added.add_argument(
        "--denoiser", choices=["bridge", "unconditional"], default="bridge", help="of the diffusion stage"
    )
    added.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="weights, checkpoints, results.json; resumes"
    )
    added.add_argument("--size", type=_whole(64, 256), default=64, metavar="N", help="pixels a side (default 64)")
    added.add_argument("--styles", type=_whole(1), default=6000, metavar="N", help="faces to render (default 6000)")
    added.add_argument("--geometries", type=_whole(2), default=4, metavar="N", help="pictures of each (default 4)")
    added.add_argument("--device", default="cpu", help="such as cuda (default cpu)")
    added.add_argument("--steps", type=_whole(1), metavar="N", help="default: the stage's own")
    added.add_argument("--minutes", type=float, metavar="M", help="stop after so long; run again to go on")
    added.add_argument("--terms", metavar="JSON", help="weights of the matching stage's losses")
    added.add_argument("--start", type=Path, metavar="DIR", help="begin with the weights of another run")
    added.add_argument("--seed", type=_whole(0), default=0, metavar="N")


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """An argument type: a whole number within bounds."""

    def whole(text: str) -> int:
        value = int(text)
        if value < least or (most is not None and value > most):
            bounds = f"at least {least}" if most is None else f"{least} to {most}"
            raise argparse.ArgumentTypeError(f"expected a whole number, {bounds}, got {value}")
        return value

    whole.__name__ = "whole number"
    return whole


def _build(args: argparse.Namespace, **changes: Any) -> MatchingInterleavedDiffusion:
    """Compose, with notes for the user as lines on stderr."""
    from midms.compose import build

    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        run = build(args.preset, weights=args.weights, **changes)
    for note in dict.fromkeys(str(note.message) for note in notes if note.category is UserWarning):
        print(f"midms: note: {note}", file=sys.stderr)
    return run.to(_device(args.device))


def _device(name: str) -> str:
    import torch

    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError):
        raise BadArguments(f"--device {name}: there is no such device here") from None
    return name


def _translate(args: argparse.Namespace) -> int:
    from midms.folders import perform, plan

    jobs = plan(args.condition, args.exemplar, args.out, args.figure)
    run = _build(args, **{slot: name for slot in SLOTS if (name := getattr(args, slot)) is not None})
    failures = perform(run, jobs, args.seed, args.size)
    for failure in failures:
        _complain(failure)
    if len(jobs) > 1:
        print(f"{len(jobs) - len(failures)} of {len(jobs)} written to {args.out}")
    elif not failures:
        print(f"written to {jobs[0].out}")
    return MISTAKE if failures else 0


def _demo(args: argparse.Namespace) -> int:
    from midms.demo import demo

    sheet = demo(_build(args), args.out, args.faces, args.seed)
    print(f"written to {sheet}; next to it, the single pictures")
    return 0


def _list(args: argparse.Namespace) -> int:
    kinds = [args.kind] if args.kind else ["preset", *KINDS]
    for kind in kinds:
        rows = _summaries(kind)
        if args.kind is None:
            print(f"{kind}:")
        width = max(map(len, rows), default=0)
        for name, summary in rows.items():
            print(f"  {name:<{width}}  {summary}")
    return 0


def _summaries(kind: str) -> dict[str, str]:
    if kind == "preset":
        return {name: preset.source for name, preset in PRESETS.items()}
    if kind not in KINDS:
        raise UnknownName(unknown("kind of part", kind, ["preset", *KINDS]))
    return {name: registry(kind).summary(name) for name in available(kind)}


def _show(args: argparse.Namespace) -> int:
    kinds = [kind for kind in KINDS if args.name in registry(kind)]
    if args.name not in PRESETS and not kinds:
        known = [*PRESETS, *(name for kind in KINDS for name in available(kind))]
        raise UnknownName(unknown("part or preset", args.name, known))
    texts = [_preset(args.name, PRESETS[args.name])] if args.name in PRESETS else []
    print("\n\n".join([*texts, *(_part(kind, args.name) for kind in kinds)]))
    return 0


def _preset(name: str, preset: Preset) -> str:
    lines = [f"{name}: preset", preset.source, ""]
    for slot, spec in preset.slots.items():
        lines.append(f"  {slot:<12}{spec.name}({', '.join(f'{k}={v!r}' for k, v in spec.arguments.items())})")
    lines += [f"  {key:<12}{value}" for key, value in preset.loop.items()]
    return "\n".join(lines)


def _part(kind: str, name: str) -> str:
    part = registry(kind)[name]
    signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(part)))
    return f"{name}: {kind}\n{registry(kind).summary(name)}\n\n{name}{signature}\n\n{inspect.getdoc(part) or ''}"


def _train(args: argparse.Namespace) -> int:
    from midms.training.faces import main as train

    _device(args.device)
    status: int = train(args)
    return status


if __name__ == "__main__":
    sys.exit(main())
