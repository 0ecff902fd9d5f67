"""Folders of weights are the old or the new one whenever a process is killed, and nothing else is overwritten."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from folder_writers import content, converted
from torch import Tensor
from weights_files import save_weights

import midms
from midms import Spec, build, cli
from midms.checkpoints import folder as weights_folder
from midms.checkpoints.config import FolderConfig, Writer
from midms.checkpoints.config import content as settings
from midms.checkpoints.convert import save
from midms.checkpoints.folder import check
from midms.compose.presets import PRESETS
from midms.compose.recipe import Recipe
from midms.core.files import HeldError, held
from midms.core.schema import checked
from midms.core.tensors import CheckpointError, checksum
from midms.pipeline.pipeline import Pipeline

pytestmark = pytest.mark.usefixtures("hasty")
FOLDERS = ("composition", "conversion")


def test_a_part_that_is_no_more_takes_its_file_along(pipes: list[Pipeline], tmp_path: Path) -> None:
    with pytest.warns(UserWarning):
        other = build(
            "midm-faces",
            denoiser=Spec("unconditional", channels=8, widths=(16, 32), attention=(False, True), head_dim=8),
        )
    other.save_pretrained(tmp_path)
    assert (tmp_path / "confidence.safetensors").exists()
    pipes[0].save_pretrained(tmp_path)
    assert not (tmp_path / "confidence.safetensors").exists()


STRANGERS: dict[str, list[str]] = {
    "a training's": ["features.safetensors", "autoencoder.safetensors", "results.json"],
    "photos": ["cat.jpg"],
    "diffusers'": ["config.json", "diffusion_pytorch_model.safetensors"],
    "somebody's settings": ["config.json"],
}


@pytest.mark.parametrize("kind", FOLDERS)
@pytest.mark.parametrize("names", STRANGERS.values(), ids=STRANGERS)
def test_what_is_of_another_kind_is_replaced_only_when_told_so(
    pipes: list[Pipeline], tmp_path: Path, kind: str, names: list[str]
) -> None:
    for name in names:
        (tmp_path / name).write_text('{"mine": 1}')

    def write(replace: bool) -> None:
        if kind == "composition":
            pipes[0].save_pretrained(tmp_path, replace=replace)
        else:
            save(converted(0), tmp_path, replace)

    with pytest.raises(CheckpointError, match=r"take another folder, or give replace \(--replace\)") as caught:
        write(False)
    assert "\n" not in str(caught.value) and sorted(os.listdir(tmp_path)) == sorted(names)
    assert all((tmp_path / name).read_text() == '{"mine": 1}' for name in names)
    write(True)
    assert {"cat.jpg", "results.json"} & {*names} <= {*os.listdir(tmp_path)}, "others stay"


def test_the_two_kinds_do_not_take_each_others_folders(
    writes: dict[str, list[Callable[[Path], None]]], tmp_path: Path
) -> None:
    for kind, other in (FOLDERS, FOLDERS[::-1]):
        writes[kind][0](tmp_path / kind)
        before = content(tmp_path / kind)
        with pytest.raises(CheckpointError, match="which is of another kind"):
            writes[other][0](tmp_path / kind)
        assert content(tmp_path / kind) == before


def test_weights_beside_a_composition_that_are_not_its_own_stay(pipes: list[Pipeline], tmp_path: Path) -> None:
    pipes[0].save_pretrained(tmp_path)
    (tmp_path / "confidence.safetensors").write_bytes(b"mine")
    with pytest.warns(UserWarning):
        other = build(
            "midm-faces",
            denoiser=Spec("unconditional", channels=8, widths=(16, 32), attention=(False, True), head_dim=8),
        )
    with pytest.raises(CheckpointError, match=r"holds confidence\.safetensors"):
        other.save_pretrained(tmp_path)


def test_hidden_files_and_a_readme_are_no_reason(pipes: list[Pipeline], tmp_path: Path) -> None:
    (tmp_path / ".gitattributes").touch()
    (tmp_path / "README.md").touch()
    pipes[0].save_pretrained(tmp_path)
    assert midms.from_pretrained(tmp_path).name == "midm-faces-paper"


def test_weights_of_another_save_are_not_taken(writes: dict[str, list[Callable[[Path], None]]], tmp_path: Path) -> None:
    for name, write in zip(("old", "new"), writes["composition"], strict=True):
        write(tmp_path / name)
    shutil.copy(tmp_path / "old/features.safetensors", tmp_path / "new/features.safetensors")
    with pytest.raises(CheckpointError, match="not the weights that were saved with the settings beside them"):
        midms.from_pretrained(tmp_path / "new")


def test_a_link_to_a_folder_that_is_to_come_is_followed(pipes: list[Pipeline], tmp_path: Path, unchecked: None) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    pipes[0].save_pretrained(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "folder" / "config.json").exists()
    with pytest.raises(CheckpointError, match=r"^None: is NoneType, expected a folder or the id of one on the hub$"):
        midms.from_pretrained(None)  # type: ignore[arg-type]


def test_one_writer_a_folder_and_the_second_is_told_who(
    writes: dict[str, list[Callable[[Path], None]]], tmp_path: Path
) -> None:
    for kind in FOLDERS:
        with (
            held(tmp_path / "run"),
            pytest.raises(HeldError, match=f"is written to by process {os.getpid()} on .* since"),
        ):
            writes[kind][0](tmp_path / "run")
        assert not (tmp_path / "run").exists()
        writes[kind][0](tmp_path / kind)


def test_convert_refuses_before_it_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_weights(torch.nn.Linear(2, 2), tmp_path / "autoencoder.safetensors")
    assert cli.main(["convert", str(tmp_path / "none.ckpt"), "--config", "x", "--out", str(tmp_path)]) == 2
    assert "holds autoencoder.safetensors, which is of another kind" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["autoencoder.safetensors"]


@pytest.mark.parametrize("by", ["convert", "save_pretrained", "train"])
def test_what_cannot_be_written_to_says_what_else_can_be_done(by: Writer, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="take another folder") as refused:
        check(tmp_path, by)
    assert ("replace" in str(refused.value)) == (by != "train")


@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_preset_is_made_of_is_written_and_read(preset: str) -> None:
    parts = PRESETS[preset].slots
    written = json.dumps(settings(PRESETS[preset], "save_pretrained", "run") | {"weights": {}, "checksums": {}})
    read = checked(FolderConfig, json.loads(written), "run", CheckpointError).recipe().slots
    assert read == parts


def test_parts_of_parts_are_saved(tmp_path: Path) -> None:
    backbone = Spec("timm", backbone="resnet18", pretrained=True)
    parts = {
        "confidence": Spec("product", of=(Spec("cycle", radius=0.1), "peak")),
        "features": Spec("fusion", extractors=(backbone,)),
    }
    recipe = Recipe(name="own", slots=parts, weights={"features": "features.safetensors"})
    written = json.dumps(settings(recipe, "save_pretrained", "run"))
    slots = json.loads(written)["slots"]
    assert slots["confidence"]["arguments"]["of"] == [{"part": "cycle", "arguments": {"radius": 0.1}}, "peak"]
    (fused,) = slots["features"]["arguments"]["extractors"]  # whose weights lie here
    assert fused == {"part": "timm", "arguments": {"backbone": "resnet18", "pretrained": False}}


def test_a_link_out_of_the_folder_is_not_followed_but_into_the_hubs_cache(
    writes: dict[str, list[Callable[[Path], None]]], tmp_path: Path
) -> None:
    folder = tmp_path / "snapshots" / "abc"
    writes["conversion"][0](folder)
    (tmp_path / "blobs").mkdir()
    weights, elsewhere = folder / "features.safetensors", tmp_path / "elsewhere.safetensors"
    before = content(folder)
    for place in (tmp_path / "blobs" / "123", elsewhere):
        shutil.move(weights, place)
        weights.symlink_to(place)
        if place == elsewhere:
            with pytest.raises(CheckpointError, match="leads out of the folder"):
                content(folder)
        else:
            assert content(folder) == before
            shutil.copy(place, elsewhere)
            weights.unlink()
            shutil.copy(place, weights)


def test_a_file_system_without_links_will_do(
    writes: dict[str, list[Callable[[Path], None]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(weights_folder.os, "link", refuse)
    for write in writes["conversion"]:
        write(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.json",
        "features.safetensors",
        "README.md",
    }
    state: dict[str, Tensor] = weights_folder.read_folder(tmp_path).state("features")
    assert checksum(state) == checksum(converted(1).state("features"))
