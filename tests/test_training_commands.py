"""docs/training.md, walked: each command as it is printed, from top to bottom, in a folder of made pictures."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import made_drawings
import pytest
from command_line import run
from documents import lines, to_run
from made_data import drawing, photo
from PIL import Image

import midms
from midms.checkpoints.folder import read_folder
from midms.cli.values import dataset_value
from midms.compose.catalog import create
from midms.compose.presets import PRESETS
from midms.data.lineart import facesjs
from midms.training import trainer
from midms.training.progress import Progress

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "training.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = to_run(ROOT / "docs" / "training.md", lines(ROOT / "docs" / "training.md"))
LAUNCHED = [line for line in COMMANDS if line.startswith(("torchrun ", "accelerate "))]
MODELS = ("runs/mine", "runs/facesjs")
"""Of trainings that take hours; `runs/try`, which takes two steps, stands for them."""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What the page takes for granted: pictures, some with drawings, an unpacked package, the file that it prints."""
    for folder in ("photos", "PICTURES"):
        (tmp_path / folder).mkdir()
        for i in range(7):
            photo(i).resize((128, 128)).save(tmp_path / folder / f"{i}.jpg")
    for i in range(7):
        drawing(i).resize((128, 128), Image.Resampling.NEAREST).save(tmp_path / "PICTURES" / f"{i}.png")
    photo(8).save(tmp_path / "photo.jpg")
    drawing(9).save(tmp_path / "sketch.png")
    shutil.copytree(made_drawings.made("facesjs"), tmp_path / "package")
    (source,) = (block for language, block in BLOCKS if language == "python")
    (tmp_path / "twins.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    yield tmp_path


@pytest.mark.usefixtures("registries", "desk")
@pytest.mark.filterwarnings("default")
def test_every_command_is_run_as_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings without `--steps` are interrupted after the first."""
    monkeypatch.setattr(facesjs, "_HELD_OUT", 4)
    monkeypatch.setattr(trainer, "FIRST", 4)
    monkeypatch.setattr(trainer, "HELD_OUT", 4)
    ways = {"pairs": [], "train": [], "stopped": [], "translate": [], "python": []}  # type: dict[str, list[str]]
    for line in COMMANDS:
        words = shlex.split(line)
        if line in LAUNCHED:
            continue
        if words[0] == "python":
            ways["python"].append(line)
            monkeypatch.setattr(sys, "argv", words[2:])
            with pytest.MonkeyPatch.context() as patch:
                patch.syspath_prepend(ROOT)
                runpy.run_module(words[2], run_name="__main__", alter_sys=True)
            assert Path(words[-1]).stat().st_size > 100
            continue
        assert words[0] == "midms", f"nobody knows how to run {line}"
        out = Path(words[words.index("--out") + 1])
        if words[1] == "train" and "--steps" not in words:
            ways["stopped"].append(line)
            assert stopped(words[1:], monkeypatch) == 3
            assert [path.name for path in out.glob("*.checkpoint")] == ["autoencoder-00000002.checkpoint"]
            shutil.rmtree(out)
            if str(out) in MODELS:
                shutil.copytree("runs/try", out)
        else:
            ways[words[1]].append(line)
            assert run(*words[1:]) == 0 and out.exists()
    assert {way: len(lines) for way, lines in ways.items()} == {
        "pairs": 1,
        "train": 1,
        "stopped": 3,
        "translate": 2,
        "python": 1,
    }
    assert {*read_folder(Path("runs/try")).recipe.made} == {spec.name for spec in PRESETS["midm-small"].training}
    assert len(Path("pairs.csv").read_text().splitlines()) == 1 + 7 * 5
    assert len(Path("photos_ref.txt").read_text().splitlines()) == 7
    for given in re.findall(r"`--data ([^`]*:(?!PATH)[^`]*|\"[^`]*)`", PAGE):
        (text,) = shlex.split(given)
        spec = dataset_value(text)
        data = create("dataset", spec.name, **spec.arguments, size=64, condition=create("condition", "edges"))
        assert data[0].target.shape == (1, 3, 64, 64), text


def stopped(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit status of a training that somebody interrupts after its first step, while it takes the second."""

    def advance(self: Progress, *given: object) -> None:
        usual(self, *given)  # type: ignore[arg-type]
        if self.step == 1:
            os.kill(os.getpid(), signal.SIGINT)

    usual = Progress.advance
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "advance", advance)
        return run(*words)


@pytest.mark.parametrize("line", LAUNCHED, ids=lambda line: line.split()[0])
def test_every_launcher_is_run_as_printed(line: str, desk: Path) -> None:
    """Until a loss is shown; then somebody presses Ctrl-C, and it leaves a checkpoint."""
    here = str(Path(midms.__file__).parents[1])
    place = {"PYTHONPATH": here, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    surroundings = os.environ | place | {"OMP_NUM_THREADS": "1"}
    with (desk / "output").open("w") as log:
        launcher = subprocess.Popen(
            shlex.split(line), env=surroundings, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        while "loss=" not in (output := (desk / "output").read_text()) and launcher.poll() is None:
            time.sleep(0.2)
    finally:
        os.killpg(launcher.pid, signal.SIGINT)
        launcher.wait(60)
    assert [*(desk / "runs" / "mine").glob("autoencoder-*.checkpoint")], output[-3000:]
