"""What a folder of training holds is believed only if it is whole, and one process at a time trains in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from torch import Tensor
from training_command import refused, train

from midms.checkpoints.folder import read_folder
from midms.training import train as training
from midms.training.trainer import fit


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, rendered: Path) -> Path:
    """A run with its pictures."""
    out = tmp_path_factory.mktemp("run")
    shutil.copytree(rendered, out / "data")
    return out


def changed(change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Callable[[Path], object]:
    """Another content of a file, without a checksum."""
    return lambda path: save_file(change(load_file(path)), path)


PICTURES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:5000]), "not a whole safetensors file"),
    "a flipped byte": (
        lambda path: path.write_bytes((data := path.read_bytes())[:-9999] + bytes([data[-9999] ^ 255]) + data[-9998:]),
        "its checksum does not hold",
    ),
    "inverted": (changed(lambda s: s | {"image": 255 - s["image"]}), "has no checksum"),
}


@pytest.mark.parametrize("damage", PICTURES)
def test_damaged_pictures_are_refused(
    trained: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained / "data", tmp_path / "data")
    change, message = PICTURES[damage]
    (pictures,) = (tmp_path / "data").glob("portraits-train-*")
    change(pictures)
    assert train(tmp_path, "autoencoder") == 2
    assert message in refused(capsys) and os.listdir(tmp_path) == ["data"]


@pytest.mark.parametrize(
    "record", ["[1]", "3", '{"made": {', '{"made": {"autoencoder": [1]}}', "[" * 100_000], ids=range(5)
)
def test_a_damaged_record_is_refused_before_anything_is_rendered(
    record: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.json"
    path.write_text(record)
    assert train(tmp_path, "autoencoder") == 2
    line = refused(capsys)
    assert line.startswith(f"midms: {path}: ") and len(line) < 1000
    assert path.read_text() == record and os.listdir(tmp_path) == ["config.json"]


def test_while_one_trains_in_a_folder_a_second_is_told_who(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").symlink_to(trained / "data")
    second = []

    def both(*given: Any) -> Any:
        monkeypatch.undo()
        second.append(train(tmp_path, "autoencoder", "--seed", 6))
        return fit(*given)

    monkeypatch.setattr(training, "fit", both)
    assert train(tmp_path, "autoencoder") == 0 and second == [2]
    assert f"is written to by process {os.getpid()} on " in refused(capsys)
    assert "--seed 5" in read_folder(tmp_path).recipe.made["autoencoder"]["command"]
    assert read_folder(tmp_path).state("autoencoder")


@pytest.mark.parametrize("out", [".", "runs/mine"])
def test_nothing_is_left_among_the_pictures(out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path / out, "autoencoder", "--data", f"folder:{tmp_path}") == 2
    assert f"--out {tmp_path / out}: is in the folder of --data" in refused(capsys) and not os.listdir(tmp_path)
