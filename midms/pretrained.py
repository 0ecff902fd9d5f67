"""`from_pretrained(DIR)`: the composition that `run.save_pretrained(DIR)` left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from midms.catalog import KINDS
from midms.checkpoints import CheckpointError, load_state, read_weights
from midms.compose import BuildError, compose
from midms.loop import MatchingInterleavedDiffusion
from midms.presets import Preset
from midms.registry import unknown
from midms.saved import Saved, read, weights_file
from midms.slots import SLOTS


def from_pretrained(folder: str | Path, /, **changes: Any) -> MatchingInterleavedDiffusion:
    """The composition that was saved, with the same numbers in the same precision. Nothing is unpickled.

    Args:
        folder: that `run.save_pretrained` wrote.
        **changes: slots and loop settings, as in `build`; a slot that is given comes without the saved weights.

    Raises:
        CheckpointError: the folder or a file in it is missing, damaged or does not fit.
        BuildError: a part is not installed here, or a change is not possible; all mistakes are listed.
    """
    folder = Path(folder)
    saved = read(folder)
    call = f"from_pretrained({str(folder)!r})"
    if absent := _absent(saved, changes):
        raise BuildError(call, absent)
    run = compose(Preset(source=str(folder), slots=saved.specs, loop=saved.loop), saved.name, changes, call)
    failed = []
    for slot in saved.weights:
        if run.specs.get(slot) == saved.specs[slot]:
            path = weights_file(folder, slot)
            try:
                load_state(getattr(run, slot), read_weights(path), str(path), keep=True)
            except CheckpointError as error:
                failed.append(str(error))
    if failed:
        raise CheckpointError("; ".join(failed))
    return run.replace(notes=saved.notes)


def _absent(saved: Saved, changes: dict[str, Any]) -> list[str]:
    """What is wrong with the saved slots: unknown or missing ones, and parts of packages that are not installed."""
    wrong = [unknown("slot", slot, SLOTS) for slot in saved.specs if slot not in SLOTS]
    wrong += [f"no {slot} is named" for slot in SLOTS if slot not in {*saved.specs, *changes, "refiner"}]
    for slot, spec in saved.specs.items():
        if slot in SLOTS and slot not in changes and spec.name not in KINDS[SLOTS[slot][0]]:
            kind, module = SLOTS[slot][0], saved.modules[slot]
            wrong.append(f"{slot}: the {kind} {spec.name!r} is not installed here; it was from the module {module}")
    return wrong
