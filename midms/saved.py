"""A composition in a folder: what it is made of in `composition.json`, and the weights of each part beside it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from midms.checkpoints import CheckpointError, cast, save_state
from midms.domain import Domain
from midms.files import whole
from midms.presets import Spec

CONFIG = "composition.json"


@dataclass(frozen=True)
class Saved:
    """A composition without its numbers.

    Attributes:
        name: of the preset it came from.
        specs: slot to the part's name and arguments.
        modules: slot to the Python module that the part was from.
        weights: slots whose parts have weights.
        loop: settings of the loop.
        notes: what a user should know.
        domain: what the weights were trained on.
    """

    name: str
    specs: dict[str, Spec]
    modules: dict[str, str]
    weights: tuple[str, ...]
    loop: dict[str, Any]
    notes: tuple[str, ...]
    domain: Domain


def write(
    folder: Path,
    name: str,
    parts: Mapping[str, Any],
    specs: Mapping[str, Spec],
    loop: Mapping[str, Any],
    notes: tuple[str, ...],
    domain: Domain,
    dtype: torch.dtype | None,
) -> None:
    """Leave a folder that `read` understands.

    Args:
        folder: made if need be; its configuration comes last, so that half a folder is none.
        name: of the preset.
        parts: slot to part, or None for none.
        specs: slot to the part's name and arguments.
        loop: settings of the loop.
        notes: what a user should know.
        domain: what the weights were trained on.
        dtype: in which weights are stored, by default as they are.

    Raises:
        CheckpointError: a part has no name to be made by again, or an argument cannot be written; nothing is written.
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
        raise CheckpointError(f"{folder}: cannot be saved: {'; '.join(wrong)}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).unlink(missing_ok=True)
    for slot, state in states.items():
        save_state(state, weights_file(folder, slot))
    with whole(folder / CONFIG) as file:
        file.write_text(json.dumps(content, indent=1) + "\n")


def read(folder: Path) -> Saved:
    """What `write` left.

    Raises:
        CheckpointError: it is missing, or not as `write` leaves it.
    """
    if not (folder / CONFIG).is_file():
        raise CheckpointError(f"{folder}: has no {CONFIG}, expected a folder that run.save_pretrained wrote")
    content = read_json(folder / CONFIG)
    try:
        parts = {str(slot): dict(part) for slot, part in content["parts"].items()}
        return Saved(
            name=str(content["name"]),
            specs={slot: Spec(str(part["name"]), **tupled(part["arguments"])) for slot, part in parts.items()},
            modules={slot: str(part["module"]) for slot, part in parts.items()},
            weights=tuple(slot for slot, part in parts.items() if part["weights"]),
            loop=dict(tupled(content["loop"])),
            notes=tuple(map(str, content["notes"])),
            domain=Domain(**content.get("domain", {})),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{folder / CONFIG}: not as run.save_pretrained writes it ({error!r})") from None


def weights_file(folder: Path, slot: str) -> Path:
    """Where the weights of a slot are."""
    return folder / f"{slot}.safetensors"


def read_json(path: Path) -> dict[str, Any]:
    """A file with keys and values.

    Raises:
        CheckpointError: it cannot be read as such.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, expected keys and values")
    return content


def tupled(value: Any) -> Any:
    """Lists as the tuples that they were."""
    if isinstance(value, dict):
        return {key: tupled(item) for key, item in value.items()}
    return tuple(map(tupled, value)) if isinstance(value, list) else value


def _plain(value: Any) -> bool:
    """Whether a value can be written as JSON and read again."""
    try:
        return bool(tupled(json.loads(json.dumps(value, allow_nan=False))) == value)
    except (TypeError, ValueError, RecursionError):
        return False
