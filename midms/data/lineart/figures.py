"""Random figures of closed shapes: some inside others, some twins, some behind others, in fewer colours than that."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8
from numpy.random import Generator

Points = Float[np.ndarray, "n 2"]

_COUNTS = (3, 12)
_EVEN, _TWINS, _ON_AXIS = 0.4, 0.4, 0.4
"""Of the figures, those that are symmetric; of the parts, those with a twin; of such a figure's, those on its axis."""
_INSIDE, _BEHIND = 0.55, 0.5
"""Of the parts, those inside of another; of the others, those behind it."""
_SMALLEST = 0.2
"""Radius of a part, of that of the first."""
_EXTENT = 0.78
"""How far figures reach from the middle of the picture, of [-1, 1]."""
_APART, _TRIES = 64, 50
"""How far colours of one palette are apart, at least, in some channel, of 255; and how often one is drawn for that."""


@dataclass(frozen=True)
class Shape:
    """A closed part of a figure.

    Attributes:
        outline: closed, in [-1, 1] from border to border of the picture, (x, y), y downwards.
        slot: which colour it has, from 1; 0 is the background's.
    """

    outline: Points
    slot: int

    @property
    def centre(self) -> Float[np.ndarray, " 2"]:
        """Of the box around it."""
        return (self.outline.max(0) + self.outline.min(0)) / 2

    @property
    def reach(self) -> Float[np.ndarray, " 2"]:
        """Half of the box around it."""
        return (self.outline.max(0) - self.outline.min(0)) / 2


def figure(rng: Generator, emoji: bool) -> list[Shape]:
    """A random figure, its parts back to front.

    Args:
        rng: what it follows from.
        emoji: whether all parts are inside of one, in symmetry.
    """
    count = int(rng.integers(_COUNTS[0], _COUNTS[1] + 1))
    slots = int(rng.integers(2, max(2, 2 * count // 3) + 1))
    even = emoji or rng.random() < _EVEN
    outline = _outline(rng, _ROUND if emoji else _KINDS) * rng.uniform(0.75, 1.1, 2)
    first = Shape(_even(outline) if even else outline, int(rng.integers(1, slots + 1)))
    parts = [first]
    while len(parts) < count:
        areas = np.array([part.reach.prod() for part in parts])
        parent = parts[rng.choice(len(parts), p=areas / areas.sum())]
        inside = emoji or rng.random() < _INSIDE
        others = [slot for slot in range(1, slots + 1) if slot != parent.slot]
        slot = parent.slot if not inside and rng.random() < 0.3 else int(rng.choice(others))
        added = [Shape(one, slot) for one in _added(rng, parent, inside, even)][: count - len(parts)]
        if not inside and rng.random() < _BEHIND:
            place = next(index for index, part in enumerate(parts) if part is parent)
            parts[place:place] = added
        else:
            parts += added
    points = np.concatenate([part.outline for part in parts])
    middle, half = (points.max(0) + points.min(0)) / 2, (points.max(0) - points.min(0)).max() / 2
    whole = [replace(part, outline=(part.outline - middle) * (_EXTENT / half)) for part in parts]
    return _placed(whole, rng, 0.5, rng.uniform(0.75, 1.0), False)


def seen_again(parts: list[Shape], rng: Generator, change: float) -> list[Shape]:
    """The same figure: moved, turned, scaled and sometimes mirrored, and each part changed a little by itself.

    Args:
        parts: of the figure.
        rng: what is random follows from it.
        change: how much, of the most.
    """
    mirrored = rng.random() < 0.2 and change == 1
    scale = 1 + change * rng.uniform(-0.3, 0.3)
    own = [replace(part, outline=_deformed(part.outline, rng, change)) for part in parts]
    return _placed(own, rng, change, scale, mirrored)


def colours(rng: Generator, count: int) -> UInt8[np.ndarray, "n 3"]:
    """A random palette, 0 to 255; the first, the background's, is white in half of all cases."""
    chosen = [(255, 255, 255) if rng.random() < 0.5 else _colour(rng)]
    while len(chosen) < count:
        for _ in range(_TRIES):
            colour = _colour(rng)
            if min(max(abs(a - b) for a, b in zip(colour, one, strict=True)) for one in chosen) >= _APART:
                break
        chosen.append(colour)
    return np.array(chosen, np.uint8)


def _colour(rng: Generator) -> tuple[int, int, int]:
    hue, light, saturation = rng.uniform((0, 0.12, 0.1), (1, 0.95, 1))
    if rng.random() < 0.15:
        light, saturation = rng.uniform(0.05, 1), 0
    red, green, blue = colorsys.hls_to_rgb(hue, light, saturation)
    return round(255 * red), round(255 * green), round(255 * blue)


def _added(rng: Generator, parent: Shape, inside: bool, even: bool) -> list[Points]:
    """One shape, or one and its twin."""
    size = max(_SMALLEST, parent.reach.min() * rng.uniform(*((0.18, 0.45) if inside else (0.4, 0.8))))
    stretch = np.exp(rng.uniform(-0.35, 0.35))
    angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(*((0.1, 0.55) if inside else (0.8, 1.1)))
    offset = away * parent.reach * (np.cos(angle), np.sin(angle))
    outline = _outline(rng, _KINDS) * size * (stretch, 1 / stretch)
    centred = bool(abs(parent.centre[0]) < 1e-6)
    if even and centred and rng.random() < _ON_AXIS:
        return [_even(outline) + parent.centre + (0, offset[1])]
    outline = outline @ _turn(rng.uniform(-0.6, 0.6)).T
    axis = 0.0 if even else parent.centre[0]
    if not even and rng.random() >= _TWINS:
        return [outline + parent.centre + offset]
    if centred or not even:  # else the parent has a twin of its own
        offset[0] = max(abs(offset[0]), 1.2 * np.abs(outline[:, 0]).max())
    one = outline + parent.centre + offset
    return [one, (2 * axis, 0) + one * (-1, 1)]


def _deformed(outline: Points, rng: Generator, change: float) -> Points:
    centre = outline.mean(0)
    away = outline - centre
    angle, size = np.arctan2(*away.T), np.sqrt(np.square(away).mean())
    waves = [rng.normal(0, 0.04) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3)]
    linear = _turn(change * rng.uniform(-0.2, 0.2)) * (1 + change * rng.uniform(-0.15, 0.15, 2))
    moved = centre + change * size * rng.uniform(-0.15, 0.15, 2)
    return moved + (away * (1 + change * np.sum(waves, 0))[:, None]) @ linear.T


def _placed(parts: list[Shape], rng: Generator, change: float, scale: float, mirrored: bool) -> list[Shape]:
    linear = scale * _turn(change * rng.uniform(-0.5, 0.5)) * (-1 if mirrored else 1, 1)
    shift = change * rng.uniform(-0.2, 0.2, 2)
    return [replace(part, outline=part.outline @ linear.T + shift) for part in parts]


def _turn(angle: float) -> Float[np.ndarray, "2 2"]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _even(outline: Points) -> Points:
    """Symmetric from left to right; the first point of every outline is that of its axis."""
    return (outline + np.roll(outline[::-1], 1, 0) * (-1, 1)) / 2


def _outline(rng: Generator, kinds: tuple[Callable[[Generator], Points], ...]) -> Points:
    """A random shape of radius 1 about (0, 0)."""
    return kinds[rng.integers(len(kinds))](rng)


def _rays(count: int) -> tuple[Float[np.ndarray, " n"], Points]:
    """Angles from the top, and the points of a circle."""
    angle = 2 * np.pi * np.arange(count) / count
    return angle, np.stack([np.sin(angle), -np.cos(angle)], 1)


def _blob(rng: Generator) -> Points:
    angle, circle = _rays(48)
    waves = [rng.normal(0, 0.25 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 4, 5)]
    return circle * (1 + np.sum(waves, 0)).clip(0.4, 1.6)[:, None]


def _polygon(rng: Generator) -> Points:
    _, circle = _rays(int(rng.integers(3, 8)))
    return circle * rng.uniform(0.75, 1.25, (len(circle), 1))


def _ellipse(rng: Generator) -> Points:
    return _rays(40)[1]


def _rounded(rng: Generator) -> Points:
    circle = _rays(64)[1]
    return np.sign(circle) * np.abs(circle) ** (2 / rng.uniform(4, 9))


def _crescent(rng: Generator) -> Points:
    """Open at the top; the first point is the deepest of the opening."""
    start, deep = rng.uniform(0.6, 1.2), rng.uniform(0.3, 0.9)
    tips = np.array([np.sin(start), -np.cos(start)])
    bottom = min(tips[1] + deep, 0.45)
    along = np.linspace(0, 1, 12)[:, None]
    half = np.concatenate([along, 1 - along**2], 1) * (tips[0], bottom - tips[1]) + (0, tips[1])
    angle = np.linspace(start, 2 * np.pi - start, 40)[1:-1]
    arc = np.stack([np.sin(angle), -np.cos(angle)], 1)
    return np.concatenate([half, arc, half[:0:-1] * (-1, 1)])


_ROUND = (_blob, _ellipse, _rounded)
_KINDS = (_blob, _blob, _polygon, _ellipse, _ellipse, _rounded, _crescent)
