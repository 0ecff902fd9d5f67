"""`midms doctor`: every operation is answered for, and what cannot run says why."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from midms import cli
from midms.cli import environment as doctor
from midms.matching.kernels import IMPLEMENTATIONS, reference
from midms.matching.kernels.triton import implementation as on_triton


def test_the_command_and_the_module_say_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out
    module = subprocess.run([sys.executable, "-m", "midms.cli.environment"], capture_output=True, text=True, check=True)
    assert module.stdout == said
    assert f"torch {torch.__version__.split('+')[0]}" in said


def test_every_operation_is_answered_for() -> None:
    said = doctor.report()
    public = {"attend", "attend_both", "top_k", "mutual_nearest", "cycle"}
    assert public == set(doctor.OPERATIONS) and all(hasattr(reference, name) for name in public)
    for name in public:
        assert f"  {name}: chunked" in said


def test_what_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not triton: tensors are on cpu" in "\n".join(doctor.operations(torch.device("cpu")))
    monkeypatch.setattr(on_triton, "find_spec", lambda name: None)
    assert "not triton: triton is not installed" in "\n".join(doctor.operations(torch.device("cpu")))
    for module in IMPLEMENTATIONS.values():
        monkeypatch.setattr(module, "unsupported", lambda *operands, precision: ["it is Sunday"])
    assert "attend: nothing" in "\n".join(doctor.operations(torch.device("cpu")))
