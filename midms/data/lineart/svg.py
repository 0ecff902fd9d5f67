"""SVG as pixels, and what its shapes measure; with resvg and fontTools, which are optional."""

from __future__ import annotations

import functools
import importlib.util
import io
import re
from xml.etree import ElementTree

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from midms.data.errors import BrokenSample, DatasetError

Box = tuple[float, float, float, float]
"""Left, top, right and bottom."""
SVG_SIZES = (64, 512)
"""Pixels a side that pairs of drawings can have."""
_NEEDED = {"resvg_py": "resvg_py", "fontTools": "fonttools"}
"""Modules, and what they are called where they are installed from."""
_PATH = re.compile(r'\sd="([^"]*)"')


def require_svg(dataset: str) -> None:
    """Find out whether what reads SVG is installed.

    Args:
        dataset: what needs it.

    Raises:
        DatasetError: it is not.
    """
    if missing := [package for module, package in _NEEDED.items() if importlib.util.find_spec(module) is None]:
        raise DatasetError(f"{dataset} needs {' and '.join(missing)}; pip install 'midms[lineart]'")


def refuse_unreadable(svg: str, name: str) -> None:
    """Find out whether a part of a drawing is XML without declarations, with paths that can be read.

    Raises:
        DatasetError: it is not; the message begins with the name.
    """
    try:
        ElementTree.fromstring(f"<g>{svg}</g>")  # inside an element nothing can declare entities
        bounds(svg)
    except (ElementTree.ParseError, ValueError, IndexError, TypeError, AssertionError) as error:
        raise DatasetError(f"{name}: cannot be read as SVG ({' '.join(str(error).split())})") from None


def rasterised(svg: str, side: int, name: str) -> bytes:
    """A square drawing on white paper, as PNG.

    Args:
        svg: the drawing.
        side: pixels of the picture's sides.
        name: what errors call it.

    Raises:
        BrokenSample: it cannot be drawn.
    """
    import resvg_py

    try:
        drawn = resvg_py.svg_to_bytes(
            svg_string=svg, width=side, height=side, background="#ffffff", skip_system_fonts=True
        )
        return bytes(drawn)
    except ValueError as error:
        raise BrokenSample(f"{name}: cannot be drawn ({' '.join(str(error).split())})") from None


def decoded(png: bytes) -> UInt8[Tensor, "3 y x"]:
    """The pixels of what `rasterised` gives."""
    return torch.from_numpy(np.array(Image.open(io.BytesIO(png)).convert("RGB"))).movedim(-1, 0)


@functools.lru_cache(maxsize=1024)
def bounds(svg: str) -> Box:
    """The box around all paths of a part, without the width of strokes and without transforms of their own.

    Raises:
        ValueError: there is no path; one that cannot be read raises what fontTools raises.
    """
    from fontTools.pens.boundsPen import BoundsPen
    from fontTools.svgLib.path import parse_path

    pen = BoundsPen(None)
    for path in _PATH.findall(svg):
        parse_path(path, pen)
    if pen.bounds is None:
        raise ValueError("it has no paths")
    left, top, right, bottom = pen.bounds
    return left, top, right, bottom
