"""What a visitor of the app does, without widgets and without Gradio."""

from __future__ import annotations

import ast
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sample_pictures import drawing, photo

from midms.cli.app.answers import SIDE, confidence_overlay, lit
from midms.cli.app.choices import (
    AS_IT_IS,
    EXCHANGED,
    NO_PART,
    Cancelled,
    Choices,
    choices_of,
    part_menu,
    pipeline_of,
    preset_menu,
)
from midms.cli.app.session import Session
from midms.cli.app.sessions import VISITORS, Sessions
from midms.cli.app.uploads import drawn, uploaded
from midms.compose.compose import BuildError
from midms.data.portraits.pairs import draw_pairs
from midms.images import PictureError

ROOT = Path(__file__).parents[3]
FACES = Choices("midm-faces")


def silent(share: float, what: str) -> None:
    assert 0 <= share <= 1 and what


@pytest.fixture(scope="module")
def visited() -> Session:
    """A session with the result of the first example."""
    session = Session()
    session.take_example(0, lineart=False)
    assert session.translate(session.opened, FACES, silent) == []
    return session


def test_a_click_finds_the_true_source_and_back(visited: Session) -> None:
    pairs = draw_pairs("test", [0], 64)
    assert pairs.visible[0, 22, 34]
    answer = visited.ask((34.5 / 64, 22.5 / 64))
    x, y = visited.result.at(34, 22).place
    true = (pairs.place[0, :, 22, 34] + 1) * 32 - 0.5
    assert (torch.tensor([x, y]) - true).norm() < 0.05 * 64
    assert answer.text == f"Pixel (34, 22) of the result comes from ({x:.0f}, {y:.0f}) of the exemplar."
    measured, origin = dict(answer.facts), visited.result.at(34, 22)
    assert measured["Confidence"] == f"{100 * origin.confidence:.0f} %" and "Cycle error, of the width" in measured
    assert len(answer.colours) == 2
    (heat,) = answer.exemplars
    assert answer.result.size == heat.size == (SIDE, SIDE)
    before, after = (np.asarray(one, float) for one in (visited.shown[0], heat))
    assert after[:20, :20].mean() < 0.6 * before[:20, :20].mean(), "what is not taken from is dark"
    here, there = int(y * SIDE / 64), int(x * SIDE / 64)
    assert after[here, there].mean() > before[here, there].mean(), "what is taken from is lit"
    back = visited.ask_back(0, ((x + 0.5) / 64, (y + 0.5) / 64))
    assert back.text.startswith(f"Place ({x:.0f}, {y:.0f}) of the exemplar gives most to the lightest cells")
    assert confidence_overlay(visited.result).size == (SIDE, SIDE)


def test_heat_is_where_the_match_is() -> None:
    grey = Image.new("RGB", (80, 40), (100, 100, 100))
    found = np.asarray(lit(grey, torch.tensor([[0.0, 0.0, 0.0, 0.4], [0.0, 0.0, 0.0, 0.0]])), float)
    dark = 100 + 0.66 * (np.array([16, 18, 28]) - 100)
    np.testing.assert_allclose(found[:, :20], np.broadcast_to(dark, (40, 20, 3)), atol=1)
    assert (found[:, :, 0].argmax() % 80) > 64 and found[:, 79, 0].argmax() < 16, "hottest in its cell"


def test_hints_change_the_next_result(visited: Session) -> None:
    session = Session(opened=visited.opened, exemplars=visited.exemplars, found=visited.found)
    session.begin_anchor((0.5, 0.5))
    session.end_anchor(0, (0.1, 0.1))
    session.add_colour((0.9, 0.9), "#00ff00")
    (anchor,) = session.anchors
    assert anchor["here"] == pytest.approx([64.5, 64.5]) and anchor["there"] == pytest.approx([5.9, 5.9])
    session.translate(session.opened, FACES, silent)
    assert session.result.at(32, 32).place == pytest.approx((5.5, 5.5), abs=2)
    assert np.asarray(session.result.image)[58, 58].argmax() == 1
    session.forget_hints()
    assert not session.anchors and not session.colours


def test_parts_and_presets_have_a_line_each() -> None:
    lines = preset_menu("runs/mine")
    assert lines["midm-faces"].startswith("a sketch")
    assert "midm-celeba" not in lines and "runs/mine" in lines
    for slot in EXCHANGED:
        first, *others = (lines := part_menu(slot))
        assert first == AS_IT_IS and all(lines[name] for name in others if name != NO_PART)
    menu = dict.fromkeys(EXCHANGED, AS_IT_IS) | {"matcher": "nearest", "finisher": NO_PART}
    choices = choices_of("midm-faces", menu, 0.7, None)
    assert choices.parts == (("matcher", "nearest"), ("finisher", NO_PART)) and choices.seed == 0
    assert type(pipeline_of("midm-faces", choices.parts)[0].matcher).__name__ == "Nearest"
    with pytest.raises(BuildError, match="mass"):
        pipeline_of("midm-faces", (("confidence", "mass"),))


def test_another_matcher_and_style_make_another_result(visited: Session) -> None:
    session = Session(opened=visited.opened, exemplars=visited.exemplars)
    for choices in (Choices("midm-faces", (("matcher", "mutual-nearest"),)), Choices("midm-faces", (), 0.0)):
        session.translate(session.opened, choices, silent)
        assert session.result.image != visited.result.image


def test_cancelling_ends_it_at_the_next_level(visited: Session) -> None:
    session, seen = Session(opened=visited.opened, exemplars=visited.exemplars), []

    def cancel(share: float, what: str) -> None:
        seen.append(what)
        if what == "level 1 of 2":
            session.cancelled.set()

    with pytest.raises(Cancelled):
        session.translate(session.opened, FACES, cancel)
    assert seen == ["loading the model", "level 1 of 2"] and session.found is None
    with pytest.raises(Cancelled):  # as where it was cancelled while it waited
        session.translate(session.opened, FACES, silent)
    session.cancelled.clear()
    session.translate(session.opened, FACES, silent)


@pytest.mark.parametrize("level", ["level 1 of 2", "level 2 of 2"])
def test_other_pictures_end_what_is_made_of_those_before(visited: Session, level: str, tmp_path: Path) -> None:
    session = Session(opened=visited.opened, exemplars=visited.exemplars)
    photo(40, 40).save(path := tmp_path / "other.png")

    def hand_in(share: float, what: str) -> None:
        if what == level:
            session.open_exemplars([path])

    with pytest.raises(Cancelled):
        session.translate(session.opened, FACES, hand_in)
    assert session.found is None
    session.translate(session.opened, FACES, silent)
    assert session.shown == session.pictures() and session.result.image != visited.result.image


def test_uploads_are_read_within_limits_and_removed(tmp_path: Path) -> None:
    session = Session()
    drawing(80, 60).save(path := tmp_path / "good.png")
    assert session.open_drawing(path, FACES).size == (80, 60) and not path.exists()
    for name, wrong in (("huge.png", "has 40 megapixels, expected at most 24"), ("text.png", "not a picture of a kn")):
        path = tmp_path / name
        Image.new("1", (8000, 5000)).save(path) if name == "huge.png" else path.write_text("no picture")
        with pytest.raises(PictureError, match=rf"^{name}: {wrong}[^\n]*$"):
            session.open_drawing(path, FACES)
        assert not path.exists() and session.opened is not None
    (tmp_path / "large.png").write_bytes(bytes(21 * 2**20))
    with pytest.raises(PictureError, match=r"^large.png: has 22,020,096 bytes, expected at most 20,971,520$"):
        session.open_drawing(tmp_path / "large.png", FACES)
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for path in paths:
        photo(40, 40).save(path)
    with pytest.raises(PictureError, match="exemplars: got 5, expected at most 4"):
        session.open_exemplars(paths)
    assert not any(path.exists() for path in paths), "of those that are too many none stays"
    for take in (session.open_exemplars, session.open_annotations):
        paths[0].write_text("no picture")
        photo(40, 40).save(paths[1])
        with pytest.raises(PictureError):
            take(paths[:2])
        assert not paths[1].exists(), "nor one after the first that is refused"
    for path in paths:
        photo(40, 40).save(path)
    assert [picture.size for picture in session.open_exemplars(paths[:4])] == [(SIDE, SIDE)] * 4


def test_what_is_missing_is_said() -> None:
    session = Session()
    with pytest.raises(PictureError, match="there is no drawing yet"):
        session.translate(None, FACES, silent)
    with pytest.raises(PictureError, match="there is no exemplar yet"):
        session.translate(uploaded(drawing(64, 64), "drawing"), FACES, silent)
    with pytest.raises(PictureError, match="there is no result yet"):
        session.ask((0.5, 0.5))


def test_strokes_on_the_pad_count_where_there_are_some() -> None:
    opened, empty = uploaded(drawing(64, 64), "drawing"), Image.new("RGBA", (64, 64))
    assert drawn(opened, [empty], drawing(64, 64)) is opened and drawn(None, [], None) is None
    stroke = empty.copy()
    stroke.putpixel((3, 3), (0, 0, 0, 255))
    strokes = drawn(opened, [empty, stroke], stroke)
    assert (
        strokes is not None
        and strokes is not opened
        and strokes.pixels is not None
        and strokes.pixels.array.shape == (64, 64, 4)
    )


def test_the_archive_makes_the_result_again(visited: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = visited.archive(tmp_path)
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path)
    saved = tmp_path / "midms-result"
    assert {"result.png", "flow.flo", "explain.html", "reproduce.py"} <= {path.name for path in saved.iterdir()}
    runpy.run_path(str(saved / "reproduce.py"))
    assert (saved / "again.png").read_bytes() == (saved / "result.png").read_bytes()
    assert sorted(path.name for path in archive.parent.iterdir()) == ["midms-result.zip"]


def test_visitors_are_apart_and_gone_when_they_leave() -> None:
    sessions = Sessions()
    first, second = sessions.of("a"), sessions.of("b")
    assert first is sessions.of("a") and first is not second
    sessions.close("b")
    assert second.cancelled.is_set() and sessions.of("b") is not second
    sessions.of("a")
    for number in range(VISITORS - 1):
        sessions.of(str(number))
    assert len(sessions) == VISITORS and sessions.of("a") is first and not first.cancelled.is_set()


def test_only_the_widgets_need_gradio() -> None:
    code = "import sys, midms.cli.app.session; sys.exit('gradio' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    needing = {
        path.name
        for path in (ROOT / "midms").rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Import) and node.names[0].name == "gradio"
    }
    assert needing == {"handlers.py", "page.py", "updates.py", "wiring.py"}
