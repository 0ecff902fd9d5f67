"""From components of diffusers to a pipeline of ours around the same networks."""

from __future__ import annotations

import dataclasses
import importlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from midms.checkpoints.convert.families import FLOW_SCHEDULER, PROMPTS, flow_of, prompts_of
from midms.checkpoints.convert.pipeline_parts import Settings, parts_of
from midms.compose.catalog import create
from midms.compose.changes import specified
from midms.compose.presets import PRESETS
from midms.compose.slots import SLOTS
from midms.compose.spec import Spec, parse_value
from midms.core.limits import int_range
from midms.core.schema import read_json
from midms.core.tensors import CheckpointError
from midms.core.torch_defaults import shapes_alone
from midms.core.types import Prompt
from midms.diffusion.diffusers_schedulers import own_settings
from midms.diffusion.levels import Schedule, flow_shift
from midms.loop import POLICY
from midms.pipeline.build import build
from midms.pipeline.pipeline import Pipeline
from midms.registry import unknown

_TRAINED = (
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type"),
    "rescale_betas_zero_snr",
)
"""Settings of schedulers that are as the network was trained, whatever else they do."""
_DDIM = "DDIMScheduler"
"""Which can be given no timesteps, and whose steps are those of presets anyway."""
_OF_THE_MODEL = ("denoiser", "autoencoder")
"""Slots that components are in."""


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
        if (self.pipe.unet is None) == (self.pipe.transformer is None):
            raise CheckpointError(
                f"unet, transformer: expected one of them, got {'none' if network is None else 'both'}"
            )
        for name, scheduled in (("vae", self.pipe.vae), ("scheduler", self.pipe.scheduler)):
            if not hasattr(scheduled, "to_json_string"):
                raise CheckpointError(f"{name}: expected one of diffusers, got {type(scheduled).__name__}")
        of_network = "transformer" if self.pipe.unet is None else "unet"
        said = [(said_of(network), of_network), (said_of(self.pipe.vae), "vae")]
        settings = Settings(said[0], (self.pipe.config.trained_with, "scheduler"), said[1], self)
        specs, schedule, _ = parts_of(settings, prompt)
        scheduler = said_of(self.pipe.scheduler)
        if _is_flow(schedule) and scheduler["_class_name"] == FLOW_SCHEDULER:
            schedule = flow_of(scheduler, "scheduler", *said[0])  # whose shift is no matter of training
        ready: dict[str, Any] = {}
        for slot, component in (("denoiser", network), ("autoencoder", self.pipe.vae)):
            with shapes_alone():
                ready[slot] = create(slot, specs[slot].name, **specs[slot].arguments).eval()
            ready[slot].network = component
        for name, value in prompts_of(self, specs["denoiser"], prompt).items():
            setattr(ready["denoiser"].prompts, name.removeprefix(PROMPTS), value.to(device))
        chosen = {name: _chosen(name, value) for name, value in self.pipe.config.slots.items()}
        made = build(self.pipe.config.preset, **ready | self._steps(schedule, steps, chosen))
        check_levels(made, schedule)
        if not (home := self.pipe.config.get("_name_or_path")):
            return made
        recipe = dataclasses.replace(
            made.recipe,
            call=f"build({self.pipe.config.preset!r}, weights={str(home)!r}, prompt={prompt!r})",
            slots={**made.recipe.slots, **specs},
            changes={name: one for name, one in made.recipe.changes.items() if name not in ready},
        )
        return dataclasses.replace(made, recipe=recipe)

    def _steps(self, schedule: Schedule, steps: int | None, chosen: dict[str, Any]) -> dict[str, Any]:
        """What was chosen, and a sampler for this schedule and so many steps: the preset's with what was chosen of it,
        or the scheduler that was put in its place.
        """
        recipe = PRESETS[self.pipe.config.preset]
        sampler = recipe.slots["sampler"]
        changes: dict[str, Any] = {}
        timesteps = sampler.arguments["timesteps"]
        kind = type(self.pipe.scheduler).__name__
        swapped = said_of(self.pipe.scheduler) != self.pipe.config.trained_with
        if "sampler" in chosen:
            if steps is not None and {"timesteps", "steps"} & {*getattr(chosen["sampler"], "arguments", {})}:
                raise ValueError("num_inference_steps: slots has a sampler, with timesteps of its own")
            if swapped:
                warnings.warn(f"scheduler: {kind} changes nothing, for slots has a sampler", stacklevel=4)
        if steps is not None:
            int_range(1, timesteps[0] - timesteps[-1] + 1, num_inference_steps=steps)
            spread = torch.linspace(timesteps[0], timesteps[-1], steps, dtype=torch.float64).tolist()
            again = {round(level * steps / len(timesteps)) for level in recipe.loop["rematch"]}
            changes["rematch"] = tuple(sorted(level for level in again if level < steps - 1))
            timesteps = tuple(round(one) for one in spread)
        changes["sampler"] = Spec(sampler.name, **sampler.arguments | {"timesteps": timesteps, "schedule": schedule})
        if swapped:
            self._warn_of_training()
        if swapped and "sampler" not in chosen and (kind, sampler.name) != (_DDIM, "ddim"):
            own = {key: one for key, one in own_settings(self.pipe.scheduler).items() if key not in _TRAINED}
            changes["sampler"] = Spec(f"diffusers:{kind}", timesteps=timesteps, schedule=schedule, **own)
        usual = changes["sampler"]
        return changes | chosen | {"sampler": specified("sampler", chosen.get("sampler", usual), usual)}

    def _warn_of_training(self) -> None:
        """Warn of settings of a scheduler that speak of another training than the network had."""
        now, then = said_of(self.pipe.scheduler), self.pipe.config.trained_with
        both = [name for name in _TRAINED if name in now and name in then and now[name] != then[name]]
        if both:
            differing = ", ".join(f"{name} {now[name]!r}, the network's {then[name]!r}" for name in both)
            warnings.warn(
                f"scheduler: has {differing}: what the network was trained with is taken, trained_with= says otherwise",
                stacklevel=5,
            )


def said_of(component: Any) -> dict[str, Any]:
    """The settings of a component as its file has them, but for what says where they are from."""
    said: dict[str, Any] = json.loads(component.to_json_string())
    return {name: value for name, value in said.items() if not name.startswith("_") or name == "_class_name"}


def trained_in(network: Any) -> dict[str, Any] | None:
    """The settings of the scheduler in the folder that a network was read from; None where there is none."""
    said = "" if network is None else network.config.get("_name_or_path") or ""
    for folder in (Path(said).parent, Path(said)) if said else ():
        file = folder / "scheduler" / "scheduler_config.json"
        if file.is_file():
            settings: Any = read_json(file, CheckpointError)
            kind: Any = getattr(importlib.import_module("diffusers"), str(settings.get("_class_name")), None)
            return said_of(kind.from_config(settings)) if kind is not None else dict(settings)
    return None


def check_preset(name: Any) -> None:
    """Find out whether there is such a preset for models of diffusers.

    Raises:
        ValueError: there is none.
    """
    if name not in (known := [one for one, recipe in PRESETS.items() if recipe.borrows]):
        raise ValueError(unknown("preset for models of diffusers", name, known))


def slots_of(given: Any) -> dict[str, Any]:
    """Parts and settings in the place of a preset's, as they are kept in JSON.

    Raises:
        ValueError: they are no mapping, there is no such slot, or one has what cannot be kept.
        SpecError: a part cannot be read.
    """
    example = "such as {'matcher': 'optimal-transport', 'rematch': (1,)}"
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError(f"slots: expected parts and settings by name, {example}, got {given!r}")
    known = [*(slot for slot in SLOTS if slot not in _OF_THE_MODEL), *POLICY, "size"]
    for name, value in given.items():
        if name in _OF_THE_MODEL:
            raise ValueError(f"slots: {name} is a component of the pipeline, replace that")
        if name not in known:
            raise ValueError(f"slots: {unknown('slot or setting', name, known)}")
        if not isinstance(value, str | int | float | tuple | list | Mapping | Spec | None):
            raise ValueError(
                f"slots: {name} is a ready {type(value).__name__}, expected a part as in the shell, {example}; "
                "pipe.midm(prompt).replace(...) takes ready ones"
            )
        _chosen(name, value)
    return {name: one.typed() if isinstance(one, Spec) else one for name, one in given.items()}


def check_levels(pipe: Pipeline, schedule: Schedule) -> None:
    """Find out whether a sampler walks levels of the kind that a network was trained on.

    Raises:
        CheckpointError: they are those of a rectified flow and the network's are not, or the other way round.
    """
    first, flow = pipe.sampler.levels[0], _is_flow(schedule)
    if (abs(first.alpha + first.sigma - 1) < abs(first.alpha**2 + first.sigma**2 - 1)) != flow:
        kinds = ("a diffusion", "a rectified flow")
        raise CheckpointError(
            f"sampler: {pipe.recipe.slots['sampler'].name} walks levels of {kinds[not flow]}, expected those of "
            f"{kinds[flow]}, as the network was trained on"
        )


def _is_flow(schedule: Schedule) -> bool:
    return flow_shift(schedule) is not None


def _chosen(name: str, value: Any) -> Any:
    """A part or setting as `build` takes it."""
    if isinstance(value, list):
        return tuple(value)
    return parse_value(value) if name in SLOTS and isinstance(value, str) else value
