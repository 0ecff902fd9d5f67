"""`midms evaluate`: what is compared with what, labels, reports, and what goes wrong."""

from __future__ import annotations

import csv
import errno
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import run
from PIL import Image
from torch import Tensor

from midms import evaluate, register
from midms.core import files
from midms.core.metrics import Compared
from midms.evaluation.evaluate import Evaluation
from midms.evaluation.inputs import EvaluationError
from midms.images import resize, to_pil
from midms.registry import UnknownName
from midms.testing.laws import normals

QUICK = ["psnr", "swd(size=16)"]
HEADER = "key,target,condition,exemplar"


def pictures(seed: int, count: int, size: tuple[int, int] = (24, 32)) -> Tensor:
    return resize(normals(seed, count, 3, 5, 6).float().clamp(-1, 1), size)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results, answers of the same names, exemplars of another size and two conditions, with a table of them."""
    folder = tmp_path_factory.mktemp("made")
    answers, exemplars = pictures(0, 4), pictures(1, 4, (32, 24))
    results = (answers + 0.2 * pictures(2, 4) * torch.arange(1.0, 5.0).view(4, 1, 1, 1)).clamp(-1, 1)
    for kind, images in (("results", results), ("real", answers), ("exemplars", exemplars), ("drawn", pictures(3, 2))):
        (folder / kind).mkdir()
        for i, image in enumerate(images):
            to_pil(image[None]).save(folder / kind / f"{i}.png")
    rows = [f"{i},real/{i}.png,drawn/{i % 2}.png,exemplars/{i}.png" for i in range(4)]
    (folder / "pairs.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return folder


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    shutil.copytree(made, tmp_path / "own")
    return tmp_path / "own"


def values(found: Evaluation) -> dict[str, float]:
    return {figure.name: figure.value for figure in found.figures}


def measured(folder: Path, *metrics: str, **more: Any) -> Evaluation:
    given = {"against": folder / "real", "metrics": metrics or QUICK, "progress": False} | more
    return evaluate(folder / "results", **given)


def test_answers_are_the_real_pictures_of_the_same_names(made: Path) -> None:
    found = measured(made)
    (psnr, *swd) = found.figures
    for i, value in enumerate(psnr.each[str(i)] for i in range(4)):
        one, other = (np.asarray(Image.open(made / kind / f"{i}.png")) / 255.0 for kind in ("results", "real"))
        assert value == pytest.approx(-10 * np.log10(np.square(one - other).mean()), abs=1e-3)
    assert psnr.value == pytest.approx(np.mean([*psnr.each.values()])) and not found.failures
    assert psnr.deviation == pytest.approx(np.std([*psnr.each.values()]))
    assert (psnr.count, psnr.real, swd[0].count, swd[0].real) == (4, None, 4, 4)
    assert found.inputs["sizes"] == {"result": "32 x 24", "real": "32 x 24"}
    assert found.inputs["formats"] == {"results": "PNG", "real": "PNG"}


def test_a_table_gives_all_that_it_knows(made: Path) -> None:
    """Every metric whose columns are there runs, and the targets are the real pictures."""
    names = ["copied-content", "diversity", "psnr", "semantic-consistency", "ssim", "style-relevance", "swd(size=16)"]
    found = measured(made, *names, against=None, pairs=made / "pairs.csv")
    assert {figure.metric for figure in found.figures} == {*names} and not found.failures
    assert values(found)["SWD at 16"] == values(measured(made))["SWD at 16"]


def test_names_batches_and_order_of_rows_change_nothing(made: Path, own: Path) -> None:
    rows = (own / "pairs.csv").read_text().splitlines()
    (own / "pairs.csv").write_text("\n".join([rows[0], *rows[:0:-1]]) + "\n")
    expected = values(measured(made, "psnr", "swd(size=16)", "diversity", pairs=made / "pairs.csv"))
    found = values(measured(own, "psnr", "swd(size=16)", "diversity", pairs=own / "pairs.csv", batch=1))
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_seed_draws_other_patches(made: Path) -> None:
    one, again, other = (values(measured(made, "swd(size=32)", seed=seed))["SWD at 32"] for seed in (0, 0, 1))
    assert one == again != other


class Sources(HTMLParser):
    """What a page fetches, and whether its tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href", "xlink:href", "data")]
        self.open += [] if tag in ("br", "img", "input", "meta") else [tag]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href", "xlink:href", "data")]


def test_what_is_written_labels_every_number(made: Path, tmp_path: Path) -> None:
    """And the page is one file that fetches nothing, with sliders of the worst and the best pairs."""
    found = measured(made, "psnr", "frechet-distance", pairs=made / "pairs.csv", out=tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("evaluation.json", "table.md", "figures.csv", "report.html")
    }
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    psnr, frechet = written["figures"]
    name = "frechet-distance (EfficientNet-Lite0 of ImageNet, 224 pixels)"
    assert psnr["value"] == values(found)["PSNR"] and psnr["ideal"] == "inf"
    assert frechet == {
        "name": name, "metric": "frechet-distance", "value": values(found)[name], "ideal": 0.0, "count": 4, "real": 4,
        "sizes": "32 x 24", "formats": "PNG",
    }  # fmt: skip
    assert {"versions", "date", "seed", "hardware"} <= written.keys() and "midms" in written["versions"]
    with (tmp_path / "out" / "figures.csv").open() as file:
        assert {row["key"]: float(row["PSNR"]) for row in csv.DictReader(file)} == found.figures[0].each
    table, page = ((tmp_path / "out" / name).read_text() for name in ("table.md", "report.html"))
    assert name in table and name in page and table == found.table() + "\n"
    assert "32 x 24" in table and "4 and 4 real" in table
    sources = Sources()
    sources.feed(page)
    assert sources.open == [] and len(sources.fetched) > 8
    assert all(re.match(r"data:image/png;base64,|#", source) for source in sources.fetched), "nothing is fetched"
    assert page.count('type="range"') == 4 and "<svg" in page and page.index("3: ") < page.index("0: ")


def test_without_inception_nothing_is_called_fid(made: Path, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="fid is of Inception alone, give --inception FILE"):
        measured(made, "fid")
    found = measured(made, "frechet-distance", "kernel-distance", out=tmp_path)
    for path in tmp_path.iterdir():
        assert not re.search(r"\b[FK]ID\b", path.read_text()), path
    assert len(found.figures) == 2


def test_formats_are_not_mixed(own: Path) -> None:
    """Sets are refused, pairs are measured."""
    Image.open(own / "real" / "0.png").save(own / "real" / "0.jpg", quality=95)
    (own / "real" / "0.png").unlink()
    found = measured(own)
    assert [figure.name for figure in found.figures] == ["PSNR"]
    (failure,) = found.failures
    assert failure.startswith("swd(size=16): files of several formats") and "real JPEG 1, PNG 3" in failure


def spoil_size(folder: Path) -> str:
    to_pil(pictures(0, 1, (32, 32))).save(folder / "results" / "1.png")
    return r"^1: its result has 32 x 32 pixels, its answer 32 x 24; they are not compared$"


def spoil_picture(folder: Path) -> str:
    (folder / "results" / "1.png").write_bytes(b"no picture")
    return r"results/1\.png: not a picture"


def spoil_answer(folder: Path) -> str:
    """Which is one of the real pictures too."""
    (folder / "real" / "1.png").write_bytes(b"GIF89a, but no picture")
    return r"real/1\.png: not a picture"


def lose_result(folder: Path) -> str:
    (folder / "results" / "1.png").unlink()
    return r"no result of 1 of 4 rows: 1$"


def lose_target(folder: Path) -> str:
    (folder / "real" / "1.png").unlink()
    return r"no answer of 1 of 4 rows: 1$"


def repeat_key(folder: Path) -> str:
    table = folder / "pairs.csv"
    rows = table.read_text().splitlines()
    table.write_text("\n".join([*rows[:2], *rows[3:], rows[1]]) + "\n")
    return r"row 4: the key 0 again, of which the first row is taken$"


@pytest.mark.parametrize("spoil", [spoil_size, spoil_picture, spoil_answer, lose_result, lose_target, repeat_key])
def test_what_is_wrong_with_one_is_named_and_the_rest_done(own: Path, spoil: Any, tmp_path: Path) -> None:
    expected = spoil(own)
    found = measured(own, *QUICK, pairs=own / "pairs.csv", against=None, out=tmp_path / "out")
    (failure,) = found.failures
    assert "SWD at 16" in values(found)
    assert re.search(expected, failure) and "\n" not in failure
    assert [*found.figures[0].each] == ["0", "2", "3"]
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["failures"] == [failure]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("key,targt\n0,real/0.png\n", "no column is called 'targt'. Did you mean 'target'"),
        ("exemplar\nexemplars/0.png\n", "has the columns exemplar, expected one of key, condition, target"),
        ("key,target\n", "no pairs in this table"),
        ("key,target\nnone,real/none.png\n", "no row can be evaluated; .*no result of 1 of 1 rows: none"),
        ('key,target\n"0', "cannot be read as CSV"),
    ],
)
def test_a_table_of_another_kind_is_refused_in_one_line(
    own: Path, table: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "pairs.csv").write_text(table)
    assert run("evaluate", own / "results", "--pairs", own / "pairs.csv", "--out", own / "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(said, line) and not (own / "out").exists()


def test_the_command_says_what_failed_and_leaves_with_2(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("evaluate", own / "results", "--against", own / "real", "--out", own / "out")
    assert run(*given, "--metrics", "psnr,swd(size=16)") == 0
    assert "| PSNR |" in capsys.readouterr().out and (own / "out" / "report.html").exists()
    assert run(*given, "--metrics", "psnr,style-relevance") == 2
    output = capsys.readouterr()
    assert "| PSNR |" in output.out and "midms: failed: style-relevance: needs exemplar" in output.err
    assert run(*given, "--metrics", "psnr,3") == 2 and "--metrics: expected names" in capsys.readouterr().err
    assert run("evaluate", own / "results", "--out", own / "out") == 2
    assert run(*given, "--metrics", "style-relevance") == 2
    assert "nothing can be measured; style-relevance: needs exemplar" in capsys.readouterr().err


def test_a_full_disk_loses_no_figure(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    given = ("evaluate", made / "results", "--against", made / "real", "--metrics", "psnr", "--out", tmp_path / "out")
    monkeypatch.setattr(files.os, "replace", full)
    assert run(*given) == 2
    output = capsys.readouterr()
    assert "| PSNR |" in output.out and "cannot be written (No space left on device)" in output.err
    assert output.out.splitlines()[-1].endswith("of 4 results"), "no page is pointed to that was not written"
    assert not (tmp_path / "out").exists(), "nothing half-written is left"


@pytest.mark.usefixtures("registries")
def test_a_metric_of_ones_own_that_fails_stops_no_other(made: Path) -> None:
    class Failing:
        needs, ideal = ("result",), 0.0

        def __call__(self, batch: Compared) -> dict[str, Tensor]:
            raise RuntimeError("no\nway")

    register("metric", "failing")(Failing)
    found = measured(made, "failing", "psnr")
    assert found.failures == tuple(f"failing: failed at {i} (RuntimeError: no way)" for i in range(3))
    assert [*values(found)] == ["PSNR"]
    with pytest.raises(UnknownName, match="no metric is called 'psnrr'"):
        measured(made, "psnrr")


def test_matches_are_read_from_arrays_and_spairs_keypoints(own: Path) -> None:
    """Points scale with the pictures: a pair of SPair-71k that was halved is measured as it was."""
    flow = np.zeros((24, 32, 2), np.float32)
    flow[..., 0] = 2
    np.save(own / "flow.npy", flow)
    np.save(own / "exact.npy", np.zeros_like(flow))
    np.save(own / "wrong.npy", np.zeros((24, 32)))
    points = {"src_kps": [[4, 4], [10, 8]], "trg_kps": [[8, 4], [10, 8]], "trg_bndbox": [0, 0, 20, 10]}
    points |= {"src_imsize": [64, 48, 3], "trg_imsize": [48, 64, 3], "category": "cat"}
    (own / "points.json").write_text(json.dumps(points))
    row = "0,exemplars/0.png,flow.npy,exact.npy,points.json\n1,exemplars/1.png,wrong.npy,exact.npy,points.json\n"
    (own / "pairs.csv").write_text("key,exemplar,flow,exact_flow,keypoints\n" + row)
    found = measured(own, "epe", "pck(radii=(0.1,))", pairs=own / "pairs.csv")
    assert values(found) == {
        "EPE in px of the exemplar": 2.0,
        "EPE in px of the exemplar at keypoints": pytest.approx(1.0),
        "PCK@0.1": 1.0,
        "PCK@0.1 at keypoints": 0.5,
    }
    assert [re.sub(r".*/", "", failure) for failure in found.failures] == [
        "wrong.npy: expected floats [height, width, 2], got float64 [24, 32]"
    ]
