"""What widgets are given: pictures on the pad, marked pictures, sentences as HTML; nothing where a result is gone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr
from PIL import Image

from midms.cli.app.answers import Answer, confidence_overlay, enlarged
from midms.cli.app.session import EXEMPLARS, Session
from midms.pipeline.result import Translation

VIEWS = ("result", "first warp", "confidence")
"""What is shown of the result."""
NO_HINTS = ""
_PAD = 1024
"""Pixels of the longer side of a drawing on the pad, at most; without strokes on it the file itself is translated."""


def on_pad(picture: Image.Image) -> dict[str, Any]:
    """What a pad is given: not larger than it can hand back quickly at each translation."""
    picture = picture.copy()
    picture.thumbnail((_PAD, _PAD))
    return {"background": picture, "layers": [], "composite": picture}


def exemplar_pictures(pictures: list[Any]) -> list[Any]:
    """Updates of the widgets of exemplars."""
    more = [*pictures, *[None] * (EXEMPLARS - len(pictures))]
    return [gr.update(value=one, visible=one is not None) for one in more]


def cleared() -> list[Any]:
    """Updates of what belongs to a result that is gone, in the order of the page's list of it."""
    download = gr.update(value=None, interactive=False)
    more = [None, None, None, None, gr.update(value=None, visible=False)]
    return [None, VIEWS[0], "", NO_HINTS, download, None, gr.update(open=False), *more]


CLEARED = len(cleared())
"""Widgets that are cleared."""


def all_of(found: Translation) -> list[Any]:
    """The tabs' pictures of a result."""
    result = enlarged(found.image)
    layers = [(enlarged(layer), name) for name, layer in found.layers().items()]
    return [
        (enlarged(found.condition).resize(result.size), result),
        [(enlarged(one), f"after level {i}") for i, one in enumerate(found.stages, 1)],
        enlarged(found.warp),
        confidence_overlay(found),
        gr.update(value=layers, visible=bool(layers)),
    ]


def shown(answer: Answer) -> list[Any]:
    """What is said of a click, and the marked pictures."""
    words = said(answer.text, answer.facts, answer.colours)
    return [words, VIEWS[0], answer.result, *exemplar_pictures(answer.exemplars)]


def said(
    text: str,
    facts: Sequence[tuple[str, str]] = (),
    colours: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """What is said below the pictures, as HTML."""
    chips = [f'<span class="chip" style="background: {one}"></span>' for one in reversed(colours)]
    measured = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(number)}</dd></div>" for name, number in facts)
    legend = '<p class="legend">nothing <span></span> most of it</p>' if facts else ""
    listed = "".join(f"<li>{escape(note)}</li>" for note in notes)
    parts = [
        f"<p>{'&rarr;'.join(chips)}{escape(text)}</p>",
        measured and f"<dl>{measured}</dl>",
        legend,
        listed and f"<ul>{listed}</ul>",
    ]
    return f'<div class="said">{"".join(parts)}</div>'


def hints_of(session: Session) -> str:
    """How many hints there are."""
    anchors, colours = len(session.anchors), len(session.colours)
    counted = ((anchors, "tie"), (colours, "colour"))
    return ", ".join(f"{n} {name}{'s' * (n > 1)}" for n, name in counted if n) or NO_HINTS
