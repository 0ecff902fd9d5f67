"""What one visitor has: a drawing, exemplars, hints, a result. No visitor's things reach another."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from PIL import Image

from midms.cli.app.answers import Answer, Place, destinations_of, enlarged, source_of
from midms.cli.app.choices import Cancelled, Choices, Watched, pipeline_of
from midms.cli.app.uploads import read_upload
from midms.core.files import atomic_write
from midms.data.portraits.pairs import draw_pairs
from midms.images import PictureError, Pixels, read_image, read_pixels, to_pil
from midms.loop import Moment
from midms.pipeline.result import Translation
from midms.pipeline.translate import translate

EXEMPLARS = 4
"""Most exemplars."""
VISITORS = 16
"""Whose things are kept; of more, those that were away longest lose theirs."""
ProgressFn = Callable[[float, str], None]
"""Asked with the share that is done, and what is."""


@dataclass
class Session:
    """The things of a visitor.

    Attributes:
        opened: the drawing, as it came in a file.
        exemplars: pictures.
        anchors: as `translate` takes them.
        colours: likewise.
        waiting: where an anchor begins, in pixels of the drawing as it came, until a visitor says where it ends.
        found: the last result.
        shown: exemplars of the last result, as they are shown.
        cancelled: whether the translation that runs or waits is wanted no more; who asks for another clears it.
    """

    opened: Pixels | None = None
    exemplars: list[Pixels] = field(default_factory=list)
    anchors: list[dict[str, Any]] = field(default_factory=list)
    colours: list[dict[str, Any]] = field(default_factory=list)
    waiting: list[float] | None = None
    found: Translation | None = None
    shown: list[Image.Image] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def open_drawing(self, path: Path) -> Image.Image:
        """Take a file as the drawing; hints for the one before are gone."""
        self.opened = read_upload(path)
        self.forget_hints()
        return to_pil(read_image(self.opened))

    def open_exemplars(self, paths: Sequence[Path]) -> list[Image.Image]:
        """Take files as exemplars, in the place of those before.

        Raises:
            PictureError: they are too many, or one cannot be read.
        """
        if len(paths) > EXEMPLARS:
            raise PictureError(f"exemplars: got {len(paths)}, expected at most {EXEMPLARS}")
        self.exemplars = [read_upload(path) for path in paths]
        self.forget_hints()
        return self.pictures()

    def take_example(self, number: int, lineart: bool) -> Image.Image:
        """A drawn face that no model was trained on, and a portrait to be its exemplar.

        Returns:
            The drawing.
        """
        pair = draw_pairs("test", [number], 64 if not lineart else 128, rendering="lineart" if lineart else "painted")
        self.opened = read_pixels(to_pil(1 - 2 * pair.sketch), "the example's drawing")
        self.exemplars = [read_pixels(to_pil(pair.exemplar), "the example's picture")]
        self.forget_hints()
        return to_pil(read_image(self.opened))

    def pictures(self) -> list[Image.Image]:
        """Exemplars as they are shown."""
        return [enlarged(to_pil(read_image(one))) for one in self.exemplars]

    def translate(self, drawing: Pixels | None, choices: Choices, progress: ProgressFn) -> list[str]:
        """Make a result.

        Returns:
            What the visitor should know of it, a line each.

        Raises:
            Cancelled: the visitor wants it no more.
            MidmsError: something that the visitor can put right.
        """
        if drawing is None:
            raise PictureError("there is no drawing yet: draw one, drop one, or take an example")
        if not self.exemplars:
            raise PictureError("there is no exemplar yet: drop a picture, or take an example")
        progress(0.0, "loading the model")
        pipe, notes = pipeline_of(choices.preset, choices.parts)
        self._check_wanted()
        pipe = pipe.replace(style=choices.style)
        levels = len(pipe.sampler.levels) + (0 if pipe.refiner is None else len(pipe.refiner.levels))

        def watch(moment: Moment) -> None:
            self._check_wanted()
            done = moment.step.level.index + 1 + (len(pipe.sampler.levels) if moment.stage == "refine" else 0)
            progress(done / levels, f"level {done} of {levels}")

        hints: dict[str, Any] = {"anchors": self.anchors or None, "colours": self.colours or None}
        found = translate(cast(Any, Watched(pipe, watch)), drawing, self.exemplars, seed=choices.seed, **hints)
        self.found, self.shown = found, self.pictures()
        return [*notes, *found.warnings]

    def ask(self, place: Place) -> Answer:
        """Where a place of the result comes from."""
        return source_of(self.result, self.shown, place)

    def ask_back(self, number: int, place: Place) -> Answer:
        """Where a place of an exemplar, counted from 0, went."""
        return destinations_of(self.result, self.shown, number, place)

    def begin_anchor(self, place: Place) -> None:
        """A place of the result that shall take from a place of an exemplar, which is to be said next."""
        self.waiting = self._of_drawing(place)

    def end_anchor(self, number: int, place: Place) -> None:
        """The place of an exemplar, counted from 0, that the anchor ends at."""
        width, height = self.result.frames[1 + number].handed_in
        there = [place[0] * width - 0.5, place[1] * height - 0.5]
        self.anchors.append({"here": self.waiting, "there": there, "exemplar": number})
        self.waiting = None

    def add_colour(self, place: Place, colour: str) -> None:
        """A place of the result that shall have a colour, as CSS writes it."""
        self.colours.append({"here": self._of_drawing(place), "colour": colour})

    def forget_hints(self) -> None:
        """Anchors and colours are gone."""
        self.anchors, self.colours, self.waiting = [], [], None

    def archive(self, folder: Path) -> Path:
        """The result as a zip file in a folder: what `Translation.save` writes, and the page of `midms explain`."""
        with tempfile.TemporaryDirectory(dir=folder) as place:
            saved = Path(place) / "midms-result"
            self.result.save(saved)
            with atomic_write(saved / "explain.html") as part:
                part.write_text(self.result.explain(), encoding="utf-8")
            made = shutil.make_archive(str(Path(place) / "result"), "zip", place, saved.name)
            target = Path(tempfile.mkdtemp(dir=folder)) / "midms-result.zip"
            return Path(shutil.move(made, target))

    @property
    def result(self) -> Translation:
        """The last result.

        Raises:
            PictureError: there is none yet.
        """
        if self.found is None:
            raise PictureError("there is no result yet: translate first")
        return self.found

    def _check_wanted(self) -> None:
        if self.cancelled.is_set():
            raise Cancelled("cancelled")

    def _of_drawing(self, place: Place) -> list[float]:
        """A place of the result, in pixels of the drawing as it came."""
        width, height = self.result.warp.size
        pixel = min(int(place[0] * width), width - 1), min(int(place[1] * height), height - 1)
        return [float(one) for one in self.result.origins([pixel]).condition[0]]


class Sessions:
    """Visitors' things by their keys."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, key: str) -> Session:
        """A visitor's things, which are new where there are none."""
        with self._lock:
            session = self._kept.setdefault(key, Session())
            self._kept.move_to_end(key)
            while len(self._kept) > VISITORS:
                self._kept.popitem(last=False)[1].cancelled.set()
            return session

    def close(self, key: str) -> None:
        """A visitor is gone: what runs ends, and nothing is kept."""
        with self._lock:
            if (session := self._kept.pop(key, None)) is not None:
                session.cancelled.set()

    def __len__(self) -> int:
        return len(self._kept)
