"""`from_pretrained(DIR)`: the composition that `run.save_pretrained(DIR)` left."""

from __future__ import annotations

import inspect
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from midms.checkpoints.composition import CONFIG, Saved, read
from midms.checkpoints.tensors import CheckpointError, check_sizes, load_state, outline, read_shapes
from midms.compose.catalog import KINDS, create
from midms.compose.compose import LOOP, BuildError, compose
from midms.compose.recipe import Recipe
from midms.compose.slots import SLOTS
from midms.compose.spec import Spec
from midms.core.defaults import defaults
from midms.pipeline.build import wrapped
from midms.pipeline.pipeline import Pipeline
from midms.registry import unknown

LEARNED = ("features", "confidence", "denoiser", "autoencoder")
"""Slots whose parts may have weights, and are the kinds of their names."""


@defaults()
def from_pretrained(folder: str | Path, /, **changes: Any) -> Pipeline:
    """The composition that was saved, with the same numbers in the same precision. Nothing is unpickled.

    Args:
        folder: that `run.save_pretrained` wrote.
        **changes: slots and loop settings, as in `build`; a slot that is given comes without the saved weights.

    Raises:
        CheckpointError: the folder or a file in it is missing, damaged or does not fit.
        BuildError: a part is not installed here, would reach out of the folder for files or to the network, or a change
            is not possible; all mistakes are listed.
    """
    folder = Path(folder)
    saved = read(folder)
    call = f"from_pretrained({str(folder)!r})"
    if absent := _absent(saved, changes):
        raise BuildError(call, absent)
    if wrong := [f"the loop has no {key}" for key in LOOP if key not in saved.loop]:
        raise CheckpointError(f"{folder / CONFIG}: {'; '.join(wrong)}")
    for slot in LEARNED:
        if slot in saved.specs.keys() - changes.keys():
            _check_sizes(slot, saved, folder)
    recipe = Recipe(source=str(folder), slots=saved.specs, loop=saved.loop, domain=saved.domain)
    composition = compose(recipe, saved.name, changes, call)
    failed = []
    for slot, spec in saved.specs.items():
        if composition.specs.get(slot) == spec:
            try:
                _fill(getattr(composition.parts, slot), slot, saved, folder)
            except CheckpointError as error:
                failed.append(str(error))
    if failed:
        raise CheckpointError("; ".join(failed))
    return wrapped(composition, tuple(saved.notes))


def _check_sizes(slot: str, saved: Saved, folder: Path) -> None:
    """Find out whether a part fits its weights, before memory is taken for it.

    Raises:
        CheckpointError: it does not; or it has some and none were saved.
    """
    path, spec = saved.path(folder, slot), saved.specs[slot]
    make = partial(create, slot, spec.name, **spec.arguments)
    if saved.parts[slot].weights:
        check_sizes(make, read_shapes(path), str(path))
    else:
        _check_noted(outline(make, 0, f"{folder / CONFIG}: the {slot}"), slot, saved, folder)


def _check_noted(part: Any, slot: str, saved: Saved, folder: Path) -> bool:
    """Whether a part has weights.

    Raises:
        CheckpointError: it has some and none were saved, or the other way round.
    """
    learned = isinstance(part, nn.Module) and bool(part.state_dict())
    if learned != saved.parts[slot].weights:
        states = "has weights, none are" if learned else "has no weights, some are"
        raise CheckpointError(f"{folder / CONFIG}: the {slot} {states} noted")
    return learned


def _fill(part: Any, slot: str, saved: Saved, folder: Path) -> None:
    """Give a part its saved weights.

    Raises:
        CheckpointError: it has some and none were saved, or the other way round, or they cannot be used.
    """
    if _check_noted(part, slot, saved, folder):
        load_state(part, saved.state(folder, slot), str(saved.path(folder, slot)), keep=True)


def _absent(saved: Saved, changes: dict[str, Any]) -> list[str]:
    """What is wrong with what was saved: unknown or missing slots, unknown settings, parts that are not installed."""
    wrong = [unknown("slot", slot, SLOTS) for slot in saved.specs if slot not in SLOTS]
    wrong += [unknown("setting of the loop", key, LOOP) for key in saved.loop if key not in LOOP]
    wrong += [f"no {slot} is named" for slot in SLOTS if slot not in {*saved.specs, *changes, "refiner"}]
    for slot, spec in saved.specs.items():
        if slot in SLOTS and slot not in changes and spec.name not in KINDS[SLOTS[slot][0]]:
            kind, module = SLOTS[slot][0], saved.parts[slot].module
            wrong.append(f"{slot}: the {kind} {spec.name!r} is not installed here; it was from the module {module}")
        elif slot in SLOTS and slot not in changes:
            wrong += _outside(slot, spec)
    return wrong


def _outside(slot: str, spec: Spec) -> list[str]:
    """Arguments that would reach out of the folder: to the network, or to files elsewhere."""
    taken = inspect.signature(KINDS[SLOTS[slot][0]][spec.name]).parameters
    wrong = []
    for name, value in spec.arguments.items():
        kind = str(taken[name].annotation) if name in taken else ""
        if name == "pretrained" and value is not False:
            wrong.append(f"{slot}: {name}={value!r} would fetch weights, expected those of the folder")
        elif (kind == "Any" or "Path" in kind) and isinstance(value, str) and Path(value).exists():
            wrong.append(f"{slot}: {name}={value!r} is a file outside of the folder")
    return wrong
