"""What a run of training keeps of its faces is what it would make anew, or is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from midms.checkpoints.tensors import CheckpointError, save_state, save_weights
from midms.core.files import atomic_write
from midms.training.album import Album, open_album
from midms.training.faces import fresh
from midms.training.stages import latents

STYLES, GEOMETRIES, SIZE = 20, 2, 64
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an album."""
    folder = tmp_path_factory.mktemp("albums")
    open_album(folder, "train", STYLES, GEOMETRIES, SIZE)
    (path,) = folder.iterdir()
    return path


def opened(folder: Path, styles: int = STYLES) -> Album:
    return open_album(folder, "train", styles, GEOMETRIES, SIZE)


def but_first(state: State, changed: State) -> State:
    """The first style as it was, the others changed."""
    return {name: torch.cat([state[name][:GEOMETRIES], changed[name][GEOMETRIES:]]) for name in state}


def others(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[State], State]:
    return lambda state: but_first(state, state | {name: change(state[name])})


CHANGED: dict[str, tuple[Callable[[State], State], str]] = {
    "inverted pictures": (others("image", lambda x: 255 - x), "image are others"),
    "brighter pictures": (others("image", lambda x: x.clamp(max=245) + 10), "image are others"),
    "mirrored pictures": (others("image", lambda x: x.flip(-1)), "image are others"),
    "pictures of other faces": (others("image", lambda x: x.roll(2, 0)), "image are others"),
    "mirrored parts": (others("parts", lambda x: x.flip(-1)), "parts are others"),
    "inverted strokes": (others("strokes", lambda x: 255 - x), "strokes are others"),
    "no strokes": (others("strokes", torch.zeros_like), "strokes are others"),
    "strokes of other faces": (others("strokes", lambda x: x.roll(4, 0)), "strokes are others"),
    "no edges": (others("edges", torch.zeros_like), "edges are others"),
    "all of other faces": (lambda state: but_first(state, {k: x.roll(2, 0) for k, x in state.items()}), "are others"),
    "32 pixels": (
        lambda state: {k: x[..., ::2, ::2] for k, x in state.items()},
        r"image is torch.uint8 \(40, 3, 32, 32\)",
    ),
    "3 faces": (lambda state: {k: x[:3] for k, x in state.items()}, r"image is torch.uint8 \(3, 3, 64, 64\)"),
    "numbers": (lambda state: {k: x.float() for k, x in state.items()}, "image is torch.float32"),
    "no edges at all": (lambda state: {k: x for k, x in state.items() if k != "edges"}, "has no edges"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_an_album_that_was_made_otherwise_is_refused(case: str, kept: Path, tmp_path: Path) -> None:
    """However whole its checksum is, and though its first style is right."""
    change, told = CHANGED[case]
    save_state(change(load_file(kept)), tmp_path / kept.name)
    with pytest.raises(CheckpointError, match=rf"{kept.name}: .*{told}.*; remove it to have it rendered anew"):
        opened(tmp_path)


def test_an_album_without_its_checksum_is_refused(kept: Path, tmp_path: Path) -> None:
    save_file(load_file(kept), tmp_path / kept.name)
    with pytest.raises(CheckpointError, match="has no checksum"):
        opened(tmp_path)


def test_a_kept_album_is_read(kept: Path) -> None:
    before = kept.stat()
    for _ in range(3):  # styles drawn by chance
        album = opened(kept.parent)
    assert torch.equal(album.image, load_file(kept)["image"]) and kept.stat().st_mtime_ns == before.st_mtime_ns


def test_latents_of_something_else_are_refused(kept: Path, tmp_path: Path) -> None:
    album, autoencoder = opened(kept.parent), fresh("autoencoder", torch.device("cpu")).eval()
    save_weights(autoencoder, tmp_path / "autoencoder.safetensors")
    made = latents(tmp_path, autoencoder, album)
    assert torch.equal(latents(tmp_path, autoencoder, album), made)
    (path,) = (tmp_path / "albums").iterdir()
    for wrong in (-made, made.roll(1, 0), made[:, :, ::2], made[:3], made.float(), made * torch.inf):
        save_state({"latents": wrong}, path)
        with pytest.raises(CheckpointError, match="no latents of the album; remove it to have them made anew"):
            latents(tmp_path, autoencoder, album)


def test_what_a_killed_run_left_beside_albums_is_removed(kept: Path) -> None:
    if not (child := os.fork()):
        with atomic_write(kept.parent / "album") as part:
            part.write_bytes(b"half")
            os._exit(9)
    os.waitpid(child, 0)
    assert len(os.listdir(kept.parent)) == 2
    opened(kept.parent)
    assert os.listdir(kept.parent) == [kept.name]
