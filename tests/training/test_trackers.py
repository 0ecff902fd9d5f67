"""Logs on a full disk: they end with a note, the training does not."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import NoReturn

import pytest
from accelerate.utils import LoggerType
from tensorboardX.record_writer import RecordWriter
from tiny_stage import STEPS, trained

from midms.registry import BadArguments
from midms.training import trainer
from midms.training.trackers import check_installed, end, quiet_threads
from midms.training.trainer import accelerator


def test_a_tracker_that_is_not_installed_is_refused_by_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midms.training.trackers.get_available_trackers", lambda: [LoggerType.TENSORBOARD])
    for tracker in ("tensorboard", "all", None):
        check_installed(tracker)
    with pytest.raises(BadArguments, match=r"^--log-with comet_ml: is not installed, pip install comet-ml$"):
        check_installed("comet_ml")


def test_training_goes_on_where_logs_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refused(self: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    def made(cpu: bool) -> trainer.Accelerator:
        return run

    run = accelerator(cpu=True, log_with="tensorboard", folder=tmp_path)
    monkeypatch.setattr("tiny_stage.accelerator", made)
    monkeypatch.setattr(RecordWriter, "flush", refused)
    with quiet_threads(), pytest.warns(UserWarning, match="^logs cannot be written .No space left on device.") as said:
        _, progress, _ = trained(tmp_path)
        end(run)
    assert progress.step == STEPS and progress.checkpoints and len(said) == 1
    assert not run.trackers and "Traceback" not in capfd.readouterr().err
    assert not [one for one in threading.enumerate() if type(one).__module__.startswith("tensorboardX")]
