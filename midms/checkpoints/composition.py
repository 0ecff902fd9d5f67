"""A composition in a folder: what it is made of in `composition.json`, and the weights of each part beside it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, Field
from torch import nn

from midms.checkpoints import folder as weights_folder
from midms.checkpoints.folder import Name, Plain, Settings, Slot
from midms.checkpoints.tensors import CheckpointError, cast
from midms.compose.spec import Spec
from midms.core.domain import Domain
from midms.core.errors import brief
from midms.core.schema import Schema

CONFIG = "composition.json"


def _domain(value: Any) -> Domain:
    names = {field.name for field in dataclasses.fields(Domain)}
    if not isinstance(value, dict) or value.keys() - names:
        raise ValueError(f"expected some of {', '.join(sorted(names))}")
    return Domain(**value)


class Part(Schema):
    """A part by name, as a configuration tells it.

    Attributes:
        name: as it is registered.
        arguments: for its constructor.
        module: the Python module that it was from.
        weights: whether it has weights.
    """

    name: Name
    arguments: dict[Name, Plain]
    module: str
    weights: bool

    @property
    def spec(self) -> Spec:
        """The part to be made."""
        return Spec(self.name, **self.arguments)


class Saved(Settings):
    """A composition without its numbers.

    Attributes:
        name: of the preset it came from.
        parts: slot to part.
        loop: settings of the loop.
        notes: what a user should know.
        domain: what the weights were trained on.
    """

    name: str
    parts: dict[Slot, Part]
    loop: dict[Name, Plain]
    notes: list[str]
    domain: Annotated[Any, AfterValidator(_domain)] = Field(default_factory=Domain)

    @property
    def specs(self) -> dict[str, Spec]:
        """Slot to the part's name and arguments."""
        return {slot: part.spec for slot, part in self.parts.items()}

    def slots(self) -> list[str]:
        """Slots whose parts have weights."""
        return [slot for slot, part in self.parts.items() if part.weights]


def write(
    folder: Path,
    name: str,
    parts: Mapping[str, Any],
    specs: Mapping[str, Spec],
    loop: Mapping[str, Any],
    notes: tuple[str, ...],
    domain: Domain,
    dtype: torch.dtype | None,
    replace: bool = False,
) -> None:
    """Leave a folder that `read` understands; killed at any moment it is as it was or as it will be.

    Args:
        folder: made if need be.
        name: of the preset.
        parts: slot to part, or None for none.
        specs: slot to the part's name and arguments.
        loop: settings of the loop.
        notes: what a user should know.
        domain: what the weights were trained on.
        dtype: in which weights are stored, by default as they are.
        replace: whether the folder may hold something else, of which files of the same names are replaced.

    Raises:
        CheckpointError: a part has no name to be made by again, an argument cannot be written, a number is not finite,
            or the folder holds something else; nothing is written.
        HeldError: another process writes to it.
    """
    content: dict[str, Any] = {"name": name, "parts": {}, "loop": dict(loop), "notes": list(notes)}
    content["domain"] = dataclasses.asdict(domain)
    wrong, states = [], {}
    for slot, part in parts.items():
        if part is None:
            continue
        if slot not in specs:
            wrong.append(
                f"{slot} is a ready {type(part).__name__}, give it to build by its registered name or as a Spec"
            )
            continue
        if isinstance(part, nn.Module) and part.state_dict():
            states[slot] = cast(part.state_dict(), dtype, f"{folder}, {slot}")
        arguments = specs[slot].arguments
        wrong += [
            f"{slot}'s {key}={value!r} is no plain value" for key, value in arguments.items() if not _plain(value)
        ]
        if slot in states and "pretrained" in arguments:  # the weights come from here, not from where they once did
            arguments = arguments | {"pretrained": False}
        content["parts"][slot] = {
            "name": specs[slot].name,
            "arguments": arguments,
            "module": type(part).__module__,
            "weights": slot in states,
        }
    if wrong:
        raise CheckpointError(f"{folder}: cannot be saved: {'; '.join(map(brief, wrong))}")
    weights_folder.write(folder, CONFIG, Saved, content, states, replace=replace)


def read(folder: Path) -> Saved:
    """What `write` left.

    Raises:
        CheckpointError: it is missing, or not as `write` leaves it.
    """
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{folder}: has no {CONFIG}, expected a saved composition")
    return weights_folder.read(folder, CONFIG, Saved)


def _plain(value: Any) -> bool:
    """Whether a value can be written as JSON and read again."""
    try:
        return bool(weights_folder.plain(json.loads(json.dumps(value, allow_nan=False))) == value)
    except (TypeError, ValueError, RecursionError):
        return False
