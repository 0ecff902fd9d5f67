"""`midms train`: a model of one's own, from a data set to a folder that is a preset."""

from __future__ import annotations

import argparse
import math
import os
import reprlib
import signal

from midms.cli.options import Commands, command, device, plugins
from midms.cli.values import a_path, dataset_value, integer, minutes, part_spec, share, some_text
from midms.compose.catalog import registry
from midms.core.files import check_regular
from midms.core.limits import SEEDS
from midms.core.signatures import parameters
from midms.registry import BadArguments


def add(commands: Commands) -> None:
    """The command and its options."""
    added = command(
        commands,
        "train",
        _train,
        "train a model on pictures of your own",
        "The stages of the preset run one after the other, such as autoencoder, matching and diffusion. What was"
        " stopped goes on where it was, by the same command; it leaves with 3 if its minutes were not enough. DIR is"
        " then a --preset of other commands, and for midms.from_pretrained. On several GPUs or machines the same is"
        " launched by `torchrun --nproc_per_node N -m midms train ...` or `accelerate launch -m midms train ...`.",
        (
            "--data folder:PICTURES --out runs/mine",
            "--data portraits --preset midm-faces --out runs/faces",
            '--data "portraits(styles=64)" --preset midm-faces --stage autoencoder --out runs/try --steps 100',
        ),
    )
    plugins(added)
    added.add_argument(
        "--data",
        type=dataset_value,
        required=True,
        metavar="DATASET",
        help="what to train on, see `midms list dataset`; with settings (`midms show NAME`) in parentheses and quotes",
    )
    added.add_argument(
        "--preset",
        type=some_text,
        default="midm-small",
        metavar="P",
        help="what to train, a name of `midms list preset`; for a folder see --init (default %(default)s)",
    )
    added.add_argument("--stage", metavar="STAGE", help="one of the preset's alone (default: those that are left)")
    added.add_argument("--out", type=a_path, required=True, metavar="DIR", help="for the weights; resumes")
    added.add_argument(
        "--condition-from",
        type=part_spec,
        metavar="EXTRACTOR",
        help="what reads the conditions, see `midms list condition` (default: the preset's)",
    )
    added.add_argument("--size", type=integer(32, 1024), metavar="N", help="pixels a side (default: the preset's)")
    added.add_argument(
        "--init", type=some_text, metavar="DIR", help="begin with the weights of a folder, or of a hub id"
    )
    added.add_argument("--minutes", type=minutes, metavar="M", help="stop after so long; run again to go on")
    added.add_argument(
        "--seed", type=integer(0, SEEDS), default=0, metavar="N", help="of all that is drawn (default %(default)s)"
    )
    added.add_argument("--max-broken", type=share, default=0.01, metavar="SHARE",
                       help="of the pairs that may not be readable (default %(default)s; one always may)")  # fmt: skip
    _steps(added)
    _machine(added)
    _records(added)


def _steps(added: argparse.ArgumentParser) -> None:
    group = added.add_argument_group("steps", "which otherwise are as the preset has them")
    group.add_argument("--steps", type=integer(1), metavar="N", help="of each stage")
    group.add_argument("--batch", type=integer(1), metavar="N", help="pairs a step, over all processes")
    group.add_argument("--terms", type=weights, default={}, metavar="JSON", help="weights of losses, by name")
    group.add_argument("--vgg19", type=a_path, metavar="FILE",
                       help="VGG19 of the perceptual losses, of torchvision or CoCosNet (or VGG16 of HED)")  # fmt: skip


def _machine(added: argparse.ArgumentParser) -> None:
    group = added.add_argument_group("machine")
    group.add_argument(
        "--device",
        choices=["auto", "cpu", "cuda", "mps"],
        default="auto",
        help="auto is the fastest that there is (default %(default)s)",
    )
    group.add_argument(
        "--precision", choices=["no", "bf16", "fp16"], default="no", help="mixed precision (default %(default)s)"
    )
    group.add_argument(
        "--accumulate", type=integer(1), default=1, metavar="N", help="parts of a batch, to spare memory (default 1)"
    )
    group.add_argument("--compile", action="store_true", help="compile the stages (torch.compile)")
    group.add_argument(
        "--workers", type=integer(0, 64), default=1, metavar="N", help="processes that read pictures (default 1)"
    )


def _records(added: argparse.ArgumentParser) -> None:
    group = added.add_argument_group("what is left beside the weights")
    group.add_argument(
        "--log-with",
        default="tensorboard",
        metavar="TRACKER",
        help="what records losses, or none: one that accelerate knows and that is installed (default %(default)s)",
    )
    group.add_argument("--sheet-every", type=integer(1), default=1000, metavar="N", help="steps (default %(default)s)")
    group.add_argument(
        "--keep", type=integer(1), default=2, metavar="N", help="checkpoints of a stage (default %(default)s)"
    )


def weights(text: str) -> dict[str, float]:
    """An argument type: numbers by name."""
    from midms.core.schema import parse_json

    try:
        given = parse_json(text)
        found = {name: float(value) for name, value in given.items() if not isinstance(value, bool | str)}
        if len(found) == len(given) and all(0 <= value < math.inf for value in found.values()):
            return found
    except (ValueError, AttributeError, TypeError, RecursionError, OverflowError):
        pass
    raise argparse.ArgumentTypeError(
        f'expected weights from 0 by name, such as {{"domain": 1}}, got {reprlib.repr(text)}'
    )


def _train(args: argparse.Namespace) -> int:
    given = {"split": "train", "size": args.size or 64, "condition": None}
    taken = parameters(registry("dataset")[args.data.name]).parameters
    own = {name: value for name, value in given.items() if name != "condition" or name in taken}
    registry("dataset").check(args.data.name, **args.data.arguments | own)
    data, out = os.path.realpath(str(args.data.arguments.get("path", "")) or os.devnull), os.path.realpath(args.out)
    if os.path.isdir(data) and os.path.commonpath((data, out)) == data:
        raise BadArguments(f"--out {args.out}: is in the folder of --data, {data}, choose another")
    if args.device in ("cuda", "mps"):
        device(args.device)
    if args.vgg19 is not None:
        check_regular(args.vgg19, math.inf)
    from midms.training.train import train

    usual = signal.signal(signal.SIGTERM, signal.default_int_handler)  # what ends a job elsewhere is a key press here
    try:
        status: int = train(args)
    finally:
        signal.signal(signal.SIGTERM, usual)
    return status
