"""What a latent diffusion's YAML says, as our parts and their sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from midms.checkpoints import CheckpointError
from midms.diffusion.schedule import SCALED_LINEAR
from midms.presets import Spec

GROUPS = 32
"""Groups of every normalisation in CompVis' networks."""
PREDICTIONS = {"eps": "eps", "x0": "x0", "v": "v"}
UNCONDITIONAL = (None, "__is_unconditional__")


@dataclass(frozen=True)
class Sizes:
    """A latent diffusion.

    Attributes:
        denoiser: the network and its sizes.
        autoencoder: the first stage and its sizes, but for its scale.
        schedule: one of `midms.diffusion.schedule.SCHEDULES`.
        scale: what latents are multiplied by for the diffusion; None if only the checkpoint knows.
    """

    denoiser: Spec
    autoencoder: Spec
    schedule: str
    scale: float | None = 1.0


class _Node:
    """A mapping that knows where it is, so that what is missing can be named."""

    def __init__(self, values: Any, where: str) -> None:
        if not isinstance(values, Mapping):
            raise CheckpointError(f"{where}: expected keys and values, got {type(values).__name__}")
        self.values, self.where = values, where

    def __getitem__(self, path: str) -> Any:
        """The value at a dotted path."""
        value: Any = self.values
        for i, key in enumerate(keys := path.split(".")):
            if not isinstance(value, Mapping) or key not in value:
                raise CheckpointError(f"{self.where}: has no {'.'.join(keys[: i + 1])}")
            value = value[key]
        return value

    def get(self, key: str, default: Any) -> Any:
        """The value of a key, or a default."""
        return self.values.get(key, default)

    def node(self, path: str) -> _Node:
        """The mapping at a dotted path."""
        return _Node(self[path], f"{self.where}: {path}")


def read_sizes(path: Path) -> Sizes:
    """The parts of a latent diffusion from its YAML.

    Raises:
        CheckpointError: the file cannot be read, lacks something, or describes what no part here is; the message names
            the key.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from None
    try:
        return _sizes(_Node(content, str(path)).node("model.params"), path)
    except (TypeError, AttributeError, ValueError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: not the configuration of a latent diffusion ({error})") from None


def _sizes(model: _Node, path: Path) -> Sizes:
    if model.get("cond_stage_config", None) not in UNCONDITIONAL:
        raise CheckpointError(
            f"{path}: cond_stage_config is not __is_unconditional__; the method needs no other network"
        )
    return Sizes(
        denoiser=_denoiser(model.node("unet_config.params"), model.get("parameterization", "eps")),
        autoencoder=_autoencoder(model["first_stage_config.target"], model.node("first_stage_config.params")),
        schedule=named_schedule(model["linear_start"], model["linear_end"], str(path)),
        scale=None if model.get("scale_by_std", False) else float(model.get("scale_factor", 1.0)),
    )


def named_schedule(first: float, last: float, where: str) -> str:
    """The schedule with these first and last betas, linear in their roots.

    Raises:
        CheckpointError: there is none.
    """
    for name, ends in SCALED_LINEAR.items():
        if (float(first), float(last)) == ends:
            return name
    known = ", ".join(f"{name} {ends}" for name, ends in SCALED_LINEAR.items())
    raise CheckpointError(f"{where}: no schedule has betas from {first} to {last}; known: {known}")


def _denoiser(unet: _Node, parameterization: str) -> Spec:
    multiples, downscalings = unet["channel_mult"], unet["attention_resolutions"]
    arguments: dict[str, Any] = {
        "channels": unet["in_channels"],
        "widths": tuple(unet["model_channels"] * multiple for multiple in multiples),
        "attention": tuple(2**level in downscalings for level in range(len(multiples))),
        "layers": unet["num_res_blocks"],
        "norm_groups": GROUPS,
    }
    if parameterization not in PREDICTIONS:
        raise CheckpointError(
            f"{unet.where}: parameterization {parameterization!r} is not one of {', '.join(PREDICTIONS)}"
        )
    if parameterization != "eps":
        arguments["prediction"] = PREDICTIONS[parameterization]
    arguments |= _heads(unet)
    biggan = {unet.get("resblock_updown", False), unet.get("use_scale_shift_norm", False)}
    if len(biggan) == 2:
        raise CheckpointError(f"{unet.where}: resblock_updown without use_scale_shift_norm, or the other way round")
    if biggan == {True}:
        arguments["biggan"] = True
    _refuse(unet, {"use_spatial_transformer": (False,), "num_classes": (None,), "dims": (2,), "conv_resample": (True,)})
    return Spec("unconditional", **arguments)


def _heads(unet: _Node) -> dict[str, int]:
    """Heads of one width, or so many at every level; CompVis' default is one head."""
    if (width := unet.get("num_head_channels", -1)) != -1:
        return {"head_dim": width}
    return {"heads": unet.get("num_heads", 1)}


def _autoencoder(target: str, stage: _Node) -> Spec:
    inside = stage.node("ddconfig")
    _refuse(
        inside, {"attn_resolutions": ([],), "in_channels": (3,), "out_ch": (3,), "z_channels": (stage["embed_dim"],)}
    )
    arguments = {
        "channels": stage["embed_dim"],
        "widths": tuple(inside["ch"] * multiple for multiple in inside["ch_mult"]),
        "layers": inside["num_res_blocks"],
        "norm_groups": GROUPS,
    }
    kind = target.rsplit(".", 1)[-1]
    if kind in ("VQModelInterface", "VQModel"):
        return Spec("vq", **arguments, codes=stage["n_embed"])
    if kind == "AutoencoderKL":
        return Spec("kl", **arguments)
    raise CheckpointError(f"{stage.where}: the first stage is a {kind}, expected VQModelInterface or AutoencoderKL")


def _refuse(node: _Node, supported: Mapping[str, Sequence[Any]]) -> None:
    """Complain of settings that no part here has; what is not said has its usual value."""
    for key, values in supported.items():
        if (found := node.get(key, values[0])) not in values:
            raise CheckpointError(f"{node.where}: {key} is {found!r}, supported: {', '.join(map(repr, values))}")
