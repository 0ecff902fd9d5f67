"""Named recipes: data only, each citing where it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, init=False)
class Spec:
    """A part by name with arguments: `build(..., matcher=Spec("optimal-transport", epsilon=0.02))`.

    Attributes:
        name: as it is registered.
        arguments: for its constructor; what is not given keeps the part's own defaults.
    """

    name: str
    arguments: dict[str, Any]

    def __init__(self, name: str, /, **arguments: Any) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "arguments", arguments)

    def __repr__(self) -> str:
        return f"Spec({', '.join([repr(self.name), *(f'{k}={v!r}' for k, v in self.arguments.items())])})"


@dataclass(frozen=True)
class Preset:
    """A composition.

    Attributes:
        source: where it comes from.
        slots: slot to Spec; "refiner" is a sampler or absent.
        loop: how the loop interleaves: `rematch`, `blend`, `size`.
        weights: slot to file below the package's `weights` folder, for parts whose weights are shipped.
    """

    source: str
    slots: dict[str, Spec]
    loop: dict[str, Any]
    weights: dict[str, str] = field(default_factory=dict)


FACES = {
    "condition": Spec("sketch"),
    "features": Spec("pyramid", condition_channels=2, latent_channels=8, stride=4, width=64, widths=(48, 80, 96)),
    "matcher": Spec("correlation", temperature=0.04),
    "autoencoder": Spec("patchified", channels=8, stride=4, widths=(64, 96)),
}
FACES_WEIGHTS = {
    "features": "faces-64/features.safetensors",
    "autoencoder": "faces-64/autoencoder.safetensors",
}

PRESETS = {
    "midm-faces": Preset(
        source="trained here on procedural portraits; the bridge is ours, the loop is that of arXiv:2209.11047",
        slots=FACES
        | {
            "confidence": Spec("calibrated"),
            "denoiser": Spec("bridge", channels=8, condition_channels=2, stride=4, widths=(64, 96, 112), head_dim=16),
            "sampler": Spec("ddim", timesteps=(700, 350), schedule="cosine"),
        },
        loop={"rematch": (), "blend": False, "size": 64},
        weights=FACES_WEIGHTS
        | {"confidence": "faces-64/confidence.safetensors", "denoiser": "faces-64/bridge.safetensors"},
    ),
    "midm-faces-paper": Preset(
        source="the loop of arXiv:2209.11047, sec. 3.4, with an unconditional network, trained on the same portraits",
        slots=FACES
        | {
            "confidence": Spec("cycle", radius=0.05),
            "denoiser": Spec("unconditional", channels=8, widths=(32, 64, 64), head_dim=16, prediction="v"),
            "sampler": Spec("ddim", timesteps=(311, 187, 125, 63), schedule="cosine"),
            "refiner": Spec("ddim", timesteps=(96, 64, 32), schedule="cosine", eta=1.0),
        },
        loop={"rematch": (1, 2), "blend": True, "size": 64},
        weights=FACES_WEIGHTS | {"denoiser": "faces-64/unconditional.safetensors"},
    ),
}
