"""What happens when a visitor does something: from widgets' values to a session's methods, and back."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from PIL import Image

from midms.cli.app.answers import SIDE, Answer, Place, confidence_overlay, enlarged, ringed
from midms.cli.app.choices import Cancelled, Choices, choices_of, pipeline_of
from midms.cli.app.session import EXEMPLARS, Session, Sessions
from midms.cli.app.uploads import Upload, drawn
from midms.core.errors import MidmsError, brief, printable
from midms.core.protocols import AnnotationReader
from midms.images import PictureError

ASK, ANCHOR, COLOUR = "show where it comes from", "tie it to a place of a picture", "give it a colour"
MODES = (ASK, ANCHOR, COLOUR)
"""What a click on the result means."""
NO_HINTS = "no hints"
_PAD = 1024
"""Pixels of the longer side of a drawing on the pad, at most; without strokes on it the file itself is translated."""
VIEWS = ("result", "first warp", "confidence")
"""What is shown of the result."""
F = TypeVar("F", bound=Callable[..., Any])


def answered(method: F) -> F:
    """Whatever a visitor can put right is shown in a sentence; whatever else goes wrong, by its kind."""

    @functools.wraps(method)
    def run(*given: Any, **options: Any) -> Any:
        try:
            return method(*given, **options)
        except MidmsError as error:
            raise gr.Error(_sentence(error), print_exception=False) from None

    return run  # type: ignore[return-value]


class Handlers:
    """What widgets call.

    Args:
        sessions: of visitors.
        folder: for files that are downloaded.
    """

    def __init__(self, sessions: Sessions, folder: Path) -> None:
        self.sessions, self.folder = sessions, folder

    def session(self, request: gr.Request) -> Session:
        """Whose things a request is about."""
        return self.sessions.of(str(request.session_hash))

    def close(self, request: gr.Request) -> None:
        """A visitor is gone."""
        self.sessions.close(str(request.session_hash))

    def open_drawing(self, path: str, choices: Choices, request: gr.Request) -> list[Any]:
        """A file becomes what is on the pad; one that is refused is said, and leaves all as it is."""
        try:
            picture = self.session(request).open_drawing(Path(path), choices)
        except MidmsError as error:
            return _refused(error, 1 + CLEARED)
        return [None, _on_pad(picture), *_cleared()]

    def open_exemplars(self, paths: list[str], request: gr.Request) -> list[Any]:
        """Files become the exemplars, or none of them does."""
        try:
            pictures = self.session(request).open_exemplars([Path(path) for path in paths])
        except MidmsError as error:
            return _refused(error, EXEMPLARS + CLEARED)
        return [None, *_exemplars(pictures), *_cleared()]

    def open_annotations(self, paths: list[str], request: gr.Request) -> Any:
        """Files become label maps or keypoints of the exemplars; they stay in their widget."""
        try:
            self.session(request).open_annotations([Path(path) for path in paths])
        except MidmsError as error:
            return _refused(error, 0)[0]
        return gr.skip()

    @answered
    def take_example(self, number: int, lineart: bool, request: gr.Request) -> list[Any]:
        """A drawing and an exemplar that come with the package."""
        session = self.session(request)
        drawing = session.take_example(number, lineart)
        return [number + 1, _on_pad(drawing), *_exemplars(session.pictures()), *_cleared()]

    @answered
    def wants_annotations(self, preset: str, condition: str) -> Any:
        """Whether exemplars need label maps or keypoints, as what is chosen reads drawings."""
        parts = choices_of(preset, {"condition": condition}, 0, 0).parts
        return gr.update(visible=isinstance(pipeline_of(preset, parts)[0].condition, AnnotationReader))

    @answered
    def lay_out(
        self, pad: dict[str, Any] | None, board: dict[str, Any] | None, choices: Choices, request: gr.Request
    ) -> Any:
        """Drawing and exemplars to paint regions on; what is painted there stays."""
        session, layers = self.session(request), (board or {}).get("layers") or []
        before = session.board
        picture = session.lay_out(_drawing(session, pad), choices)
        kept = layers if before is not None and before.picture.size == picture.size else []
        return {"background": picture, "layers": kept, "composite": None}

    @answered
    def translate(
        self,
        pad: dict[str, Any] | None,
        board: dict[str, Any] | None,
        choices: Choices,
        request: gr.Request,
        progress: gr.Progress,
    ) -> list[Any]:
        """A new result, and all that is shown of it."""
        session, strokes = self.session(request), (board or {}).get("layers") or []
        try:
            notes = session.translate(
                _drawing(session, pad), choices, lambda share, what: progress(share, desc=what), strokes
            )
        except Cancelled:
            return [_said("Cancelled."), *[gr.skip()] * (2 + EXEMPLARS + 6)]
        found = session.result
        result = enlarged(found.image)
        layers = [(enlarged(layer), name) for name, layer in found.layers().items()]
        return [
            _said("Click any place of the result: its source lights up.", notes=notes),
            result,
            VIEWS[0],
            *_exemplars(session.shown),
            (enlarged(found.condition).resize(result.size), result),
            [(enlarged(one), f"after level {i}") for i, one in enumerate(found.stages, 1)],
            enlarged(found.warp),
            confidence_overlay(found),
            gr.update(value=layers, visible=bool(layers)),
            gr.update(interactive=False),
        ]

    @answered
    def archive(self, request: gr.Request) -> Any:
        """The result as a file to download; nothing where the first translation was cancelled."""
        session = self.session(request)
        if session.found is None:
            return gr.skip()
        return gr.update(value=str(session.archive(self.folder)), interactive=True)

    def begin(self, request: gr.Request) -> None:
        """A translation is wanted, which may have to wait for those of others."""
        self.session(request).cancelled.clear()

    def cancel(self, request: gr.Request) -> None:
        """What runs or waits is wanted no more."""
        self.session(request).cancelled.set()

    @answered
    def view(self, which: str, request: gr.Request) -> Any:
        """Another picture of the result."""
        found = self.session(request).result
        return {
            "result": lambda: enlarged(found.image),
            "first warp": lambda: enlarged(found.warp),
            "confidence": lambda: confidence_overlay(found),
        }[which]()

    @answered
    def click_result(self, mode: str, colour: str, click: gr.SelectData, request: gr.Request) -> list[Any]:
        """A pixel of the result is asked about, or gets a hint."""
        session, place = self.session(request), _place(click, self.session(request).result.image.size)
        if mode == ASK:
            return [*_shown(session.ask(place)), _hints(session)]
        if mode == ANCHOR:
            session.begin_anchor(place)
            said = _said("Now click the place of a picture that it shall take from.")
            return [
                said,
                VIEWS[0],
                ringed(enlarged(session.result.image), place),
                *[gr.skip()] * EXEMPLARS,
                _hints(session),
            ]
        session.add_colour(place, colour := _css(colour))
        said = _said("It gets this colour when you translate again.", colours=[colour])
        return [said, *[gr.skip()] * (2 + EXEMPLARS), _hints(session)]

    @answered
    def click_exemplar(self, number: int, mode: str, click: gr.SelectData, request: gr.Request) -> list[Any]:
        """A place of an exemplar is asked about, or ends an anchor."""
        session = self.session(request)
        place = _place(click, session.size_of(number))
        if mode == ANCHOR and session.waiting is not None:
            session.end_anchor(number, place)
            said = _said("They are tied together when you translate again.")
            return [said, *[gr.skip()] * (2 + EXEMPLARS), _hints(session)]
        return [*_shown(session.ask_back(number, place)), _hints(session)]

    @answered
    def forget_hints(self, request: gr.Request) -> str:
        """Without anchors and colours."""
        session = self.session(request)
        session.forget_hints()
        return _hints(session)


def _refused(error: MidmsError, others: int) -> list[Any]:
    """An upload that is not taken: its widget is empty again, so many others stay."""
    gr.Warning(_sentence(error), title="Not taken")
    return [None, *[gr.skip()] * others]


def _sentence(error: MidmsError) -> str:
    return brief(printable(error))


def _on_pad(picture: Image.Image) -> dict[str, Any]:
    """What a pad is given: not larger than it can hand back quickly at each translation."""
    picture = picture.copy()
    picture.thumbnail((_PAD, _PAD))
    return {"background": picture, "layers": [], "composite": picture}


def _exemplars(pictures: list[Any]) -> list[Any]:
    """Updates of the widgets of exemplars."""
    more = [*pictures, *[None] * (EXEMPLARS - len(pictures))]
    return [gr.update(value=one, visible=one is not None) for one in more]


def _cleared() -> list[Any]:
    """Updates of what belongs to a result that is gone, in the order of the page's list of it."""
    more = [None, None, None, None, gr.update(value=None, visible=False), gr.update(value=None, interactive=False)]
    return [None, VIEWS[0], "", NO_HINTS, None, gr.update(open=False), *more]


CLEARED = len(_cleared())


def _drawing(session: Session, pad: dict[str, Any] | None) -> Upload | None:
    pad = pad or {}
    return drawn(session.opened, pad.get("layers") or [], pad.get("composite"))


def _shown(answer: Answer) -> list[Any]:
    said = _said(answer.text, answer.facts, answer.colours)
    return [said, VIEWS[0], answer.result, *_exemplars(answer.exemplars)]


def _said(
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


def _place(click: gr.SelectData, extent: tuple[int, int]) -> Place:
    """Where a shown picture was clicked, in shares of its width and height.

    Raises:
        PictureError: beside it.
    """
    if None in click.index:
        raise PictureError("that was beside the picture; click in it")
    longer = max(extent)
    width, height = (max(1, round(side * SIDE / longer)) for side in extent)
    x, y = click.index
    return min((x + 0.5) / width, 1 - 1e-6), min((y + 0.5) / height, 1 - 1e-6)


def _css(colour: str) -> str:
    """A colour as CSS writes it, of what the colour picker gives."""
    if not colour.startswith("rgb"):
        return colour
    numbers = colour.partition("(")[2].rstrip(")").split(",")[:3]
    return "#" + "".join(f"{min(255, max(0, round(float(one)))):02x}" for one in numbers)


def _hints(session: Session) -> str:
    anchors, colours = len(session.anchors), len(session.colours)
    counted = ((anchors, "tie"), (colours, "colour"))
    return ", ".join(f"{n} {name}{'s' * (n > 1)}" for n, name in counted if n) or NO_HINTS
