"""What an ablation varies: values written as people type them, and the combinations they give."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from midms.compose.catalog import KINDS, factory_of
from midms.compose.slots import SLOTS, check_part
from midms.compose.spec import Spec, parse_values
from midms.core.errors import MidmsError
from midms.evaluation.ablation.identity import digest_value
from midms.loop import POLICY, Policy
from midms.registry import unknown

OWN = "preset"
"""The value that leaves a slot as the preset has it."""
Vary = Mapping[str, Sequence[Any]]


class VaryError(MidmsError, ValueError):
    """Something that cannot be varied so; the message says what can."""


def parse(text: str) -> tuple[str, list[Any]]:
    """A slot and its values: "matcher=correlation(temperature=0.04),nearest", "rematch=none,(0,),(0,1)".

    A value is as `midms.compose.spec.parse_value` reads it, or "preset" for what the preset has; no levels to match
    again at are "none" or "()".

    Raises:
        VaryError: it is not written so, there is no such slot, or a slot or setting has no such value.
        SpecError: a value is not written as values are.
        UnknownName: there is no such part.
        BadArguments: a part does not take such settings.
    """
    slot, equals, values = text.partition("=")
    if not equals or not values:
        raise VaryError("expected SLOT=VALUE,VALUE such as matcher=correlation,nearest")
    found = parse_values(values)
    if slot == "rematch":
        found = [() if value is None else value for value in found]
    check_vary({slot: found})
    return slot, found


def check_vary(vary: Vary) -> None:
    """Find out whether everything named exists, and can be what it is given for.

    Raises:
        VaryError: a slot does not exist, or a slot or setting cannot have a value.
        UnknownName: a part does not.
        BadArguments: a part does not take such arguments.
    """
    for slot, values in vary.items():
        if slot == "size":
            raise VaryError("size cannot be varied: faces are drawn at one size")
        if slot not in SLOTS and slot not in POLICY:
            raise VaryError(unknown("slot", slot, [*SLOTS, *POLICY], "`midms ablate --help`"))
        for value in values:
            if isinstance(value, str) and value == OWN:
                continue
            if slot in SLOTS:
                _check_slot(slot, value)
            else:
                _check_setting(slot, value)


def _check_slot(slot: str, value: Any) -> None:
    if not isinstance(value, str | Spec):
        if wrong := check_part(slot, value):
            expected = f"expected {OWN} or a part's name, see `midms list {SLOTS[slot][0]}`"
            raise VaryError(f"{slot}: {expected}, got {spelled(value)} ({wrong})")
        return
    spec = Spec(value) if isinstance(value, str) else value
    kind = SLOTS[slot][0]
    factory_of(kind, spec.name)
    KINDS[kind].check_given(spec.name, **spec.arguments)


def _check_setting(name: str, value: Any) -> None:
    try:
        Policy(**{name: value})
    except ValueError as error:
        written = ", written (0,) or (0,1), or none" if name == "rematch" else ""
        raise VaryError(f"{error}{written}") from None


def combinations(vary: Vary) -> list[dict[str, Any]]:
    """The cross product: slot to value, one dictionary a combination."""
    return [dict(zip(vary, values, strict=True)) for values in itertools.product(*vary.values())]


def spelled(value: Any) -> str:
    """A value as one would type it; an object that does not show what it is by its type and a digest."""
    if isinstance(value, Spec):
        return value.typed()
    if isinstance(value, nn.Module) or " at 0x" in repr(value):
        return f"{type(value).__name__}#{digest_value(value)[:6]}"
    return value if isinstance(value, str) else repr(value)
