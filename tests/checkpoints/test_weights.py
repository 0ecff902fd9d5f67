"""Weights on disk: exact in, exact out, and refused by name if anything is wrong with them."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from weights_files import load_weights, save_weights

from midms import Spec, build
from midms.compose.presets import PRESETS
from midms.compose.recipe import SHIPPED
from midms.core.tensors import CheckpointError


def network(width: int = 3) -> nn.Module:
    torch.manual_seed(width)
    return nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width))


@pytest.mark.parametrize("half", [True, False])
def test_what_is_saved_is_loaded(tmp_path: Path, half: bool) -> None:
    path, original, other = tmp_path / "new" / "folder" / "net.safetensors", network(), network(3).double()
    original[1](torch.randn(8, 3))
    for value in other.parameters():
        value.data.zero_()
    save_weights(original, path, half=half)
    load_weights(other, path)
    assert os.listdir(path.parent) == ["net.safetensors"]
    stored = load_file(path)
    assert stored["0.weight"].dtype == (torch.float16 if half else torch.float32)
    assert stored["1.num_batches_tracked"].dtype == torch.int64
    for name, value in other.state_dict().items():
        expected = original.state_dict()[name]
        expected = expected.half().double() if half and value.is_floating_point() else expected.to(value.dtype)
        assert torch.equal(value, expected), name


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.safetensors"
    save_weights(network(), path)
    before = path.read_bytes()

    def full(state: object, name: Path, metadata: object) -> None:
        name.write_bytes(b"half of")
        raise OSError("disk full")

    monkeypatch.setattr("midms.core.tensors.save_file", full)
    with pytest.raises(CheckpointError, match=r"net.safetensors: cannot be written \(disk full\)"):
        save_weights(network(5), path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["net.safetensors"]


def test_a_file_is_as_open_to_others_as_any(tmp_path: Path) -> None:
    save_weights(network(), tmp_path / "net.safetensors")
    (tmp_path / "plain").touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


class Bomb:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {Bomb.target}",)

    target = "/dev/null"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)


def as_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb()))


def as_torch(path: Path) -> None:
    torch.save(network().state_dict(), path)


def with_nan(path: Path) -> None:
    state = load_file(path)
    state["0.bias"][0] = float("nan")
    save_file(state, path)


def other_keys(path: Path) -> None:
    state = load_file(path)
    state["0.scale"] = state.pop("0.bias")
    state["1.weight"] = torch.zeros(9)
    save_file(state, path)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "no such file of weights"),
    "truncated": (truncate, "not a whole safetensors file"),
    "empty": (lambda path: path.write_bytes(b""), "not a whole safetensors file"),
    "a bit flipped": (flip, "its checksum does not hold"),
    "a pickle": (as_pickle, "not a whole safetensors file, and no other kind is opened"),
    "a torch checkpoint": (as_torch, "not a whole safetensors file, and no other kind is opened"),
    "not a number": (with_nan, "does not fit Sequential: 0.bias is not finite"),
    "another network's": (
        other_keys,
        r"does not fit Sequential: 1.weight is \(9,\), expected \(3,\); missing 0.bias; unexpected 0.scale",
    ),
}


def test_another_network_is_told_in_short_and_whole(tmp_path: Path) -> None:
    save_weights(nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(50))), tmp_path / "net.safetensors")
    with pytest.raises(CheckpointError, match=r"unexpected 1.bias; .* and \d+ more$") as caught:
        load_weights(nn.Sequential(nn.Conv2d(3, 3, 1)), tmp_path / "net.safetensors")
    assert len(str(caught.value)) < 300 and len(caught.value.details) == 98


@pytest.mark.parametrize(("damage", "why"), DAMAGES.values(), ids=DAMAGES)
def test_what_is_wrong_is_refused_by_name_in_one_line(
    tmp_path: Path, damage: Callable[[Path], object], why: str
) -> None:
    path = tmp_path / "net.safetensors"
    Bomb.target = str(tmp_path / "exploded")
    save_weights(network(), path)
    damage(path)
    untouched = network()
    with pytest.raises(CheckpointError, match=f"^{path}: .*{why}") as caught:
        load_weights(untouched, path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "exploded").exists()
    assert torch.equal(untouched[0].weight, network()[0].weight), "nothing was loaded"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of `midm-faces` under the preset's file names; and none shipped."""
    monkeypatch.setattr("midms.compose.recipe.SHIPPED", tmp_path / "nothing")
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        pipe = build("midm-faces")
    pipe.save_pretrained(tmp_path / "weights", torch.float16)
    return tmp_path / "weights"


def test_weights_of_ones_own(folder: Path) -> None:
    pipe = build("midm-faces", weights=folder)  # a warning would be an error
    assert pipe.notes == ()
    for slot, file in PRESETS["midm-faces"].weights.items():
        stored = load_file(folder / Path(file).name)
        for name, value in getattr(pipe, slot).state_dict().items():
            assert torch.equal(value, stored[name].float()), (slot, name)


def test_a_part_of_ones_own_gets_none_of_the_presets(folder: Path) -> None:
    denoiser = PRESETS["midm-faces"].slots["denoiser"]
    same = Spec(denoiser.name, **denoiser.arguments)
    assert build("midm-faces", weights=folder, denoiser=same).notes == (), "the same part in other words is the same"
    with pytest.warns(UserWarning, match="weights are not for the denoiser given") as caught:
        pipe = build("midm-faces", weights=folder, denoiser=Spec("bridge", **(denoiser.arguments | {"layers": 2})))
    assert len(caught) == 1
    assert "weights are not for the denoiser given" in repr(pipe)
    own = pipe.denoiser.state_dict()["network.conv_in.weight"]
    ready = build("midm-faces", weights=folder, denoiser=pipe.denoiser)
    assert ready.notes == () and torch.equal(ready.denoiser.state_dict()["network.conv_in.weight"], own)


def test_random_weights_are_told_once(folder: Path) -> None:
    with pytest.warns(UserWarning, match="midm-faces: random weights in .*denoiser.*none are shipped") as caught:
        pipe = build("midm-faces")
    assert len(caught) == 1
    assert "note: random weights in" in repr(pipe)


def test_every_file_that_fails_is_named(folder: Path) -> None:
    truncate(folder / "denoiser.safetensors")
    (folder / "features.safetensors").unlink()
    with pytest.raises(
        CheckpointError, match=r"denoiser.safetensors: not a whole.*; .*features.safetensors: no such file"
    ):
        build("midm-faces", weights=folder)


@pytest.mark.parametrize("preset", ["midm-faces", "midm-faces-paper", "midm-lineart"])
def test_shipped_weights_fit_and_are_small(preset: str) -> None:
    assert build(preset).notes == ()  # a warning would be an error
    assert sum(path.stat().st_size for path in (SHIPPED / preset).iterdir()) < 15e6
