"""Random faces of the parts of facesjs, each from a word: their features, their frame, and palettes for them."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from random import Random

import torch
from jaxtyping import Float
from torch import Tensor

from midms.data.lineart.facesjs_package import BUILD, FATNESS, FEATURE_KINDS, FacesPackage, Feature, FeatureKind

COLOUR_SLOTS = ("skin", "hair", "primary", "secondary", "accent", "background")
"""What has a colour of the palette; the third to fifth are those of clothes."""
_OURS = {
    "$[skinColor]": "$[skin]",
    "$[hairColor]": "$[hair]",
    "$[faceShave]": "none",
    "$[headShave]": "none",
    "#e50002": "$[primary]",
    "#0000008": "#000",
    "mix-blend-mode:multiply;": "",
}
"""What is written instead of what the package has: our slots, nobody shaved, the one red garment of any
colour, a mistyped stroke in black, and nothing multiplied, so that one mask serves all channels."""
_HATS = ("hat", "hat2", "hat3", "santa-hat")
_UNDER_HATS = "short"
"""The hair that fits under a hat."""
_LASTING = ("hairBg", "body", "jersey", "ear", "head", "facialHair", "nose", "hair", "glasses", "accessories")
"""Kinds of features that a character has in every drawing; eyes, brows, mouth and lines are expressions."""
_SIDE, _BOTTOM, _ASIDE, _TURN = (430.0, 560.0), (530.0, 580.0), 30.0, 5.0
"""Of the square that is shown: ranges of its side and its bottom, how far its middle lies aside, and degrees that the
face is turned, all in the package's 400 x 600."""


def face_svg(package: FacesPackage, word: str, character: str = "") -> str:
    """A random face whose colours are left open; `with_colours` gives them.

    Args:
        package: its parts.
        word: what the face follows from.
        character: what all but its expression and its place follow from; "" for the word too.
    """
    random = Random(word)
    person = Random(character) if character else random
    female = person.random() < 0.5
    fatness, build = between(person, FATNESS[female]), between(person, BUILD[female])
    features = [_feature(package, kind, person if kind.name in _LASTING else random, female) for kind in FEATURE_KINDS]
    if features[-1].name in _HATS:
        features = [Feature(one.kind, _UNDER_HATS) if one.kind.name == "hair" else one for one in features]
    side, bottom = between(random, _SIDE), between(random, _BOTTOM)
    left, turn = 200 + between(random, (-_ASIDE, _ASIDE)) - side / 2, between(random, (-_TURN, _TURN))
    drawn = "".join(package.placed(one, fatness, build) for one in features)
    for theirs, ours in _OURS.items():
        drawn = drawn.replace(theirs, ours)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left} {bottom - side} {side} {side}">'
        '<rect x="-400" y="-400" width="1200" height="1200" fill="$[background]"/>'
        f'<g transform="rotate({turn} 200 600)">{drawn}</g></svg>'
    )


def _feature(package: FacesPackage, kind: FeatureKind, random: Random, female: bool) -> Feature:
    """A random feature; every one takes as many draws."""
    shown, chosen, size, angle, flip = (random.random() for _ in range(5))
    names = package.names(kind.name, "female" if female else "male")
    name = names[int(chosen * len(names))] if names and shown < kind.share[female] else ""
    low, high = kind.size[female]
    turn = kind.angle[0] + (kind.angle[1] - kind.angle[0]) * angle
    return Feature(kind, name, low + (high - low) * size, turn, kind.flips and flip < 0.5)


def with_colours(svg: str, colours: Mapping[str, str]) -> str:
    """A face with colours for all slots."""
    for slot in COLOUR_SLOTS:
        svg = svg.replace(f"$[{slot}]", colours[slot])
    return svg


def without_outlines(svg: str) -> str:
    """A face whose black lines are gone, the areas between them stay."""
    return svg.replace('stroke="#000"', 'stroke="none"').replace("stroke:#000", "stroke:none")


def random_palette(word: str) -> Float[Tensor, "6 3"]:
    """Random colours in [0, 1] of the slots, in their order.

    Skin is mostly of a natural tone and hair in half of all palettes; a quarter of all backgrounds are white.

    Args:
        word: what they follow from.
    """
    random = Random(word)

    def any_colour(saturation: tuple[float, float], lightness: tuple[float, float]) -> tuple[float, float, float]:
        return colorsys.hls_to_rgb(random.random(), between(random, lightness), between(random, saturation))

    tone, hue = random.random(), between(random, (0.03, 0.09))
    skin = colorsys.hls_to_rgb(hue, 0.85 - 0.63 * tone, between(random, (0.25, 0.6)))
    fantastic = any_colour((0.3, 0.8), (0.45, 0.8))
    natural = colorsys.hls_to_rgb(between(random, (0.03, 0.12)), 0.05 + 0.6 * random.random() ** 2, 0.45)
    dyed = any_colour((0.3, 0.9), (0.3, 0.7))
    colours = [
        skin if random.random() < 0.85 else fantastic,
        natural if random.random() < 0.5 else dyed,
        *(any_colour((0.15, 0.9), (0.2, 0.85)) for _ in range(3)),
        any_colour((0.1, 0.7), (0.45, 0.95)),
    ]
    if random.random() < 0.25:
        colours[-1] = (1.0, 1.0, 1.0)
    return torch.tensor(colours, dtype=torch.float32)


def between(random: Random, limits: tuple[float, float]) -> float:
    """A uniform number."""
    return limits[0] + (limits[1] - limits[0]) * random.random()
