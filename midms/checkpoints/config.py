"""What `config.json` says in a folder of weights: a recipe, within the bounds of what an untrusted folder may say."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from midms.compose.catalog import KINDS
from midms.compose.recipe import Recipe
from midms.compose.slots import SLOTS
from midms.compose.spec import Spec
from midms.core.domain import Domain
from midms.core.errors import brief
from midms.core.schema import Schema, matching_text
from midms.core.tensors import CheckpointError
from midms.core.version import __version__
from midms.loop import Policy

NEW = re.compile(r"\w+\.new-[0-9a-f]{8}\.safetensors")
"""Names of weights that have not taken the place of the old ones yet."""
_LONGEST, DEEPEST, _WHOLE, REAL = 4096, 4, 2**16, 1e12
"""Limits of arguments in a configuration: items of a list, lists in lists, whole numbers, other numbers."""


def _plain(value: Any, depth: int = 0) -> Any:
    """An argument of a part as JSON has it: a name, a number, a part, or a list of such, which becomes a tuple.

    Raises:
        ValueError: it is another, or beyond the limits.
    """
    if isinstance(value, bool | None):
        return value
    if isinstance(value, int | float):
        if not isinstance(value, int) and not math.isfinite(value):
            raise ValueError(f"expected a finite number, got {value}")
        if abs(value) > (most := _WHOLE if isinstance(value, int) else REAL):
            raise ValueError(f"expected a number within {most:,.0f}, got {brief(str(value))}")
        return value
    if isinstance(value, str):
        if len(value) > 100 or value.startswith(("~", ".")) or {*value} & {"/", "\\", "\0"}:
            raise ValueError("texts may be names of up to 100 letters, and no paths")
        return value
    if not isinstance(value, list | dict) or depth == DEEPEST or len(value) > _LONGEST:
        raise ValueError(f"arguments may be names, numbers and lists of up to {_LONGEST:,} of them")
    if isinstance(value, dict) and value.keys() == {"part", "arguments"}:
        part = _InnerPart.model_validate(value | {"arguments": _plain(value["arguments"], depth)})
        return Spec(part.part, **part.arguments)
    if isinstance(value, dict):
        return {_plain(key): _plain(item, depth + 1) for key, item in value.items()}
    return tuple(_plain(item, depth + 1) for item in value)


def _line(value: str) -> str:
    if not value.isprintable() or len(value) > 1000:
        raise ValueError("expected a line of up to 1,000 letters")
    return value


def _domain(value: Any) -> Domain:
    names = {field.name for field in dataclasses.fields(Domain)}
    if not isinstance(value, dict) or value.keys() - names:
        raise ValueError(f"expected some of {', '.join(sorted(names))}")
    return Domain(**value)


_Plain = Annotated[Any, AfterValidator(_plain)]
_Line = Annotated[str, AfterValidator(_line)]
Slot = Annotated[str, matching_text(r"[A-Za-z_-]{1,30}", "the name of a slot, such as matcher")]
License = Annotated[str, matching_text(r"[\w.+-]{0,100}", "a short name of a license, such as mit")]
Name = Annotated[str, matching_text(r"[\w.:-]{1,100}", "a name of letters, digits and _ . : - alone")]
File = Annotated[
    str,
    matching_text(
        r"(\.\./[a-z0-9-]{1,100}/)?\w[\w.-]{0,100}\.safetensors",
        "the name of a file in the folder, such as features.safetensors, or of one in a folder beside it, such as"
        " ../midm-faces/features.safetensors",
    ),
]
Writer = Literal["save_pretrained", "train", "convert"]


class _InnerPart(Schema):
    """A part that another is made of: its name as it is registered, and arguments."""

    part: Name
    arguments: dict[Name, Any]


class _Part(Schema):
    """A part by name.

    Attributes:
        name: as it is registered.
        arguments: for its constructor.
        module: the Python module that it was from.
    """

    name: Name
    arguments: dict[Name, _Plain]
    module: str


class FolderConfig(Schema):
    """A recipe as a configuration tells it; see `Recipe` for what is not here.

    Attributes:
        format: of the folder.
        midms: the version that wrote it.
        by: what wrote it; nothing else of midms replaces it unasked.
        checksums: of the weights, by slot.
        past: slots whose weights were the former ones', and are being removed.
    """

    format: Literal[1]
    midms: _Line
    by: Writer
    name: _Line
    purpose: _Line = ""
    source: _Line = ""
    license: License = ""
    slots: dict[Slot, _Part]
    loop: dict[Name, _Plain]
    domain: Annotated[Any, AfterValidator(_domain)] = Field(default_factory=Domain)
    precision: Literal["", "float32"] = ""
    notes: list[_Line]
    weights: dict[Slot, File]
    checksums: dict[Slot, str]
    past: list[Slot] = Field(default_factory=list)
    made: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def recipe(self) -> Recipe:
        """What it says."""
        slots = {slot: Spec(part.name, **part.arguments) for slot, part in self.slots.items()}
        same = ("name", "purpose", "source", "license", "loop", "domain", "precision", "weights", "made")
        notes = tuple(self.notes)
        return Recipe(slots=slots, notes=notes, **{name: getattr(self, name) for name in same})


def content(recipe: Recipe, by: Writer, where: str) -> dict[str, Any]:
    """What a configuration says of a recipe, but for where its weights are.

    Args:
        recipe: with every argument a plain value.
        by: what writes it.
        where: what errors call the folder.

    Raises:
        CheckpointError: an argument cannot be written; all are named.
    """
    slots, wrong = {}, []
    for slot, spec in recipe.slots.items():
        arguments = spec.arguments
        wrong += [f"{slot}'s {key}={value!r} is no plain value" for key, value in arguments.items() if not _kept(value)]
        module = getattr(KINDS[SLOTS[slot][0]][spec.name], "__module__", "")
        slots[slot] = {"name": spec.name, "arguments": _written(arguments, slot in recipe.weights), "module": module}
    if wrong:
        raise CheckpointError(f"{where}: cannot be saved: {'; '.join(map(brief, wrong))}")
    described = {name: getattr(recipe, name) for name in ("name", "purpose", "source", "license")}
    return {
        "format": 1,
        "midms": __version__,
        "by": by,
        **described,
        "slots": slots,
        "loop": {**dataclasses.asdict(Policy()), **recipe.loop} if recipe.loop else {},
        "domain": dataclasses.asdict(recipe.domain),
        "precision": recipe.precision,
        "notes": list(recipe.notes),
        "made": dict(recipe.made),
    }


def _written(value: Any, weights: bool = False) -> Any:
    """An argument as JSON has it, of which `_plain` makes it again; where weights go along, none are to be fetched."""
    if isinstance(value, Spec):
        return {"part": value.name, "arguments": _written(value.arguments, weights)}
    if isinstance(value, tuple | list):
        return [_written(one, weights) for one in value]
    if isinstance(value, dict):
        return {key: False if weights and key == "pretrained" else _written(one, weights) for key, one in value.items()}
    return value


def _kept(value: Any) -> bool:
    """Whether a value can be written as JSON and read again."""
    try:
        return bool(_plain(json.loads(json.dumps(_written(value), allow_nan=False))) == value)
    except (TypeError, ValueError, RecursionError):
        return False
