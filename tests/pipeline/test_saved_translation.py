"""What a translation says of each pixel, and what it writes to a folder."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from killed import moments
from PIL import Image
from sample_pictures import drawing, photo
from shifting import SHIFT, Shifting
from torchvision.datasets._optical_flow import _read_16bits_png_with_flow_and_valid_mask, _read_flo

from midms import Spec, build
from midms.core import atomic_folder
from midms.core.limits import OutOfLimits
from midms.core.normalize import l2_normalize
from midms.data.portraits.pairs import draw_pairs
from midms.images import PictureError
from midms.images.frame import Frame
from midms.matching.matches.factored import FactoredMatch
from midms.pipeline import match_rows as listing
from midms.pipeline.match_rows import match_rows
from midms.pipeline.pipeline import Pipeline
from midms.pipeline.result import Translation
from midms.pipeline.translate import translate


@pytest.fixture(scope="module")
def faces() -> Pipeline:
    return build("midm-faces")


@pytest.fixture(scope="module")
def portrait(faces: Pipeline) -> tuple[Translation, torch.Tensor, torch.Tensor]:
    """A translation, and where each of its pixels truly lies in the exemplar, in pixels, and whether it shows there."""
    pairs = draw_pairs("test", [0], 64)
    found = faces.translate(1 - 2 * pairs.sketch[0], pairs.exemplar[0], seed=0)
    return found, (pairs.place[0] + 1) * 32 - 0.5, pairs.visible[0]


def test_points_of_a_portrait_come_from_where_they_truly_do(
    portrait: tuple[Translation, torch.Tensor, torch.Tensor],
) -> None:
    found, place, visible = portrait
    points = [(x, y) for y in range(4, 64, 8) for x in range(4, 64, 8) if visible[y, x]]
    near = 0
    for x, y in points:
        origin = found.at(x, y)
        near += bool((torch.tensor(origin.place) - place[:, y, x]).norm() < 0.05 * 64)
        assert origin.exemplar == 0 and origin.confidence == found.confidence[y, x]
        assert origin.distribution.shape == (64, 64) and 0 <= origin.cycle_error < 1
        assert origin.distribution.sum() / 16 == pytest.approx(1, abs=1e-4), "cells have 4 x 4 pixels"
    assert len(points) > 30 and near / len(points) > 0.9


def test_rows_are_those_of_the_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    query, key = (l2_normalize(torch.randn(2, 6, *grid)) for grid in ((3, 4), (5, 2)))
    frames = Frame((12, 16), (12, 16)), (Frame((20, 8), (20, 8)),)
    dense = (20 * torch.einsum("dn,dm->nm", query[1].double().flatten(1), key[1].double().flatten(1))).softmax(1)
    for at_once, entries in ((3, 2**18), (256, 12)):
        monkeypatch.setattr(listing, "_AT_ONCE", at_once)
        monkeypatch.setattr(listing, "LISTED", entries)
        monkeypatch.setattr(listing, "FEWEST", 4)
        rows = match_rows(FactoredMatch(query, key, scale=20.0), 1, *frames, query)
        kept = 10 if entries > 12 else 4
        best = dense.topk(kept, 1)
        assert torch.equal(rows.columns, best.indices)
        torch.testing.assert_close(rows.shares.double(), best.values, atol=1e-5, rtol=0)
    rows = match_rows(FactoredMatch(query, key, scale=20.0), 1, *frames, query)
    assert rows.row_at((0.99, 0.01)) == 3 and rows.row_at((0.3, 0.4)) == 5


def test_what_a_place_gives_is_what_is_taken_from_it(
    portrait: tuple[Translation, torch.Tensor, torch.Tensor],
) -> None:
    found = portrait[0]
    origin = found.at(30, 22)
    there = int(origin.distribution.argmax()) % 64, int(origin.distribution.argmax()) // 64
    given = found.destinations(*there)
    assert given.shape == (64, 64) and given[22, 30] == origin.distribution.max()
    for x, y in ((0, 0), (41, 17), (63, 63)):
        assert given[y, x] == found.at(x, y).distribution[there[1], there[0]]


def test_pixels_are_those_of_pictures_as_they_were_handed_in() -> None:
    found = translate(Shifting(), drawing(128, 64), photo(200, 100), seed=0)  # both matched at 128 x 64
    assert found.image.size == (128, 64) and [one.size for one in found.exemplars()] == [(128, 64)]
    origin = found.at(40, 20)
    assert origin.place == pytest.approx(((40 + 4 * SHIFT + 0.5) * 200 / 128 - 0.5, 20.5 * 100 / 64 - 0.5), abs=0.6)
    given = found.destinations(*origin.place)
    assert given[20, 40] > 0 and given[:, 80:].max() == 0
    for x, y in ((-1, 0), (128, 5), (5, 64)):
        with pytest.raises(PictureError, match=r"is outside of the result, 128 x 64 pixels"):
            found.at(x, y)
    with pytest.raises(PictureError, match=r"is outside of the exemplar, 200 x 100 pixels"):
        found.destinations(200, 5)
    with pytest.raises(OutOfLimits, match="exemplar must be a whole number from 0 to 0, got 1"):
        found.destinations(5, 5, exemplar=1)


def test_a_place_is_two_numbers(unchecked: None) -> None:
    found = translate(Shifting(), drawing(64, 64), photo(64, 64), seed=0)
    for x, y in (("a", 1), (None, 1), (1, [2]), (1j, 1)):
        for ask, name in ((found.at, "result"), (found.destinations, "exemplar")):
            with pytest.raises(PictureError, match=rf"expected x and y in pixels of the {name}, got \("):
                ask(x, y)  # type: ignore[operator]


def test_several_exemplars_and_hints_are_told_apart(faces: Pipeline) -> None:
    pairs = draw_pairs("test", range(2), 64)
    sketch, pictures = 1 - 2 * pairs.sketch[0], [*pairs.exemplar]
    anchors = [{"here": (60, 60), "there": (10, 12), "exemplar": 1}]
    colours = [{"here": (100, 20), "colour": "teal"}]
    found = faces.translate(sketch, pictures, anchors=anchors, colours=colours, seed=0)
    origin = found.at(30, 30)
    assert origin.exemplar == 1 and origin.place == pytest.approx((10, 12), abs=2.5), "as the anchor says"
    assert origin.distribution[12, 10] == pytest.approx(1, abs=1e-3) and origin.confidence == pytest.approx(1, abs=0.05)
    assert found.destinations(10, 12, exemplar=1)[30, 30] > 0.9 > found.destinations(10, 12)[30, 30]
    teal = found.match_rows().row_at((50 / 64, 10 / 64))
    assert found.match_rows().shares[teal].sum() < 0.1, "a colour is in no exemplar"
    assert [one.size for one in found.exemplars()] == [(64, 64), (64, 64)]


@pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")  # of what reads the PNG
def test_a_folder_holds_all_of_it(faces: Pipeline, tmp_path: Path) -> None:
    pipe = faces.replace(style=0.6)
    pairs = draw_pairs("test", [3], 64)
    sketch = Image.fromarray((255 * (1 - pairs.sketch[0, 0])).to(torch.uint8).numpy())
    photo(80, 64).save(tmp_path / "photo.png")
    given = [tmp_path / "photo.png", pairs.exemplar[0]]
    found = pipe.translate(sketch, given, seed=7, anchors=[{"here": (60, 60), "there": (10, 12)}])
    folder = tmp_path / "saved"
    found.save(folder)
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == {
        *("result.png", "figure.png", "warp.png", "confidence.png", "condition.png", "strokes.png"),
        *("exemplar.png", "exemplar-1.png", "exemplar-2.png", "stages/0.png", "stages/1.png"),
        *("flow.npz", "flow.flo", "flow.png", "match.safetensors", "correspondences.json"),
        *("settings.json", "reproduce.py", "inputs/condition.png", "inputs/exemplar-1.png", "inputs/exemplar-2.npy"),
    }
    flow = found.flow.numpy()
    np.testing.assert_array_equal(_read_flo(folder / "flow.flo"), flow)
    rounded, valid = _read_16bits_png_with_flow_and_valid_mask(folder / "flow.png")
    assert valid.all()
    np.testing.assert_allclose(rounded, flow, atol=1 / 128, rtol=0)
    with np.load(folder / "flow.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["flow"], flow.transpose(1, 2, 0))
        np.testing.assert_array_equal(arrays["confidence"], found.confidence)
        np.testing.assert_array_equal(arrays["condition_map"], found.condition_map)
    points = json.loads((folder / "correspondences.json").read_text())["points"]
    assert [point["here"] for point in points] == found.origins().condition.tolist()
    runpy.run_path(str(folder / "reproduce.py"))
    assert (folder / "again.png").read_bytes() == (folder / "result.png").read_bytes()


def test_what_was_exchanged_is_exchanged_again(tmp_path: Path) -> None:
    pipe = build("midm-faces", matcher=Spec("correlation", temperature=0.03), confidence="cycle", size=72)
    changed = pipe.replace(rematch=(1,), edit="blend")
    made = changed.translate(drawing(72, 72), photo(72, 72), generator=torch.Generator().manual_seed(4))
    script = made.request.script(tmp_path)
    assert "build('midm-faces', matcher=Spec('correlation', temperature=0.03), confidence=Spec('cycle'), " in script
    assert "rematch=(1,), edit='blend', size=72)" in script and "seed=4" in script
    drawn = torch.Generator().manual_seed(4)
    torch.randn(3, generator=drawn)
    assert changed.translate(drawing(72, 72), photo(72, 72), generator=drawn).request.seed is None
    ready = Shifting().translate(drawing(64, 64), photo(64, 64), seed=0)
    (folder := tmp_path / "ready").mkdir()
    assert "# matcher was a ready Shifter, which has no name to build it by" in ready.request.script(folder)


def test_a_folder_is_replaced_whole_or_not_at_all(
    portrait: tuple[Translation, torch.Tensor, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, folder = portrait[0], tmp_path / "saved"
    found.save(folder)
    (folder / "again.png").touch()
    found.save(folder)
    assert not (folder / "again.png").exists() and (folder / "result.png").exists()
    (folder / "again.png").touch()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(atomic_folder, "_exchanged", lambda *_: False)  # as on systems that cannot
        found.save(folder)
    assert not (folder / "again.png").exists() and (folder / "result.png").exists()

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.savez_compressed", full_disk)
    with pytest.raises(PictureError, match=r"saved: cannot be written \(No space left on device\)"):
        found.save(folder)
    assert (folder / "settings.json").exists() and [path.name for path in tmp_path.iterdir()] == ["saved"]
    for other in (tmp_path, tmp_path / "file"):
        (tmp_path / "file").touch()
        with pytest.raises(PictureError, match=r"holds something else|expected a folder"):
            found.save(other)


def test_a_folder_is_old_or_new_wherever_its_writer_is_killed(tmp_path: Path) -> None:
    def content(folder: Path) -> dict[Path, bytes]:
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    found = [Shifting().translate(drawing(64, 64), photo(64, 64), seed=seed) for seed in (0, 1)]
    for one, name in zip(found, ("home/saved", "new"), strict=True):
        one.save(tmp_path / name)
    old, new = content(tmp_path / "home/saved"), content(tmp_path / "new")
    assert old != new
    places = moments(lambda: found[1].save(tmp_path / "home/saved"), tmp_path / "home", tmp_path / "killed")
    seen = ["old" if content(place / "saved") == old else "new" for place in places]
    assert all(content(place / "saved") in (old, new) for place in places)
    assert seen == sorted(seen, reverse=True) and {*seen} == {"old", "new"}
