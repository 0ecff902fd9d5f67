"""`build("midm-faces", matcher="optimal-transport")`: a preset, some slots changed, one pipeline out."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from pathlib import Path
from typing import Any

from torch import nn

from midms.checkpoints.convert import Source, find
from midms.checkpoints.tensors import CheckpointError, load_state, load_weights
from midms.compose.compose import NOTHING, BuildError, Composition, compose, noted
from midms.compose.presets import PRESETS
from midms.compose.recipe import SHIPPED, Recipe
from midms.compose.slots import SLOTS
from midms.compose.spec import Spec
from midms.core.defaults import defaults
from midms.pipeline.pipeline import Pipeline
from midms.registry import unknown

__all__ = ["BuildError", "CheckpointError", "build", "wrapped"]


@defaults()
def build(preset: str, /, weights: str | Path | None = None, **changes: Any) -> Pipeline:
    """Compose a loop.

    A slot that is not given keeps the preset's part, arguments and weights. A slot given by name takes that part's own
    defaults, given as a `Spec` the arguments in it; a ready object is used as it is. Slots are condition, features,
    matcher, confidence, denoiser, sampler, autoencoder and refiner; `refiner=None` leaves out the last pass. The loop's
    settings are those of `midms.loop.policy.Policy`, rematch, edit, look, confidence_guidance and style, and size.

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
        with noted(wrong, "weights"):
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
    composition = compose(recipe, preset, changes, f"build({preset!r})", wrong)
    notes = _load(recipe, composition, source or weights)
    for note in notes:
        warnings.warn(f"{preset}: {note}", stacklevel=2)
    return wrapped(composition, notes)


def wrapped(composition: Composition, notes: tuple[str, ...]) -> Pipeline:
    """A composition, its weights loaded, as a pipeline with notes for its user."""
    settings = {name: value for name, value in vars(composition).items() if name != "parts"}
    return Pipeline(**vars(composition.parts), **settings, notes=notes)


def _sized(recipe: Recipe, source: Source) -> Recipe:
    """The preset with the parts that weights belong to, and the schedule that they were trained with."""
    samplers = {
        slot: Spec(spec.name, **(spec.arguments | {"schedule": source.schedule}))
        for slot, spec in recipe.slots.items()
        if SLOTS[slot][0] == "sampler"
    }
    return dataclasses.replace(recipe, slots=recipe.slots | source.parts | samplers)


def _load(recipe: Recipe, composition: Composition, weights: Source | str | Path | None) -> tuple[str, ...]:
    """Weights for the slots that are as in the preset; notes on those that stay without."""
    random, foreign, failed = [], [], []
    for slot, spec in composition.specs.items():
        part = getattr(composition.parts, slot)
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


def _filled(part: nn.Module, slot: str, recipe: Recipe, weights: Source | str | Path | None) -> bool:
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
