"""From a recipe and changes to parts that fit each other; all that is wrong is reported at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from midms.compose.catalog import KINDS, create
from midms.compose.changes import specified
from midms.compose.recipe import Recipe
from midms.compose.slots import SLOTS, check_compatible, check_part, check_settings, disagreements
from midms.compose.spec import Spec
from midms.core.domain import TELLING
from midms.core.errors import IdlePrompt, MidmsError, brief
from midms.core.protocols import lent_to
from midms.core.signatures import parameters
from midms.core.torch_defaults import defaults
from midms.loop import POLICY, Parts, Policy
from midms.registry import unknown

LOOP = (*POLICY, "size")
NOTHING = Recipe(loop={"size": 64})
"""What the rest of a call is checked against where its preset does not exist: by itself."""
_MANY = 20
"""Errors that are named before the rest is counted."""


class BuildError(MidmsError, ValueError):
    """Everything wrong with one `build`, found in one go.

    Args:
        call: how it was made.
        wrong: each by itself, most after the name of the argument that is to blame.
    """

    def __init__(self, call: str, wrong: Sequence[str]) -> None:
        more = [f"and {len(wrong) - _MANY:,} more"] if len(wrong) > _MANY else []
        self.wrong = (*map(brief, wrong[:_MANY]), *more)
        text = self.wrong[0] if len(wrong) == 1 else "\n- ".join([f"{len(wrong)} errors:", *self.wrong])
        super().__init__(f"{call}: {text}")


@defaults()
def compose(recipe: Recipe, changes: Mapping[str, Any], call: str, known: Sequence[str] = ()) -> tuple[Parts, Recipe]:
    """The parts that a recipe and changes amount to, weights as constructed; and the recipe that they do.

    Args:
        recipe: every slot.
        changes: slots and loop settings.
        call: as it was written, for the message.
        known: errors that are known already.

    Raises:
        BuildError: names all errors.
    """
    wrong = [*known]
    causes: list[Exception] = []
    known_names, listing = [*SLOTS, *LOOP, "weights"], "help(midms.build)"
    strange = [name for name in changes if name not in {*SLOTS, *LOOP}]
    wrong += [unknown_change(name, known_names, recipe, listing) for name in strange]
    specs: dict[str, Any] = {}
    for slot, choice in {**recipe.slots, **{slot: changes[slot] for slot in SLOTS if slot in changes}}.items():
        with noted(wrong, slot, causes):
            specs[slot] = specified(SLOTS[slot][0], choice, recipe.slots.get(slot))
    parts: dict[str, Any] = {}
    for slot, spec in specs.items():
        with noted(wrong, slot, causes):
            parts[slot] = _make(slot, spec)
    if {"features", "denoiser", "autoencoder"} <= parts.keys():
        with noted(wrong, "features", causes):
            lent_to(parts["features"], parts["denoiser"], parts["autoencoder"])
    if parts.get("injection") is not None and "denoiser" in parts:
        with noted(wrong, "injection", causes):
            parts["injection"].check(parts["denoiser"])
    wrong += disagreements(parts)
    loop, policy = {**recipe.loop, **{key: changes[key] for key in LOOP if key in changes}}, Policy()
    settings = {key: loop[key] for key in POLICY if key in loop}
    with noted(wrong, "loop", causes):
        policy = Policy(**settings)
    if {"matcher", "confidence"} <= parts.keys():
        wrong += check_compatible(parts["matcher"], parts["confidence"], policy)
    wrong += [f"loop: {error}" for error in check_settings(parts, policy.rematch, loop["size"])]
    if wrong:
        raise BuildError(call, wrong) from next(iter(causes), None)
    made_by = {slot: spec for slot, spec in specs.items() if isinstance(spec, Spec)}
    as_measured = all(made_by.get(slot) == recipe.slots.get(slot) for slot in TELLING)
    domain = recipe.domain if as_measured else recipe.domain.unmeasured()
    return Parts(**parts), dataclasses.replace(recipe, slots=made_by, loop=loop, domain=domain)


def unknown_change(name: str, known: Sequence[str], recipe: Recipe, listing: str = "") -> str:
    """What to say of a name that is no slot and no setting of the loop, but may be a setting of one of the parts.

    Args:
        name: that was given.
        known: those that can be.
        recipe: whose parts it may be a setting of.
        listing: what shows the known ones, where they are too many to name them all.
    """
    owners = [
        f"{slot}=Spec({spec.name!r}, {name}=...)"
        for slot, spec in recipe.slots.items()
        if name in parameters(KINDS[SLOTS[slot][0]][spec.name]).parameters
    ]
    if not owners:
        return unknown("slot or setting", name, known, listing)
    return f"no slot or setting is called {name!r}, but one of a part is: build(..., {' or '.join(owners)})"


@contextmanager
def noted(wrong: list[str], slot: str, causes: list[Exception] | None = None) -> Iterator[None]:
    """Errors go on the list, and as they were raised on that of causes."""
    try:
        yield
    except IdlePrompt as error:
        wrong.append(str(error))
    except (ValueError, TypeError, LookupError, ImportError, RuntimeError, OSError) as error:
        said = repr(error) if type(error) in (KeyError, IndexError) else str(error)
        wrong.append(f"{slot}: {said or type(error).__name__}")
        if causes is not None:
            causes.append(error)


def _make(slot: str, choice: Any) -> Any:
    """The part for a slot.

    Raises:
        ValueError: it does not fit.
    """
    part = create(SLOTS[slot][0], choice.name, **choice.arguments) if isinstance(choice, Spec) else choice
    if problem := check_part(slot, part):
        raise ValueError(problem)
    return part.eval() if isinstance(choice, Spec) and isinstance(part, nn.Module) else part
