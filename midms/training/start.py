"""What a stage of training begins with: a recipe in some size, weights, and a pipeline of both."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from midms.checkpoints.folder import CONFIG, Weights, read_folder
from midms.compose.catalog import create
from midms.compose.presets import PRESETS
from midms.compose.recipe import Recipe
from midms.compose.spec import Spec
from midms.pipeline.allowed_parts import unusable
from midms.pipeline.build import BuildError, assemble
from midms.pipeline.pipeline import Pipeline
from midms.training.stages import STAGES


def recipe_for(
    preset: str, size: int | None = None, init: Weights | None = None, condition: Spec | None = None
) -> Recipe:
    """What is trained: a preset in some size, with the parts that weights bring.

    Args:
        preset: its name.
        size: pixels of the shorter side; None for the preset's.
        init: weights to begin with, for parts such as it has.
        condition: what reads conditions; None for the preset's. Networks of the preset's sizes then take its channels.

    Raises:
        BuildError: parts of these are not to be made here.
    """
    recipe = PRESETS[preset]
    if condition:
        channels = {"condition_channels": create("condition", condition.name, **condition.arguments).channels}
        takers = {slot: spec for slot, spec in recipe.slots.items() if channels.keys() <= spec.arguments.keys()}
        fitted = {slot: Spec(spec.name, **{**spec.arguments, **channels}) for slot, spec in takers.items()}
        recipe = recipe.sized({"condition": condition, **fitted}, None)
    if init:
        parts = init.parts
        if wrong := unusable(init, parts, {}):
            raise BuildError(f"--init {init.name}", wrong)
        recipe = recipe.sized(parts, init.recipe.schedule if "denoiser" in parts else None)
    loop = {**recipe.loop, "size": size or recipe.loop["size"]}
    return dataclasses.replace(recipe, loop=loop, precision="float32")


def matching_weights(init: Weights, recipe: Recipe) -> Weights:
    """Of weights to begin with those for parts such as the recipe has, whatever their sizes."""
    kinds = {slot: spec.name for slot, spec in recipe.slots.items() if slot in recipe.weights}
    kept = {slot: init.recipe.weights[slot] for slot, spec in init.parts.items() if kinds.get(slot) == spec.name}
    return dataclasses.replace(init, recipe=dataclasses.replace(init.recipe, weights=kept))


def weights_for(out: Path, init: Weights | None) -> Weights:
    """The weights that a stage begins with: those that the stages before left, then those of `--init`."""
    first = read_folder(out) if (out / CONFIG).exists() else None
    sources = {slot: one for one in (init, first) if one for slot in one.parts}
    recipe = Recipe(
        slots={slot: one.recipe.slots[slot] for slot, one in sources.items()},
        weights={slot: one.recipe.weights[slot] for slot, one in sources.items()},
    )

    def state(slot: str) -> dict[str, Tensor]:
        return sources[slot].state(slot)

    return Weights(str(out if first or not init else init.name), recipe, state)


def made_stage(spec: Spec, recipe: Recipe, found: Weights, seed: int) -> tuple[Pipeline, Any]:
    """A pipeline, and a stage that trains some of it.

    Args:
        spec: of the stage.
        recipe: of the pipeline.
        found: weights to begin with.
        seed: of all other weights.
    """
    torch.manual_seed(seed)
    pipe = assemble(recipe, found, {}, f"--preset {recipe.name}")
    return pipe, STAGES.create(spec.name, pipe=pipe, **spec.arguments)
