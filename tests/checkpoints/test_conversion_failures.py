"""Checkpoints that cannot be used: one line that says why, and nothing of them is run."""

from __future__ import annotations

import os
import re
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from checkpoints_of_others import LDM, compvis
from torch import Tensor

from midms import cli
from midms.checkpoints.convert import convert, find, save, write_failure
from midms.checkpoints.convert.weights import tensors
from midms.core.tensors import CheckpointError


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return compvis("any")


@pytest.fixture
def place(tmp_path: Path, state: dict[str, Tensor]) -> Path:
    torch.save({"state_dict": state}, tmp_path / "good.ckpt")
    return tmp_path


def complaint(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that `midms convert` says, leaving with status 2."""
    status = cli.main(["convert", *map(str, arguments)])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "") and err.count("\n") == 1, (status, out, err)
    return err


class Bomb:
    """Runs something when it is unpickled."""

    target = ""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.target,)


def truncated(place: Path, state: dict[str, Tensor]) -> None:
    content = (place / "good.ckpt").read_bytes()
    (place / "bad.ckpt").write_bytes(content[: len(content) // 2])


def renamed(place: Path, state: dict[str, Tensor]) -> None:
    torch.save({n.replace("out.2.weight", "out.3.weight"): v for n, v in state.items()}, place / "bad.ckpt")


def another_shape(place: Path, state: dict[str, Tensor]) -> None:
    name = "model.diffusion_model.input_blocks.4.1.qkv.weight"
    torch.save(state | {name: state[name][:-1]}, place / "bad.ckpt")


def half(place: Path, state: dict[str, Tensor]) -> None:
    torch.save({"state_dict": {n: v.half() for n, v in state.items()}}, place / "bad.ckpt")


def with_code(place: Path, state: dict[str, Tensor]) -> None:
    Bomb.target = str(place / "exploded")
    torch.save({"state_dict": state, "callbacks": Bomb()}, place / "bad.ckpt")


def not_finite(place: Path, state: dict[str, Tensor]) -> None:
    name = "first_stage_model.quant_conv.bias"
    torch.save(state | {name: state[name] / 0}, place / "bad.ckpt")


def another_schedule(place: Path, state: dict[str, Tensor]) -> None:
    torch.save(state | {"alphas_cumprod": state["alphas_cumprod"] * 0.99}, place / "bad.ckpt")


def released_without_matching(place: Path, state: dict[str, Tensor]) -> None:
    torch.save({f"diff_model.{n}": v for n, v in state.items()}, place / "bad.ckpt")


def optimiser(place: Path, state: dict[str, Tensor]) -> None:
    torch.save({"state_dict": {"step": 3}}, place / "bad.ckpt")


def damaged_inside(place: Path, state: dict[str, Tensor]) -> None:
    """The end of the largest tensor is zero; names and sizes are as they were."""
    content = bytearray((place / "good.ckpt").read_bytes())
    with zipfile.ZipFile(place / "good.ckpt") as file:
        largest = max(file.infolist(), key=lambda member: member.file_size)
        numbers = file.read(largest)
    at = content.index(numbers[:4096]) + largest.file_size - 4096
    content[at : at + 4096] = bytes(4096)
    (place / "bad.ckpt").write_bytes(content)


FAULTS: dict[str, tuple[Callable[[Path, dict[str, Tensor]], object], str]] = {
    "truncated": (truncated, "truncated, expected all of its bytes"),
    "empty": (lambda place, state: (place / "bad.ckpt").write_bytes(b""), "truncated"),
    "no checkpoint": (
        lambda place, state: (place / "bad.ckpt").write_text("<html>"),
        r"no checkpoint of PyTorch, it begins with b'<h'",
    ),
    "damaged inside": (damaged_inside, r"damaged at \S+/data/\d+, another copy may be whole"),
    "names that are numbers": (
        lambda place, state: torch.save({1: torch.zeros(1)}, place / "bad.ckpt"),
        "expected tensors by name, got also the name 1",
    ),
    "key renamed": (
        renamed,
        r"not the networks of .*ldm.yaml: missing model.diffusion_model.out.2.weight; "
        r"unexpected model.diffusion_model.out.3.weight; all of it is in .*refused.txt",
    ),
    "another shape": (another_shape, r"input_blocks.4.1.qkv.weight is \(191, 64, 1\)"),
    "half precision": (half, r"\d+ tensors are in half precision, not what was released: .*--half"),
    "code": (with_code, r"not opened, it asks to run posix.mkdir; only tensors are read"),
    "not finite": (not_finite, "first_stage_model.quant_conv.bias is not finite"),
    "another schedule": (another_schedule, "trained with another schedule than the ldm-celeba of .*ldm.yaml"),
    "released, incomplete": (released_without_matching, "seg_enc.layer1.0.weight_orig is missing"),
    "no tensors": (optimiser, r"expected tensors by name, got also step \(int\)"),
}


@pytest.mark.parametrize(("spoil", "why"), FAULTS.values(), ids=FAULTS)
def test_a_checkpoint_that_cannot_be_used(
    place: Path,
    state: dict[str, Tensor],
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path, dict[str, Tensor]], object],
    why: str,
) -> None:
    spoil(place, state)
    line = complaint(capsys, place / "bad.ckpt", "--config", LDM, "--out", place / "out")
    assert re.match(f"midms: {place / 'bad.ckpt'}: .*(?:{why})", line), line
    assert len(line) < 900
    assert not (place / "exploded").exists()
    assert not [*place.glob("out/*.safetensors")], "nothing was written"


def test_another_architecture_is_told_whole_in_the_report(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = yaml.safe_load(LDM.read_text())
    config["model"]["params"]["unet_config"]["params"]["model_channels"] = 224
    (place / "other.yaml").write_text(yaml.safe_dump(config))
    line = complaint(capsys, place / "good.ckpt", "--config", place / "other.yaml", "--out", place / "out")
    assert ", for a parameter of (224" in line and "more; all of it is in" in line
    assert len((place / "out" / "refused.txt").read_text().splitlines()) > 300


def folder_of(place: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (place / "out").iterdir()}


def test_a_conversion_that_fails_leaves_a_good_folder_as_it_is(
    place: Path, state: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    save(convert(place / "good.ckpt", LDM), place / "out")
    before = folder_of(place)
    renamed(place, state)
    complaint(capsys, place / "bad.ckpt", "--config", LDM, "--out", place / "out")
    assert folder_of(place).items() >= before.items() and set(folder_of(place)) - set(before) == {"refused.txt"}
    save(convert(place / "good.ckpt", LDM), place / "out")
    assert folder_of(place) == before


def test_half_precision_is_taken_when_asked_for(place: Path, state: dict[str, Tensor]) -> None:
    half(place, state)
    found = convert(place / "bad.ckpt", LDM, half=True)
    codes = found.state("autoencoder")["network.quantize.embedding.weight"]
    assert torch.equal(codes, state["first_stage_model.quantize.embedding.weight"].half())


def test_what_lightning_notes_down_beside_the_weights_does_no_harm(
    place: Path, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    package, module = types.ModuleType("pytorch_lightning"), types.ModuleType("pytorch_lightning.callbacks")
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": module.__name__})  # type: ignore[attr-defined]
    for made in (package, module):
        monkeypatch.setitem(sys.modules, made.__name__, made)
    torch.save({"state_dict": state, "callbacks": {module.ModelCheckpoint: {"best": 1.0}}}, place / "good.ckpt")
    monkeypatch.undo()
    assert convert(place / "good.ckpt", LDM).parts["denoiser"].name == "unconditional"


def test_what_is_no_checkpoint_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.yaml").write_text("a: [")
    (tmp_path / "model.pth").write_bytes(b"x")
    assert "model.pth: --config is needed" in complaint(capsys, tmp_path / "model.pth", "--out", tmp_path / "out")
    assert "no such file or folder" in complaint(capsys, tmp_path / "none.pth", "--out", tmp_path / "out")
    assert "has no unet/config.json" in complaint(capsys, tmp_path, "--out", tmp_path / "out")
    arguments = (tmp_path / "model.pth", "--config", tmp_path / "bad.yaml", "--out", tmp_path / "out")
    assert "bad.yaml: cannot be read as YAML" in complaint(capsys, *arguments)
    with pytest.raises(CheckpointError, match=r"model.pth: is a file; `midms convert .*model.pth --config"):
        find(tmp_path / "model.pth")


def test_a_file_without_checksums_is_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.ones(3)}, tmp_path / "model.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert tensors(tmp_path / "model.pth")["a"].sum() == 3


def test_what_names_of_tensors_hold_is_spelled_out(tmp_path: Path) -> None:
    assert (
        write_failure(["missing a\x1b[31m", "b\nmissing c"], tmp_path).read_text()
        == "missing a\\x1b[31m\nb\\nmissing c\n"
    )
