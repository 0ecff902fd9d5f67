"""Logs on a full disk: they end with a note, the training does not."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import NoReturn

import pytest
from tensorboardX.record_writer import RecordWriter
from tiny_stage import STEPS, trained

from midms.training import trainer
from midms.training.trackers import end, quiet_threads
from midms.training.trainer import accelerator


def test_training_goes_on_where_logs_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refused(self: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    def made(cpu: bool) -> trainer.Accelerator:
        return run

    run = accelerator(cpu=True, log_with="tensorboard", folder=tmp_path)
    monkeypatch.setattr("tiny_stage.accelerator", made)
    monkeypatch.setattr(trainer, "LOG_EVERY", 1)
    monkeypatch.setattr(RecordWriter, "flush", refused)
    with quiet_threads(), pytest.warns(UserWarning, match="^logs cannot be written .No space left on device.") as said:
        _, progress, _ = trained(tmp_path)
        end(run)
    assert progress.step == STEPS and progress.checkpoints and len(said) == 1
    assert not run.trackers and "Traceback" not in capfd.readouterr().err
    assert not [one for one in threading.enumerate() if type(one).__module__.startswith("tensorboardX")]
