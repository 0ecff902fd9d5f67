"""What writes folders of weights, of small parts, and what a reader gets of them."""

from __future__ import annotations

import functools
from pathlib import Path

import torch

from midms import Spec, create
from midms.checkpoints import folder as weights_folder
from midms.checkpoints.convert.fit import recipe_of
from midms.checkpoints.folder import Weights
from midms.core.files import held
from midms.core.tensors import checksum
from midms.training import start, train

FSYNC = "fsync"
"""What tests call the event that a file is to be on the disk itself; Python has none for it."""


@functools.cache
def converted(seed: int) -> Weights:
    torch.manual_seed(seed)
    spec = Spec(
        "midm",
        condition_channels=15,
        latent_channels=3,
        width=16,
        widths=(8, 8, 16),
        hidden=8,
        blocks=1,
        spectral=False,
    )
    state = create("features", spec.name, **spec.arguments).state_dict()
    return Weights(f"number {seed}", recipe_of({"features": spec}, "ldm-celeba"), {"features": state}.__getitem__)


def leave(folder: Path, seed: int) -> None:
    """What a stage of training writes at its end."""
    torch.manual_seed(seed)
    recipe = start.recipe_for("midm-faces")
    spec = recipe.slots["autoencoder"]
    parts = {"autoencoder": create("autoencoder", spec.name, **spec.arguments)}
    with held(folder):
        train._leave(folder, recipe, "autoencoder", "portraits", parts, start.weights_for(folder, None), {"seed": seed})


def content(folder: Path) -> str:
    """All that a reader of the folder gets of it, in a few letters."""
    found = weights_folder.read_folder(folder)
    recipe = found.recipe
    settings, states = str((recipe.slots, recipe.loop, recipe.made)), {slot: found.state(slot) for slot in found.parts}
    return settings + checksum({f"{slot}.{key}": value for slot, s in states.items() for key, value in s.items()})
