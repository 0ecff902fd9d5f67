"""Named recipes: data only, each citing where it comes from."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from midms.core.domain import Domain
from midms.core.errors import MidmsError

SHIPPED = Path(__file__).parents[1] / "checkpoints" / "weights"
"""Where the package keeps weights."""


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


class SpecError(MidmsError, ValueError):
    """A value that is not written as values are; the message says how they are."""


def parse(text: str) -> Any:
    """A value as people type it; nothing is run.

    A number, a tuple, True, False or None (or none) is itself, and `cycle(radius=0.1)` is `Spec("cycle", radius=0.1)`,
    whose settings are such values, or parts again. Anything else is a name, and stays text.

    Raises:
        SpecError: settings are not written so.
    """
    name, bracket, settings = (piece.strip() for piece in text.partition("("))
    try:
        if name and bracket:
            return _part(ast.parse(f"part({settings}", mode="eval").body, name)
        return ast.literal_eval("None" if text.strip() == "none" else text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        if name and bracket:
            raise SpecError(f"cannot read {text!r}, expected a name, or settings as in cycle(radius=0.1)") from None
        return text.strip()


def _part(call: ast.expr, name: str = "") -> Spec:
    """The part that a call stands for.

    Raises:
        ValueError: it is no call with settings by name, each once.
    """
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)) or call.args:
        raise ValueError("no part")
    settings = {word.arg: _value(word.value) for word in call.keywords if word.arg}
    if len(settings) < len(call.keywords):
        raise ValueError("a setting twice, or without a name")
    return Spec(name or call.func.id, **settings)


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        return _part(node)
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(map(_value, node.elts))
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


@dataclass(frozen=True)
class Preset:
    """A composition.

    Attributes:
        source: where it comes from.
        slots: slot to Spec; "refiner" is a sampler or absent.
        loop: how the loop interleaves, by the names of `midms.loop.policy.Policy`, and `size`.
        weights: slot to file below the package's `weights` folder, for parts that have weights of their own.
        obtain: how to get them where they are not shipped.
        purpose: what it is for, in plain words.
        domain: what its weights were trained on.
    """

    source: str
    slots: dict[str, Spec]
    loop: dict[str, Any]
    weights: dict[str, str] = field(default_factory=dict)
    obtain: str = "give weights=FOLDER or --weights FOLDER"
    purpose: str = ""
    domain: Domain = field(default_factory=Domain)

    @property
    def shipped(self) -> bool:
        """Whether all its weights come with the package."""
        return all((SHIPPED / file).is_file() for file in self.weights.values())


FACES = {
    "condition": Spec("sketch"),
    "features": Spec("pyramid", condition_channels=2, latent_channels=8, stride=4, width=64, widths=(48, 80, 96)),
    "matcher": Spec("correlation", temperature=0.04),
    "autoencoder": Spec("patchified", channels=8, stride=4, widths=(64, 96)),
}
FACES_BRIDGE = {"channels": 8, "condition_channels": 2, "stride": 4, "widths": (64, 96, 112), "head_dim": 16}
FACES_WEIGHTS = {
    "features": "faces-64/features.safetensors",
    "autoencoder": "faces-64/autoencoder.safetensors",
}
FACES_DOMAIN = Domain("computer-drawn portraits, each with one upright face that fills a square", 64, True, "faces-64")

RELEASED_GRID = range(1, 1000, 1000 // 16)
"""CompVis' DDIM of 16 steps has 17 timesteps: 1, 63, ..., 993; diffusers' has 16."""


def _released(data: str, purpose: str, trained_on: str, schedule: str, **parts: Spec) -> Preset:
    """The schedule of the released MIDMs (github.com/KU-CVLAB/MIDMs at 625d88a), and parts in their released sizes."""
    steps = {
        "sampler": Spec(
            "ddim",
            timesteps=tuple(RELEASED_GRID[i] for i in (4, 3, 2, 1)),
            schedule=schedule,
            start=RELEASED_GRID[5],  # noised one step further than the network is told
        ),
        "refiner": Spec("ddim", timesteps=tuple(range(96, 0, -5)), schedule=schedule, eta=1.0, start=101),
    }
    return Preset(
        source=f"the released model of {data} (arXiv:2209.11047), as its code runs it",
        slots=parts
        | {
            "matcher": Spec("correlation", temperature=0.005, floor=0.0),
            "confidence": Spec("cycle-released"),
        }
        | steps,
        loop={"rematch": (0, 1), "edit": "blend", "size": 256},  # after levels 0 and 1: before steps 1 and 2
        purpose=purpose,
        domain=Domain(trained_on, size=256, square=True),
        weights={slot: f"{slot}.safetensors" for slot in ("features", "denoiser", "autoencoder")},
        obtain="`midms convert MIDMs.pth --config LDM.yaml --out FOLDER` makes some for --weights or weights=",
    )


FACE_LDM = {
    "denoiser": Spec(
        "unconditional",
        channels=3,
        widths=(224, 448, 672, 896),
        attention=(False, True, True, True),
        layers=2,
        norm_groups=32,
        head_dim=32,
    ),
    "autoencoder": Spec("vq", channels=3, widths=(128, 256, 512), layers=2, norm_groups=32, codes=8192),
}
"""CelebA-HQ's latent diffusion of 256 pixels (arXiv:2112.10752, table 12)."""
CHURCH_LDM = {
    "denoiser": Spec(
        "unconditional",
        channels=4,
        widths=(192, 384, 384, 768, 768),
        attention=(True, True, True, True, False),
        layers=2,
        norm_groups=32,
        heads=8,
        biggan=True,
    ),
    "autoencoder": Spec("kl", channels=4, widths=(128, 256, 512, 512), layers=2, norm_groups=32, scale=1.0),
}
"""LSUN churches' latent diffusion; the released MIDMs leaves out the scale that it was trained with."""

PRESETS = {
    "midm-faces": Preset(
        source="trained here on procedural portraits; the bridge is ours, the loop is that of arXiv:2209.11047",
        slots=FACES
        | {
            "confidence": Spec("calibrated"),
            "denoiser": Spec("bridge", **FACES_BRIDGE, min_confidence=0.7),
            "sampler": Spec("ddim", timesteps=(700, 350), schedule="cosine"),
        },
        loop={"rematch": (), "edit": "context", "size": 64},
        weights=FACES_WEIGHTS
        | {"confidence": "faces-64/confidence.safetensors", "denoiser": "faces-64/bridge.safetensors"},
        purpose="a sketch of a face takes the colours of a portrait; small, quick, the one to begin with",
        domain=FACES_DOMAIN,
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
        loop={"rematch": (1, 2), "edit": "blend", "size": 64},
        weights=FACES_WEIGHTS | {"denoiser": "faces-64/unconditional.safetensors"},
        purpose="the same by the paper's own loop, to compare with: its pictures are worse",
        domain=FACES_DOMAIN,
    ),
    "midm-celeba": _released(
        "faces",
        purpose="the masks of a face's parts take the looks of a photo of a face",
        trained_on="photos of faces (CelebA-HQ), aligned, each filling a square",
        schedule="ldm-celeba",
        condition=Spec("celebahq-edge"),
        features=Spec("midm", condition_channels=15, latent_channels=3, stride=4),
        **FACE_LDM,
    ),
    "midm-deepfashion": _released(
        "people",
        purpose="the pose of a person takes the clothes of a photo of a person",
        trained_on="photos of people in clothes (DeepFashion), one before a plain background in a square",
        schedule="ldm-celeba",
        condition=Spec("deepfashion-pose"),
        features=Spec("midm", condition_channels=20, latent_channels=3, stride=4),
        **FACE_LDM,
    ),
    "midm-church": _released(
        "churches",
        purpose="a label map of a scene with a church takes the looks of a photo of one",
        trained_on="photos of churches (LSUN), cut square",
        schedule="ldm-church",
        condition=Spec("ade20k-segmentation"),
        features=Spec("midm", condition_channels=151, latent_channels=4, stride=8),
        **CHURCH_LDM,
    ),
}
