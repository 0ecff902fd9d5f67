"""`midms list` and `midms show`: what there is."""

from __future__ import annotations

import argparse
import inspect
from functools import partial
from pathlib import Path

from midms.cli.messages import say
from midms.cli.options import Commands, command, plugins
from midms.compose.catalog import KINDS, available, create, registry
from midms.compose.presets import PRESETS
from midms.compose.recipe import Recipe
from midms.core.signatures import signature
from midms.registry import UnknownName, unknown

_TENSORS = 10_000
"""More than any network of a preset has."""


def add(commands: Commands) -> None:
    """Both commands and their options."""
    names = command(
        commands,
        "list",
        _list,
        "list the parts and presets",
        examples=("", "preset", "matcher", "matcher --plugin mine.py"),
    )
    plugins(names)
    names.add_argument("kind", nargs="?", metavar="KIND", help=f"preset, {', '.join(KINDS)}; default: all")
    detail = command(
        commands,
        "show",
        _show,
        "show what a part, a preset or a folder of weights is and takes",
        examples=("midm-faces", "cycle", "diffusers:DEISMultistepScheduler", "runs/mine"),
    )
    plugins(detail)
    detail.add_argument("name", metavar="NAME", help="of a part or preset, or a folder of weights")


def _list(args: argparse.Namespace) -> int:
    kinds = [args.kind] if args.kind else ["preset", *KINDS]
    for kind in kinds:
        rows = _summaries(kind)
        if args.kind is None:
            say(f"{kind}:")
        width = max(map(len, rows), default=0)
        for name, summary in rows.items():
            say(f"  {name:<{width}}  {summary}")
    return 0


def _summaries(kind: str) -> dict[str, str]:
    if kind == "preset":
        return {name: f"{_frame(preset)}; {preset.purpose}" for name, preset in PRESETS.items()}
    if kind not in KINDS:
        raise UnknownName(unknown("kind of part", kind, ["preset", *KINDS]))
    return {name: registry(kind).summary(name) for name in available(kind)} | registry(kind).families()


def _frame(preset: Recipe) -> str:
    """The pictures' size, and whether weights come with the preset."""
    return (
        f"{preset.loop['size']} pixels, {'weights come with it' if preset.shipped else 'weights do not come with it'}"
    )


def _show(args: argparse.Namespace) -> int:
    kinds = [kind for kind in KINDS if args.name in registry(kind)]
    if args.name not in PRESETS and not kinds:
        if Path(args.name).is_dir():
            say(*_folder(args.name).split("\n"))
            return 0
        known = [*PRESETS, *(name for kind in KINDS for name in available(kind))]
        raise UnknownName(unknown("part or preset", args.name, known, "`midms list`"))
    texts = [_preset(args.name, PRESETS[args.name])] if args.name in PRESETS else []
    say(*"\n\n".join([*texts, *(_part(kind, args.name) for kind in kinds)]).split("\n"))
    return 0


def _preset(name: str, preset: Recipe) -> str:
    come = "come with it" if preset.shipped else f"do not come with it: {preset.obtain}"
    return _recipe(f"{name}: preset", preset, come)


def _folder(path: str) -> str:
    from midms.checkpoints.convert import find

    recipe = find(path).recipe
    return _recipe(f"{path}: weights of {recipe.name or 'no preset'}", recipe, ", ".join(recipe.weights.values()))


def _recipe(title: str, recipe: Recipe, weights: str) -> str:
    lines = [title, *filter(None, (recipe.purpose, recipe.source)), ""]
    lines.append(f"  {'trained on':<12}{recipe.domain.trained_on or 'not said'}")
    lines.append(f"  {'weights':<12}{weights}")
    if recipe.license:
        lines.append(f"  {'licence':<12}{recipe.license}, of the weights")
    if recipe.borrows:
        lines.append(f"  {'memory':<12}{_wanted(recipe)}")
    for slot, spec in recipe.slots.items():
        lines.append(f"  {slot:<12}{spec.name}({', '.join(f'{k}={v!r}' for k, v in spec.arguments.items())})")
    side = "longer" if recipe.domain.square else "shorter"
    lines += [
        f"  {key:<11} {f'{value} pixels of the {side} side' if key == 'size' else value}"
        for key, value in recipe.loop.items()
    ]
    return "\n".join(lines)


def _wanted(recipe: Recipe) -> str:
    """What the weights of a model take that a preset is for, at its own size."""
    from midms.core.tensors import outline

    parts = [
        outline(partial(create, slot, recipe.slots[slot].name, **recipe.slots[slot].arguments), _TENSORS, slot)
        for slot in recipe.weights
    ]
    billions = sum(weight.numel() for part in parts for weight in part.state_dict().values()) / 1e9
    return (
        f"{4 * billions:.1f} GB of weights while they are read, then {2 * billions:.1f} GB with --dtype bfloat16; "
        "beside them pictures, and while prompts are embedded one text encoder after the other"
    )


def _part(kind: str, name: str) -> str:
    part = registry(kind)[name]
    return f"{name}: {kind}\n{registry(kind).summary(name)}\n\n{name}{signature(part)}\n\n{inspect.getdoc(part) or ''}"
