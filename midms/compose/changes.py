"""What is given for the slots of a recipe, beside what the recipe has there. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midms.compose.catalog import KINDS, nested_kinds
from midms.compose.recipe import Recipe
from midms.compose.spec import Spec
from midms.core.signatures import parameters

LEVELS = ("timesteps", "schedule")
"""What a sampler's levels are made of: another sampler keeps them unless others are given. `start` is one's own."""


def specified(kind: str, choice: Any, usual: Spec | None) -> Any:
    """A name or Spec as the Spec that it amounts to in a slot of a recipe; any other object as it is.

    Args:
        kind: of the slot's parts.
        choice: what is given.
        usual: what is there otherwise. A sampler of any name keeps its timesteps and schedule; of the same name also
            its start, but for other timesteps, to which it would not belong.
    """
    made = with_usual(kind, choice, usual)
    made = Spec(made) if isinstance(made, str) else made
    if kind != "sampler" or usual is None or not isinstance(made, Spec):
        return made
    given = getattr(choice, "arguments", {})
    taken = parameters(KINDS[kind][made.name]).parameters
    kept = {name: usual.arguments[name] for name in LEVELS if name in usual.arguments and name in taken}
    left = {"start"} if "timesteps" in given and "start" not in given else set()
    return Spec(made.name, **{name: value for name, value in (kept | made.arguments).items() if name not in left})


def with_usual(kind: str, given: Any, usual: Any, place: int = 0) -> Any:
    """What is given for a part, with what is not given as in the usual part of its name; the same in parts of it.

    A part of another name keeps its own defaults, but may be made of the usual one: `control(beside=ctrlx)`.

    Args:
        kind: of the part.
        given: a name, a Spec, or several in a tuple; any other object stays as it is.
        usual: what stands there otherwise, in the same ways.
        place: among several. Of usual ones with its name it is the first from there on, or of all.
    """
    if isinstance(given, tuple | list):
        return tuple(with_usual(kind, one, usual, place) for place, one in enumerate(given))
    spec = Spec(given) if isinstance(given, str) else given
    if not isinstance(spec, Spec):
        return given
    others = usual if isinstance(usual, tuple | list) else (usual,)
    others = [Spec(one) if isinstance(one, str) else one for one in (*others[place:], *others)]
    same = next((one for one in others if isinstance(one, Spec) and one.name == spec.name), None)
    arguments = {**(same.arguments if same else {}), **spec.arguments}
    for name, inner in nested_kinds(kind, spec.name).items():
        if name in spec.arguments:
            within = same.arguments.get(name) if same else usual if inner == kind else None
            arguments[name] = with_usual(inner, spec.arguments[name], within)
    return Spec(spec.name, **arguments) if arguments else given


def exchanged(recipe: Recipe, changes: Mapping[str, Any]) -> set[str]:
    """The slots that changes give another part than the recipe's: of another name, a ready object, or none."""
    given = {slot: Spec(choice) if isinstance(choice, str) else choice for slot, choice in changes.items()}
    names = {slot: choice.name for slot, choice in given.items() if isinstance(choice, Spec)}
    return {slot for slot in changes if slot not in recipe.slots or names.get(slot) != recipe.slots[slot].name}
