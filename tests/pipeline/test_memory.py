"""What a translation will take is known before it is made: held against the peak of the process."""

from __future__ import annotations

from pathlib import Path

import command_line
import pytest
import torch

from midms import build
from midms.cli import translate
from midms.evaluation.metrics.cost import Cost
from midms.pipeline.memory import free_memory, translation_memory


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("size", [128, 256])
def test_the_estimate_is_near_the_peak(size: int) -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("no such measure on this system")
    run, cost = build("midm-faces"), Cost("cpu")
    estimate = translation_memory(run, size)
    run(torch.rand(1, 2, 64, 64), torch.rand(1, 3, 64, 64), torch.rand(1, 2, 64, 64))  # loads what is loaded once
    condition, exemplar = torch.rand(1, 2, size, size), torch.rand(1, 3, size, size)
    with cost.measured():
        run(condition, exemplar, condition)
    assert estimate is not None and 1 / 1.5 < estimate / 2**20 / cost.megabytes < 1.5, (estimate / 2**20, cost)


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
    run = build("midm-faces")

    class Doubtful(torch.nn.Module):
        channels, stride = 8, 4

        def encode(self, image: torch.Tensor) -> torch.Tensor:
            assert image.sum() < 1e9
            return run.autoencoder.encode(image)

        decode = staticmethod(run.autoencoder.decode)

    assert translation_memory(run.replace(autoencoder=Doubtful()), 64) is None
    assert free_memory(torch.device("cpu")) is None or free_memory(torch.device("cpu")) > 2**20
