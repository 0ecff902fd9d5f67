"""`midms train`: a small model, stage by stage."""

from __future__ import annotations

import argparse
import json
import math
import reprlib
import signal
from pathlib import Path

from midms.cli.options import Commands, command, device, plugins
from midms.cli.values import integer, minutes, part_value
from midms.compose.catalog import registry
from midms.compose.spec import Spec
from midms.core.limits import SEEDS
from midms.registry import BadArguments, unknown

BRIDGE = "bridge"


def add(commands: Commands) -> None:
    """The command and its options."""
    added = command(
        commands,
        "train",
        _train,
        "train a small model like midm-faces, one stage after the other",
        "The stages are autoencoder, matching and diffusion, in this order, with one DIR. Of portraits the first stage"
        " renders as many as it needs, and says beforehand how long that takes and how much disk. A stage that was"
        " stopped goes on where it was; it leaves with 3 if its minutes were not enough. DIR is then a --preset"
        " of other commands, and for midms.from_pretrained; with --denoiser unconditional it is DIR/midm-faces-paper.",
        (
            "portraits --stage autoencoder --out runs/mine",
            "portraits --stage matching --out runs/mine --minutes 30",
            "portraits --stage diffusion --out runs/mine",
            '"portraits(styles=64)" --stage autoencoder --out runs/try --steps 100',
        ),
    )
    plugins(added)
    added.add_argument(
        "data",
        type=part_value,
        metavar="DATASET",
        help="what to train on, see `midms list dataset`; with settings (`midms show NAME`) in parentheses and quotes",
    )
    added.add_argument("--stage", choices=["autoencoder", "matching", "diffusion"], required=True, help="in this order")
    added.add_argument(
        "--denoiser",
        choices=[BRIDGE, "unconditional"],
        default=BRIDGE,
        help="of the diffusion stage (default %(default)s)",
    )
    added.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the weights; resumes")
    added.add_argument(
        "--size", type=integer(64, 256), default=64, metavar="N", help="pixels a side (default %(default)s)"
    )
    added.add_argument("--device", default="cpu", help="such as cuda (default %(default)s)")
    added.add_argument("--steps", type=integer(1), metavar="N", help="default: the stage's own")
    added.add_argument("--minutes", type=minutes, metavar="M", help="stop after so long; run again to go on")
    added.add_argument(
        "--terms",
        type=weights,
        default={},
        metavar="JSON",
        help="weights of the matching stage's losses, by name (default: its own)",
    )
    added.add_argument("--start", type=Path, metavar="DIR", help="begin with the weights of another run")
    added.add_argument(
        "--seed", type=integer(0, SEEDS), default=0, metavar="N", help="of all that is drawn (default %(default)s)"
    )


def weights(text: str) -> dict[str, float]:
    """An argument type: numbers by name."""
    try:
        given = json.loads(text)
        found = {name: float(value) for name, value in given.items() if not isinstance(value, bool | str)}
        if len(found) == len(given) and all(0 <= value < math.inf for value in found.values()):
            return found
    except (ValueError, AttributeError, TypeError, RecursionError, OverflowError):
        pass
    raise argparse.ArgumentTypeError(
        f'expected weights from 0 by name, such as {{"domain": 1}}, got {reprlib.repr(text)}'
    )


def _train(args: argparse.Namespace) -> int:
    for given, name, stage in ((args.terms, "terms", "matching"), (args.denoiser != BRIDGE, "denoiser", "diffusion")):
        if given and args.stage != stage:
            raise BadArguments(f"--{name}: changes nothing in --stage {args.stage}, expected --stage {stage}")
    args.data = Spec(args.data) if isinstance(args.data, str) else args.data
    registry("dataset").check(args.data.name, **args.data.arguments | {"split": "train", "size": args.size})
    from midms.training.train import train

    device(args.device)
    from midms.training.stages.matching import TERMS

    if strange := [name for name in args.terms if name not in TERMS]:
        raise BadArguments("; ".join(unknown("term", name, TERMS) for name in strange))
    usual = signal.signal(signal.SIGTERM, signal.default_int_handler)  # what ends a job elsewhere is a key press here
    try:
        status: int = train(args)
    finally:
        signal.signal(signal.SIGTERM, usual)
    return status
