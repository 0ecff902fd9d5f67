"""Where a pixel lies on the head, and where that point lies in another portrait.

A head is an ellipsoid that is narrowed towards the jaw and rotated in space. A pixel inside its outline is a point of
it with a longitude `u` and a latitude `v`; features (eyes, brows, mouth) sit at places that the geometry names.
Two pixels correspond where they show the same point of the same part. Everything here is closed form and invertible,
so the flow between two portraits is exact.
"""

from __future__ import annotations

from types import SimpleNamespace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from midms.data.portraits.parameters import Geometry

PORTRAIT_PARTS = (
    "background", "skin", "left_brow", "right_brow", "left_eye", "right_eye", "glasses", "left_ear", "right_ear",
    "nose", "mouth", "upper_lip", "lower_lip", "neck", "cloth", "hair",
)  # fmt: skip
ID = {name: i for i, name in enumerate(PORTRAIT_PARTS)}
HEAD = tuple(ID[name] for name in PORTRAIT_PARTS if name not in ("background", "neck", "cloth"))
HALF_WIDTH = 0.52
ANGLE = 0.78  # head units a radian
SIDES = ((-1, "left"), (1, "right"))
OPEN = 0.008  # a mouth opened less than this is closed

_Map = Float[Tensor, "#b #y #x"]


def smooth(low: float, high: float, x: Tensor) -> Tensor:
    """Hermite step from 0 at `low` to 1 at `high`; `low` may be the greater."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def pixels(size: int, device: torch.device | str = "cpu") -> tuple[_Map, _Map]:
    """(x, y) of pixel centres in [-1, 1], y upwards, each [1, size, size]."""
    line = (torch.arange(size, device=device) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(-line, line, indexing="ij")
    return x[None], y[None]


def to_head(g: Geometry, x: _Map, y: _Map) -> tuple[_Map, _Map]:
    """Picture coordinates to the upright head's frame."""
    X, Y = (x - g.centre_x) / g.scale, (y - g.centre_y) / g.scale
    c, s = torch.cos(g.roll), torch.sin(g.roll)
    return c * X + s * Y, -s * X + c * Y


def to_picture(g: Geometry, X: _Map, Y: _Map) -> tuple[_Map, _Map]:
    """The inverse of `to_head`."""
    c, s = torch.cos(g.roll), torch.sin(g.roll)
    return (c * X - s * Y) * g.scale + g.centre_x, (s * X + c * Y) * g.scale + g.centre_y


def narrowing(g: Geometry, height: _Map) -> _Map:
    """Width of the head at a height in [-1, 1], relative to its widest."""
    return 1 - (1 - g.jaw * 0.78) * smooth(0.0, -1.0, height) * 0.55


def surface(g: Geometry, X: _Map, Y: _Map) -> SimpleNamespace:
    """The point of the head seen at (X, Y).

    Returns:
        `u`, `v` (longitude and latitude in head units), `depth` towards the viewer before rotation back (`z`) and
        after (`front`: positive on the face's half), `rim` (1 - r^2: positive inside the outline), and the normalised
        position `xe`, `ye`.
    """
    ye = Y / (HALF_WIDTH * g.aspect)
    xe = X / (HALF_WIDTH * narrowing(g, ye))
    rim = 1 - xe * xe - ye * ye
    z = rim.clamp(min=0).sqrt()
    cy, sy, cp, sp = torch.cos(g.yaw), torch.sin(g.yaw), torch.cos(g.pitch), torch.sin(g.pitch)
    side, front = cy * xe - sy * z, sy * xe + cy * z
    up, front = cp * ye - sp * front, sp * ye + cp * front
    u, v = ANGLE * torch.atan2(side, front), ANGLE * torch.asin(up.clamp(-1, 1))
    return SimpleNamespace(u=u, v=v, z=z, front=front, rim=rim, xe=xe, ye=ye)


def project(g: Geometry, u: _Map, v: _Map) -> tuple[_Map, _Map, _Map]:
    """The inverse of `surface`: longitude and latitude to (X, Y) in the head's frame, and the depth z."""
    up, side, front = (
        torch.sin(v / ANGLE),
        torch.cos(v / ANGLE) * torch.sin(u / ANGLE),
        torch.cos(v / ANGLE) * torch.cos(u / ANGLE),
    )
    cy, sy, cp, sp = torch.cos(g.yaw), torch.sin(g.yaw), torch.cos(g.pitch), torch.sin(g.pitch)
    ye, front = cp * up + sp * front, -sp * up + cp * front
    xe, z = cy * side + sy * front, -sy * side + cy * front
    return xe * HALF_WIDTH * narrowing(g, ye), ye * HALF_WIDTH * g.aspect, z


def _ramps(x: Tensor, knots: list[Tensor], values: list[Tensor]) -> Tensor:
    """Piecewise linear interpolation through (knots, values), constant outside."""
    out = values[0]
    for k0, k1, v0, v1 in zip(knots, knots[1:], values, values[1:], strict=False):
        out = out + (v1 - v0) / (k1 - k0) * (x - k0).clamp(min=0).minimum(k1 - k0)
    return out


def _landmark_knots(g: Geometry) -> tuple[list[Tensor], list[Tensor]]:
    """Longitudes and latitudes of the features, between which the skin stretches."""
    one = torch.ones_like(g.eye_dx)
    us = [-2.6 * one, -g.eye_dx, 0 * one, g.eye_dx, 2.6 * one]
    vs = [-1.25 * one, -0.8 * one, g.mouth_y, -0.285 * one, g.eye_y, g.eye_y + g.brow_h, 0.8 * one, 1.25 * one]
    return us, vs


def lip_heights(g: Geometry, u: _Map) -> tuple[_Map, _Map, _Map, _Map]:
    """At longitude u: the mouth's centre line, half its opening, and the upper and lower lips' thickness."""
    across = (u / g.mouth_w).clamp(-1, 1)
    bow = (1 - across**2).clamp(min=1e-6)
    upper = g.lip * bow**0.7 * (1 - 0.28 * torch.exp(-((across / 0.16) ** 2)))
    return g.mouth_y + g.smile * (u / g.mouth_w) ** 2, g.open * bow, upper, g.lip * 1.25 * bow**0.6


def iris(g: Geometry, side: int, du: _Map, dv: _Map) -> tuple[_Map, _Map, _Map]:
    """Of an eye: where the iris lies along it, the distance from the iris' middle, and its radius.

    Args:
        g: the geometry.
        side: of `SIDES`.
        du: outwards from the eye's middle.
        dv: upwards from the eye's own, tilted axis.
    """
    centre = g.gaze * g.eye_w * side * 0.8
    return centre, torch.hypot(du - centre, dv * 1.05), g.eye_h * 0.86 + 0.016


def transfer(part: str, target: Geometry, source: Geometry, u: _Map, v: _Map) -> tuple[_Map, _Map]:
    """A point (u, v) of `part` on the target's head, as (u, v) on the source's head."""
    t, s = target, source
    if part in ("skin", "nose"):
        (tu, tv), (su, sv) = _landmark_knots(t), _landmark_knots(s)
        across = u * s.nose_w / t.nose_w if part == "nose" else _ramps(u, tu, su)
        return across, _ramps(v, tv, sv)
    if part in ("mouth", "upper_lip", "lower_lip"):
        su = u * s.mouth_w / t.mouth_w
        (tc, topen, tup, tlow), (sc, sopen, sup, slow) = lip_heights(t, u), lip_heights(s, su)
        dv = v - tc
        if part == "mouth":
            return su, sc + dv * sopen / topen.clamp(min=1e-4)
        if part == "upper_lip":
            return su, sc + sopen + (dv - topen) * sup / tup.clamp(min=1e-4)
        return su, sc - sopen + (dv + topen) * slow / tlow.clamp(min=1e-4)
    side = torch.where(u < 0, -1.0, 1.0)
    du, dv = (u - side * t.eye_dx) * side, v - t.eye_y
    if part.endswith("brow"):
        return side * (s.eye_dx + du), s.eye_y + s.brow_h + (dv - t.brow_h) * s.brow_t / t.brow_t
    if part.endswith("eye"):
        su = du * s.eye_w / t.eye_w
        sv = (dv - t.tilt * du * 0.35) * s.eye_h / t.eye_h + s.tilt * su * 0.35
        return side * (s.eye_dx + su), s.eye_y + sv
    return side * (s.eye_dx + du), s.eye_y + dv  # glasses


def locate(
    target: Geometry, source: Geometry, parts: Tensor, x: _Map, y: _Map
) -> tuple[Float[Tensor, "b 2 y x"], Tensor]:
    """Where each pixel of the target lies in the source's picture.

    Args:
        target: geometry of the picture whose pixels are asked about.
        source: geometry of the picture they are looked up in.
        parts: part that each pixel of the target shows, [b, y, x].
        x: where these pixels are, in [-1, 1].
        y: likewise, upwards.

    Returns:
        (x, y) in the source picture in [-1, 1] with y upwards, and whether that side of the head faces the viewer.
    """
    x, y = x.expand(parts.shape), y.expand(parts.shape)
    place, facing = torch.stack([x, y], 1), torch.ones_like(parts, dtype=torch.bool)
    for part in PORTRAIT_PARTS[1:]:
        here = face, row, column = (parts == ID[part]).nonzero(as_tuple=True)
        t, s = _Each(target, face), _Each(source, face)
        X, Y = to_head(t, x[here][None, None], y[here][None, None])
        if part == "hair":
            Y = Y * (s.aspect / t.aspect)
        elif part.endswith("ear"):
            X = X + (-1 if part == "left_ear" else 1) * HALF_WIDTH * (torch.cos(s.yaw) - torch.cos(t.yaw))
        elif part not in ("neck", "cloth"):
            seen = surface(t, X, Y)
            X, Y, z = project(s, *transfer(part, t, s, seen.u, seen.v))
            facing[here] = (z > 0.05)[0, 0]
        place[face, :, row, column] = torch.cat(to_picture(s, X, Y), 1)[0].T
    return place, facing


class _Each(SimpleNamespace):
    """The geometry of each of n pixels, by the number of its face: as [1, 1, n], when it is asked for."""

    def __init__(self, geometry: Geometry, face: Int[Tensor, " n"]) -> None:
        super().__init__(_geometry=geometry, _face=face)

    def __getattr__(self, name: str) -> Tensor:
        found: Tensor = getattr(self._geometry, name).flatten()[self._face][None, None]
        setattr(self, name, found)
        return found
