"""From components of diffusers to a pipeline of ours around the same networks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from midms.checkpoints.convert.families import PROMPTS, prompts_of
from midms.checkpoints.convert.pipeline_parts import Settings, parts_of
from midms.compose.catalog import create
from midms.compose.changes import exchanged, specified
from midms.compose.presets import PRESETS
from midms.compose.recipe import Recipe
from midms.compose.slots import SLOTS
from midms.compose.spec import Spec, parse_value
from midms.core.tensors import CheckpointError
from midms.core.torch_defaults import shapes_alone
from midms.core.types import Prompt
from midms.diffusion.diffusers_schedulers import own_settings
from midms.pipeline.build import build
from midms.pipeline.pipeline import Pipeline


@dataclass(frozen=True)
class Components:
    """The components of a pipeline of diffusers, of which those of text are `TextEncoders`.

    Args:
        pipe: the pipeline.
    """

    pipe: Any

    @property
    def where(self) -> str:
        """What errors call them."""
        return type(self.pipe).__name__

    @property
    def empty_is_zero(self) -> bool:
        """Whether an empty negative prompt of SDXL is one of zeros."""
        return bool(self.pipe.config.force_zeros_for_empty_prompt)

    def check(self, folders: Sequence[str]) -> None:
        """Find out whether prompts can be embedded.

        Raises:
            CheckpointError: an encoder or its tokenizer is missing.
        """
        needed = [folder.replace("text_encoder", kind) for folder in folders for kind in ("text_encoder", "tokenizer")]
        if lacking := [name for name in needed if getattr(self.pipe, name) is None]:
            raise CheckpointError(f"{self.where}: has no {', no '.join(lacking)}, expected those of the whole pipeline")

    def clip_tokens(self) -> int:
        """How many tokens CLIP takes."""
        return int(self.pipe.text_encoder.config.max_position_embeddings)

    def has(self, folder: str) -> bool:
        """Whether there is such an encoder."""
        return getattr(self.pipe, folder) is not None

    def tokenizer(self, folder: str, kind: str) -> Any:
        """That of an encoder."""
        return getattr(self.pipe, folder.replace("text_encoder", "tokenizer"))

    def model(self, folder: str, kind: str, settings: str) -> Any:
        """An encoder."""
        return getattr(self.pipe, folder)

    def midm(self, prompt: Prompt, steps: int | None, device: torch.device) -> Pipeline:
        """A pipeline of ours around the same networks.

        Args:
            prompt: is embedded.
            steps: evenly from the preset's first timestep to its last; None for the preset's own.
            device: on which networks compute.

        Raises:
            CheckpointError: a component does not fit.
            BuildError: a part does not.
        """
        network = self.pipe.transformer if self.pipe.unet is None else self.pipe.unet
        if network is None:
            raise CheckpointError("unet, transformer: expected one of them, got none")
        said = [(said_of(one), type(one).__name__) for one in (network, self.pipe.vae)]
        settings = Settings(said[0], (self.pipe.config.trained_with, "scheduler"), said[1], self)
        specs, schedule, _ = parts_of(settings, prompt)
        chosen = {name: _chosen(name, value) for name, value in self.pipe.config.slots.items()}
        others = exchanged(Recipe(slots=specs), chosen)
        ready: dict[str, Any] = {}
        for slot, component in (("denoiser", network), ("autoencoder", self.pipe.vae)):
            spec = specs[slot] if slot in others else specified(slot, chosen.pop(slot, specs[slot]), specs[slot])
            with shapes_alone():
                ready[slot] = create(slot, spec.name, **spec.arguments).eval()
            ready[slot].network = component
        for name, value in prompts_of(self, specs["denoiser"], prompt).items():
            setattr(ready["denoiser"].prompts, name.removeprefix(PROMPTS), value.to(device))
        changes = self._steps(schedule, steps)
        if "sampler" in chosen:
            chosen["sampler"] = specified("sampler", chosen["sampler"], changes["sampler"])
        return build(self.pipe.config.preset, **changes | ready | chosen)

    def _steps(self, schedule: Any, steps: int | None) -> dict[str, Any]:
        """The preset's sampler for this schedule and so many steps, or the scheduler that was put in its place."""
        recipe = PRESETS[self.pipe.config.preset]
        sampler = recipe.slots["sampler"]
        changes: dict[str, Any] = {}
        timesteps = sampler.arguments["timesteps"]
        if steps is not None:
            spread = torch.linspace(timesteps[0], timesteps[-1], steps, dtype=torch.float64).tolist()
            again = {round(level * steps / len(timesteps)) for level in recipe.loop["rematch"]}
            changes["rematch"] = tuple(sorted(level for level in again if level < steps - 1))
            timesteps = tuple(round(one) for one in spread)
        changes["sampler"] = Spec(sampler.name, **sampler.arguments | {"timesteps": timesteps, "schedule": schedule})
        if said_of(self.pipe.scheduler) != self.pipe.config.trained_with:
            own = own_settings(self.pipe.scheduler)
            name = f"diffusers:{type(self.pipe.scheduler).__name__}"
            changes["sampler"] = Spec(name, timesteps=timesteps, schedule=schedule, **own)
        return changes


def said_of(component: Any) -> dict[str, Any]:
    """The settings of a component as its file has them, but for what says where they are from."""
    said: dict[str, Any] = json.loads(component.to_json_string())
    return {name: value for name, value in said.items() if not name.startswith("_") or name == "_class_name"}


def _chosen(name: str, value: Any) -> Any:
    """A part or setting as `build` takes it."""
    if isinstance(value, list):
        return tuple(value)
    return parse_value(value) if name in SLOTS and isinstance(value, str) else value
