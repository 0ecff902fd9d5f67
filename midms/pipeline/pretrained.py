"""`from_pretrained(WHERE)`: the pipeline that a folder of weights, or one on the hub, describes."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from midms.checkpoints.convert import find
from midms.checkpoints.convert.hub import HUB_ID
from midms.checkpoints.folder import CONFIG, Weights
from midms.compose.catalog import create
from midms.compose.changes import exchanged
from midms.compose.compose import LOOP, BuildError
from midms.compose.presets import PRESETS
from midms.compose.recipe import OPTIONAL, Recipe
from midms.compose.slots import SLOTS
from midms.core.tensors import CheckpointError, outline
from midms.core.torch_defaults import defaults
from midms.core.types import NO_PROMPT, Prompt
from midms.pipeline.allowed_parts import unusable
from midms.pipeline.build import assemble, build
from midms.pipeline.pipeline import Pipeline
from midms.registry import BadArguments, UnknownName, unknown

LEARNED = ("features", "confidence", "denoiser", "autoencoder")
"""Slots whose parts may have weights, and are the kinds of their names."""
_NEWER = ("start",)
"""Settings of the loop that folders of older versions lack; theirs is the default."""


@defaults()
def from_pretrained(where: str | Path, /, **changes: Any) -> Pipeline:
    """The pipeline that was saved, trained or converted; nothing is unpickled.

    Args:
        where: a folder that `save_pretrained`, `midms train` or `midms convert` wrote, or the id of one on the hub.
        **changes: slots and loop settings, as in `build`; a part of another name comes without the saved weights.

    Raises:
        CheckpointError: the folder or a file in it is missing, damaged or does not fit.
        BuildError: a part is not installed here, would reach out of the folder for files or to the network, or a change
            is not possible; all errors are listed.
    """
    found = find(where)
    call = f"from_pretrained({str(where)!r})"
    recipe = found.recipe
    if wrong := [*unusable(found, recipe.slots, changes), *_strange(found)]:
        raise BuildError(call, wrong)
    hint = f"not a whole pipeline; build(PRESET, weights={str(where)!r}) takes the weights that are there"
    if lacking := [slot for slot in SLOTS if slot not in {*recipe.slots, *changes, *OPTIONAL}]:
        raise CheckpointError(f"{found.name}: names no {', no '.join(lacking)}: {hint}")
    if unset := [key for key in LOOP if key not in {*recipe.loop, *_NEWER}]:
        raise CheckpointError(f"{found.name}: {CONFIG}: the loop has no {', no '.join(unset)}")
    kept = [slot for slot in LEARNED if slot not in exchanged(recipe, changes)]
    if without := [slot for slot in kept if _lacks_weights(slot, found)]:
        raise CheckpointError(f"{found.name}: has no weights of the {', the '.join(without)}: {hint}")
    return assemble(dataclasses.replace(recipe, call=call), found, changes, call)


def is_saved(preset: str) -> bool:
    """Whether what is given as a preset is a folder of weights, or the id of one on the hub."""
    return preset not in PRESETS and (Path(preset).is_dir() or HUB_ID.fullmatch(preset) is not None)


def preset_recipe(preset: str) -> Recipe:
    """What a preset, a folder of weights or one on the hub is made of.

    Raises:
        UnknownName: there is no such preset.
        CheckpointError: the folder cannot be read.
    """
    if is_saved(preset):
        return find(preset).recipe
    if preset not in PRESETS:
        raise UnknownName(unknown("preset", preset, PRESETS, "`midms list preset`"))
    return PRESETS[preset]


def load(preset: str, weights: str | Path | None = None, prompt: Prompt = NO_PROMPT, **changes: Any) -> Pipeline:
    """What `--preset` means where a model is used: `build` of a preset, `from_pretrained` of a folder or a hub id.

    `midms train` takes the name of a preset alone, since no folder has stages of training.

    Args:
        preset: a name, a folder or a hub id.
        weights: as of `build`.
        prompt: as of `build`.
        **changes: slots and loop settings.

    Raises:
        BadArguments: weights or a prompt are given for a folder, which has its own.
        BuildError: see `build`.
        CheckpointError: see `from_pretrained`.
    """
    if not is_saved(preset):
        return build(preset, weights=weights, prompt=prompt, **changes)
    if prompt != NO_PROMPT:
        raise BadArguments(f"{prompt.given}: changes nothing with --preset {preset}, which keeps its own")
    if weights is not None:
        raise BadArguments(f"--weights {weights}: not with --preset {preset}, which has its own weights")
    return from_pretrained(preset, **changes)


def _strange(found: Weights) -> list[str]:
    """Settings of the loop that there are not."""
    return [unknown("setting of the loop", key, LOOP) for key in found.recipe.loop if key not in LOOP]


def _lacks_weights(slot: str, found: Weights) -> bool:
    """Whether a part has weights and the folder none for it; no memory is taken to find out."""
    if slot in found.recipe.weights:
        return False
    spec = found.recipe.slots[slot]
    part = outline(partial(create, slot, spec.name, **spec.arguments), 0, f"{found.name}: the {slot}")
    return isinstance(part, nn.Module) and bool(part.state_dict())
