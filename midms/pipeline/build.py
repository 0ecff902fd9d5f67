"""`build("midm-faces", matcher="optimal-transport")`: a preset, some slots changed, one pipeline out."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from midms.checkpoints.convert import find
from midms.checkpoints.folder import CONFIG, Weights, cached, read_folder
from midms.compose.catalog import KINDS
from midms.compose.changes import exchanged
from midms.compose.compose import NOTHING, BuildError, compose, noted
from midms.compose.presets import PRESETS
from midms.compose.recipe import Recipe
from midms.compose.slots import SLOTS
from midms.compose.spec import Spec
from midms.core.signatures import parameters
from midms.core.tensors import CheckpointError, load_state, unlike
from midms.core.torch_defaults import defaults
from midms.core.types import NO_PROMPT, Prompt
from midms.loop import POLICY, Policy
from midms.pipeline.allowed_parts import unusable
from midms.pipeline.pipeline import Pipeline
from midms.registry import unknown

__all__ = ["BuildError", "CheckpointError", "assemble", "build"]


@defaults()
def build(preset: str, /, weights: str | Path | None = None, prompt: str | Prompt = "", **changes: Any) -> Pipeline:
    """Compose a loop.

    A slot that is not given keeps the preset's part, arguments and weights. A part is given by name, as a `Spec` with
    some arguments, or as a ready object, which is used as it is. Of the preset's own name it keeps the preset's
    arguments where others are not given, and its weights where they fit; of another name it takes its own defaults. The
    same holds for the parts that a part is made of: `injection=Spec("graft", confidence="product")` has the preset's
    product of confidences, and `injection=Spec("control", network=..., beside="ctrlx")` the preset's `ctrlx`. A sampler
    of another name keeps timesteps and schedule. Slots are condition, features,
    matcher, confidence, denoiser, sampler, autoencoder, refiner, injection and finisher; `refiner=None` leaves out the
    last pass, `injection=None` leaves layers of the denoiser alone, `finisher=None` a result as it is computed. The
    loop's settings are those of `midms.loop.policy.Policy`, rematch, edit, match_on, confidence_guidance, style and
    start, and size.

    Args:
        preset: a name from `midms.compose.presets`.
        weights: instead of the shipped ones: a folder that `save_pretrained`, `midms train` or `midms convert` wrote,
            one of diffusers, or the id of one on the hub. They bring their parts with their sizes, and the schedule
            that they were trained with.
        prompt: what a text-to-image model of diffusers among the weights is given; a negative prompt and guidance go
            with it in a `midms.core.types.Prompt`. It is embedded once, when the weights are read.
        **changes: slots and loop settings.

    Raises:
        BuildError: an unknown preset, slot, name or argument, a part that does not fit its slot or another part; all
            errors are listed.
        CheckpointError: a weights file cannot be used.
    """
    known = isinstance(preset, str) and preset in PRESETS
    recipe = PRESETS[preset] if known else NOTHING
    wrong = [] if known else [_no_preset(preset)]
    words = Prompt(prompt) if isinstance(prompt, str) else prompt
    if weights is None and words != NO_PROMPT:
        wrong.append(f"{words.given}: changes nothing without weights of a text-to-image model")
    sized = "denoiser" in exchanged(recipe, changes) or "config" in getattr(changes.get("denoiser"), "arguments", {})
    if weights is None and recipe.borrows and not sized:
        wrong.append(f"weights: {preset} has none of its own, expected {recipe.obtain}")
    found = read_folder(recipe.home) if weights is None and known and recipe.shipped and recipe.weights else None
    if found:
        recipe = dataclasses.replace(recipe, made=found.recipe.made)
    if weights is not None:
        with noted(wrong, "weights"):
            found = find(weights, words)
            wrong += unusable(found, found.parts, changes)
            recipe = _with_weights(recipe, found)
    if wrong and known:  # what else is wrong would cost the memory of parts that nothing is there for
        raise BuildError(f"build({preset!r})", wrong)
    with_weights = "" if weights is None else f", weights={str(weights)!r}"
    recipe = dataclasses.replace(recipe, call=f"build({preset!r}{with_weights}{_prompted(words)})")
    pipe = assemble(recipe, found, changes, f"build({preset!r})", wrong)
    for note in pipe.notes:
        warnings.warn(f"{preset}: {note}", stacklevel=2)
    return pipe


def _no_preset(preset: Any) -> str:
    if isinstance(preset, str | Path) and (Path(preset) / CONFIG).is_file():
        path = repr(str(preset))
        return f"{path} is a folder of weights; from_pretrained({path}) loads it, or build(PRESET, weights={path})"
    return unknown("preset", preset, PRESETS, "`midms list preset`")


def assemble(
    recipe: Recipe, found: Weights | None, changes: Mapping[str, Any], call: str, wrong: Sequence[str] = ()
) -> Pipeline:
    """A recipe with changes as a pipeline, its weights loaded, with notes on parts that stay without.

    A setting among the changes that changes nothing is warned of.

    Args:
        recipe: every slot.
        found: the weights.
        changes: slots and loop settings.
        call: as it was written, for the message.
        wrong: errors that are known already.

    Raises:
        BuildError: names all errors.
        CheckpointError: weights cannot be used; all that cannot are named.
    """
    kept: set[str] = set()
    if found:
        found = cached(found)
        kept = found.parts.keys() - exchanged(recipe, changes)
        _each(kept, found.state)  # before memory is taken for parts
    parts, made = compose(recipe, changes, call, wrong)
    notes, random, foreign, loaded = [*recipe.notes], [], [], []
    for slot, spec in made.slots.items():
        part = getattr(parts, slot)
        if not isinstance(part, nn.Module) or not part.state_dict():
            continue
        if getattr(part, "own_weights", False):
            continue
        usual = recipe.slots.get(slot)
        if spec != usual and not (found and slot in kept and _fits(part, found.state(slot))):
            foreign.append(slot)
        elif found and slot in found.parts:
            loaded.append(slot)
            if usual and (others := ", another ".join(_others(slot, spec, usual))):
                notes.append(f"the {slot} given has the preset's weights, made with another {others}")
        elif slot in recipe.weights:
            random.append(slot)

    def fill(slot: str) -> None:
        assert found
        where = f"{found.name}/{found.recipe.weights[slot]}"
        load_state(getattr(parts, slot), found.state(slot), where, keep=not recipe.precision)

    _each(loaded, fill)
    if random:
        lacking = f"{found.name} has none" if found else "none are shipped"
        notes.append(f"random weights in {', '.join(random)}: {lacking}, {recipe.obtain}")
    if foreign:
        theirs = "weights as constructed; where these are untrained, the result is worthless until they are trained"
        notes.append(f"the preset's weights are not for the {', '.join(foreign)} given: {theirs}")
    made = dataclasses.replace(made, notes=tuple(dict.fromkeys(notes)), changes=dict(changes))
    policy = Policy(**{name: made.loop[name] for name in POLICY if name in made.loop})
    for name, needed in policy.idle(changes).items():
        warnings.warn(f"{name}: {changes[name]!r} changes nothing without {' and '.join(needed)}", stacklevel=3)
    return Pipeline(**vars(parts), policy=policy, size=made.loop["size"], recipe=made)


def _fits(part: nn.Module, state: Mapping[str, Tensor]) -> bool:
    """Whether weights have the names and shapes of a part's."""
    return not unlike(part.state_dict(), {name: value.shape for name, value in state.items()})


def _others(slot: str, spec: Spec, usual: Spec) -> list[str]:
    """The arguments in which a part differs from the usual one of its name."""
    taken = parameters(KINDS[SLOTS[slot][0]][spec.name]).parameters
    before = {name: parameter.default for name, parameter in taken.items()} | usual.arguments
    return [name for name, value in spec.arguments.items() if value != before.get(name)]


def _prompted(words: Prompt) -> str:
    """A prompt as an argument of `build`."""
    shown = repr(words.text if words == Prompt(words.text) else words)
    return "" if words == NO_PROMPT else f", prompt={shown}"


def _each(slots: Collection[str], do: Any) -> None:
    """Do something for each slot, and name all that fail.

    Raises:
        CheckpointError: one fails.
    """
    failed = []
    for slot in sorted(slots):
        try:
            do(slot)
        except CheckpointError as error:
            failed.append(error)
    if len(failed) == 1:
        raise failed[0]
    if failed:
        raise CheckpointError("; ".join(map(str, failed)))


def _with_weights(recipe: Recipe, found: Weights) -> Recipe:
    """A preset with the parts that weights belong to, and what these know of."""
    domain = recipe.domain
    if found.recipe.domain.trained_on:
        domain = found.recipe.domain
    elif recipe.shipped:  # others than those that the preset speaks of
        domain = dataclasses.replace(domain.unmeasured(), size=None)
    schedule = found.recipe.schedule if "denoiser" in found.parts else None
    return dataclasses.replace(
        recipe.sized(found.parts, schedule),
        domain=domain,
        precision="float32",
        license=found.recipe.license,
        made=found.recipe.made,
    )
