"""What a portrait is described by: a geometry (what the condition decides) and a style (what the exemplar decides).

Each comes from its own seed alone, so that the geometry of one portrait can be rendered in the style of another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

GEOMETRY = {
    "yaw": (-0.55, 0.55), "pitch": (-0.22, 0.22), "roll": (-0.18, 0.18),
    "centre_x": (-0.06, 0.06), "centre_y": (-0.02, 0.08), "scale": (0.86, 1.02),
    "aspect": (1.18, 1.42), "jaw": (0.72, 1.08),
    "eye_y": (0.04, 0.14), "eye_dx": (0.34, 0.42), "eye_w": (0.125, 0.165), "eye_h": (0.045, 0.085),
    "tilt": (-0.25, 0.25), "gaze": (-0.3, 0.3),
    "brow_h": (0.12, 0.2), "brow_t": (0.018, 0.045), "brow_arch": (0.0, 0.06),
    "nose_w": (0.1, 0.17), "nose_b": (0.12, 0.24),
    "mouth_w": (0.2, 0.32), "mouth_y": (-0.52, -0.42), "lip": (0.03, 0.065), "smile": (-0.02, 0.1),
    "open": (-0.06, 0.07),
    "cut": (0.0, 4.0), "hairline": (0.52, 0.72), "part": (-0.5, 0.5), "volume": (0.0, 0.12),
    "glasses": (0.0, 1.0),
}  # fmt: skip
"""Uniform ranges in head units (the head is an ellipsoid of half width 0.52); angles in radians."""

NATURAL_HAIR = (
    (0.06, 0.05, 0.05), (0.22, 0.13, 0.08), (0.42, 0.26, 0.13), (0.85, 0.68, 0.38), (0.62, 0.22, 0.09),
    (0.72, 0.72, 0.73),
)  # fmt: skip
GLASSES_SHARE, BALD_SHARE, BEARD_SHARE, FRECKLES_SHARE, DYED_SHARE = 0.18, 0.15, 0.22, 0.2, 0.15

BOXES = 4
"""The kind of a cluttered backdrop, which `style` draws none of."""

Geometry = SimpleNamespace
Style = SimpleNamespace


def uniforms(seeds: Sequence[int], count: int, stream: int) -> Float[Tensor, "b n"]:
    """`count` uniform draws in [0, 1) for each seed; streams of the same seed are independent."""
    generator = torch.Generator()
    rows = []
    for seed in seeds:
        generator.manual_seed((int(seed) * 2654435761 + stream * 40503 + 12345) % (1 << 63))
        rows.append(torch.rand(count, generator=generator, dtype=torch.float64))
    return torch.stack(rows).float()


def geometry(seeds: Sequence[int], yaw: tuple[float, float] | None = None) -> Geometry:
    """Pose, shape, expression and hair cut, each a tensor [b, 1, 1].

    Args:
        seeds: one a portrait.
        yaw: another range for the turn of the head, in radians; other draws stay as they are.
    """
    ranges = GEOMETRY | ({"yaw": yaw} if yaw else {})
    draws = uniforms(seeds, len(ranges), stream=1)
    values = {
        name: (low + (high - low) * draws[:, i])[:, None, None] for i, (name, (low, high)) in enumerate(ranges.items())
    }
    values["open"] = values["open"].clamp(min=0)
    values["cut"] = values["cut"].floor()
    values["glasses"] = (values["glasses"] < GLASSES_SHARE).float()
    return SimpleNamespace(**values)


def style(seeds: Sequence[int]) -> Style:
    """Colours, textures, light, and whether there is hair or a beard; scalars [b, 1, 1], colours [b, 3, 1, 1]."""
    draw = iter(uniforms(seeds, 96, stream=2).T)

    def scalar(low: float = 0.0, high: float = 1.0) -> Tensor:
        return (low + (high - low) * next(draw))[:, None, None]

    def vector(low: float, high: float) -> Tensor:
        return torch.cat([scalar(low, high) for _ in range(3)], 1)[..., None]

    def colour(hue: tuple[float, float], saturation: tuple[float, float], value: tuple[float, float]) -> Tensor:
        return hsv(scalar(*hue), scalar(*saturation), scalar(*value))

    melanin = (0.5 + 0.42 * torch.cos(math.pi * scalar()))[..., None]
    skin = (1 - melanin) * rgb(0.98, 0.82, 0.72) + melanin * rgb(0.33, 0.20, 0.14) + vector(-0.03, 0.03)
    natural = torch.tensor(NATURAL_HAIR)[(scalar() * len(NATURAL_HAIR)).long().flatten()][:, :, None, None]
    dyed = hsv(scalar(), torch.tensor(0.7), torch.tensor(0.8))
    hair = torch.where((scalar() < DYED_SHARE)[..., None], dyed, natural) + vector(-0.04, 0.04)
    return SimpleNamespace(
        skin=skin,
        hair=hair.clamp(0.02, 1),
        bald=(scalar() < BALD_SHARE).float(),
        curl=scalar(),
        strand=scalar(20, 70),
        iris=colour((0.05, 0.62), (0.3, 0.8), (0.25, 0.75)),
        lips=(skin * rgb(0.95, 0.6, 0.6) + scalar(-0.1, 0.15)[..., None] * rgb(1.0, 0.0, 0.2)).clamp(0, 1),
        blush=scalar(0, 0.12),
        freckles=(scalar() < FRECKLES_SHARE).float(),
        beard=(scalar() < BEARD_SHARE).float() * scalar(0.3, 1),
        glasses=colour((0, 1), (0, 0.5), (0.05, 0.3)),
        light=F.normalize(torch.stack([scalar(-0.8, 0.8), scalar(-0.1, 0.9), scalar(0.6, 1.1)], 1)),
        ambient=scalar(0.35, 0.6),
        light_colour=torch.stack([torch.ones_like(melanin[:, 0]), scalar(0.86, 1), scalar(0.75, 1.05)], 1),
        backdrop=(colour((0, 1), (0.05, 0.7), (0.25, 0.95)), colour((0, 1), (0.05, 0.7), (0.25, 0.95))),
        backdrop_kind=(scalar() * 4).floor(),
        backdrop_pitch=scalar(12, 36),
        lights=[
            (scalar(-1, 1), scalar(-1, 1), scalar(0.05, 0.22), colour((0, 1), (0.4, 0.4), (0.95, 0.95)))
            for _ in range(6)
        ],
        cloth=(colour((0, 1), (0.2, 0.9), (0.2, 0.95)), colour((0, 1), (0.2, 0.9), (0.2, 0.95))),
        cloth_kind=(scalar() * 4).floor(),
        cloth_pitch=scalar(6, 18),
        cloth_angle=scalar(0, math.pi),
        seeds=tuple(int(seed) for seed in seeds),
    )


def rgb(red: float, green: float, blue: float) -> Float[Tensor, "1 3 1 1"]:
    """A colour that broadcasts over [b, 3, Y, X]."""
    return torch.tensor([red, green, blue]).view(1, 3, 1, 1)


def hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Float[Tensor, "b 3 1 1"]:
    """Hue, saturation and value in [0, 1], each [b, 1, 1], to a colour."""
    offsets = torch.tensor([5.0, 3.0, 1.0])
    k = (offsets + 6 * hue) % 6
    return (value - value * saturation * torch.minimum(k, 4 - k).clamp(0, 1)).permute(0, 2, 1)[..., None]


def to(parameters: SimpleNamespace, device: torch.device | str) -> SimpleNamespace:
    """The same parameters on another device."""

    def move(value: object) -> object:
        if isinstance(value, Tensor):
            return value.to(device)
        if isinstance(value, (list, tuple)):
            return type(value)(move(item) for item in value)
        return value

    return SimpleNamespace(**{name: move(value) for name, value in vars(parameters).items()})
