"""What one visitor has: a drawing, exemplars, hints, a result. No visitor's things reach another."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from PIL import Image

from midms.cli.app.answers import Answer, Place, Shown, destinations_of, enlarged, source_of
from midms.cli.app.brushes import Board, Labels, Paired, board_of, paired
from midms.cli.app.choices import Cancelled, Choices, Watched, pipeline_of
from midms.cli.app.uploads import Upload, read_upload, read_uploads, uploaded
from midms.core.files import atomic_write
from midms.core.protocols import AnnotationReader
from midms.data.portraits.pairs import draw_pairs
from midms.images import PictureError, read_image, to_pil
from midms.loop import Moment
from midms.pipeline.inputs import read_inputs
from midms.pipeline.result import Translation
from midms.pipeline.translate import translate

EXEMPLARS = 4
"""Most exemplars."""
ProgressFn = Callable[[float, str], None]
"""Asked with the share that is done, and what is."""


@dataclass
class Session:
    """The things of a visitor.

    Attributes:
        opened: the drawing, or a label map or keypoints in its place, as it came in a file.
        exemplars: pictures.
        annotations: of exemplars in their order, label maps or keypoints, for presets that want them.
        board: that regions are painted on; None where drawing or exemplars are others since.
        anchors: as `translate` takes them.
        colours: likewise.
        waiting: where an anchor begins, in pixels of the drawing as it came, until a visitor says where it ends.
        found: the last result.
        shown: exemplars of the last result, as they are shown.
        pairing: exemplars as they were given for the last result, and their regions.
        cancelled: whether the translation that runs or waits is wanted no more; who asks for another clears it; with
            another drawing or other exemplars it is a new one.
    """

    opened: Upload | None = None
    exemplars: list[Upload] = field(default_factory=list)
    annotations: list[Upload] = field(default_factory=list)
    board: Board | None = None
    anchors: list[dict[str, Any]] = field(default_factory=list)
    colours: list[dict[str, Any]] = field(default_factory=list)
    waiting: list[float] | None = None
    found: Translation | None = None
    shown: list[Image.Image] = field(default_factory=list)
    pairing: Paired = field(default_factory=lambda: Paired([0], None, [None], []))
    cancelled: threading.Event = field(default_factory=threading.Event)

    def open_drawing(self, path: Path, choices: Choices) -> Image.Image:
        """Take a file as the drawing, which is shown as the choices read it; the result of the one before is gone.

        Raises:
            PictureError: it cannot be read, or is nothing that the choices take.
        """
        shown = (opened := read_upload(path)).shown(pipeline_of(choices.preset, choices.parts)[0].condition)
        self.opened = opened
        self.forget_result()
        return shown

    def open_exemplars(self, paths: Sequence[Path]) -> list[Image.Image]:
        """Take files as exemplars, in the place of those before.

        Raises:
            PictureError: they are too many, or one is no picture.
        """
        exemplars = read_uploads(paths, "exemplars", EXEMPLARS)
        if strange := [one.name for one in exemplars if one.pixels is None]:
            raise PictureError(f"{strange[0]}: expected a picture")
        self.exemplars, self.annotations = exemplars, []
        self.forget_result()
        return self.pictures()

    def open_annotations(self, paths: Sequence[Path]) -> None:
        """Take files as label maps or keypoints of the exemplars, in their order.

        Raises:
            PictureError: they are too many, or one cannot be read.
        """
        self.annotations = read_uploads(paths, "label maps or keypoints", EXEMPLARS)

    def take_example(self, number: int, lineart: bool) -> Image.Image:
        """A drawn face that no model was trained on, and a portrait to be its exemplar.

        Returns:
            The drawing.
        """
        pair = draw_pairs("test", [number], 64 if not lineart else 128, rendering="lineart" if lineart else "painted")
        drawing = to_pil(1 - 2 * pair.sketch)
        self.opened = uploaded(drawing, "the example's drawing")
        self.exemplars, self.annotations = [uploaded(to_pil(pair.exemplar), "the example's picture")], []
        self.forget_result()
        return drawing

    def pictures(self) -> list[Image.Image]:
        """Exemplars as they are shown."""
        return [enlarged(to_pil(read_image(one.pixels))) for one in self.exemplars]

    def lay_out(self, drawing: Upload | None, choices: Choices) -> Image.Image:
        """Drawing and exemplars, as the choices read them, side by side to paint regions on.

        Raises:
            PictureError: there is no drawing or no exemplar yet, or one cannot be read.
        """
        pipe, _ = pipeline_of(choices.preset, choices.parts)
        self._check_given(drawing, pipe.condition)
        read = read_inputs(pipe, **self._given(cast(Upload, drawing), pipe.condition))
        self.board = board_of(to_pil(read.condition.picture), [to_pil(one) for one in read.exemplars.detailed])
        return self.board.picture

    def translate(
        self, drawing: Upload | None, choices: Choices, progress: ProgressFn, strokes: Sequence[Image.Image] = ()
    ) -> list[str]:
        """Make a result.

        Args:
            drawing: what is drawn.
            choices: of parts and settings.
            progress: called with how far it is.
            strokes: that regions were painted with on the board.

        Returns:
            What the visitor should know of it, a line each.

        Raises:
            Cancelled: the visitor wants it no more, or has handed in something else since.
            MidmsError: something that the visitor can put right.
        """
        cancelled = self.cancelled

        def check_wanted() -> None:
            if cancelled.is_set():
                raise Cancelled("cancelled")

        progress(0.0, "loading the model")
        pipe, notes = pipeline_of(choices.preset, choices.parts)
        check_wanted()
        self._check_given(drawing, pipe.condition)
        painted = self.board.labels(strokes) if self.board is not None else []
        pairing = self._paired(painted)
        pipe = pipe.replace(style=choices.style)
        levels = len(pipe.sampler.levels) + (0 if pipe.refiner is None else len(pipe.refiner.levels))

        def watch(moment: Moment) -> None:
            check_wanted()
            done = moment.step.level.index + 1 + (len(pipe.sampler.levels) if moment.stage == "refine" else 0)
            progress(done / levels, f"level {done} of {levels}")

        given = self._given(cast(Upload, drawing), pipe.condition, pairing)
        shown = self.pictures()
        found = translate(cast(Any, Watched(pipe, watch)), seed=choices.seed, **given)
        check_wanted()
        self.found, self.shown, self.pairing = found, shown, pairing
        return [*notes, *pairing.notes, *found.warnings]

    def ask(self, place: Place) -> Answer:
        """Where a place of the result comes from."""
        return source_of(Shown(self.result, self.shown, self.pairing.numbers), place)

    def ask_back(self, number: int, place: Place) -> Answer:
        """Where a place of an exemplar, counted from 0, went."""
        return destinations_of(Shown(self.result, self.shown, self.pairing.numbers), number, place)

    def begin_anchor(self, place: Place) -> None:
        """A place of the result that shall take from a place of an exemplar, which is to be said next."""
        self.waiting = self._of_drawing(place)

    def end_anchor(self, number: int, place: Place) -> None:
        """The place of an exemplar, counted from 0, that the anchor ends at."""
        width, height = self.size_of(number)
        there = [place[0] * width - 0.5, place[1] * height - 0.5]
        self.anchors.append({"here": self.waiting, "there": there, "exemplar": number})
        self.waiting = None

    def size_of(self, number: int) -> tuple[int, int]:
        """Width and height of an exemplar of the last result, counted from 0, as it was handed in."""
        found = self.result
        if number not in self.pairing.numbers:  # nothing is taken from it
            return self.shown[number].size
        return found.frames[1 + self.pairing.numbers.index(number)].handed_in

    def add_colour(self, place: Place, colour: str) -> None:
        """A place of the result that shall have a colour, as CSS writes it."""
        self.colours.append({"here": self._of_drawing(place), "colour": colour})

    def forget_hints(self) -> None:
        """Anchors and colours are gone."""
        self.anchors, self.colours, self.waiting = [], [], None

    def forget_result(self) -> None:
        """The result is gone, one that is being made too, and all that was said of its drawing and exemplars."""
        self.cancelled.set()
        self.cancelled = threading.Event()
        self.found, self.board = None, None
        self.forget_hints()

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

    def _check_given(self, drawing: Upload | None, condition: object) -> None:
        if drawing is None:
            raise PictureError("there is no drawing yet: draw one, drop one, or take an example")
        if not self.exemplars:
            raise PictureError("there is no exemplar yet: drop a picture, or take an example")
        if isinstance(condition, AnnotationReader) and len(self.annotations) != len(self.exemplars):
            raise PictureError(
                "this preset needs label maps or keypoints of the exemplars too: "
                f"got {len(self.annotations)}, expected {len(self.exemplars)}"
            )

    def _paired(self, painted: Sequence[Labels]) -> Paired:
        if any(one.any() for one in painted):
            return paired(painted)
        return Paired([*range(len(self.exemplars))], None, [None] * len(self.exemplars), [])

    def _given(self, drawing: Upload, condition: Any, pairing: Paired | None = None) -> dict[str, Any]:
        """Arguments of `translate`."""
        pairing = pairing or self._paired([])
        numbers = pairing.numbers
        if any(one["exemplar"] not in numbers for one in self.anchors):
            raise PictureError("a place is tied to a picture that no region takes from: forget ties, or paint there")
        anchors = [one | {"exemplar": numbers.index(one["exemplar"])} for one in self.anchors]
        annotated = isinstance(condition, AnnotationReader)
        return {
            "condition": drawing.given(condition),
            "exemplar": [self.exemplars[i].pixels for i in numbers],
            "exemplar_condition": [self.annotations[i].given(condition) for i in numbers] if annotated else None,
            "regions": pairing.regions,
            "exemplar_regions": pairing.exemplar_regions if any(pairing.exemplar_regions) else None,
            "anchors": anchors or None,
            "colours": self.colours or None,
        }

    def _of_drawing(self, place: Place) -> list[float]:
        """A place of the result, in pixels of the drawing as it came."""
        width, height = self.result.warp.size
        pixel = min(int(place[0] * width), width - 1), min(int(place[1] * height), height - 1)
        return [float(one) for one in self.result.origins([pixel]).condition[0]]
