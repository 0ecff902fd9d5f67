"""What commands share: how they are added, common options, errors by the names of options."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, NoReturn

from midms.cli.messages import USER_ERROR, complain
from midms.cli.values import a_path, levels, optional_part, part_value, some_text
from midms.compose.catalog import KINDS
from midms.compose.recipe import OPTIONAL
from midms.core.errors import MidmsError, printable
from midms.core.files import kind_of
from midms.registry import BadArguments

if TYPE_CHECKING:
    from midms.core.types import Prompt
    from midms.pipeline.pipeline import Pipeline

PART_OPTIONS = {"condition": "condition-from"} | {
    slot: slot for slot in (*KINDS, "refiner") if slot not in ("condition", "dataset", "metric")
}
"""Slot to the option that exchanges it; what `--condition` names is the drawing."""
SETTINGS = ("rematch", "edit", "match_on", "confidence_guidance", "style", "start")
"""Of the loop's policy."""
DTYPES = ("float32", "float16", "bfloat16")
"""What networks may compute in."""
Commands = Any
"""What `argparse` calls the action of sub-commands; it has no public name."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Print it and leave."""
        self.exit(USER_ERROR, printable(f"{self.prog}: {message} (see {self.prog} --help)") + "\n")


def command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    more: str = "",
    examples: Sequence[str] = (),
) -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: to which it is added.
        name: what users type.
        run: from the options to the exit status.
        summary: for the list of commands, in lower case, without a full stop.
        more: that the command's own help says after it.
        examples: what one may type after its name.
    """
    description = f"{summary[0].upper()}{summary[1:]}. {more}"
    added: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=filled(description),
        epilog="\n".join(["examples:", *(f"  midms {name} {example}".rstrip() for example in examples)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    added.set_defaults(command=run)
    return added


def filled(text: str) -> str:
    """In lines as wide as the terminal, but for what help keeps free."""
    return textwrap.fill(text, shutil.get_terminal_size().columns - 4)


def composition(added: argparse.ArgumentParser) -> None:
    """Preset, weights, device and plug-ins."""
    added.add_argument(
        "--preset",
        type=some_text,
        default="midm-faces",
        metavar="P",
        help="see `midms list preset`; or a folder of weights with all parts, or its id on the hub"
        " (default %(default)s)",
    )
    added.add_argument(
        "--weights",
        type=a_path,
        metavar="DIR",
        help="a folder that `midms train` or `midms convert` left or that was saved, one of diffusers, or a hub id"
        " (default: those that come with the preset)",
    )
    added.add_argument("--device", default="cpu", help="such as cuda (default %(default)s)")
    plugins(added)


def networks(added: argparse.ArgumentParser) -> None:
    """How networks compute."""
    added.add_argument("--dtype", choices=DTYPES, help="of networks (default: as their weights are loaded)")
    added.add_argument("--vae-tiling", action="store_true", help="large pictures in tiles, in less memory")
    added.add_argument(
        "--offload",
        choices=("model", "sequential"),
        help="networks wait in the machine's memory: each comes to the --device whole, or layer by layer",
    )


def prompts(added: argparse.ArgumentParser) -> None:
    """The prompts of a text-to-image model."""
    group = added.add_argument_group("prompt", "For --weights of a text-to-image model, in a folder of diffusers.")
    group.add_argument("--prompt", default="", metavar="TEXT", help="what the result shall show (default: '')")
    group.add_argument("--negative-prompt", default="", metavar="TEXT", help="what it shall not (default: '')")
    group.add_argument(
        "--guidance", type=float, metavar="G", help="how far to go from one to the other (default: the model's usual)"
    )


def plugins(added: argparse.ArgumentParser) -> None:
    """The option for parts of one's own, which `main` reads before it runs a command."""
    added.add_argument(
        "--plugin",
        type=a_path,
        action="append",
        default=[],
        metavar="FILE.py",
        help="run this file, in which @midms.register(KIND, NAME) adds parts of your own; may be given several times",
    )


def parts(added: argparse.ArgumentParser) -> None:
    """The options that change what the preset is composed of, each in `args` only where it was given."""
    group = added.add_argument_group(
        "parts and settings",
        filled(
            "PART is a name (`midms list`), or one with settings (`midms show NAME`) in parentheses and quotes:"
            ' "cycle(radius=0.1)". What is not given is as the preset has it (`midms show PRESET`), settings of a part'
            " of the preset's own name too; a part of another name has its own defaults."
        ),
    )
    more = {
        "condition": "what reads the condition: edges takes an ordinary photo where the preset wants a sketch",
        "refiner": "sampler of a last pass of plain diffusion; none for no such pass",
        "injection": "what goes into layers of the denoiser, see `midms list injection`; none for nothing",
        "finisher": "what brings the result to the drawing's own size, see `midms list finisher`; none for as computed",
    }
    for slot, option in PART_OPTIONS.items():
        shown = more.get(slot, f"another {slot}, see `midms list {slot}`")
        group.add_argument(
            f"--{option}",
            type=optional_part if slot in OPTIONAL else part_value,
            metavar="PART",
            default=argparse.SUPPRESS,
            help=shown,
        )
    for name, kind, metavar, shown in (
        ("rematch", levels, "LEVELS", "levels after which the exemplar is matched again: 0,1 or none"),
        ("edit", str, "EDIT", "what becomes of the prediction there: blend, replace, guide, context or adain"),
        ("match_on", str, "WHAT", "what is matched there: x0, the prediction, or latent, the noisy one"),
        (
            "confidence_guidance",
            float,
            "G",
            "how far guide moves the prediction, of its own size (default 0.1)",
        ),
        ("style", float, "S", "0 keeps to the sketch, 1 to the picture (default 0.5)"),
        ("start", str, "START", "from what: noise (the warp noised), renoise, invert or edit-friendly"),
    ):
        group.add_argument(
            f"--{name.replace('_', '-')}", type=kind, metavar=metavar, default=argparse.SUPPRESS, help=shown
        )


def load_plugin(path: Path) -> None:
    """Run a file with parts of somebody's own.

    Raises:
        BadArguments: it cannot be run to its end.
    """
    if not path.is_file():
        reason = f"is {kind_of(path)}, expected a file of Python, called *.py" if path.exists() else "no such file"
        raise BadArguments(f"--plugin {path}: {reason}")
    name = f"plugin {path.resolve()}"  # no module of anybody's is called so
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise BadArguments(f"--plugin {path}: expected a file of Python, called *.py")
    sys.modules[name] = module = importlib.util.module_from_spec(found)  # where dataclasses find their module
    try:
        found.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # it may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        lines = [
            f", line {frame.lineno}" for frame in extract_tb(error.__traceback__) if frame.filename == found.origin
        ]
        raise BadArguments(f"--plugin {path}{''.join(lines[-1:])}: {reason}") from error


def composed(args: argparse.Namespace) -> Pipeline:
    """Compose what the options say, with notes for the user as lines on stderr.

    Raises:
        BadArguments: weights are given for a composition that has its own, a setting that changes nothing, there is no
            such device, offloading has nowhere to go, or the autoencoder has no tiles.
    """
    options = {slot: option.replace("-", "_") for slot, option in PART_OPTIONS.items()} | {
        name: name for name in SETTINGS
    }
    changes = {name: getattr(args, option) for name, option in options.items() if hasattr(args, option)}
    from midms.pipeline.pretrained import load

    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        pipe = load(args.preset, args.weights, _prompt(args), **changes)
    if idle := pipe.policy.idle([name for name in SETTINGS if hasattr(args, name)]):
        raise BadArguments(
            "; ".join(
                f"--{name.replace('_', '-')} {getattr(args, name)}: changes nothing without --{' and --'.join(needed)}"
                for name, needed in idle.items()
            )
        )
    for text in dict.fromkeys(str(one.message) for one in notes if one.category is UserWarning):
        complain(f"note: {text}")
    if args.vae_tiling:
        if not hasattr(pipe.autoencoder, "tile"):
            raise BadArguments(f"--vae-tiling: {type(pipe.autoencoder).__name__} has no tiles, expected kl")
        pipe.autoencoder.tile()
    import torch

    place = device(args.device)
    if args.dtype:
        pipe.to(getattr(torch, args.dtype))
    if args.offload is None:
        return pipe.to(place)
    if torch.device(place).type == "cpu":
        raise BadArguments(f"--offload {args.offload}: nothing to bring them to, expected --device cuda or the like")
    return pipe.offload(args.offload, place)


def _prompt(args: argparse.Namespace) -> Prompt:
    from midms.core.types import Prompt

    if not hasattr(args, "prompt"):
        return Prompt()
    return Prompt(args.prompt, args.negative_prompt, args.guidance)


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


def message_of(error: Exception, args: argparse.Namespace) -> str:
    """What is wrong, by the names of options; of a call of `build`, all that is."""
    if isinstance(error, OSError) and not isinstance(error, MidmsError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if not (wrong := getattr(error, "wrong", ())):
        return in_options(str(error), args)
    texts = [piece for text in wrong for piece in (text[6:].split("; ") if text.startswith("loop: ") else [text])]
    lines = [in_options(text, args) for text in texts]
    lines = [line if line.startswith("--") else f"{_blamed(line, args)}: {line}" for line in lines]
    return lines[0] if len(lines) == 1 else "; ".join(line.rstrip(".") for line in lines)


def _blamed(text: str, args: argparse.Namespace) -> str:
    """The options given for the parts that an error between parts names; the preset where none was."""
    spoken = [option for slot, option in PART_OPTIONS.items() if re.search(rf"\b{slot}\b", text)]
    given = [f"--{option}" for option in spoken if hasattr(args, option.replace("-", "_"))]
    return " and ".join(given) or f"--preset {args.preset}"


def in_options(text: str, args: argparse.Namespace) -> str:
    """A complaint that begins with the name of an argument, beginning with the option that it came from."""
    found = re.match(r"no (?P<kind>\w+) is called|(?P<name>\w+)(?=: | must )", text)
    name = found and (found["kind"] or found["name"])
    option = PART_OPTIONS.get(name or "", (name or "").replace("_", "-"))
    if not found or not option or getattr(args, option.replace("-", "_"), None) is None:
        return text
    if any(isinstance(value, Path) and str(value) == name for value in vars(args).values()):  # a file called so
        return text
    return f"--{option}: {text}" if found["kind"] else f"--{option}{text[found.end() :]}"
