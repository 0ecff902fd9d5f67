"""Checkpoints as people have them: notes beside the weights, wrappers around them, shards and variants."""

from __future__ import annotations

import argparse
import collections
import datetime
import enum
import functools
import json
import pathlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from folders_of_others import BASE, filled, folder_of
from safetensors.torch import save_file
from torch import Tensor, nn

from midms.checkpoints.convert import convert
from midms.checkpoints.convert.weights import read, tensors
from midms.core.tensors import CheckpointError

STATE = {"conv.weight": torch.randn(4, 3, 3, 3), "conv.bias": torch.randn(8)[2:6], "turned": torch.randn(3, 2).t()}


def same(found: dict[str, Tensor], expected: dict[str, Tensor] = STATE) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], value) for name, value in expected.items())


class Kept(enum.Enum):
    best = 1


def of_package(name: str, **members: Any) -> Callable[[], Any]:
    """An object of a class of a package that is not installed here."""

    def make() -> Any:
        return sys.modules[name].Thing(**members)

    return make


class Thing(dict):  # type: ignore[type-arg]
    """What packages note: an object with a state, a list and a mapping inside."""

    def __init__(self, **members: Any) -> None:
        super().__init__(members)
        self.members = [members]

    def __reduce__(self) -> Any:
        return type(self), (), {"members": self.members}, None, iter(self.items())


NOTES: dict[str, Callable[[], Any]] = {
    "a namespace": lambda: argparse.Namespace(lr=1e-3, out=pathlib.Path("/runs")),
    "numpy's numbers": lambda: {"loss": np.float64(0.3), "best": np.int64(7), "curve": np.arange(3)},
    "numpy's random state": np.random.get_state,
    "numpy's generator": lambda: np.random.default_rng(0),
    "python's collections": lambda: [collections.defaultdict(list, a=[1]), collections.Counter("ab"), {1, 2}],
    "an enumeration": lambda: {"mode": Kept.best},
    "a date": datetime.datetime.now,
    "a partial": lambda: functools.partial(max, 1),
    "a class": lambda: {argparse.Namespace: {"best": 1.0}},
    "torch's own": lambda: [torch.device("cpu"), torch.float16, torch.Size([2]), torch.get_rng_state()],
    "numbers of other kinds": lambda: [torch.ones(3, dtype=torch.uint16), torch.ones(2).untyped_storage()],
    "a network": lambda: nn.Linear(2, 2),
    "a callback": of_package("pytorch_lightning.callbacks", best=1.0),
    "a configuration": of_package("omegaconf.dictconfig", lr=0.1, inner=[1, 2]),
    "nobody's": of_package("some_lab.secret.training", a=1),
}
FORMATS = {
    "zip": {},
    "protocol 4": {"pickle_protocol": 4},
    "before 1.6": {"_use_new_zipfile_serialization": False},
}


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("note", NOTES.values(), ids=NOTES)
def test_notes_beside_the_weights_are_passed_over(
    note: Callable[[], Any], form: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pytorch_lightning.callbacks", "omegaconf.dictconfig", "some_lab.secret.training"):
        for depth in range(1, name.count(".") + 2):
            part = ".".join(name.split(".")[:depth])
            monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
        monkeypatch.setattr(sys.modules[name], "Thing", type("Thing", (Thing,), {"__module__": name}), raising=False)
    torch.save({"epoch": 3, "note": note(), "state_dict": STATE, "after": note()}, tmp_path / "x.ckpt", **form)
    monkeypatch.undo()
    assert same(tensors(tmp_path / "x.ckpt"))


@pytest.mark.parametrize("options", FORMATS.values(), ids=FORMATS)
def test_notes_between_the_weights_are_passed_over(tmp_path: Path, options: dict[str, Any]) -> None:
    """A flat file: tensors, what was noted of them, more tensors; a tensor of another kind is no note."""
    first, *others = STATE.items()
    between = {"epoch": 3, "name": "run 1", "lr": 0.1, "args": argparse.Namespace(lr=0.1), "nothing": None, 7: [1]}
    torch.save(dict([first, *between.items(), *others]), tmp_path / "x.pth", **options)
    found, report = read(tmp_path / "x.pth")
    assert same(found) and report == {"notes beside the weights, passed over": [str(name) for name in between]}
    torch.save(STATE | {"a": torch.eye(3).to_sparse()}, tmp_path / "x.pth", **options)
    with pytest.raises(CheckpointError, match=r"got also a \(torch._utils._rebuild_sparse_tensor\)"):
        read(tmp_path / "x.pth")
    torch.save(STATE | {7: torch.eye(3)}, tmp_path / "x.pth", **options)
    with pytest.raises(CheckpointError, match="got also the name 7"):
        read(tmp_path / "x.pth")


def test_nothing_of_the_notes_is_imported_or_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "surprise.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    module = types.ModuleType("surprise")
    module.Thing = type("Thing", (), {"__module__": "surprise"})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "surprise", module)
    torch.save({"state_dict": STATE, "note": module.Thing()}, tmp_path / "x.ckpt")
    monkeypatch.delitem(sys.modules, "surprise")
    assert same(tensors(tmp_path / "x.ckpt")) and "surprise" not in sys.modules


def test_an_error_of_our_own_is_not_told_as_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise AssertionError("ours")

    torch.save(STATE, tmp_path / "x.pth")
    monkeypatch.setattr("midms.checkpoints.convert.pickles.Unpickler.persistent_load", failing)
    with pytest.raises(AssertionError, match="ours"):
        tensors(tmp_path / "x.pth")


WHERE_WEIGHTS_SHOULD_BE: dict[str, tuple[Any, str]] = {
    "an object": ({"state_dict": {"a": argparse.Namespace()}}, r"tensors by name, got also a \(argparse.Namespace\)"),
    "a whole network": (nn.Linear(2, 2), "holds a torch.nn.modules.linear.Linear, expected tensors by name"),
    "a network inside": ({"model": nn.Linear(2, 2)}, r"got also model \(torch.nn.modules.linear.Linear\)"),
    "a sparse tensor": ({"a": torch.eye(3).to_sparse()}, r"got also a \(torch._utils._rebuild_sparse_tensor\)"),
    "one tensor": (torch.eye(3), "holds a torch._utils._rebuild_tensor_v2, expected tensors by name"),
}


@pytest.mark.parametrize(("content", "why"), WHERE_WEIGHTS_SHOULD_BE.values(), ids=WHERE_WEIGHTS_SHOULD_BE)
@pytest.mark.filterwarnings("ignore:Sparse")
def test_notes_in_place_of_weights_are_named(content: Any, why: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=why):
        tensors(tmp_path / "x.pth")


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in STATE.items()}


WRAPPERS: dict[str, Any] = {
    "bare": STATE,
    "an OrderedDict": collections.OrderedDict(STATE),
    "a DataParallel, averaged by torch": prefixed("module.") | {"n_averaged": torch.tensor(5)},
    "compiled": prefixed("_orig_mod."),
    "compiled, then parallel": {"state_dict": prefixed("module._orig_mod.")},
    "parallel, then compiled": {"model": prefixed("_orig_mod.module.")},
    "sharded in training": prefixed("_fsdp_wrapped_module."),
    "wrapped by Lightning": {"state_dict": prefixed("_forward_module.")},
    "one layer compiled": {name.replace("conv.", "conv._orig_mod."): value for name, value in STATE.items()},
    "some names only": STATE | {"module.conv.bias": STATE["conv.bias"]} | {"conv.bias": None},
    "a model": {"model": STATE, "optimizer": {"state": {0: {"step": 3}}}},
    "a model's state": {"model_state_dict": STATE, "epoch": torch.tensor(3)},
    "a state in a model": {"model": {"state_dict": STATE}, "lr": 0.1},
    "a module": {"module": STATE},
    "somebody's own name": {"student": STATE, "optimizer": {"state": {0: {"step": torch.tensor(3)}}}},
    "a model in somebody's own name": {"checkpoint": {"model": STATE}, "epoch": 3},
    "a generator": {"netG": STATE, "netD": {"a": torch.ones(1)}, "g_ema": STATE},
    "averages alone": {"ema": STATE, "step": 3},
    "a model and its averages": {"ema": {name: value + 1 for name, value in STATE.items()}, "model": STATE},
    "parameters": {name: nn.Parameter(value) for name, value in STATE.items()},
}
WRAPPERS["some names only"].pop("conv.bias")


@pytest.mark.parametrize("content", WRAPPERS.values(), ids=WRAPPERS)
def test_wrappers_around_the_weights_are_taken_off(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pth")
    assert same(tensors(tmp_path / "x.pth"))


@pytest.mark.parametrize(
    ("content", "report"),
    [
        (STATE, {}),
        ({"state_dict": STATE, "optimizer_states": [{"state": {}}]}, {"weights are those under state_dict": []}),
        (
            {"ema": STATE, "model": STATE},
            {
                "weights are those under model": [],
                "other weights or running averages beside them, left out": ["ema"],
            },
        ),
        ({"model_ema": STATE, "step": 3}, {"weights are those under model_ema, running averages": []}),
        (
            {"model": {"state_dict": STATE}, "params": {"lr": 0.1}},
            {"weights are those under model": [], "weights are those under state_dict": []},
        ),
    ],
)
def test_the_report_says_which_weights_were_taken(content: Any, report: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pth")
    found, said = read(tmp_path / "x.pth")
    assert same(found) and said == report


def test_prefixes_in_safetensors_too_and_never_two_for_one(tmp_path: Path) -> None:
    save_file({name: value.contiguous() for name, value in prefixed("module.").items()}, tmp_path / "x.safetensors")
    assert same(tensors(tmp_path / "x.safetensors"))
    torch.save(STATE | prefixed("module."), tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"has conv.weight more than once, as module.conv.weight too"):
        tensors(tmp_path / "x.pth")
    torch.save(prefixed("module.") | prefixed("_orig_mod."), tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"has conv.weight more than once, as _orig_mod.conv.weight too"):
        tensors(tmp_path / "x.pth")


def sharded(folder: Path, kind: str, stem: str, state: dict[str, Tensor], index: str) -> None:
    """The state in two files and their index."""
    where = {name: f"{stem}-0000{1 + i % 2}-of-00002.{kind}" for i, name in enumerate(sorted(state))}
    for file in set(where.values()):
        part = {name: value.contiguous() for name, value in state.items() if where[name] == file}
        save_file(part, folder / file) if kind == "safetensors" else torch.save(part, folder / file)
    (folder / index).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))


LAID_OUT: dict[str, Callable[[Path, dict[str, Tensor]], object]] = {
    "safetensors in shards": lambda f, s: sharded(
        f, "safetensors", "diffusion_pytorch_model", s, "diffusion_pytorch_model.safetensors.index.json"
    ),
    "pickles in shards": lambda f, s: sharded(
        f, "bin", "diffusion_pytorch_model", s, "diffusion_pytorch_model.bin.index.json"
    ),
    "half precision": lambda f, s: save_file(
        {name: value.half() for name, value in s.items()}, f / "diffusion_pytorch_model.fp16.safetensors"
    ),
    "half precision in pickles": lambda f, s: torch.save(
        {name: value.half() for name, value in s.items()}, f / "diffusion_pytorch_model.fp16.bin"
    ),
    "half precision in shards": lambda f, s: sharded(
        f,
        "safetensors",
        "diffusion_pytorch_model.fp16",
        {name: value.half() for name, value in s.items()},
        "diffusion_pytorch_model.safetensors.index.fp16.json",
    ),
    "both precisions": lambda f, s: (
        save_file(s, f / "diffusion_pytorch_model.safetensors"),
        save_file({name: value.half() for name, value in s.items()}, f / "diffusion_pytorch_model.fp16.safetensors"),
    ),
}


@pytest.mark.parametrize("lay_out", LAID_OUT)
def test_weights_of_a_folder_are_found(lay_out: str, tmp_path: Path) -> None:
    network = filled("VQModel", BASE["VQModel"])
    LAID_OUT[lay_out](folder_of(tmp_path, "VQModel", BASE["VQModel"]) / "vqvae", dict(network.state_dict()))
    found = convert(tmp_path).state("autoencoder")
    half = "half" in lay_out
    for name, value in network.state_dict().items():
        assert torch.equal(found[f"network.{name}"], value.half() if half else value)


@pytest.mark.parametrize("file", ["../x.bin", "/etc/x.bin", "deep/x.bin", "..", "", "x.json", "a\\..\\b/x.bin"])
def test_an_index_names_files_of_its_own_folder_alone(file: str, tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "x.bin")
    (tmp_path / "inner").mkdir()
    index = tmp_path / "inner" / "model.bin.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(STATE, file)}))
    with pytest.raises(CheckpointError, match=r"index.json: weight_map has .*, expected weights in the same folder"):
        tensors(index)


def test_an_index_that_does_not_hold(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "x.bin")
    index = tmp_path / "model.bin.index.json"
    for content, why in (
        ({"weight_map": {"other": "x.bin"}}, "there is no other in x.bin"),
        ({"weight_map": {"other": "none.bin"}}, "none.bin: no such file of weights"),
        ({"weight_map": {}}, "weight_map: mapping must have at least 1 item"),
        ({"weight_map": ["x.bin"]}, "weight_map: expected values by name"),
        ([], "index.json: expected values by name"),
    ):
        index.write_text(json.dumps(content))
        with pytest.raises(CheckpointError, match=why):
            tensors(index)


def test_of_several_variants_none_is_guessed(tmp_path: Path) -> None:
    vqvae = folder_of(tmp_path, "VQModel", BASE["VQModel"]) / "vqvae"
    for variant in ("fp16", "non_ema"):
        save_file({"a": torch.ones(1)}, vqvae / f"diffusion_pytorch_model.{variant}.safetensors")
    with pytest.raises(CheckpointError, match=r"several variants of the weights, \S+fp16.safetensors, \S+non_ema.saf"):
        convert(tmp_path).state("autoencoder")
