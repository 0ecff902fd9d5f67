"""Folders of others: whatever is wrong with their settings or weights is one line, and nothing is written."""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from bad_checkpoints import DAMAGE, put
from hostile import MEMORY, SECONDS, outcome
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from midms import Spec, build, from_pretrained
from midms.core.tensors import CheckpointError
from midms.matching.matchers.nearest import Nearest
from midms.training.progress import Diverged, Progress

SMALL = {"condition_channels": 2, "latent_channels": 8, "stride": 4, "width": 16, "widths": (8, 8, 16)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    with pytest.warns(UserWarning, match="weights as constructed"):
        build("midm-faces-paper", features=Spec("pyramid", **SMALL)).save_pretrained(folder / "run")
    Image.effect_noise((80, 80), 99).convert("RGB").save(folder / "a.png")
    return folder


def refused(folder: Path) -> str:
    """The line that `midms translate` says of a folder, soon, in little memory, leaving nothing."""
    options = ["--condition", "a.png", "--exemplar", "a.png", "--out", "out.png", "--preset", "run"]
    said = outcome(["translate", *options], folder)
    assert (said.status, said.out, said.changed) == (2, [], []), said
    assert said.seconds < SECONDS and said.memory < MEMORY, said
    (line,) = (line for line in said.err if not line.startswith("midms: note:"))
    assert len(line) < 3000
    return line


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "f"))


PART = {"name": "correlation", "arguments": {}, "module": "x"}


def product(part: object) -> dict[str, Any]:
    return PART | {"name": "product", "arguments": {"of": [part]}}


FETCHED = {"part": "timm", "arguments": {"pretrained": True}}
CHANGES: dict[str, tuple[list[str], Any]] = {
    "name: number": (["name"], 1),
    "slots: list": (["slots"], []),
    "slots: null": (["slots"], None),
    "part: list": (["slots", "matcher"], []),
    "part: name as list": (["slots", "matcher", "name"], ["correlation"]),
    "part: path as name": (["slots", "matcher", "name"], "../../x"),
    "arguments: list": (["slots", "matcher", "arguments"], [1]),
    "arguments: number as key": (["slots", "matcher", "arguments"], {"": 1}),
    "arguments: infinite": (["slots", "matcher", "arguments", "temperature"], float("inf")),
    "arguments: NaN": (["slots", "matcher", "arguments", "temperature"], float("nan")),
    "arguments: endless": (["slots", "sampler", "arguments", "timesteps"], 10**30),
    "arguments: long list": (["slots", "sampler", "arguments", "timesteps"], [1] * 5000),
    "arguments: deep": (["slots", "sampler", "arguments", "timesteps"], [[[[[[1]]]]]]),
    "arguments: empty list": (["slots", "sampler", "arguments", "timesteps"], []),
    "arguments: words": (["slots", "sampler", "arguments", "schedule"], "no such"),
    "arguments: zero groups": (["slots", "denoiser", "arguments", "norm_groups"], 0),
    "arguments: indivisible": (["slots", "denoiser", "arguments", "norm_groups"], 7),
    "arguments: layers": (["slots", "denoiser", "arguments", "layers"], 2**16),
    "arguments: a number for widths": (["slots", "denoiser", "arguments", "widths"], 3),
    "weights: word": (["weights"], "yes"),
    "weights: beside the folder": (["weights", "denoiser"], "../other/denoiser.safetensors"),
    "weights: of no part": (["weights", "matcher"], "denoiser.safetensors"),
    "format: another": (["format"], 2),
    "license: a line": (["license"], "mit\nx: 1"),
    "loop: list": (["loop"], []),
    "loop: size": (["loop", "size"], "big"),
    "loop: size huge": (["loop", "size"], 10**9),
    "loop: size odd": (["loop", "size"], 65),
    "loop: size large": (["loop", "size"], 2048),
    "notes: text": (["notes"], "x"),
    "unknown key": (["x"], 1),
    "files: out of the folder": (["weights"], {"denoiser": "../denoiser.new-00000000.safetensors"}),
    "files: absent": (["weights"], {"denoiser": "denoiser.new-00000000.safetensors"}),
    "checksums: list": (["checksums"], []),
    "slot: path": (["slots", "../x"], PART),
    "slot: unknown": (["slots", "matcher2"], PART),
    "timm fetches": (["slots", "features"], PART | {"name": "timm", "arguments": {"pretrained": True}}),
    "timm fetches by 1": (["slots", "features"], PART | {"name": "timm", "arguments": {"pretrained": 1}}),
    "a part of a part fetches": (
        ["slots", "features"],
        PART | {"name": "fusion", "arguments": {"extractors": [FETCHED]}},
    ),
    "a part of a part: unknown": (["slots", "confidence"], product({"part": "no-such", "arguments": {}})),
    "a part of a part: path": (["slots", "confidence"], product({"part": "../x", "arguments": {}})),
    "a part of a part: list": (["slots", "confidence"], product({"part": "cycle", "arguments": [1]})),
    "a part of a part: wrong": (["slots", "confidence"], product({"part": "cycle", "arguments": {"radius": "x"}})),
    "a part of a part: deep": (["slots", "confidence"], product(product(product({})["arguments"])["arguments"])),
    "a part for a number": (["slots", "sampler", "arguments", "timesteps"], FETCHED),
    "timm from the hub": (["slots", "features"], PART | {"name": "timm", "arguments": {"backbone": "hf_hub:a/b"}}),
    "vgg by path": (["slots", "features"], PART | {"name": "vgg", "arguments": {"weights": "/etc/passwd"}}),
    "vgg by name": (["slots", "features"], PART | {"name": "vgg", "arguments": {"weights": "a.png"}}),
    "diffusion by path": (["slots", "features"], PART | {"name": "diffusion", "arguments": {"network": "../x"}}),
    "diffusion by name": (["slots", "features"], PART | {"name": "diffusion", "arguments": {"network": "run"}}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_settings_are_refused(folder: Path, change: str) -> None:
    keys, value = CHANGES[change]
    content = place = json.loads((folder / "run/config.json").read_text())
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    (folder / "run/config.json").write_text(json.dumps(content))
    line = refused(folder)
    assert "run" in line and "--size" not in line
    assert "pattern" not in line  # what a name may be is said in words


def test_a_folder_chooses_among_the_parts_that_are_here_and_brings_none(folder: Path, unchecked: None) -> None:
    """As a preset for every slot, as weights for those that it has weights for; what it calls a module is not run."""
    (folder / "evil.py").write_text("raise SystemExit('it was run')")
    path = folder / "run/config.json"
    content = json.loads(path.read_text())
    content["slots"]["matcher"] = {"name": "nearest", "arguments": {}, "module": "evil"}
    path.write_text(json.dumps(content))
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # weights as constructed
        patch.syspath_prepend(str(folder))
        assert isinstance(from_pretrained(folder / "run").matcher, Nearest)
        assert not isinstance(build("midm-faces-paper", weights=folder / "run").matcher, Nearest)
    assert "evil" not in sys.modules


def header(content: object, size: int = 8) -> bytes:
    text = json.dumps(content).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * size


TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
FILES: dict[str, bytes] = {
    "empty": b"",
    "eight zeros": b"\0" * 8,
    "a length beyond all": b"\xff" * 16,
    "a length beyond the file": struct.pack("<Q", 10**6) + b"{}",
    "no JSON": struct.pack("<Q", 4) + b"nope",
    "a list": header([]),
    "no tensors": header({}, 0),
    "another's": header({"x": TENSOR}),
    "a shape too large": header({"x": TENSOR | {"shape": [10**12]}}),
    "a negative shape": header({"x": TENSOR | {"shape": [-2]}}),
    "an overflowing shape": header({"x": TENSOR | {"shape": [2**63, 2**63]}}),
    "offsets the wrong way": header({"x": TENSOR | {"data_offsets": [8, 0]}}),
    "offsets outside": header({"x": TENSOR | {"data_offsets": [0, 800]}}),
    "offsets that overlap": header({"x": TENSOR, "y": TENSOR}),
    "a type unknown": header({"x": TENSOR | {"dtype": "F99"}}),
    "a type as a number": header({"x": TENSOR | {"dtype": 1}}),
    "metadata as a list": header({"__metadata__": [], "x": TENSOR}),
    "too much at the end": header({"x": TENSOR}, 99),
    "deep": struct.pack("<Q", 100_000) + b"[" * 100_000,
    "a pickle": b"\x80\x04N.",
    "a zip": b"PK\x03\x04" + b"\0" * 99,
}


@pytest.mark.parametrize("name", FILES)
def test_files_of_weights_are_refused(folder: Path, name: str) -> None:
    (folder / "run/features.safetensors").write_bytes(FILES[name])
    assert "features.safetensors" in refused(folder)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link to itself"])
def test_what_is_no_file_of_weights_is_not_opened(folder: Path, kind: str) -> None:
    path = folder / "run/features.safetensors"
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path)
    assert "features.safetensors" in refused(folder)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.float8_e5m2, torch.float64])
def test_numbers_that_are_no_weights_are_refused(folder: Path, dtype: torch.dtype) -> None:
    path, config = folder / "run/features.safetensors", folder / "run/config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps(content | {"checksums": {}}))
    state = load_file(path)
    name = next(name for name, value in state.items() if value.is_floating_point())
    state[name] = (
        torch.full_like(state[name], float("inf"), dtype=dtype) if dtype == torch.float64 else state[name].to(dtype)
    )
    save_file(state, path)
    assert name in refused(folder)


def progress(folder: Path, network: torch.nn.Module) -> Progress:
    return Progress(folder, "net", network, torch.optim.AdamW(network.parameters()), {"steps": 3})


def resumable(folder: Path) -> tuple[dict[str, Any], torch.nn.Module]:
    """What the checkpoint of a network after a step holds, and the network."""
    torch.manual_seed(0)
    network = torch.nn.Linear(2, 2)
    begun = progress(folder, network)
    network(torch.ones(2)).sum().backward()
    begun.advance(begun.optimiser, {"loss": 1.0})
    begun.save()
    content: dict[str, Any] = torch.load(folder / "net-00000001.checkpoint", weights_only=True)
    return content, network


@pytest.mark.parametrize("change", DAMAGE)
def test_checkpoints_of_training_are_refused(tmp_path: Path, change: str) -> None:
    content, network = resumable(tmp_path)
    before: dict[str, Tensor] = {name: value.clone() for name, value in network.state_dict().items()}
    torch.save(put(content, *DAMAGE[change]), tmp_path / "net-00000001.checkpoint")
    with pytest.raises(CheckpointError, match=r"net-00000001\.checkpoint") as caught:
        progress(tmp_path, network)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000
    assert change.startswith("optimiser") or all(torch.equal(before[n], v) for n, v in network.state_dict().items())


def test_a_whole_checkpoint_is_resumed(tmp_path: Path) -> None:
    _, network = resumable(tmp_path)
    assert progress(tmp_path, network).step == 1
    assert issubclass(Diverged, FloatingPointError)
