"""The benchmarks run, on two pairs, and say what they measured; also with a matcher of somebody else's package."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import made_data
import pytest
import torch
from PIL import Image
from scipy.stats import mannwhitneyu

from benchmarks.faces import __main__ as faces
from benchmarks.faces import sizes, sketch
from benchmarks.results import RESULTS
from benchmarks.translation import __main__ as translation
from benchmarks.translation import rendered
from midms.evaluation.metrics.pictures import auroc, masked_mean, psnr

ROOT = Path(__file__).parents[2]
INSTALL = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps")


def arguments(out: Path, *more: str) -> list[str]:
    """Of `python -m benchmarks.faces`, for two pairs of the test split."""
    return ["--pairs", "2", "--splits", "test", "--out", str(out), *more]


def measure(out: Path, *more: str) -> dict[str, dict[str, float]]:
    """The rows, measured in this process, in which everything is loaded."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as result:
        patch.setattr(sys, "argv", ["faces", *arguments(out, *more)])
        faces.main()
    return checked(out, result.getvalue())


def checked(out: Path, result: str) -> dict[str, dict[str, float]]:
    """The rows of a results file, all of which are shown."""
    results = json.loads(out.read_text())
    assert all(key in results for key in ("date", "hardware", "versions", "command", "perceptual"))
    rows: dict[str, dict[str, float]] = results["splits"]["test"]
    assert all(name in result for name in rows) and results["perceptual"] in result
    return rows


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    return measure(tmp_path_factory.mktemp("faces") / "new" / "faces.json")


def test_faces_tells_the_baselines_from_the_method(rows: dict[str, dict[str, float]]) -> None:
    best, ceiling = rows["midm-faces"], rows["autoencoder, of the exact answer"]
    for baseline in ("exemplar copied", "first warp decoded", "first warp, plain diffusion"):
        assert rows[baseline]["PSNR"] < best["PSNR"] < ceiling["PSNR"]
        assert rows[baseline]["perceptual"] > best["perceptual"] > ceiling["perceptual"]
    assert rows["first warp decoded"]["better than first warp"] == 0
    assert 0 < best["PCK@0.025"] <= best["PCK@0.05"] <= best["PCK@0.1"] <= 1
    assert 0 < best["AUROC"] <= 1


def test_sizes_are_compared_on_the_pairs_of_the_split(rows: dict[str, dict[str, float]], tmp_path: Path) -> None:
    """At its own size, the smaller model has the figures that it has alone."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setattr(sys, "argv", ["sizes", *arguments(tmp_path / "f.json", "--sheet", str(tmp_path / "sheet.png"))])
        sizes.main()
    found = json.loads((tmp_path / "f.json").read_text())["splits"]["test"]
    both = {"midm-faces", "midm-faces-128"}
    assert found.keys() == {"64 pixels", "128 pixels"} and all(set(models) == both for models in found.values())
    for figure in ("PSNR", "SSIM", "perceptual", "PCK@0.05"):
        assert found["64 pixels"]["midm-faces"][figure] == pytest.approx(rows["midm-faces"][figure], abs=1e-4)
    assert (tmp_path / "sheet.png").exists()


def test_faces_with_another_matcher(rows: dict[str, dict[str, float]], tmp_path: Path) -> None:
    another(rows, measure(tmp_path / "f.json", "--matcher", "optimal-transport", "--confidence", "always"))


def test_faces_with_the_matcher_of_a_plug_in(rows: dict[str, dict[str, float]], tmp_path: Path) -> None:
    """Installed, and measured from the shell."""
    shutil.copytree(ROOT / "examples" / "plugin", tmp_path / "plugin", ignore=shutil.ignore_patterns("__pycache__"))
    offline = ("--no-build-isolation", "--no-index", "--target")
    subprocess.run([*INSTALL, *offline, tmp_path / "installed", tmp_path / "plugin"], check=True)
    out, environment = tmp_path / "f.json", os.environ | {"PYTHONPATH": str(tmp_path / "installed")}
    command = [sys.executable, "-m", "benchmarks.faces", *arguments(out, "--matcher", "greedy")]
    result = subprocess.run(
        [*command, "--confidence", "always"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    another(rows, checked(out, result.stdout))


def another(rows: dict[str, dict[str, float]], changed: dict[str, dict[str, float]]) -> None:
    """What a matcher changes, and what not."""
    assert changed.keys() == rows.keys()
    assert changed["first warp decoded"]["PSNR"] != rows["first warp decoded"]["PSNR"]
    assert changed["midm-faces"]["PCK@0.1"] > 0.5


def test_the_shipped_results_are_the_ones_the_readme_quotes() -> None:
    row = json.loads((RESULTS / "faces.json").read_text())["splits"]["test"]["midm-faces"]
    quoted = (ROOT / "README.md").read_text()
    assert f"| midm-faces | {row['PSNR']:.2f} | {row['SSIM']:.3f} | {row['perceptual']:.4f} |" in quoted


def test_sketches_are_read_in_time_proportional_to_their_pixels() -> None:
    """From 256 to 2048 pixels a side; measured, not here, for others may run beside the tests."""
    found = json.loads((RESULTS / "sketch.json").read_text())
    spent = {size: row[sketch.FIGURE] for size, row in found["rows"].items()}
    assert {"256 x 256", "2048 x 2048", "512 x 2048"} <= {*spent}
    assert found["slowest to quickest drawing"] == max(spent.values()) / min(spent.values()) < 1.5
    assert sketch.slowest_to_quickest(found["rows"], sketch.CANNY + sketch.OWN) < 1.5
    photo = [found["rows"][f"{side} x {side}"][sketch.PHOTO + sketch.OWN] for side in (512, 1024, 2048)]
    assert photo == sorted(photo, reverse=True), "what is reduced takes less a pixel, the larger it is"
    assert sketch.page(found) in (ROOT / "docs" / "scale.md").read_text()


def test_the_benchmarks_of_every_results_file_are_made_by_one_command() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for name in ("sketch", "domain", "faces", "checks", "ablation", "precision"):
        typed = json.loads((RESULTS / f"{name}.json").read_text())["command"].split()
        assert f"$(BIN)/{' '.join(typed[:3])}" in makefile, name


def test_auroc_is_the_rank_statistic_of_scipy() -> None:
    generator = torch.Generator().manual_seed(0)
    right = torch.rand(500, generator=generator) < 0.7
    score = ((torch.rand(500, generator=generator) + right) * 5).round()  # with ties
    u = mannwhitneyu(score[right].numpy(), score[~right].numpy()).statistic
    assert auroc(score, right) == pytest.approx(u / (right.sum() * (~right).sum()).item())


def test_psnr_counts_what_is_masked_alone() -> None:
    answer, image = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    image[..., :2] = 0.2
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[..., :2] = True
    assert psnr(image, answer, mask).item() == pytest.approx(20)  # 0.1 of the range 1
    assert psnr(image, answer, ~mask).item() == float("inf")
    assert masked_mean(image[:, 0], mask).item() == pytest.approx(0.2)


def test_faces_are_rendered_to_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `faces.mjs` prints of a pair: both faces in colours and as drawings, each once the target."""
    square = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 4"><rect width="4" height="4" fill="{}"/></svg>'
    faces = [{"picture": square.format(colour), "drawing": square.format("white")} for colour in ("red", "blue")]
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"seed": 7, "pictures": faces}) + "\n"))
    monkeypatch.setattr(sys, "argv", ["rendered", "--out", str(tmp_path / "out"), "--size", "64"])
    rendered.main()
    assert (tmp_path / "out" / "pairs.csv").read_text().split() == [
        "condition,exemplar,target,exemplar_condition",
        "000007a.drawing.png,000007b.png,000007a.png,000007b.drawing.png",
        "000007b.drawing.png,000007a.png,000007b.png,000007a.drawing.png",
    ]
    colours = {path.name: Image.open(path).getpixel((9, 9)) for path in (tmp_path / "out").glob("*.png")}
    drawn = {f"000007{which}.drawing.png": 255 for which in "ab"}
    assert colours == {"000007a.png": (255, 0, 0), "000007b.png": (0, 0, 255), **drawn}


def test_translation_of_any_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exemplar copied is as near the target as its pixels are."""
    data, out = f"pairs:{made_data.made('pairs')}", tmp_path / "out.json"
    words = ["translation", "midm-faces", "--data", data, "--split", "train", "--pairs", "2", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    translation.main()
    rows = json.loads(out.read_text())["rows"]
    dataset = made_data.pairs_of("pairs", made_data.made("pairs"), size=64, split="train")
    shown = [10 * math.log10(4 / (pair.exemplar - pair.target).square().mean()) for pair in (dataset[0], dataset[1])]
    assert math.isclose(rows["exemplar copied"]["PSNR"], sum(shown) / 2, rel_tol=1e-4)
    assert {*rows} == {"exemplar copied", "autoencoder, of the target", "first warp decoded", "translation"}
    assert rows["first warp decoded"]["better than first warp"] == 0
