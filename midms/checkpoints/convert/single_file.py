"""A text-to-image model in one file, beside configurations of diffusers: what `from_single_file` of diffusers reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from midms.checkpoints.convert.fit import TensorUse
from midms.checkpoints.convert.names import Origin, first_stage, unet
from midms.checkpoints.convert.published_names import ENCODER_PLACES, WITHOUT_PROJECTION, flux, sd3
from midms.checkpoints.convert.weights import tensors
from midms.compose.spec import Spec
from midms.core.tensors import CheckpointError

_PREFIXES = {"denoiser": "model.diffusion_model.", "autoencoder": "first_stage_model."}
"""What names begin with by the part; those of the network only where the file has more than that."""
_PROJECTION = "text_projection.weight"


class SingleFile:
    """The tensors of a single file.

    Args:
        path: `.safetensors`, or `.ckpt`, in which nothing is run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """By the names that they have there."""
        return tensors(self.path)

    def state(self, slot: str, spec: Spec, origins_of: Callable[[list[str]], list[str]]) -> dict[str, Tensor] | None:
        """The weights of a part; None where the file has none of its kind, as often of autoencoders.

        Args:
            slot: "denoiser" or "autoencoder".
            spec: the part.
            origins_of: the names among the part's that are those of its network.

        Raises:
            CheckpointError: weights are missing, left over, or do not fit.
        """
        prefix = _PREFIXES[slot]
        within = any(name.startswith(prefix) for name in self.tensors)
        if slot == "autoencoder" and not within:
            return None
        ledger = TensorUse(str(self.path), self.tensors)
        names = _names(spec)
        start = prefix if within else ""
        state = ledger.take(spec, slot, lambda own: names(origins_of(own)), start)
        others = [name for name in ledger.leftover() if name.startswith(start)]
        ledger.check(f"the configurations beside it, {spec.name}", others)
        return state

    def encoder(self, folder: str, wanted: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """The weights of a text encoder, those of `wanted` that there are; None where the file has no such encoder.

        The first of Stable Diffusion 3 has no projection there, which is to say that it projects nothing.
        """
        for prefix, names in ENCODER_PLACES[folder]:
            if not any(name.startswith(prefix) for name in self.tensors):
                continue
            origins = names(wanted)
            here = {name: self.tensors.get(prefix + origin.name) for name, origin in origins.items()}
            found = {name: origins[name].take(value) for name, value in here.items() if value is not None}
            if _PROJECTION in here and here[_PROJECTION] is None and prefix == WITHOUT_PROJECTION:
                found[_PROJECTION] = torch.eye(*wanted[_PROJECTION].shape)
            return found
        return None


def _names(spec: Spec) -> Callable[[Iterable[str]], dict[str, Origin]]:
    """From our names of a part's parameters to those that they were published with."""
    said: Mapping[str, Any] = spec.arguments.get("config", {})
    kinds: dict[str, Callable[[Iterable[str]], dict[str, Origin]]] = {
        "unet-condition": partial(unet, layers=said.get("layers_per_block", 2), heads=lambda width: 1),
        "sd3": sd3,
        "flux": flux,
        "kl": partial(first_stage, levels=len(spec.arguments.get("widths", ()))),
    }
    if spec.name not in kinds:
        raise CheckpointError(f"a single file with a {spec.name} is not read, expected one of {', '.join(kinds)}")
    return kinds[spec.name]
