"""The page of `midms explain`: one file, whose numbers are those of the translation; other folders are refused."""

from __future__ import annotations

import base64
import errno
import html
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sample_pictures import drawing, photo
from shifting import Shifting

from midms import cli
from midms.pipeline.explain import explanation_page
from midms.pipeline.result import Translation
from midms.pipeline.saved import read_saved


@pytest.fixture(scope="module")
def found() -> Translation:
    return Shifting().translate(drawing(128, 64), [photo(200, 100), photo(64, 64)], seed=0)


@pytest.fixture
def folder(found: Translation, tmp_path: Path) -> Path:
    found.save(tmp_path / "saved")
    return tmp_path / "saved"


def numbers(data: dict[str, Any], name: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(data[name]), kind)


def test_a_saved_translation_is_read_as_it_was(found: Translation, folder: Path) -> None:
    saved, rows = read_saved(folder), found.match_rows()
    assert torch.equal(saved.rows.columns, rows.columns) and torch.equal(saved.rows.shares, rows.shares)
    assert (saved.rows.frame, saved.rows.exemplars, saved.rows.grids) == (rows.frame, rows.exemplars, rows.grids)
    assert torch.equal(saved.flow, found.flow) and torch.equal(saved.source, found.source)
    assert [picture.size for picture in saved.exemplars] == [(128, 64), (64, 64)]


def test_a_result_of_many_exemplars_is_read(tmp_path: Path) -> None:
    pipe = Shifting().replace(size=32)
    pipe.translate(drawing(32, 32), [photo(32, 32)] * 70, seed=0).save(tmp_path / "many")
    assert len(read_saved(tmp_path / "many").exemplars) == 70


def test_the_page_is_whole_and_knows_what_the_translation_knows(found: Translation, folder: Path) -> None:
    text = explanation_page(read_saved(folder))
    assert "default-src 'none'" in text and not re.search(r"https?://|src=\"(?!data:)|@import", text)
    (data,) = (json.loads(one) for one in re.findall(r'<script type="application/json".*?>(.*?)</script>', text))
    kept, width = data["kept"], found.warp.width
    shares = numbers(data, "shares", "<u2").reshape(-1, kept) / 65535
    np.testing.assert_allclose(shares, found.match_rows().shares, atol=1e-5)
    np.testing.assert_array_equal(numbers(data, "columns", "<u4").reshape(-1, kept), found.match_rows().columns)
    for x, y in ((10, 20), (70, 40)):
        origin = found.at(x, y)
        assert numbers(data, "source", "u1")[y * width + x] == origin.exemplar
        place = numbers(data, "places", "<u2").reshape(-1, 2)[y * width + x] / 65535
        extent = np.array([(200, 100), (64, 64)][origin.exemplar])
        np.testing.assert_allclose(place * extent - 0.5, origin.place, atol=0.02)
        assert numbers(data, "confidence", "<u2")[y * width + x] / 65535 == pytest.approx(origin.confidence, abs=1e-4)


def test_a_notebook_shows_the_figure_and_the_page(found: Translation, folder: Path) -> None:
    page = found.explain()
    assert page == explanation_page(read_saved(folder)), "without a folder it is the same"
    (frame,) = re.findall(r'^<iframe srcdoc="([^"]*)" [^>]*></iframe>$', page._repr_html_())
    assert html.unescape(frame) == page and repr(page) == f"a page of {len(page):,} characters"
    assert Image.open(io.BytesIO(found._repr_png_())).tobytes() == found.figure().tobytes()


def test_the_command_writes_the_page_beside_the_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", str(folder)]) == 0
    assert capsys.readouterr().out == f"written to {folder}/explain.html; open it in a browser and click\n"
    assert (folder / "explain.html").read_text().startswith("<!doctype html>")


def test_a_page_takes_the_place_of_no_file_of_the_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (link := folder.parent / "link").symlink_to(folder / "result.png")
    for out in (folder / "stages" / "1.png", folder / "settings.json", folder / ".." / "saved" / "result.png", link):
        assert cli.main(["explain", str(folder), "--out", str(out)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line == f"midms: {out}: is a file of the result, which would be overwritten"
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    for _ in range(2):
        assert cli.main(["explain", str(folder), "--out", str(folder / "explain.html")]) == 0


def test_a_full_disk_is_told_with_the_page(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert cli.main(["explain", str(folder)]) == 2
    assert capsys.readouterr().err == f"midms: {folder}/explain.html: No space left on device\n"
    assert not (folder / "explain.html").exists()


def test_what_is_no_saved_translation_is_refused_in_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(place: Path = folder) -> str:
        assert cli.main(["explain", str(place), "--out", str(folder.parent / "page.html")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert not (folder.parent / "page.html").exists()
        return line

    assert said(folder.parent).endswith("expected a folder of a saved translation, which has settings.json")
    path = folder / "match.safetensors"
    state = load_file(path)
    for name, value, wrong in (
        ("columns", state["columns"] + 10**6, r"columns goes from 1000000 to \d+, expected 0 to 767"),
        ("columns", state["columns"].float(), r"columns is torch.float32 \(512, 512\), expected torch.int32"),
        ("shares", state["shares"][:, :9], r"columns is torch.int32 \(512, 512\), expected torch.int32 \(512, 9\)"),
        ("flow", state["flow"][:1], r"flow is .*, expected torch.float32 \(2, 64, 128\)"),
    ):
        save_file(state | {name: value.contiguous()}, path)
        assert re.search(wrong, said()), wrong
    for name in ("shares", "cycle_error", "flow", "confidence"):
        for value in (float("nan"), float("inf")):
            save_file(state | {name: torch.full_like(state[name], value)}, path)
            assert said().endswith(f"{name} holds numbers that are not finite")
    save_file({"flow": state["flow"]}, path)
    assert said().endswith("has no columns")
    settings = json.loads((folder / "settings.json").read_text())
    for change in ({"format": "other"}, {"frames": settings["frames"][:1]}, {"grids": [[0, 5]]}, {"grids": "no"}):
        (folder / "settings.json").write_text(json.dumps(settings | change))
        assert "settings.json: " in said()


def test_translate_saves_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (sketches := tmp_path / "sketches").mkdir()
    for name in ("a", "b"):
        drawing(64, 64).save(sketches / f"{name}.png")
    photo(64, 64).save(tmp_path / "photo.png")
    given = ["translate", "--exemplar", str(tmp_path / "photo.png"), "--save", str(tmp_path / "all")]
    one = ["--condition", str(sketches / "a.png"), "--out", str(tmp_path / "out.png")]
    assert cli.main([*given, *one]) == 0
    assert (tmp_path / "all" / "result.png").read_bytes() == (tmp_path / "out.png").read_bytes()
    many = ["--condition", str(sketches), "--out", str(tmp_path / "out")]
    assert cli.main([*given[:-1], str(tmp_path / "each"), *many]) == 0
    assert {path.name for path in (tmp_path / "each").iterdir()} == {"a", "b"}
    capsys.readouterr()
    assert cli.main([*given[:-1], str(sketches), *one]) == 2
    assert "holds something else than a saved translation" in capsys.readouterr().err
