"""What a translation will take is known before it is made: held against the peak of the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import command_line
import pytest
import torch

from midms import build
from midms.cli import translate
from midms.pipeline.memory import free_memory, translation_memory

MEASURE = """
import torch
from midms import build
from midms.evaluation.metrics.cost import Cost
from midms.pipeline.memory import translation_memory
pipe = build("midm-faces")
for size in (128, 256):
    cost, condition, exemplar = Cost("cpu"), torch.rand(1, 2, size, size), torch.rand(1, 3, size, size)
    with cost.measured():
        pipe(condition, exemplar, condition)
    print(translation_memory(pipe, size) / 2**20, cost.megabytes)
"""
"""In a process of its own: one that has run much else has memory at hand that no peak shows."""


def test_the_estimate_is_near_the_peak() -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("no /proc/self/clear_refs here, by which peak memory is measured")
    told = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True).stdout
    found = [[float(number) for number in line.split()] for line in told.splitlines()]
    assert len(found) == 2 and all(1 / 1.5 < estimate / peak < 1.5 for estimate, peak in found), found


def test_a_large_translation_is_told_beforehand(
    pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(translate, "_LARGE", 10 * 2**20)
    assert command_line.translate(pair, tmp_path / "small.png") == 0
    assert "of memory" not in capsys.readouterr().err
    assert command_line.translate(pair, tmp_path / "large.png", "--size", 128) == 0
    assert "midms: note: 128 x 128 pixels take about 0." in (said := capsys.readouterr().err)
    assert " GB of memory, " in said and " GB are free\n" in said


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
