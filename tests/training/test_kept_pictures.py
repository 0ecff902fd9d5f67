"""The portraits that a training keeps are what it would make anew, or are refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from midms.conditions.sketch import Sketch
from midms.core.files import atomic_write
from midms.core.tensors import CheckpointError, save_state
from midms.data.portraits.cached import CachedPortraits
from midms.data.portraits.dataset import Portraits
from midms.data.portraits.variety import Variety

STYLES, GEOMETRIES = 24, 2
State = dict[str, Tensor]


@pytest.fixture
def kept(rendered: Path) -> Path:
    """The file of the pictures that are trained on."""
    (path,) = rendered.glob("portraits-train-*")
    return path


def opened(folder: Path) -> CachedPortraits:
    return CachedPortraits.open(folder, Portraits(condition=Sketch()), STYLES, GEOMETRIES)


def but_first(state: State, changed: State) -> State:
    """The first style as it was, the others changed."""
    return {name: torch.cat([state[name][:GEOMETRIES], changed[name][GEOMETRIES:]]) for name in state}


def others(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[State], State]:
    return lambda state: but_first(state, state | {name: change(state[name])})


CHANGED: dict[str, tuple[Callable[[State], State], str]] = {
    "inverted pictures": (others("image", lambda x: 255 - x), "image is not"),
    "brighter pictures": (others("image", lambda x: x.clamp(max=245) + 10), "image is not"),
    "mirrored pictures": (others("image", lambda x: x.flip(-1)), "image is not"),
    "pictures of other faces": (others("image", lambda x: x.roll(2, 0)), "image is not"),
    "mirrored parts": (others("parts", lambda x: x.flip(-1)), "parts is not"),
    "inverted strokes": (others("condition", lambda x: 255 - x), "condition is not"),
    "no strokes": (others("condition", torch.zeros_like), "condition is not"),
    "strokes of other faces": (others("condition", lambda x: x.roll(4, 0)), "condition is not"),
    "no edges": (others("exemplar_condition", torch.zeros_like), "exemplar_condition is not"),
    "all of other faces": (
        lambda state: but_first(state, {k: x.roll(2, 0) for k, x in state.items()}),
        "are not what is rendered now",
    ),
    "32 pixels": (
        lambda state: {k: x[..., ::2, ::2] for k, x in state.items()},
        r"image is torch.uint8 \(48, 3, 32, 32\)",
    ),
    "3 faces": (lambda state: {k: x[:3] for k, x in state.items()}, r"image is torch.uint8 \(3, 3, 64, 64\)"),
    "numbers": (lambda state: {k: x.float() for k, x in state.items()}, "image is torch.float32"),
    "no maps": (
        lambda state: {k: x for k, x in state.items() if k != "exemplar_condition"},
        "has no exemplar_condition",
    ),
}


@pytest.mark.parametrize("case", CHANGED)
def test_pictures_that_were_made_otherwise_are_refused(case: str, kept: Path, tmp_path: Path) -> None:
    """However whole its checksum is, and though its first style is right."""
    change, result = CHANGED[case]
    save_state(change(load_file(kept)), tmp_path / kept.name)
    with pytest.raises(CheckpointError, match=rf"{kept.name}: .*{result}.*; remove it to have it rendered anew"):
        opened(tmp_path)


def test_pictures_without_their_checksum_are_refused(kept: Path, tmp_path: Path) -> None:
    save_file(load_file(kept), tmp_path / kept.name)
    with pytest.raises(CheckpointError, match=r"has no checksum.*; remove it to have it rendered anew"):
        opened(tmp_path)


def test_a_file_cut_short_says_how_to_have_it_again(kept: Path, tmp_path: Path) -> None:
    (tmp_path / kept.name).write_bytes(kept.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=rf"{kept.name}: .*; remove it to have it rendered anew"):
        opened(tmp_path)


def test_kept_pictures_are_read(kept: Path) -> None:
    before = kept.stat()
    for _ in range(3):  # styles drawn by chance
        portraits = opened(kept.parent)
    assert torch.equal(portraits.image, load_file(kept)["image"]) and kept.stat().st_mtime_ns == before.st_mtime_ns


def test_what_a_killed_run_left_beside_pictures_is_removed(kept: Path, tmp_path: Path) -> None:
    kept = Path(shutil.copy(kept, tmp_path))
    if not (child := os.fork()):
        with atomic_write(kept.parent / "portraits") as part:
            part.write_bytes(b"half")
            os._exit(9)
    os.waitpid(child, 0)
    assert len(os.listdir(kept.parent)) == 2
    opened(kept.parent)
    assert os.listdir(kept.parent) == [kept.name]


@pytest.mark.parametrize("styles", [1, 3])
@pytest.mark.parametrize("geometries", [2, 3])
def test_pairs_are_two_pictures_of_one_style(styles: int, geometries: int) -> None:
    """Every ordered pair of different pictures once."""
    image, parts, maps = (torch.zeros(styles * geometries, *rest, 4, 4, dtype=torch.uint8) for rest in ((3,), (), (2,)))
    portraits = CachedPortraits(image, parts, maps, maps, 0, geometries, Variety())
    found = [portraits.numbers(index) for index in range(len(portraits))]
    every = range(styles * geometries)
    assert sorted(found) == [(a, b) for a in every for b in every if a != b and a // geometries == b // geometries]


def test_the_flow_of_a_pair_leads_to_where_it_shows_the_same(rendered: Path) -> None:
    portraits = opened(rendered)
    for index in (0, 17, len(portraits) - 1):
        pair = portraits[index]
        assert pair.flow is not None and pair.visible is not None and pair.foreground is not None
        warped = F.grid_sample(pair.exemplar, pair.flow.permute(0, 2, 3, 1), align_corners=False)
        off, apart = ((image - pair.target).abs().mean(1, keepdim=True) for image in (warped, pair.exemplar))
        seen = pair.visible & pair.foreground
        assert off[seen].mean() < 0.15 and off[seen].mean() < 0.7 * apart[seen].mean()
    with pytest.raises(IndexError, match="numbered 0 to 47, got 48"):
        portraits[len(portraits)]
