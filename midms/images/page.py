"""A page in one file: its pictures, plots and style are in it, and nothing is fetched."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

from PIL import Image

_SIDE = 256
"""Pixels of a picture's longer side, at most."""
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #222; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; text-align: left; border-bottom: 1px solid #eee; }
.cards { display: flex; flex-wrap: wrap; gap: 1rem; } .card { margin: 0; max-width: 100%; }
.card figcaption { font-size: .8rem; max-width: 16rem; overflow-wrap: anywhere; }
.row { display: flex; gap: 4px; align-items: flex-start; } .row > img { height: 96px; width: auto; }
.slider { position: relative; display: inline-block; --at: 50%; line-height: 0; }
.slider img { display: block; width: 256px; height: auto; image-rendering: pixelated; }
.slider .after { position: absolute; inset: 0; clip-path: inset(0 0 0 var(--at)); }
.slider::after { content: ""; position: absolute; top: 0; bottom: 0; left: var(--at); width: 2px; background: #fff; }
.slider input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; cursor: ew-resize; }
svg { max-width: 100%; height: auto; } .failures { color: #a02020; }
"""
_SCRIPT = """
for (const one of document.querySelectorAll(".slider input"))
  one.addEventListener("input", () => one.parentNode.style.setProperty("--at", one.value + "%"));
"""


class HtmlPage(str):
    """A page's HTML, which a notebook shows in a frame."""

    def _repr_html_(self) -> str:
        return f'<iframe srcdoc="{escape(self)}" style="width: 100%; height: 42rem; border: 0"></iframe>'

    def __repr__(self) -> str:
        return f"a page of {len(self):,} characters"


def page(title: str, *parts: str, style: str = "", script: str = "") -> HtmlPage:
    """A whole page of parts that are HTML, with a style and a script of its own."""
    body = "\n".join(part for part in parts if part)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return HtmlPage(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>\n'
        f"<style>{_STYLE}{style}</style></head>\n<body><h1>{escape(title)}</h1>\n{body}\n<script>{_SCRIPT}{script}</script>"
        "</body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    """Parts under a heading; nothing, where there are none."""
    body = "\n".join(part for part in parts if part)
    return f"<h2>{escape(title)}</h2>\n{body}" if body else ""


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under a header."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "\n".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>\n{body}</table>"


def items(lines: Sequence[str], kind: str = "") -> str:
    """Lines one below the other, or nothing."""
    return f'<ul class="{kind}">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>' if lines else ""


def inline(picture: Image.Image, title: str, kind: str = "", side: int | None = _SIDE) -> str:
    """A picture, at most so many pixels a side; None for its own size."""
    small, file = picture.convert("RGB"), io.BytesIO()
    if side is not None:
        small.thumbnail((side, side))
    small.save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img class="{kind}" alt="{escape(title)}" title="{escape(title)}" src="data:image/png;base64,{data}">'


def slider(before: Image.Image, after: Image.Image, names: tuple[str, str]) -> str:
    """Two pictures of one size, one on the other: left of a bar that can be moved the first, right of it the second.

    Which is which stands beneath.
    """
    first, second = inline(before, names[0]), inline(after.resize(before.size), names[1], "after")
    label = escape(f"{names[0]} | {names[1]}")
    bar = f'<input type="range" min="0" max="100" value="50" aria-label="{label}">'
    sides = f"<small>left {escape(names[0])}, right {escape(names[1])}</small>"
    return f'<div><div class="slider">{first}{second}{bar}</div><br>{sides}</div>'


def picture_card(caption: str, *parts: str) -> str:
    """Pictures side by side with a caption."""
    row = f'<div class="row">{"".join(parts)}</div>'
    return f'<figure class="card">{row}<figcaption>{escape(caption)}</figcaption></figure>'


def cards(parts: Sequence[str]) -> str:
    """Cards in rows, or nothing."""
    return f'<div class="cards">{"".join(parts)}</div>' if parts else ""
