"""`build("midm-faces", matcher="optimal-transport")`: a preset, some slots changed, one object out."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from midms.checkpoints.convert import Source, find
from midms.checkpoints.tensors import CheckpointError, load_state, load_weights
from midms.compose.catalog import KINDS
from midms.compose.presets import PRESETS, SHIPPED, Preset, Spec
from midms.compose.slots import SLOTS, disagreements, impossible, misfit, unanswered
from midms.core.defaults import defaults
from midms.core.domain import TELLING
from midms.core.errors import MidmsError, brief
from midms.loop import POLICY, MatchingInterleavedDiffusion, Policy
from midms.registry import unknown

__all__ = ["BuildError", "CheckpointError", "build"]

LOOP = (*POLICY, "size")
TRAINED_FOR = ("timesteps", "schedule")
"""A sampler's arguments that the denoiser was trained for: another sampler keeps the preset's unless it is told."""
NOTHING = Preset(source="", slots={}, loop={"size": 64})
"""What the rest of a call is checked against where its preset does not exist: by itself."""
MANY = 20
"""Mistakes that are named before the rest is counted."""


class BuildError(MidmsError, ValueError):
    """Everything wrong with one `build`, found in one go.

    Args:
        call: how it was made.
        wrong: each by itself, most after the name of the argument that is to blame.
    """

    def __init__(self, call: str, wrong: Sequence[str]) -> None:
        more = [f"and {len(wrong) - MANY:,} more"] if len(wrong) > MANY else []
        self.wrong = (*map(brief, wrong[:MANY]), *more)
        text = self.wrong[0] if len(wrong) == 1 else "\n- ".join([f"{len(wrong)} mistakes:", *self.wrong])
        super().__init__(f"{call}: {text}")


@defaults()
def build(preset: str, /, weights: str | Path | None = None, **changes: Any) -> MatchingInterleavedDiffusion:
    """Compose a loop.

    A slot that is not given keeps the preset's part, arguments and weights. A slot given by name takes that part's own
    defaults, given as a `Spec` the arguments in it; a ready object is used as it is. Slots are condition, features,
    matcher, confidence, denoiser, sampler, autoencoder and refiner; `refiner=None` leaves out the last pass. The loop's
    settings are those of `midms.loop.policy.Policy`, rematch, edit, look, guidance and style, and size.

    Args:
        preset: a name from `midms.compose.presets`.
        weights: instead of the shipped ones: a folder that `midms convert` wrote, one of diffusers, or the id of one on
            the hub, which bring the sizes of their parts with them; or a folder with the preset's file names.
        **changes: slots and loop settings.

    Raises:
        BuildError: an unknown preset, slot, name or argument, a part that does not fit its slot or another part; all
            mistakes are listed.
        CheckpointError: a weights file cannot be used.
    """
    known = isinstance(preset, str) and preset in PRESETS
    recipe = PRESETS[preset] if known else NOTHING
    wrong = [] if known else [unknown("preset", preset, PRESETS, "`midms list preset`")]
    source = None
    if weights is not None:
        with _noted(wrong, "weights"):
            source = find(weights)
            recipe = _sized(recipe, source) if source else recipe
        if recipe.shipped:  # others than those that the preset speaks of
            recipe = dataclasses.replace(recipe, domain=dataclasses.replace(recipe.domain.unmeasured(), size=None))
    if wrong and known:  # what else is wrong would cost the memory of parts that nothing is there for
        raise BuildError(f"build({preset!r})", wrong)
    if source:
        source = dataclasses.replace(source, state=functools.cache(source.state))
        for slot in source.parts.keys() - changes.keys():
            source.state(slot)  # whether they fit is known before memory is taken for the part
    run = compose(recipe, preset, changes, f"build({preset!r})", wrong)
    notes = _load(recipe, run, source or weights)
    for note in notes:
        warnings.warn(f"{preset}: {note}", stacklevel=2)
    return run.replace(notes=notes)


@defaults()
def compose(
    recipe: Preset, name: str, changes: Mapping[str, Any], call: str, known: Sequence[str] = ()
) -> MatchingInterleavedDiffusion:
    """The loop that a recipe and changes amount to, its weights as constructed.

    Args:
        recipe: every slot.
        name: of the preset.
        changes: slots and loop settings.
        call: how mistakes are made, for the complaint.
        known: mistakes that are known already.

    Raises:
        BuildError: all mistakes.
    """
    wrong = [*known]
    slots = [*SLOTS, *LOOP, "weights"]
    wrong += [unknown("slot", name, slots, "help(midms.build)") for name in changes if name not in {*SLOTS, *LOOP}]
    specs: dict[str, Any] = {}
    for slot, wish in (recipe.slots | {slot: changes[slot] for slot in SLOTS if slot in changes}).items():
        with _noted(wrong, slot):
            specs[slot] = _specified(slot, wish, recipe)
    parts: dict[str, Any] = {}
    for slot, spec in specs.items():
        with _noted(wrong, slot):
            parts[slot] = _make(slot, spec)
    wrong += disagreements(parts)
    loop, policy = recipe.loop | {key: changes[key] for key in LOOP if key in changes}, Policy()
    settings = {key: loop.pop(key) for key in POLICY if key in loop}
    with _noted(wrong, "loop"):
        policy = Policy(**settings)
    if {"matcher", "confidence"} <= parts.keys():
        wrong += unanswered(parts["matcher"], parts["confidence"], policy)
    wrong += [f"loop: {mistake}" for mistake in impossible(parts, policy.rematch, loop["size"])]
    if wrong:
        raise BuildError(call, wrong)
    made_by = {slot: spec for slot, spec in specs.items() if isinstance(spec, Spec)}
    as_measured = all(made_by.get(slot) == recipe.slots.get(slot) for slot in TELLING)
    domain = recipe.domain if as_measured else recipe.domain.unmeasured()
    return MatchingInterleavedDiffusion(**parts, policy=policy, **loop, name=name, specs=made_by, domain=domain)


@contextmanager
def _noted(wrong: list[str], slot: str) -> Iterator[None]:
    """Mistakes go on the list."""
    try:
        yield
    except (ValueError, TypeError, LookupError, ImportError, RuntimeError, OSError) as error:
        wrong.append(f"{slot}: {error}")


def _specified(slot: str, wish: Any, recipe: Preset) -> Any:
    """A name or Spec as the Spec it amounts to, checked against the part's signature; else the ready object it was."""
    wish = Spec(wish) if isinstance(wish, str) else wish
    if not isinstance(wish, Spec):
        return wish
    registry = KINDS[SLOTS[slot][0]]
    taken = inspect.signature(registry[wish.name]).parameters
    given = recipe.slots[slot].arguments if registry.kind == "sampler" and slot in recipe.slots else {}
    arguments = {name: given[name] for name in TRAINED_FOR if name in given and name in taken} | wish.arguments
    registry.check(wish.name, **arguments)
    return Spec(wish.name, **arguments)


def _make(slot: str, wish: Any) -> Any:
    """The part for a slot.

    Raises:
        ValueError: it does not fit.
    """
    part = KINDS[SLOTS[slot][0]].create(wish.name, **wish.arguments) if isinstance(wish, Spec) else wish
    if objection := misfit(slot, part):
        raise ValueError(objection)
    return part.eval() if isinstance(wish, Spec) and isinstance(part, nn.Module) else part


def _sized(recipe: Preset, source: Source) -> Preset:
    """The preset with the parts that weights belong to, and the schedule that they were trained with."""
    samplers = {
        slot: Spec(spec.name, **(spec.arguments | {"schedule": source.schedule}))
        for slot, spec in recipe.slots.items()
        if SLOTS[slot][0] == "sampler"
    }
    return dataclasses.replace(recipe, slots=recipe.slots | source.parts | samplers)


def _load(recipe: Preset, run: MatchingInterleavedDiffusion, weights: Source | str | Path | None) -> tuple[str, ...]:
    """Weights for the slots that are as in the preset; notes on those that stay without."""
    random, foreign, failed = [], [], []
    for slot, spec in run.specs.items():
        part = getattr(run, slot)
        if not isinstance(part, nn.Module) or not part.state_dict():
            continue
        if spec != recipe.slots.get(slot):
            foreign.append(slot)
        elif slot in recipe.weights:
            try:
                if not _filled(part, slot, recipe, weights):
                    random.append(slot)
            except CheckpointError as error:
                failed.append(str(error))
    if failed:
        raise CheckpointError("; ".join(failed))
    notes = []
    if random:
        lacking = f"{weights.name} has none" if isinstance(weights, Source) else "none are shipped"
        notes.append(f"random weights in {', '.join(random)}: {lacking}, {recipe.obtain}")
    if foreign:
        notes.append(f"the preset's weights are not for the {', '.join(foreign)} given: weights as constructed")
    return tuple(notes)


def _filled(part: nn.Module, slot: str, recipe: Preset, weights: Source | str | Path | None) -> bool:
    """Fill a part, unless there are no weights for it."""
    if isinstance(weights, Source):
        if slot in weights.parts:
            load_state(part, weights.state(slot), f"{weights.name}, {slot}")
        return slot in weights.parts
    path = SHIPPED / recipe.weights[slot] if weights is None else Path(weights) / Path(recipe.weights[slot]).name
    if weights is None and not path.exists():
        return False
    load_weights(part, path)
    return True
