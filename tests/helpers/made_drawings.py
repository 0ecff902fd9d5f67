"""Small packages in the layouts of facesjs and openmoji, of drawings of our own."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from midms.conditions.sketch import Sketch
from midms.core.protocols import ConditionExtractor
from midms.data.lineart.openmoji import SKIN_TONES

SKIN, HAIR, PRIMARY, SECONDARY, ACCENT = (
    f"$[{name}]" for name in ("skinColor", "hairColor", "primary", "secondary", "accent")
)


def path(d: str, fill: str = "none", more: str = "") -> str:
    return f'<path d="{d}" fill="{fill}" stroke="#000" stroke-width="4"{more}/>'


PARTS = {
    "hairBg": {"long": path("M90 200h220v300H90z", HAIR), "none": ""},
    "body": {"body": path("M20 600q20-110 130-120l40-60h20l40 60q110 10 130 120z", SKIN)},
    "jersey": {
        "plain": path("M30 600l10-70 100-30q60 50 120 0l100 30 10 70z", PRIMARY),
        "stripes": path("M30 600l10-70 100-30q60 50 120 0l100 30 10 70z", PRIMARY)
        + path("M90 600V520h30v80z", SECONDARY)
        + path("M280 600V520h30v80z", ACCENT),
    },
    "ear": {"ear1": path("M0 0c30-10 30 60 0 50z", SKIN), "ear2": path("M0 0h20v60H0z", SKIN)},
    "head": {
        "oval": path("M200 140c90 0 120 60 120 180s-60 170-120 170-120-50-120-170 30-180 120-180z", SKIN)
        + '<path d="M90 250h220v30H90z" fill="$[headShave]"/><path d="M90 400h220v30H90z" fill="$[faceShave]"/>',
        "square": path("M90 150h220v300l-40 40H130l-40-40z", SKIN),
    },
    "eyeLine": {"line": path("M120 340h40m80 0h40"), "none": ""},
    "smileLine": {"line": path("M0 0c-10 20-10 40 0 60"), "none": ""},
    "miscLine": {"none": "", "chin": path("M190 480h20")},
    "facialHair": {"none": "", "beard": path("M110 400q90 40 180 0l-30 80H140z", HAIR)},
    "eye": {
        "round": path("M0 20a20 20 0 0 1 40 0 20 20 0 0 1-40 0z", "#fff") + path("M15 15h10v10H15z", "#000"),
        "slit": path("M0 0q20-12 40 0-20 12-40 0z", "#fff", ' transform="rotate(3 20 0)"'),
    },
    "eyebrow": {"thin": path("M0 0q30-20 60 0l-4 8q-26-20-52 0z", HAIR), "bar": path("M0 0h50v10H0z", HAIR)},
    "mouth": {"smile": path("M0 0q40 40 80 0z", "#501414"), "side": path("M0 0q20 20 50-10")},
    "nose": {"nose1": path("M0 0q-30 50 10 50"), "pinocchio": path("M0 0h60v12H0z", SKIN)},
    "hair": {
        "short": path("M80 260q0-140 120-140t120 140q-10-80-120-80T80 260z", HAIR),
        "tuft": '<g fill="$[hairColor]" stroke="#000">' + path("M150 150l20-60 40 40 30-40 10 60z", HAIR) + "</g>",
    },
    "glasses": {"none": "", "frames": path("M90 290h90v50H90zm130 0h90v50h-90z", "rgba(150,150,175,.5)")},
    "accessories": {"none": "", "hat": path("M70 220q0-140 130-140t130 140z", SECONDARY)},
}
GENDERS = {kind: dict.fromkeys(names, "both") for kind, names in PARTS.items()} | {
    "facialHair": {"none": "both", "beard": "male"},
    "hairBg": {"long": "female", "none": "both"},
}


def write_facesjs(root: Path) -> Path:
    build = root / "build"
    build.mkdir(parents=True)
    (root / "package.json").write_text(json.dumps({"name": "facesjs", "version": "5.0.3"}))
    (build / "svgs.js").write_text(f"// GENERATED\n\nexport default {json.dumps(PARTS, indent=2)};")
    index = {kind: [*names] for kind, names in GENDERS.items()}
    genders = {kind: [*names.values()] for kind, names in GENDERS.items()}
    (build / "svgs-index.js").write_text(
        f"export const svgsIndex = {json.dumps(index)};\nexport const svgsGenders = {json.dumps(genders)};"
    )
    return root


def emoji(*shapes: str) -> str:
    return f'<svg viewBox="0 0 72 72" xmlns="http://www.w3.org/2000/svg">{"".join(shapes)}</svg>'


def write_openmoji(root: Path) -> Path:
    """Squares of skin with a cap each, of other sizes; and drawings that are of no colouring, or not of all."""
    for place in ("color", "black"):
        (root / place / "svg").mkdir(parents=True)
    for number in range(30):
        side, name = 20 + number, f"1F4{number:02}"
        shape = f'<path d="M10 20h{side}v{side}H10z" fill="{{}}" stroke="#000" stroke-width="2"/>'
        cap = f'<path d="M10 12h{side}v8H10z" fill="{{}}" stroke="#000" stroke-width="2"/>'
        for tone, colour in SKIN_TONES.items():
            coloured = emoji(shape.format(f"#{colour:06x}"), cap.format("#92d3f5"))
            (root / "color" / "svg" / f"{name}-{tone}.svg").write_text(coloured)
            (root / "black" / "svg" / f"{name}-{tone}.svg").write_text(emoji(shape.format("none"), cap.format("none")))
    for name in ("1F600", "1F3FB", "1F999-1F3FB", "1F998-1F3FB-1F3FC"):
        for place in ("color", "black"):
            (root / place / "svg" / f"{name}.svg").write_text(emoji(shape.format("none")))
    return root


WRITERS: dict[str, Callable[[Path], Path]] = {
    "facesjs": write_facesjs,
    "lineart": write_facesjs,
    "openmoji": write_openmoji,
}
CONDITIONS: dict[str, Callable[[], ConditionExtractor]] = dict.fromkeys(WRITERS, Sketch)
"""What reads the drawings of each."""


@functools.cache
def made(package: str) -> Path:
    """The folder of the package of this name, written once in a process."""
    return WRITERS[package](Path(_temporary().name) / package)


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="midms-drawings-")


def dataset_of(package: str, **more: Any) -> Any:
    from midms import create

    return create("dataset", package, path=made(package), **{"size": 64, "condition": Sketch()} | more)
