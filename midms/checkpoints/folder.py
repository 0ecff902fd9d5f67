"""The one format of a folder of weights: at every moment it is as it was or as it will be.

    config.json             the recipe, where the weights of each slot are, and how they were made
    SLOT.safetensors        the weights of a part
    README.md               the model card; it shows sheet.png, where training left one

Weights are first written under new names; then a configuration that says so takes the old one's place, which is the
moment of the change; then the weights take their usual names, and a configuration that needs no others its place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor

from midms.checkpoints.card import CARD, SHEET, card, keeps_own
from midms.checkpoints.config import NEW, FolderConfig, Writer, content
from midms.compose.catalog import create
from midms.compose.recipe import SHIPPED, Recipe
from midms.compose.slots import SLOTS
from midms.compose.spec import Spec
from midms.core.files import atomic_write, check_folder, followed, held
from midms.core.schema import checked, read_json
from midms.core.tensors import CheckpointError, check_sizes, checksum, read_shapes, read_weights, save_state

CONFIG, FAILURE = "config.json", "refused.txt"
"""Files beside the weights and the model card; the last says why a conversion failed."""
USUAL_PICTURES = "usual"
"""Beside the numbers of slots, those of the appearance of pictures they know; see `midms.pipeline.out_of_domain`."""
NO_TEXTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Weights:
    """A recipe and the numbers of its slots, or of some of them, wherever they are.

    Attributes:
        name: what users call it.
        recipe: what they belong to; its `weights` are the slots that there are numbers for.
        state: from a slot to its parameters and buffers.
        modules: slot to the Python module that its part was from.
        report: what to know of a conversion, such as why tensors were left out, and which.
    """

    name: str
    recipe: Recipe
    state: Callable[[str], dict[str, Tensor]]
    modules: Mapping[str, str] = field(default_factory=dict)
    report: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def parts(self) -> dict[str, Spec]:
        """The parts that there are weights for."""
        return {slot: self.recipe.slots[slot] for slot in self.recipe.weights if slot in self.recipe.slots}


def read_folder(folder: Path) -> Weights:
    """A folder of weights; the tensors are read when they are asked for.

    Raises:
        CheckpointError: there is none, or it says what it may not; the message names the field. Later: weights are
            missing, damaged, or others than the configuration says.
    """
    if not os.path.lexists(folder / CONFIG):
        raise CheckpointError(
            f"{folder}: has no {CONFIG}, expected what save_pretrained, `midms train` or `midms convert` leaves"
        )
    config = _config(folder)
    modules = {slot: part.module for slot, part in config.slots.items()}
    return Weights(str(folder), config.recipe(), partial(_state, folder, config), modules)


def _config(folder: Path) -> FolderConfig:
    return checked(FolderConfig, read_json(folder / CONFIG, CheckpointError), str(folder / CONFIG), CheckpointError)


def _check_inside(folder: Path, path: Path) -> None:
    """Raise unless a path leads to a file of the folder, or where the hub's cache or the package keeps shared files."""
    home = folder.absolute()
    homes = [folder.resolve(), *([home.parents[1].resolve() / "blobs"] if home.parent.name == "snapshots" else [])]
    homes += [SHIPPED.resolve()] if _is_shipped(folder) else []
    try:
        inside = any(path.resolve().is_relative_to(one) for one in homes)
    except (OSError, RuntimeError):  # links that lead round to themselves
        inside = False
    if not inside:
        raise CheckpointError(f"{path}: leads out of the folder, or to nowhere, expected a file in it")


def _is_shipped(folder: Path) -> bool:
    return folder.resolve().parent == SHIPPED.resolve()


def _state(folder: Path, config: FolderConfig, slot: str) -> dict[str, Tensor]:
    path, part = folder / config.weights[slot], config.slots.get(slot)
    _check_inside(folder, path)
    if slot != USUAL_PICTURES and (part is None or slot not in SLOTS):
        raise CheckpointError(f"{folder / CONFIG}: has weights of {slot}, and no such part")
    if part is not None and not _is_shipped(folder):  # whether it fits is known before memory is taken for it
        check_sizes(partial(create, SLOTS[slot][0], part.name, **part.arguments), read_shapes(path), str(path))
    state = read_weights(path)
    if config.checksums.get(slot, found := checksum(state)) != found:
        raise CheckpointError(f"{path}: these are not the weights that were saved with the settings beside them")
    return state


def check(folder: Path, by: Writer, slots: Iterable[str] = (), replace: bool = False) -> None:
    """Find out whether a folder may be written to: there is none, it is empty, or holds what it would hold afterwards.

    Args:
        folder: to be written.
        by: what writes it.
        slots: that weights would be written of.
        replace: whether anything may be there.

    Raises:
        CheckpointError: it may not.
    """
    otherwise = "take another folder"
    if by != "train":  # which exchanges nothing
        otherwise += ", or give replace (--replace) to exchange files of the same names"
    try:
        check_folder(folder)
    except OSError as error:
        raise CheckpointError(f"{folder}: {error.strerror}") from None
    if replace or not folder.is_dir():
        return
    there = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    others = {name for name in there - {CARD, FAILURE} if not NEW.fullmatch(name)}
    if CONFIG in there:
        try:
            found = _config(folder)
        except CheckpointError as error:
            raise CheckpointError(f"{error}; {otherwise}") from None
        if found.by != by:
            raise CheckpointError(f"{folder}: holds what {found.by} left, which is of another kind; {otherwise}")
        others = others & {*map(_usual, slots)} - {*map(_usual, [*found.weights, *found.past])}
    if others:
        few = ", ".join(sorted(others)[:3]) + (f" and {len(others) - 3:,} more" if len(others) > 3 else "")
        raise CheckpointError(f"{folder}: holds {few}, which is of another kind; {otherwise}")


def write_folder(
    folder: Path,
    by: Writer,
    recipe: Recipe,
    states: Mapping[str, Mapping[str, Tensor]],
    texts: Mapping[str, str] = NO_TEXTS,
    replace: bool = False,
    lock: bool = True,
) -> None:
    """Write a folder, or change one; killed at any moment it is as it was or as it will be. Other files in it stay.

    Args:
        folder: made if need be.
        by: what writes it.
        recipe: what the weights belong to. Slots in its `weights` that are not in `states` keep those of the folder.
        states: the weights, by slot.
        texts: what else to write for people, by name; none if empty.
        replace: whether the folder may hold something else, of which files of the same names are replaced.
        lock: whether to keep other writers out; not by who holds the folder already.

    Raises:
        CheckpointError: it does, an argument of a part cannot be written, or the disk refuses.
        HeldError: another process writes to it.
    """
    settings = content(recipe, by, str(folder))
    try:
        folder = followed(folder)
        with held(folder) if lock else contextlib.nullcontext():
            check(folder, by, states, replace)
            try:
                _exchange(folder, settings, recipe, states, texts)
            finally:
                _tidy(folder, _known(folder))
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written ({error.strerror or error})") from None


def _exchange(
    folder: Path,
    settings: Mapping[str, Any],
    recipe: Recipe,
    states: Mapping[str, Mapping[str, Tensor]],
    texts: Mapping[str, str],
) -> None:
    before, token = _known(folder), os.urandom(4).hex()
    _tidy(folder, before)
    files = {slot: f"{slot}.new-{token}.safetensors" for slot in states}
    sums = {slot: checksum(state) for slot, state in states.items()}
    for slot, state in states.items():
        save_state(state, folder / files[slot])
    if before:
        kept = [slot for slot in recipe.weights if slot not in states and slot in before.weights]
        files |= {slot: before.weights[slot] for slot in kept}
        sums |= {slot: before.checksums[slot] for slot in kept if slot in before.checksums}
    past = sorted({*before.weights, *before.past} - files.keys()) if before else []
    _write_json(
        folder / CONFIG, {**settings, "weights": files, "checksums": sums, "past": past}
    )  # from here it is the new
    for slot, name in files.items():
        if name == (usual := _usual(slot)):
            continue
        (folder / usual).unlink(missing_ok=True)
        try:
            os.link(folder / name, folder / usual)
        except OSError:  # a file system that has no second names
            shutil.copyfile(folder / name, folder / usual)
    described = dataclasses.replace(recipe, weights={slot: _usual(slot) for slot in files})
    sheet = (folder / SHEET).is_file() and not keeps_own(folder, SHEET)
    own = {} if keeps_own(folder) else {CARD: card(described, sheet)}
    for name, text in {**own, **texts}.items():
        write_text(folder / name, text)
    for slot in past:
        (folder / _usual(slot)).unlink(missing_ok=True)
    _write_json(folder / CONFIG, {**settings, "weights": described.weights, "checksums": sums})


def write_text(path: Path, text: str) -> None:
    """Whole or not at all; an empty text is no file."""
    if not text:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


def _write_json(path: Path, settings: Mapping[str, Any]) -> None:
    with atomic_write(path) as part, part.open("w", encoding="utf-8") as file:
        file.write(json.dumps(settings, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _tidy(folder: Path, known: FolderConfig | None) -> None:
    """Remove weights under new names that the configuration does not know."""
    used = known.weights.values() if known else ()
    for path in folder.iterdir():
        if NEW.fullmatch(path.name) and path.name not in used:
            path.unlink()


def _known(folder: Path) -> FolderConfig | None:
    """What a folder's configuration says, if it has one that can be read."""
    with contextlib.suppress(CheckpointError):
        return _config(folder)
    return None


def _usual(slot: str) -> str:
    return f"{slot}.safetensors"


def cached(weights: Weights) -> Weights:
    """The same, each state read once."""
    return dataclasses.replace(weights, state=functools.cache(weights.state))
