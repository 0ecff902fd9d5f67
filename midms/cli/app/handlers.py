"""What happens when a visitor does something: from widgets' values to a session's methods, and back."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from midms.cli.app.answers import SIDE, Place, confidence_overlay, enlarged, ringed
from midms.cli.app.choices import Cancelled, Choices, choices_of, pipeline_of
from midms.cli.app.session import EXEMPLARS, Session
from midms.cli.app.sessions import Sessions
from midms.cli.app.updates import CLEARED, VIEWS, all_of, cleared, exemplar_pictures, hints_of, on_pad, said, shown
from midms.cli.app.uploads import Upload, drawn
from midms.core.errors import MidmsError, brief, printable
from midms.core.protocols import AnnotationReader
from midms.images import PictureError

ASK, ANCHOR, COLOUR = "show where it comes from", "tie it to a place of a picture", "give it a colour"
MODES = (ASK, ANCHOR, COLOUR)
"""What a click on the result means."""
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
        return [None, on_pad(picture), *cleared()]

    def open_exemplars(self, paths: list[str], request: gr.Request) -> list[Any]:
        """Files become the exemplars, or none of them does."""
        try:
            pictures = self.session(request).open_exemplars([Path(path) for path in paths])
        except MidmsError as error:
            return _refused(error, EXEMPLARS + CLEARED)
        return [None, *exemplar_pictures(pictures), *cleared()]

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
        return [number + 1, on_pad(drawing), *exemplar_pictures(session.pictures()), *cleared()]

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
            return [said("Cancelled."), *[gr.skip()] * (2 + EXEMPLARS + 6)]
        found = session.result
        return [
            said("Click any place of the result: its source lights up.", notes=notes),
            enlarged(found.image),
            VIEWS[0],
            *exemplar_pictures(session.shown),
            gr.update(interactive=False),
            *all_of(found),
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
            return [*shown(session.ask(place)), hints_of(session)]
        if mode == ANCHOR:
            session.begin_anchor(place)
            words = said("Now click the place of a picture that it shall take from.")
            return [
                words,
                VIEWS[0],
                ringed(enlarged(session.result.image), place),
                *[gr.skip()] * EXEMPLARS,
                hints_of(session),
            ]
        session.add_colour(place, colour := _css(colour))
        words = said("It gets this colour when you translate again.", colours=[colour])
        return [words, *[gr.skip()] * (2 + EXEMPLARS), hints_of(session)]

    @answered
    def click_exemplar(self, number: int, mode: str, click: gr.SelectData, request: gr.Request) -> list[Any]:
        """A place of an exemplar is asked about, or ends an anchor."""
        session = self.session(request)
        place = _place(click, session.size_of(number))
        if mode == ANCHOR and session.waiting is not None:
            session.end_anchor(number, place)
            words = said("They are tied together when you translate again.")
            return [words, *[gr.skip()] * (2 + EXEMPLARS), hints_of(session)]
        return [*shown(session.ask_back(number, place)), hints_of(session)]

    @answered
    def forget_hints(self, request: gr.Request) -> str:
        """Without anchors and colours."""
        session = self.session(request)
        session.forget_hints()
        return hints_of(session)


def _refused(error: MidmsError, others: int) -> list[Any]:
    """An upload that is not taken: its widget is empty again, so many others stay."""
    gr.Warning(_sentence(error), title="Not taken")
    return [None, *[gr.skip()] * others]


def _sentence(error: MidmsError) -> str:
    return brief(printable(error))


def _drawing(session: Session, pad: dict[str, Any] | None) -> Upload | None:
    pad = pad or {}
    return drawn(session.opened, pad.get("layers") or [], pad.get("composite"))


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
