"""Regions that a visitor of the app paints, and label maps and keypoints in the place of drawings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor, ImageDraw
from sample_pictures import drawing, photo
from small_presets import small

from midms import build
from midms.cli.app.brushes import BRUSHES, Board, board_of, paired
from midms.cli.app.choices import Choices
from midms.cli.app.session import Session
from midms.cli.app.uploads import uploaded
from midms.images import PictureError

FACES = Choices("midm-faces")


def silent(share: float, what: str) -> None:
    assert 0 <= share <= 1 and what


def strokes(board: Board, *boxes: tuple[str, int, tuple[float, float, float, float]]) -> Image.Image:
    """Boxes of colours on pictures of a board, in shares of each, half transparent as a brush is."""
    layer = Image.new("RGBA", board.picture.size)
    for colour, number, (x, y, u, v) in boxes:
        left, top, right, bottom = board.boxes[number]
        ends = (left + x * (right - left), y * (bottom - top), left + u * (right - left) - 1, v * (bottom - top) - 1)
        ImageDraw.Draw(layer).rectangle(ends, fill=(*ImageColor.getrgb(BRUSHES[colour]), 150))
    return layer


def test_labels_are_where_colours_are() -> None:
    board = board_of(drawing(80, 40), [photo(30, 60), photo(50, 50)])
    layer = strokes(board, ("blue", 0, (0, 0, 0.5, 1)), ("yellow", 2, (0.5, 0.5, 1, 1)))
    first, second, third = board.labels([Image.new("RGBA", (4, 4)), layer])
    assert [one.shape[1] / one.shape[0] for one in (first, second, third)] == pytest.approx([2, 0.5, 1])
    assert (first[:, :320] == 2).all() and not first[:, 320:].any() and not second.any()
    assert (third[160:, 160:] == 4).all() and third.astype(bool).mean() == pytest.approx(0.25)


def test_each_colour_goes_with_its_own() -> None:
    left, right = np.indices((4, 8))[1] < 4, np.indices((4, 8))[1] >= 4
    numbers, regions, allowed, notes = paired([1 * left, 1 * right, 2 * left])
    assert numbers == [0, 1, 0], "what is not painted takes from both, red from the first alone"
    assert regions is not None and [np.asarray(one)[0, 0] for one in regions] == [0, 0, 255]
    masks = [np.asarray(one) > 0 for one in allowed if one is not None]
    assert len(masks) == 3 and all(
        (mask == where).all() for mask, where in zip(masks, (left, right, right), strict=True)
    )
    assert notes == ["blue is in an exemplar alone, so that nothing takes from there"]
    with pytest.raises(PictureError, match="green is in the drawing alone"):
        paired([3 * left, 0 * left])
    assert paired([0 * left, 1 * left])[1] is None, "one exemplar, of which a part is excluded"
    assert paired([0 * left, 1 + 0 * left])[2] == [None], "all is painted: what is not takes from all"


def test_what_is_painted_takes_from_nothing_else(tmp_path: Path) -> None:
    session = Session()
    session.take_example(0, lineart=False)
    session.exemplars.append(uploaded(photo(90, 60), "another"))
    session.lay_out(session.opened, FACES)
    assert session.board is not None
    left, right, top = (0, 0, 0.5, 1), (0.5, 0, 1, 1), (0, 0, 1, 0.5)
    layer = strokes(session.board, ("red", 0, left), ("red", 2, top), ("blue", 0, right), ("blue", 1, left))
    notes = session.translate(session.opened, FACES, silent, [layer])
    assert notes == list(session.result.warnings)
    numbers = session.pairing.numbers
    for x in (4, 20, 28, 36, 50, 60):
        for y in (4, 30, 60):
            origin = session.result.at(x, y)
            there_x, there_y = origin.place
            if x < 32:
                assert numbers[origin.exemplar] == 1 and there_y < 33
            else:
                assert numbers[origin.exemplar] == 0 and there_x < 33
    said = session.ask((0.1, 0.5))
    assert "of exemplar 2." in said.text and said.exemplars[0] == session.shown[0]
    assert "gives most" in session.ask_back(1, (0.3, 0.2)).text or "nowhere" in session.ask_back(1, (0.3, 0.2)).text
    assert "went nowhere" in session.ask_back(1, (0.3, 0.9)).text
    assert session.archive(tmp_path).exists()


@pytest.mark.filterwarnings("ignore:.*weights as constructed")
def test_label_maps_are_drawings_where_the_preset_reads_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pipe, session = build("midm-church", size=64, **small("midm-church")), Session()
    monkeypatch.setattr("midms.cli.app.session.pipeline_of", lambda *_: (pipe, ()))
    labels = Image.fromarray(np.indices((64, 96))[1].astype(np.uint8) // 32)
    for name in ("labels.png", "theirs.png"):
        labels.save(tmp_path / name)
    photo(96, 64).save(tmp_path / "photo.png")
    colours = session.open_drawing(tmp_path / "labels.png", FACES).getcolors()
    assert colours is not None and len(colours) == 3, "a colour a label"
    session.open_exemplars([tmp_path / "photo.png"])
    with pytest.raises(PictureError, match="label maps or keypoints of the exemplars too: got 0, expected 1"):
        session.translate(session.opened, FACES, silent)
    session.open_annotations([tmp_path / "theirs.png"])
    session.translate(session.opened, FACES, silent)
    assert session.result.image.size == (64, 43) and session.result.strokes is None
    photo(64, 64).save(tmp_path / "picture.png")
    with pytest.raises(PictureError, match=r"picture.png: .*RGB, expected one channel of whole numbers"):
        session.open_drawing(tmp_path / "picture.png", FACES)


@pytest.mark.filterwarnings("ignore:.*weights as constructed")
def test_keypoints_are_drawings_where_the_preset_reads_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pipe, session = build("midm-deepfashion", size=64, **small("midm-deepfashion")), Session()
    joints = np.random.default_rng(0).uniform(20, 200, (18, 3))
    pose = json.dumps({"people": [{"pose_keypoints_2d": joints.ravel().tolist()}]})
    (tmp_path / "pose.json").write_text(pose)
    with pytest.raises(PictureError, match=r"pose\.json: this preset takes a drawing, expected a picture"):
        session.open_drawing(tmp_path / "pose.json", FACES)
    monkeypatch.setattr("midms.cli.app.session.pipeline_of", lambda *_: (pipe, ()))
    for name in ("pose.json", "theirs.json"):
        (tmp_path / name).write_text(pose)
    colours = session.open_drawing(tmp_path / "pose.json", FACES).getcolors(10**5)
    assert colours is not None and len(colours) > 10, "a skeleton in colours"
    photo(64, 64).save(tmp_path / "photo.png")
    session.open_exemplars([tmp_path / "photo.png"])
    session.open_annotations([tmp_path / "theirs.json"])
    session.translate(session.opened, FACES, silent)
    assert session.result.image.size == (64, 64)
    assert "'people': [" in session.result.request.script(tmp_path), "it can be made again"
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(PictureError, match=r"^broken\.json: no JSON \(.*\)$"):
        session.open_drawing(tmp_path / "broken.json", FACES)
    assert not (tmp_path / "broken.json").exists()
