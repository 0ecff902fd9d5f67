"""`midms convert`: checkpoints of others to weights of ours."""

from __future__ import annotations

import argparse

from midms.cli.messages import say
from midms.cli.options import Commands, command
from midms.cli.values import a_path


def add(commands: Commands) -> None:
    """The command and its options."""
    one = command(
        commands,
        "convert",
        _convert,
        "make weights out of the released MIDMs', CompVis' or diffusers' checkpoint",
        "The folder goes to --weights of other commands, or to build(..., weights=OUT) in Python; of a released MIDMs"
        " it is whole, and can be a --preset or go to midms.from_pretrained. Everything that was"
        " left out is named in its report.txt. Nothing in a checkpoint is run.",
        (
            "MIDMs.pth --config LDM.yaml --out celeba",
            "ldm-celebahq-256/ --out ldm",
        ),
    )
    one.add_argument("checkpoint", type=a_path, metavar="CHECKPOINT", help="a .pth or .ckpt, or a folder of diffusers")
    one.add_argument("--config", type=a_path, metavar="LDM.yaml", help="of the latent diffusion; a folder has its own")
    one.add_argument("--out", type=a_path, required=True, metavar="OUT", help="the folder to write")
    one.add_argument("--trainable", action="store_true", help="keep the spectral norms of the matching network")
    one.add_argument(
        "--replace", action="store_true", help="write to OUT even if it holds something else; other files in it stay"
    )
    one.add_argument("--half", action="store_true", help="take weights in half precision too")


def _convert(args: argparse.Namespace) -> int:
    from midms.checkpoints.convert import convert, save, write_failure
    from midms.checkpoints.folder import check
    from midms.core.tensors import CheckpointError

    check(args.out, "convert", ("denoiser", "autoencoder", "features"), args.replace)
    try:
        source = convert(args.checkpoint, args.config, args.trainable, args.half)
        save(source, args.out, args.replace)
    except CheckpointError as error:
        if error.details:
            raise CheckpointError(f"{error}; all of it is in {write_failure(error.details, args.out)}") from None
        raise
    for slot, part in source.parts.items():
        say(f"{slot}: {part.name}")
    for reason, names in source.report.items():
        say(f"{reason}: {len(names):,}, such as {names[0]}" if names else reason)
    say(f"written to {args.out}, for --weights {args.out}, or build(PRESET, weights={str(args.out)!r}) in Python")
    return 0
