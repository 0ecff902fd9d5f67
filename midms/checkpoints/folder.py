"""A folder of weights and the configuration that says what they are for: at every moment as it was or as it will be.

Weights are first written under new names; then a configuration that says so takes the old one's place, which is the
moment of the change; then the weights take their usual names, and a configuration that needs no others its place.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, StringConstraints
from torch import Tensor

from midms.checkpoints.tensors import CheckpointError, checksum, read_weights, save_state
from midms.core.files import atomic_write, held
from midms.core.schema import Schema, checked, read_json

NEW = re.compile(r"\w+\.new-[0-9a-f]{8}\.safetensors")
"""Names of weights that have not taken the place of the old ones yet."""
ALLOWED = ("README.md", "refused.txt")
"""What may be in a folder before it is first written to; hidden files may too."""
OTHERWISE = "take another folder, or give replace (--replace) to exchange files of the same names"
LONGEST, DEEPEST, WHOLE, REAL = 4096, 4, 2**16, 1e12
"""Limits of arguments in a configuration: items of a list, lists in lists, whole numbers, other numbers."""


def plain(value: Any, depth: int = 0) -> Any:
    """An argument of a part as JSON has it: a name, a number, or a list of such, which becomes a tuple.

    Raises:
        ValueError: it is another, or beyond the limits.
    """
    if isinstance(value, bool | None):
        return value
    if isinstance(value, int | float):
        if not abs(value) <= (most := WHOLE if isinstance(value, int) else REAL):
            raise ValueError(f"numbers may go to {most:,}")
        return value
    if isinstance(value, str):
        if len(value) > 100 or value.startswith(("~", ".")) or {*value} & {"/", "\\", "\0"}:
            raise ValueError("texts may be names of up to 100 letters, and no paths")
        return value
    if not isinstance(value, list | dict) or depth == DEEPEST or len(value) > LONGEST:
        raise ValueError(f"arguments may be names, numbers and lists of up to {LONGEST:,} of them")
    if isinstance(value, dict):
        return {plain(key): plain(item, depth + 1) for key, item in value.items()}
    return tuple(plain(item, depth + 1) for item in value)


Plain = Annotated[Any, AfterValidator(plain)]
Slot = Annotated[str, StringConstraints(pattern=r"^[a-z]{1,30}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[\w.:-]{1,100}$")]


class Settings(Schema):
    """What every configuration says.

    Attributes:
        files: where weights are while they take the place of others, by slot.
        checksums: of the weights, by slot.
        past: slots whose weights were the former ones', and are being removed.
    """

    files: dict[Slot, Annotated[str, StringConstraints(pattern=f"^{NEW.pattern}$")]] = Field(default_factory=dict)
    checksums: dict[Slot, str] = Field(default_factory=dict)
    past: list[Slot] = Field(default_factory=list)

    def slots(self) -> Iterable[str]:
        """Slots that there are weights for."""
        raise NotImplementedError

    def path(self, folder: Path, slot: str) -> Path:
        """Where the weights of a slot are.

        Raises:
            CheckpointError: a link leads to them out of the folder, and not into the cache of the hub.
        """
        path = folder / self.files.get(slot, f"{slot}.safetensors")
        home = folder.absolute()
        homes = [folder.resolve(), *([home.parents[1].resolve() / "blobs"] if home.parent.name == "snapshots" else [])]
        try:
            inside = any(path.resolve().is_relative_to(one) for one in homes)
        except (OSError, RuntimeError):  # links that lead round to themselves
            inside = False
        if not inside:
            raise CheckpointError(f"{path}: is a link out of the folder, or to nowhere, expected a file in it")
        return path

    def state(self, folder: Path, slot: str) -> dict[str, Tensor]:
        """The weights of a slot.

        Raises:
            CheckpointError: they cannot be read, or are others than were written with this configuration.
        """
        path = self.path(folder, slot)
        state = read_weights(path)
        if self.checksums.get(slot, found := checksum(state)) != found:
            raise CheckpointError(f"{path}: these are not the weights that were saved with the settings beside them")
        return state


S = TypeVar("S", bound=Settings)


def read(folder: Path, config: str, model: type[S]) -> S:
    """The configuration of a folder.

    Raises:
        CheckpointError: it cannot be read, or says what it may not; the message names the field.
    """
    return checked(model, read_json(folder / config, CheckpointError), str(folder / config), CheckpointError)


def check(folder: Path, config: str, model: type[Settings], writes: Iterable[str] = (), replace: bool = False) -> None:
    """Find out whether a folder may be written to: there is none, it is empty, or holds what it would hold afterwards.

    Args:
        folder: to be written.
        config: the name of its configuration.
        model: what that must say.
        writes: slots that weights would be written of.
        replace: whether anything may be there.

    Raises:
        CheckpointError: it may not.
    """
    if replace or not folder.is_dir():
        return
    there = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    others = {name for name in there - {*ALLOWED} if not NEW.fullmatch(name)}
    if config in there:
        try:
            found = read(folder, config, model)
            known = {config, *map(_usual, [*found.slots(), *found.past])}
        except CheckpointError as error:
            raise CheckpointError(f"{error}; {OTHERWISE}") from None
        others = others & {_usual(slot) for slot in writes} - known
    if others:
        few = ", ".join(sorted(others)[:3]) + (f" and {len(others) - 3:,} more" if len(others) > 3 else "")
        raise CheckpointError(f"{folder}: holds {few}, which is of another kind; {OTHERWISE}")


def write(
    folder: Path,
    config: str,
    model: type[Settings],
    content: Mapping[str, Any],
    states: Mapping[str, Mapping[str, Tensor]],
    texts: Mapping[str, str] = MappingProxyType({}),
    replace: bool = False,
) -> None:
    """Write a folder, or change one; killed at any moment it is as it was or as it will be. Other files in it stay.

    Args:
        folder: made if need be.
        config: the name of its configuration.
        model: what that must say.
        content: what it will say, beside where the weights are.
        states: the weights, by slot.
        texts: what else to write for people, by name; none if empty.
        replace: whether anything may be there.

    Raises:
        CheckpointError: it holds something else, or the disk refuses.
        HeldError: another process writes to it.
    """
    try:
        with held(folder):
            check(folder, config, model, states, replace)
            try:
                _write(folder, config, model, content, states, texts)
            finally:
                _tidy(folder, _known(folder, config, model))
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written ({error.strerror or error})") from None


def _write(
    folder: Path,
    config: str,
    model: type[Settings],
    content: Mapping[str, Any],
    states: Mapping[str, Mapping[str, Tensor]],
    texts: Mapping[str, str],
) -> None:
    before, token = _known(folder, config, model), os.urandom(4).hex()
    _tidy(folder, before)
    files = {slot: f"{slot}.new-{token}.safetensors" for slot in states}
    for slot, state in states.items():
        save_state(state, folder / files[slot])
    last = {**content, "checksums": {slot: checksum(state) for slot, state in states.items()}}
    past = sorted({*before.slots(), *before.past} - states.keys()) if before else []
    _write_json(folder / config, last | {"files": files, "past": past})  # from here on it is the new folder
    for slot, name in files.items():
        usual = folder / _usual(slot)
        usual.unlink(missing_ok=True)
        try:
            os.link(folder / name, usual)
        except OSError:  # a file system that has no second names
            shutil.copyfile(folder / name, usual)
    for name, text in texts.items():
        write_text(folder / name, text)
    for slot in past:
        (folder / _usual(slot)).unlink(missing_ok=True)
    _write_json(folder / config, last)


def write_text(path: Path, text: str) -> None:
    """Whole or not at all; an empty text is no file."""
    if not text:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with atomic_write(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _tidy(folder: Path, known: Settings | None) -> None:
    """Remove weights under new names that the configuration does not know."""
    used = known.files.values() if known else ()
    for path in folder.iterdir():
        if NEW.fullmatch(path.name) and path.name not in used:
            path.unlink()


def _known(folder: Path, config: str, model: type[S]) -> S | None:
    """What a folder's configuration says, if it has one that can be read."""
    with contextlib.suppress(CheckpointError):
        return read(folder, config, model)
    return None


def _usual(slot: str) -> str:
    return f"{slot}.safetensors"
