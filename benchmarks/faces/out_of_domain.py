"""Pictures of what a model of faces was never shown, each as a drawing and in colours; made from a seed.

`KINDS` are those that help to say how far is too far, `KEPT_BACK` those that had no part in it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 256
"""Pixels a side at which they are drawn."""

Colour = tuple[int, int, int]
Point = tuple[float, float]
Both = tuple[Image.Image, Image.Image]
"""The drawing, dark on white, and the picture."""


class Canvas:
    """The same shapes outlined on white and filled on a colour; places are shares of the side.

    Args:
        chance: draws colours and the width of the pen.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.drawing, self.picture = (Image.new("RGB", (SIDE, SIDE), c) for c in ("white", self.colour()))
        self.lines, self.fills = ImageDraw.Draw(self.drawing), ImageDraw.Draw(self.picture)
        self.pen = chance.randint(3, 6)

    def colour(self) -> Colour:
        """Any."""
        red, green, blue = (self.chance.randint(10, 245) for _ in range(3))
        return red, green, blue

    def between(self, low: float, high: float) -> float:
        """A number."""
        return self.chance.uniform(low, high)

    def shape(self, points: list[Point], colour: Colour | None = None) -> None:
        """A polygon."""
        placed = [(x * SIDE, y * SIDE) for x, y in points]
        self.fills.polygon(placed, fill=colour or self.colour())
        self.lines.polygon(placed, fill="white", outline="black", width=self.pen)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour | None = None) -> None:
        """A rectangle."""
        self.shape([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def round(self, x: float, y: float, across: float, down: float, colour: Colour | None = None) -> None:
        """An ellipse about (x, y)."""
        bounds = [(x - across) * SIDE, (y - down) * SIDE, (x + across) * SIDE, (y + down) * SIDE]
        self.fills.ellipse(bounds, fill=colour or self.colour())
        self.lines.ellipse(bounds, fill="white", outline="black", width=self.pen)

    def path(self, points: list[Point], width: int = 6, colour: Colour | None = None) -> None:
        """A line through points."""
        placed = [(x * SIDE, y * SIDE) for x, y in points]
        self.fills.line(placed, fill=colour or self.colour(), width=width, joint="curve")
        self.lines.line(placed, fill="black", width=self.pen, joint="curve")


def landscape(c: Canvas) -> None:
    """Hills, a sun, some trees."""
    horizon = c.between(0.35, 0.65)
    c.round(c.between(0.1, 0.9), c.between(0.08, 0.3), 0.07, 0.07)
    for k in range(c.chance.randint(2, 4)):
        phase, height, often = c.between(0, 6), c.between(0.03, 0.15), c.between(2, 7)
        ridge = [(x / 24, horizon + 0.12 * k + height * math.sin(often * x / 24 + phase)) for x in range(25)]
        c.shape([*ridge, (1, 1.1), (0, 1.1)])
    for _ in range(c.chance.randint(0, 5)):
        x, y, s = c.between(0.05, 0.95), c.between(0.5, 0.9), c.between(0.03, 0.08)
        c.box(x - s * 0.2, y, x + s * 0.2, y + s)
        c.round(x, y - s * 0.6, s, s)


def town(c: Canvas) -> None:
    """Houses with windows."""
    for _ in range(c.chance.randint(2, 5)):
        left, width, top = c.between(0, 0.8), c.between(0.15, 0.35), c.between(0.2, 0.6)
        c.box(left, top, left + width, 1.05)
        if c.chance.random() < 0.6:
            c.shape([(left - 0.03, top), (left + width / 2, top - c.between(0.08, 0.2)), (left + width + 0.03, top)])
        for i in range(3):
            for j in range(4):
                x, y = left + width * (0.12 + 0.3 * i), top + 0.05 + 0.12 * j
                c.box(x, y, x + width * 0.18, y + 0.06)


def animal_head(c: Canvas) -> None:
    """The head of a cat, dog, bear or rabbit from the front."""
    x, y, s, fur = c.between(0.42, 0.58), c.between(0.42, 0.58), c.between(0.22, 0.34), c.colour()
    kind = c.chance.choice(["cat", "dog", "bear", "rabbit"])
    for side in (-s, s):
        if kind == "cat":
            c.shape(
                [(x + side * 0.25, y - s * 0.8), (x + side * 0.95, y - s * 1.35), (x + side * 0.95, y - s * 0.3)], fur
            )
        elif kind == "dog":
            c.round(x + side, y - s * 0.1, s * 0.3, s * 0.75)
        elif kind == "bear":
            c.round(x + side * 0.75, y - s * 0.75, s * 0.35, s * 0.35, fur)
        else:
            c.round(x + side * 0.4, y - s * 1.3, s * 0.2, s * 0.7, fur)
    c.round(x, y, s, s * c.between(0.8, 1.0), fur)
    for side in (-s, s):
        c.round(x + side * 0.4, y - s * 0.15, s * 0.16, s * 0.2)
        c.round(x + side * 0.4, y - s * 0.15, s * 0.05, s * 0.15, (0, 0, 0))
    c.round(x, y + s * 0.4, s * 0.4, s * 0.3)
    c.shape([(x - s * 0.12, y + s * 0.25), (x + s * 0.12, y + s * 0.25), (x, y + s * 0.4)], (40, 20, 20))
    for side in (-s, s):
        for k in (-1, 0, 1):
            c.path([(x + side * 0.4, y + s * 0.4), (x + side * 1.2, y + s * (0.4 + 0.2 * k))], 3, (0, 0, 0))


def beast(c: Canvas) -> None:
    """An animal on four legs from the side."""
    x, y, s, fur = c.between(0.4, 0.6), c.between(0.45, 0.6), c.between(0.2, 0.3), c.colour()
    for k in (-0.8, -0.5, 0.5, 0.8):
        c.box(x + s * k - 0.03, y, x + s * k + 0.03, y + s * c.between(0.9, 1.3), fur)
    c.round(x, y, s, s * 0.55, fur)
    ahead = c.chance.choice((-s, s))
    c.round(x + ahead * 1.1, y - s * 0.6, s * 0.4, s * 0.35, fur)
    c.round(x + ahead * 1.2, y - s * 0.65, 0.015, 0.015, (0, 0, 0))
    c.path([(x - ahead, y - s * 0.2), (x - ahead * 1.4, y - s * c.between(0.3, 1))], 10, fur)


def things(c: Canvas) -> None:
    """Some of car, bottle, star, box, fish, flower."""
    for _ in range(c.chance.randint(1, 4)):
        x, y, s = c.between(0.2, 0.8), c.between(0.2, 0.8), c.between(0.1, 0.3)
        kind = c.chance.choice(["car", "bottle", "star", "box", "fish", "flower"])
        if kind == "car":
            body = [(-1, 0), (-0.5, -0.5), (0.5, -0.5), (1, 0), (1, 0.4), (-1, 0.4)]
            c.shape([(x + s * u, y + s * v) for u, v in body])
            for wheel in (-0.5, 0.5):
                c.round(x + s * wheel, y + s * 0.4, s * 0.2, s * 0.2)
        elif kind == "bottle":
            c.box(x - s * 0.12, y - s, x + s * 0.12, y)
            c.box(x - s * 0.3, y - s * 0.5, x + s * 0.3, y + s)
        elif kind == "star":
            reach = [s * (0.4 if i % 2 else 1.0) for i in range(10)]
            c.shape(
                [(x + r * math.sin(i * math.pi / 5), y - r * math.cos(i * math.pi / 5)) for i, r in enumerate(reach)]
            )
        elif kind == "box":
            c.box(x - s, y - s * 0.6, x + s * 0.3, y + s * 0.6)
            c.shape([(x + s * 0.3, y - s * 0.6), (x + s, y - s), (x + s, y + s * 0.2), (x + s * 0.3, y + s * 0.6)])
        elif kind == "fish":
            c.shape([(x + s * 0.7, y), (x + s * 1.2, y - s * 0.4), (x + s * 1.2, y + s * 0.4)])
            c.round(x, y, s * 0.8, s * 0.4)
        else:
            for i in range(6):
                c.round(
                    x + s * 0.5 * math.cos(i * math.pi / 3), y + s * 0.5 * math.sin(i * math.pi / 3), s * 0.28, s * 0.28
                )
            c.round(x, y, s * 0.28, s * 0.28)


def text(c: Canvas) -> None:
    """A page of letters."""
    size = c.chance.randint(12, 26)
    font, ink = ImageFont.load_default(size), c.colour()
    for row in range(SIDE // size):
        line = "".join(c.chance.choice("abcdefghiklmnoprstuw    EIST,.") for _ in range(40))
        for pen, colour in ((c.lines, (0, 0, 0)), (c.fills, ink)):
            pen.text((8, 8 + row * size * 1.4), line, colour, font)


def noise(c: Canvas) -> None:
    """Random pixels, coarse or fine."""
    cells, chance = c.chance.choice([4, 8, 16, 32, 64, 128]), np.random.default_rng(c.chance.randrange(2**31))
    how = c.chance.choice([Image.Resampling.NEAREST, Image.Resampling.BICUBIC])
    colours, marks = chance.integers(0, 256, (cells, cells, 3)), 255 * chance.integers(0, 2, (cells, cells))
    for canvas, values in ((c.picture, colours), (c.drawing, np.repeat(marks[..., None], 3, -1))):
        canvas.paste(Image.fromarray(values.astype(np.uint8)).resize((SIDE, SIDE), how))


def texture(c: Canvas) -> None:
    """Stripes, checks, dots or rays."""
    n, kind, slant, colour = c.chance.randint(3, 12), c.chance.choice("scdr"), c.between(-0.5, 0.5), c.colour()
    for i in range(-n, 2 * n):
        if kind == "s":
            c.shape([(i / n, -0.1), ((i + 0.5) / n, -0.1), ((i + 0.5) / n + slant, 1.1), (i / n + slant, 1.1)], colour)
        elif kind == "r":
            c.path([(0.5, 0.5), (0.5 + math.cos(i * 6.28 / n), 0.5 + math.sin(i * 6.28 / n))], 8, colour)
        for j in range(n if 0 <= i < n else 0):
            if kind == "c" and (i + j) % 2:
                c.box(i / n, j / n, (i + 1) / n, (j + 1) / n, colour)
            elif kind == "d":
                c.round((i + 0.5) / n, (j + 0.5) / n, 0.3 / n, 0.3 / n, colour)


def scribble(c: Canvas) -> None:
    """Lines that wander."""
    for _ in range(c.chance.randint(2, 6)):
        x, y, turn, points = c.between(0.2, 0.8), c.between(0.2, 0.8), c.between(0, 6), []
        for _ in range(c.chance.randint(10, 60)):
            turn += c.between(-1, 1)
            x, y = (min(0.98, max(0.02, v)) for v in (x + 0.05 * math.cos(turn), y + 0.05 * math.sin(turn)))
            points.append((x, y))
        c.path(points, 8)


def plain(c: Canvas) -> None:
    """A single circle or square."""
    x, y, s = c.between(0.3, 0.7), c.between(0.3, 0.7), c.between(0.1, 0.4)
    if c.chance.random() < 0.5:
        c.round(x, y, s, s)
    else:
        c.box(x - s, y - s, x + s, y + s)


def plant(c: Canvas) -> None:
    """A stem that forks."""

    def grow(x: float, y: float, angle: float, length: float) -> None:
        if length < 0.03:
            return
        tip = x + length * math.sin(angle), y - length * math.cos(angle)
        c.path([(x, y), tip], max(2, round(60 * length)))
        for turn in (-c.between(0.2, 0.8), c.between(0.2, 0.8)):
            grow(*tip, angle + turn, length * c.between(0.6, 0.8))

    grow(c.between(0.35, 0.65), 1.0, c.between(-0.2, 0.2), c.between(0.18, 0.3))


def insect(c: Canvas) -> None:
    """A butterfly from above."""
    x, y, s, wing = c.between(0.42, 0.58), c.between(0.4, 0.6), c.between(0.2, 0.3), c.colour()
    for side in (-s, s):
        c.round(x + side * 0.8, y - s * 0.4, s * c.between(0.5, 0.7), s * c.between(0.5, 0.8), wing)
        c.round(x + side * 0.6, y + s * 0.6, s * 0.5, s * 0.6, wing)
        c.round(x + side * 0.8, y - s * 0.4, s * 0.2, s * 0.2)
        c.path([(x, y - s), (x + side * 0.4, y - s * 1.5)], 3)
    c.round(x, y, s * 0.12, s)


def plan(c: Canvas) -> None:
    """Rooms of a house, or blocks of a town, from above."""

    def split(left: float, top: float, right: float, bottom: float, depth: int) -> None:
        if depth == 0:
            c.box(left, top, right, bottom)
            return
        at = c.between(0.3, 0.7)
        if right - left > bottom - top:
            middle = left + at * (right - left)
            split(left, top, middle, bottom, depth - 1)
            split(middle, top, right, bottom, depth - 1)
        else:
            middle = top + at * (bottom - top)
            split(left, top, right, middle, depth - 1)
            split(left, middle, right, bottom, depth - 1)

    edge = c.between(0.03, 0.15)
    split(edge, edge, 1 - edge, 1 - edge, c.chance.randint(2, 4))


KINDS: dict[str, Callable[[Canvas], None]] = {
    maker.__name__.replace("_", " "): maker
    for maker in (landscape, town, animal_head, beast, things, text, noise, texture, scribble, plain)
}
KEPT_BACK: dict[str, Callable[[Canvas], None]] = {maker.__name__: maker for maker in (plant, insect, plan)}


def make(kind: str, seed: int) -> Both:
    """The drawing and the picture of one kind."""
    canvas = Canvas(random.Random(f"{kind} {seed}"))
    (KINDS | KEPT_BACK)[kind](canvas)
    return canvas.drawing, canvas.picture
