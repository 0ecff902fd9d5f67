"""What stands where a file should, and is none, is called what it is, and is never opened."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from midms.checkpoints.convert import convert, find
from midms.checkpoints.convert.weights import read, weights_of
from midms.checkpoints.folder import read_folder
from midms.compose.recipe import SHIPPED
from midms.core.tensors import CheckpointError
from midms.features.vgg_network import TrunkError, from_file

KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (lambda path: os.mkfifo(path), "is a pipe, expected a regular file"),
    "socket": (lambda path: os.mknod(path, stat.S_IFSOCK), "is a socket, expected a regular file"),
    "folder": (lambda path: path.mkdir(), "is a folder, expected a regular file"),
    "link to itself": (lambda path: path.symlink_to(path), "leads out of the folder|levels of symbolic links"),
}
READERS: dict[str, Callable[[Path], object]] = {
    "config.json": lambda path: find(path.parent),
    "features.safetensors": lambda path: read_folder(path.parent).state("features"),
    "weights.safetensors": read,
    "weights.pth": read,
    "weights.safetensors.index.json": read,
    "diffusion_pytorch_model.safetensors": lambda path: read(weights_of(path.parent)),
    "trunk.pth": from_file,
    "trunk.safetensors": from_file,
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_called_what_it_is(tmp_path: Path, name: str, kind: str) -> None:
    make, message = KINDS[kind]
    folder = shutil.copytree(SHIPPED / "midm-faces", tmp_path / "run")
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    with pytest.raises((CheckpointError, TrunkError), match=rf"/{name}: .*({message})"):
        READERS[name](folder / name)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_so_is_what_stands_where_a_folder_should(tmp_path: Path, kind: str) -> None:
    KINDS[kind][0](tmp_path / "here")
    with pytest.raises(CheckpointError, match=f"here: is a {kind}, expected a folder of weights$"):
        find(tmp_path / "here")
    with pytest.raises(CheckpointError, match=f"here: is a {kind}, expected a regular file$"):
        convert(tmp_path / "here")
