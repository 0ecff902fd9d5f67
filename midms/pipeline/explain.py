"""A page that answers clicks: where a pixel of a saved result comes from, and where a place of an exemplar went."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from midms.images.page import HtmlPage, inline, items, page
from midms.pipeline.saved import RESULT_PICTURES, SavedTranslation

_FINE = 2**16 - 1
"""In how many steps the page knows numbers from 0 to 1."""
_SCRIPT, _STYLE = (Path(__file__).with_name(f"explain.{kind}") for kind in ("js", "css"))
_TITLES = {"result": "result", "condition": "condition", "warp": "first warp", "confidence": "confidence"}


def explanation_page(saved: SavedTranslation) -> HtmlPage:
    """The page, whole: its pictures, the match and what answers are in it, and nothing is fetched."""
    picks = "".join(
        f'<label><input type="radio" name="shown" value="{name}"{" checked" if name == "result" else ""}>'
        f"{_TITLES[name]}</label>"
        for name in RESULT_PICTURES
    )
    results = "".join(inline(saved.pictures[name], _TITLES[name], name, side=None) for name in RESULT_PICTURES)
    exemplars = "".join(
        f"<figure><figcaption>exemplar{f' {i}' if len(saved.exemplars) > 1 else ''}</figcaption>"
        f'<div class="shown exemplar">{inline(picture, f"exemplar {i}", side=None)}</div></figure>'
        for i, picture in enumerate(saved.exemplars, 1)
    )
    return page(
        "Where the result comes from",
        "<p>Click a pixel of the result to see where it comes from, or a place of an exemplar to see where it went."
        " Hold and move, or use the arrow keys, to go on from there.</p>",
        '<p id="answer" aria-live="polite">&nbsp;</p>',
        f'<div class="pair"><figure><figcaption class="picks">{picks}</figcaption>'
        f'<div class="shown result">{results}</div></figure>{exemplars}</div>',
        '<p class="legend">takes nothing <span></span> takes most</p>',
        items(saved.warnings, "failures"),
        f'<script type="application/json" id="match">{json.dumps(_data(saved))}</script>',
        style=_STYLE.read_text(encoding="utf-8"),
        script=_SCRIPT.read_text(encoding="utf-8"),
    )


def _data(saved: SavedTranslation) -> dict[str, Any]:
    """What the page's script reads: numbers of 16 bits, shares of 1 in `_FINE` steps."""
    rows, (height, width) = saved.rows, saved.source.shape
    pixels = torch.cartesian_prod(torch.arange(height), torch.arange(width)).flip(1)
    places, near = rows.main_places(pixels, saved.flow, saved.source)
    frames = [
        {"picture": one.picture, "canvas": one.canvas, "corner": one.corner} for one in (rows.frame, *rows.exemplars)
    ]
    return {
        "frames": frames,
        "grids": [rows.grid, *rows.grids],
        "kept": rows.columns.shape[1],
        "columns": _encoded(rows.columns.numpy().astype("<u4")),
        "shares": _fine(rows.shares),
        "cycle": _fine(rows.cycle.clamp(max=1)),
        "confidence": _fine(saved.confidence),
        "source": _encoded(saved.source.numpy().astype("u1")),
        "places": _fine(places),
        "near": _fine(near),
    }


def _fine(numbers: Float[Tensor, "..."]) -> str:
    return _encoded((numbers.clamp(0, 1) * _FINE).round().numpy().astype("<u2"))


def _encoded(numbers: Shaped[np.ndarray, "..."]) -> str:
    return base64.b64encode(np.ascontiguousarray(numbers).tobytes()).decode()
