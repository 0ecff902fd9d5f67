"""What a translation will take is known before it is made: held against the peak of the process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import command_line
import pytest
import torch
from PIL import Image

from midms import build
from midms.cli import beforehand
from midms.images import PictureError
from midms.images.headers import size_of
from midms.pipeline.jobs.batches import Outcome
from midms.pipeline.jobs.plan import Job
from midms.pipeline.memory import free_memory, translation_memory

MEASURE = """
import sys
import torch
sys.path.append(sys.argv[1])
from sample_pictures import drawing
from midms import build, create
from midms.evaluation.metrics.cost import Cost
from midms.images import read_image
from midms.pipeline.memory import translation_memory
result, lines = torch.zeros(1, 3, 64, 64), read_image(drawing(1000, 1000))
for finisher in (create("finisher", "tiles", scale=16), create("finisher", "composite")):
    cost = Cost("cpu")
    with cost.measured():
        finisher(result, lines, [], lambda box: result).image
    print(finisher.memory((64, 64), (1000, 1000)) / 2**20, cost.megabytes)
pipe = build("midm-faces")
for size, batch in ((128, 1), (256, 1), (64, 16)):
    cost, condition, exemplar = Cost("cpu"), torch.rand(batch, 2, size, size), torch.rand(batch, 3, size, size)
    with cost.measured():
        pipe(condition, exemplar, condition)
    print(translation_memory(pipe, size, batch) / 2**20, cost.megabytes)
"""
"""In a process of its own: one that has run much else has memory at hand that no peak shows."""


def test_the_estimate_is_near_the_peak() -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("no /proc/self/clear_refs here, by which peak memory is measured")
    helpers = str(Path(command_line.__file__).parent)
    words, runs = [sys.executable, "-c", MEASURE, helpers], []
    for _ in range(3):  # holes that the allocator leaves, or finds, are a third of a peak in some runs
        result = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        runs.append([[float(number) for number in line.split()] for line in result.splitlines()])
        assert len(runs[-1]) == 5
        if all(1 / 1.5 < estimate / peak < 1.5 for estimate, peak in runs[-1]):
            return
    pytest.fail(f"estimates are not near any of three runs' peaks: {runs}")


def test_a_large_translation_is_told_beforehand(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(beforehand, "_LARGE", 10 * 2**20)
    monkeypatch.setattr(beforehand, "_SMALL", 30 * 2**20)
    assert command_line.translate(pair, tmp_path / "small.png") == 0
    assert "of memory" not in capsys.readouterr().err
    assert command_line.translate(pair, tmp_path / "large.png", "--size", 128) == 0
    assert "midms: note: 128 x 128 pixels take about 0." in (said := capsys.readouterr().err)
    assert " GB of memory, " in said and " GB are free\n" in said


def test_many_at_once_are_told_of_together(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(beforehand, "_LARGE", 20 * 2**20)
    monkeypatch.setattr(beforehand, "_SMALL", 30 * 2**20)
    (tmp_path / "table.csv").write_text(f"condition,exemplar\n{pair / 'condition.png'},{pair / 'exemplar.png'}\n")
    words = "translate", "--pairs", tmp_path / "table.csv", "--out"
    assert command_line.run(*words, tmp_path / "one") == 0 and "of memory" not in capsys.readouterr().err
    assert command_line.run(*words, tmp_path / "many", "--batch", 4) == 0
    assert "midms: note: 4 at once of 64 x 64 pixels take about 0." in capsys.readouterr().err


def test_a_large_drawing_to_finish_is_told_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the largest of a folder, read at 4096 pixels a side at most; nothing of it without a finisher."""

    def undone(pipe: object, jobs: list[Job], **_: object) -> Iterator[Outcome]:
        return (Outcome(job, None, PictureError("not done")) for job in jobs)

    monkeypatch.setattr("midms.pipeline.jobs.batches.run_jobs", undone)
    (tmp_path / "drawings").mkdir()
    for side in (64, 4000):
        Image.new("L", (side, side), 255).save(tmp_path / "drawings" / f"{side}.png")
    Image.new("1", (10_000, 9_000), 1).save(tmp_path / "a.png")
    words = ["translate", "--exemplar", tmp_path / "drawings" / "64.png", "--out", tmp_path / "out", "--condition"]
    known = {"composite": "drawing of 4000 x 4000 pixels takes about 1.6 GB", "tiles(scale=16)": "", "none": ""}
    for finisher, said in known.items():
        assert command_line.run(*words, tmp_path / "drawings", "--finisher", finisher) == 2
        assert (note := capsys.readouterr().err).count("to finish a") == bool(said) and said in note
    assert size_of(tmp_path / "a.png") == (3000, 3333) and size_of(tmp_path / "none.png") is None


def test_a_part_that_looks_at_numbers_cannot_tell(unchecked: None) -> None:
    pipe = build("midm-faces")

    class Doubtful(torch.nn.Module):
        channels, stride = 8, 4

        def encode(self, image: torch.Tensor) -> torch.Tensor:
            assert image.sum() < 1e9
            return pipe.autoencoder.encode(image)

        decode = staticmethod(pipe.autoencoder.decode)

    assert translation_memory(pipe.replace(autoencoder=Doubtful()), 64) is None
    assert free_memory(torch.device("cpu")) is None or free_memory(torch.device("cpu")) > 2**20
