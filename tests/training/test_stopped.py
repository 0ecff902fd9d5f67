"""What a writer that was ended leaves behind is known to the next; mixed and strange numbers are no weights."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from midms import build, cli
from midms.core.tensors import CheckpointError, load_state


def test_former_weights_do_not_lock_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more, fewer, unlink = build("midm-faces"), build("midm-faces", confidence="always"), os.unlink
    more.save_pretrained(tmp_path)

    def stop(path: Path, *_: object, **__: object) -> None:
        if path.name == "confidence.safetensors":
            raise KeyboardInterrupt
        unlink(path)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", stop)
        with pytest.raises(KeyboardInterrupt):
            fewer.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["past"] == ["confidence"]
    assert (tmp_path / "confidence.safetensors").exists()
    fewer.save_pretrained(tmp_path)
    assert not (tmp_path / "confidence.safetensors").exists()
    assert json.loads((tmp_path / "config.json").read_text()).get("past", []) == []
    more.save_pretrained(tmp_path)


def test_weights_are_dense_numbers_of_one_precision_and_of_known_sizes() -> None:
    module = nn.Linear(2, 2)
    state = {"weight": torch.eye(2), "bias": torch.zeros(2)}
    for name, value, said in (
        ("bias", torch.zeros(2, dtype=torch.float64), "torch.float32 and torch.float64, expected one precision"),
        ("weight", torch.eye(2).to_sparse(), "weight is torch.sparse_coo, expected torch.strided"),
        ("weight", torch.zeros(1).expand(2**40), "weight is .1099511627776,., expected .2, 2."),
    ):
        with pytest.raises(CheckpointError, match=said):
            load_state(module, state | {name: value}, "x", keep=True)
    load_state(module, {name: value.double() for name, value in state.items()}, "x", keep=True)
    assert module.bias.dtype == torch.float64
    load_state(module, state | {"bias": torch.zeros(2, dtype=torch.float16)}, "x")
    assert module.bias.dtype == torch.float64, "the module's own precision is kept"


def test_a_link_to_itself_is_no_plug_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loop.py").symlink_to("loop.py")
    assert cli.main(["list", "--plugin", str(tmp_path / "loop.py")]) == 2
    assert "loop.py: no such file" in capsys.readouterr().err
