"""Which parts a folder of weights may name, though somebody else made it.

A folder that is given as a preset names the parts of all slots, also those without weights, such as the matcher and the
sampler: without them it would not be the pipeline that was saved. Of one that is given as `weights`, the slots that it
has weights for are read and nothing else.

Allowed is any part that is registered here, with arguments that are names, numbers, such parts and lists of them. It
was chosen by whoever installed it, so that a folder chooses among programs and brings none: the module that it names
beside a part is only shown, where the part is not installed.

Not allowed is what reaches out of the folder: a part that would fetch weights, and the path or name of a file. Nor are
sizes that the tensors in the folder do not have, which would take memory (`midms.checkpoints.folder`), or texts,
numbers and lists beyond their limits (`midms.checkpoints.config`).
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from midms.checkpoints.folder import Weights
from midms.compose.catalog import KINDS, nested_kinds
from midms.compose.slots import SLOTS
from midms.compose.spec import Spec, names_in
from midms.registry import did_you_mean, unknown


def unusable(found: Weights, slots: Collection[str], changes: Mapping[str, Any]) -> list[str]:
    """Parts that do not exist here, or would reach out of the folder: to the network, or to files elsewhere.

    Args:
        found: the weights and their recipe.
        slots: that parts are asked of.
        changes: what is given for slots; of a part whose name is not among what is given, nothing is used.
    """
    wrong = []
    for slot, spec in found.recipe.slots.items():
        used = slot in slots and (slot not in changes or spec.name in names_in(changes[slot]))
        if slot not in SLOTS:
            wrong.append(unknown("slot", slot, SLOTS))
        elif used and spec.name not in KINDS[SLOTS[slot][0]]:
            kind, module = SLOTS[slot][0], found.modules.get(slot, "")
            wrong.append(f"{_absent(slot, kind, spec.name)}; it was from the module {module}")
        elif used:
            wrong += _outside(SLOTS[slot][0], spec, slot)
    return wrong


def _absent(slot: str, kind: str, name: str) -> str:
    near = did_you_mean(name, KINDS[kind])
    return f"{slot}: the {kind} {name!r} is not installed here{near and f' ({near})'}"


def _outside(kind: str, spec: Spec, slot: str) -> list[str]:
    """What is wrong with a part's arguments, and with the parts among them."""
    taken = inspect.signature(KINDS[kind][spec.name]).parameters
    wrong = []
    for name, value in spec.arguments.items():
        annotation = str(taken[name].annotation) if name in taken else ""
        if name == "pretrained" and value is not False:
            wrong.append(f"{slot}: {name}={value!r} would fetch weights, expected those of the folder")
        elif (annotation == "Any" or "Path" in annotation) and isinstance(value, str) and Path(value).exists():
            wrong.append(f"{slot}: {name}={value!r} is a file outside of the folder")
    for name, inner in nested_kinds(kind, spec.name).items():
        given = spec.arguments.get(name)
        for part in given if isinstance(given, tuple) else (given,):
            if isinstance(part, Spec) and part.name not in KINDS[inner]:
                wrong.append(_absent(slot, inner, part.name))
            elif isinstance(part, Spec):
                wrong += _outside(inner, part, slot)
    return wrong
