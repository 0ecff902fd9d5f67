"""A folder of numbers of the released MIDMs: `manifest.json`, inputs in `inference.safetensors`, and training steps.

Weights and noise are not in it, they follow from a salt and their names, see `rule`.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks.training_parity.rule import fill, noise
from midms.checkpoints.convert.compvis import from_compvis
from midms.checkpoints.convert.names import Origin, matching, unet
from midms.checkpoints.convert.sizes import read_sizes
from midms.checkpoints.folder import Weights
from midms.compose.catalog import create
from midms.compose.presets import PRESETS
from midms.compose.spec import Spec
from midms.core.types import NoiseFn
from midms.data.pair import Pair
from midms.features.vgg_network import VGG, from_state
from midms.loop import Policy
from midms.pipeline.pipeline import Pipeline
from midms.training.losses.contextual import CONTEXT
from midms.training.stages import STAGES
from midms.training.stages.midm import MidmStage

U_NET = "diff_model.model.diffusion_model."
SETTINGS = {"label_nc", "diffusion_iteratiom_num", "confidence_masking", "maskmix", "phase", "backbone"}
NAMES = {
    "domain": "dom",
    "fb": "cyc",
    "fb_iterative": "cyc_iter",
    "original": "x0",
    "feat": "feat",
    "perc": "perc",
    "context": "ctx",
}
"""Losses as they are recorded, and ours."""
LENGTH = 1 + 1e-5
"""What the released code divides unit features by."""


class RecordError(ValueError):
    """A folder that says what nobody here can run."""


_TOTAL = 1e-2
"""Share of the recorded total by which weighted losses may be off for a preset to be the one that was trained."""


@dataclass(frozen=True)
class Maps:
    """A condition whose maps are given.

    Attributes:
        channels: of the maps.
    """

    channels: int

    def drawing(self, picture: Tensor, size: tuple[int, int]) -> Tensor:
        """Nobody asks."""
        raise NotImplementedError

    def photo(self, image: Tensor) -> Tensor:
        """Nobody asks."""
        raise NotImplementedError


@dataclass(frozen=True)
class Recorded:
    """One set, and what follows from it."""

    folder: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Salt, shapes, configuration, figures of the steps."""
        found: dict[str, Any] = json.loads((self.folder / "manifest.json").read_text())
        kwargs = found["midms_kwargs"]
        usual = {"phase": "e2e_recurrent", "backbone": "VQGAN", "maskmix": True}
        odd = {name: value for name, value in kwargs.items() if name not in SETTINGS or value != usual.get(name, value)}
        if odd:
            raise RecordError(f"{self.folder}: midms_kwargs has {odd}, which is not the released default")
        return found

    @property
    def salt(self) -> str:
        """Of weights and noise."""
        return str(self.manifest["salt"])

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        """The training steps by name."""
        found: dict[str, dict[str, Any]] = self.manifest["train"]
        return found

    def tensors(self, name: str, prefix: str = "") -> dict[str, Tensor]:
        """Those of a file, or those that begin with something."""
        with safe_open(self.folder / f"{name}.safetensors", framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}  # noqa: SIM118

    def pair(self) -> Pair:
        """The inputs."""
        given = self.tensors("inference", "input/")
        condition, own = (given[f"input/{name}_sem_u8"].float() / 255 for name in ("trg", "ref"))
        return Pair(condition, given["input/ref"], given["input/src"], own)

    def noise(self, step: str) -> NoiseFn:
        """The draws of a step in the order in which they are asked for, and the level that was chosen."""
        said = self.steps[step]
        names = (name for name, _ in said["noise"] if not name.startswith("unused_"))
        chosen = (said["rand_idx"] + 0.5) / self.manifest["midms_kwargs"]["diffusion_iteratiom_num"]

        def draw(shape: tuple[int, ...]) -> Tensor:
            if shape[1:] == (1,):
                return torch.special.ndtri(torch.full(shape, chosen))
            return torch.from_numpy(noise(self.salt, next(names), shape))

        return draw

    def pipe(self) -> Pipeline:
        """Ours with the weights of the rule, by the converter that reads the released checkpoint."""
        roles, shapes = self.manifest["roles"], self.manifest["state_dict"]
        wanted = {
            name: tuple(shapes[name])
            for name, role in roles.items()
            if role == "filled" and not name.startswith("diff_model.model_ema.")
        }
        gains = [(tuple(parts), gain) for parts, gain in self.manifest["gains"]]
        state = {name: torch.from_numpy(array) for name, array in fill(self.salt, wanted, gains).items()}
        with tempfile.TemporaryDirectory() as folder:
            config, file = Path(folder) / "ldm.yaml", Path(folder) / "midms.safetensors"
            config.write_text(self.manifest["config_yaml"])
            save_file(state, file)
            del state
            return self._pipe(from_compvis(file, config, trainable=True))

    def _pipe(self, weights: Weights) -> Pipeline:
        made = {slot: _made(slot, spec, weights.state(slot)) for slot, spec in weights.parts.items()}
        kwargs = self.manifest["midms_kwargs"]
        count = kwargs["diffusion_iteratiom_num"]
        grid = [*reversed(range(1, 1000, 1000 // (4 * count)))][3 * count - 1 :][: count + 1]
        schedule = weights.recipe.schedule
        return Pipeline(
            condition=Maps(made["features"].condition_channels),
            matcher=create("matcher", "correlation", temperature=0.005 * LENGTH**2, floor=0.0),
            confidence=create("confidence", "cycle-released"),
            sampler=create("sampler", "ddim", timesteps=tuple(grid[1:]), schedule=schedule, start=grid[0]),
            policy=Policy(tuple(range(min(2, count - 1))), "blend" if kwargs["confidence_masking"] else "replace"),
            **made,
        )

    def trunk(self) -> VGG:
        """VGG19 with the weights of the rule."""
        shapes: dict[str, tuple[int, ...]] = {}
        trunk = VGG(19, caffe=True)
        for name, layer in zip(trunk.names, trunk.convolutions, strict=True):
            shapes |= {f"vgg.conv{name}.{kind}": tuple(value.shape) for kind, value in layer.named_parameters()}
        gains = [(tuple(parts), gain) for parts, gain in self.manifest["gains"]]
        filled = fill(self.salt, shapes, gains)
        return from_state({name.removeprefix("vgg."): torch.from_numpy(array) for name, array in filled.items()})

    def stage(self, step: str, checkpointing: bool = True) -> MidmStage:
        """Ours for a step, as it was before it."""
        said, pipe, settings = self.steps[step], self.pipe(), self.settings(step)
        made = STAGES.create(self.name(step), pipe=pipe, vgg19=self.trunk(), checkpointing=checkpointing, **settings)
        made.features.train(said["power_iteration"])
        return made

    def name(self, step: str) -> str:
        """Of our stage."""
        said = self.steps[step]
        return "joint" if said["n_iter"] >= said["warmup_iter"] else "warmup"

    def settings(self, step: str) -> dict[str, Any]:
        """Those of the preset whose weights make the recorded total of the recorded losses best, within a hundredth.

        Raises:
            RecordError: there is none.
        """
        said = self.steps[step]
        losses, total = ours(said["losses"]), said["losses"]["total"]
        found = []
        for preset in ("midm-celeba", "midm-church"):
            (settings,) = (dict(spec.arguments) for spec in PRESETS[preset].training if spec.name == self.name(step))
            if said["n_iter"] == said["warmup_iter"]:
                settings["terms"] = {"ctx": 0.0}  # the released code adds it one step after it thaws the U-Net
            weights = settings["weights"] | settings.get("terms", {})
            weighted = sum(weight * losses.get(name, math.nan) for name, weight in weights.items() if weight)
            found.append((abs(weighted - total) / abs(total), settings))
        off, nearest = min(found, key=lambda one: one[0] if math.isfinite(one[0]) else math.inf)
        if off <= _TOTAL:
            return nearest
        raise RecordError(f"{self.folder}, {step}: no released weights make the total of its losses")

    def origins(self, stage: MidmStage) -> Iterator[tuple[str, nn.Parameter, Origin]]:
        """The released name of each parameter that is trained, the parameter, and how it is cut out of that."""
        said = self.network
        for slot, part in stage.products().items():
            own = {name.removeprefix("network."): parameter for name, parameter in part.named_parameters()}
            if slot == "features":
                found, prefix = matching(own), ""
            else:
                found, prefix = unet(own, said["layers"], partial(_heads, said)), U_NET
            yield from ((prefix + found[name].name, parameter, found[name]) for name, parameter in own.items())

    @cached_property
    def network(self) -> dict[str, Any]:
        """Sizes of the U-Net."""
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / "ldm.yaml"
            config.write_text(self.manifest["config_yaml"])
            return dict(read_sizes(config).denoiser.arguments)


def ours(losses: Mapping[str, float]) -> dict[str, float]:
    """Recorded losses by our names, as they are before they are weighted; parts of the contextual one by layer."""
    found = {NAMES[name]: value for name, value in losses.items() if name in NAMES}
    if segmentation := [value / 100 for name, value in losses.items() if "seg" in name]:
        found["seg"] = segmentation[0]
    layers = {f"context_r{layer[4]}{layer[6]}": f"ctx {layer}" for layer in CONTEXT}
    return found | {layers[name]: value for name, value in losses.items() if name in layers}


def _heads(network: Mapping[str, Any], width: int) -> int:
    return int(network["heads"] if "heads" in network else width // network["head_dim"])


def _made(slot: str, spec: Spec, state: dict[str, Tensor]) -> Any:
    part = create(slot, spec.name, **spec.arguments)
    part.load_state_dict(state)
    return part
