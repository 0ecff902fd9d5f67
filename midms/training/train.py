"""`midms train`: the stages in order, what each needs from the ones before, and what it leaves behind.

    autoencoder     -> autoencoder.safetensors
    matching        -> features.safetensors, confidence.safetensors      (needs the autoencoder)
    diffusion       -> bridge.safetensors or unconditional.safetensors   (needs both)

Every stage adds its record to `results.json`.
"""

from __future__ import annotations

import itertools
import json
import shlex
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict, Field, RootModel
from torch import nn

from midms.checkpoints.tensors import CheckpointError, load_weights, save_weights
from midms.compose.catalog import create
from midms.compose.presets import PRESETS
from midms.core.defaults import defaults
from midms.core.files import digest, held
from midms.core.results import write_json
from midms.core.schema import Schema, checked, read_json
from midms.diffusion.autoencoders.patchified import Patchified
from midms.training.data import DataError, TrainingData, training_data
from midms.training.precomputed import encode, first_warps, importance, latents
from midms.training.progress import Progress
from midms.training.stages import (
    TERMS,
    WITHOUT_FLOW,
    AutoencoderStage,
    DiffusionStage,
    MatchingNetwork,
    MatchingStage,
)
from midms.training.trainer import Interrupted, Task, fit

STEPS = {"autoencoder": 7_000, "matching": 4_000, "bridge": 16_000, "unconditional": 3_000}
FILES = {"matching": ("features", "confidence")}
"""What a stage leaves, where it is not called like the stage."""
PRESET = {"bridge": "midm-faces", "unconditional": "midm-faces-paper"}


NEEDS = {"autoencoder": (), "matching": ("autoencoder",)}
"""Parts trained before that a stage needs; another stage needs ALL."""
ALL = ("autoencoder", "features", "confidence")


def part(slot: str, preset: str = "midm-faces") -> Any:
    """A preset's part with fresh weights: what is trained is what the preset loads."""
    spec = PRESETS[preset].slots[slot]
    return create(slot, spec.name, **spec.arguments)


@defaults()
def main(args: Namespace) -> int:
    """Run one stage; returns the exit status (3 if it stopped early and can be resumed).

    Raises:
        HeldError: another process trains in the same folder.
        CheckpointError: the folder holds something else, or something damaged; or the disk refuses.
        Diverged: numbers are not finite.
    """
    with held(Path(args.out)):
        return _train(args)


def _train(args: Namespace) -> int:
    torch.manual_seed(args.seed)
    out, device = Path(args.out), torch.device(args.device)
    name = args.denoiser if args.stage == "diffusion" else args.stage
    files = FILES.get(name, (name,))
    _check_out(out, name, files)
    before = _record(Path(args.start)).get(name) if args.start else None
    known, network = known_parts(name, out, device), fresh(name, device)
    if args.start:
        for file, module in _products(name, network):
            load_weights(module, Path(args.start) / f"{file}.safetensors")
    settings = {"steps": args.steps or STEPS[name], "seed": args.seed, **_inputs(args, name)}
    progress = Progress(out / f"{name}.checkpoint", network, settings)
    data = training_data(args.data, args.size, part("condition"), out / "data")
    task = stage(name, network, known, data, out, device, args.terms)
    try:
        network, outcome = fit(task, progress, args.minutes)
    except Interrupted as stop:
        print(stop)
        return 3
    if isinstance(network, Patchified):
        _standardise(network, data[0])
    products = [(out / f"{file}.safetensors", module) for file, module in _products(name, network)]
    for path, module in products:
        save_weights(module, path)
    outcome["made"] = {path.name: digest(path) for path, _ in products}
    if args.start:
        outcome["start"] = before
    _remember(out / "results.json", name, {"command": _command(args), **outcome})
    print(json.dumps(outcome["held out"]))
    return 0


def known_parts(name: str, out: Path, device: torch.device) -> dict[str, Any]:
    """The parts that stages before have trained and this one needs, by slot.

    Raises:
        CheckpointError: the weights of one are missing or damaged.
    """
    slots = NEEDS.get(name, ALL)
    return {slot: _load(part(slot), out / f"{slot}.safetensors", device) for slot in slots}


def fresh(name: str, device: torch.device) -> Any:
    """The network that a stage trains, its weights drawn by PyTorch's own generator."""
    if name == "matching":
        network: nn.Module = MatchingNetwork(part("features"), part("confidence"))
    else:
        network = part("denoiser", PRESET[name]) if name in PRESET else part(name)
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def stage(
    name: str,
    network: Any,
    known: Mapping[str, Any],
    data: tuple[TrainingData, TrainingData],
    out: Path,
    device: torch.device,
    terms: dict[str, float],
) -> Task:
    """What a stage trains.

    Args:
        name: a stage's, or a denoiser's.
        network: as `fresh` gives it.
        known: as `known_parts` gives it.
        data: what is trained on and what is held out.
        out: folder of the run, in which latents are kept.
        device: where to compute.
        terms: weights of the matching stage's losses, by name, where they are not the usual ones.

    Raises:
        DataError: a loss is asked for that needs a flow, which pairs do not have.
    """
    train, held_out = data
    if name == "autoencoder":
        return AutoencoderStage(network, train, held_out, device)
    autoencoder = known["autoencoder"]
    latent = latents(out, autoencoder, train)
    if name == "matching":
        weights = _weights(terms, train)
        return MatchingStage(
            network, train, held_out, latent, latents(out, autoencoder, held_out), device, weights, part("matcher")
        )
    warps = (
        first_warps(known["features"], known["confidence"], part("matcher"), train, latent, device)
        if name == "bridge"
        else None
    )
    schedule = part("sampler", PRESET[name]).schedule
    return DiffusionStage(network, train, latent, warps, importance(autoencoder, latent), device, schedule, name=name)


def _weights(terms: Mapping[str, float], data: TrainingData) -> dict[str, float]:
    """The weights of the matching losses, as far as pairs know what they need."""
    if data.flow(torch.tensor([0])) is not None:
        return {**TERMS, **terms}
    if missing := [name for name in ("exact", "distance") if terms.get(name)]:
        raise DataError(f"terms {', '.join(missing)}: need a flow, which the pairs of this data set do not have")
    return {**WITHOUT_FLOW, **terms}


def _load(module: nn.Module, path: Path, device: torch.device) -> Any:
    if not path.is_file():
        stage = "autoencoder" if path.stem == "autoencoder" else "matching"
        raise CheckpointError(f"{path}: no such file of weights; run `midms train` with --stage {stage} first")
    load_weights(module, path)
    return module.to(device).eval().requires_grad_(False)


def _inputs(args: Namespace, name: str) -> dict[str, Any]:
    """What a run follows from beside steps and seed."""
    files = [Path(args.out) / f"{slot}.safetensors" for slot in NEEDS.get(name, ALL)]
    if args.start:
        files += sorted(path for path in Path(args.start).glob("*.safetensors") if path.is_file())
    inputs = {"dataset": args.data.typed(), "size": args.size}
    terms = {"terms": args.terms} if name == "matching" else {}
    return inputs | terms | {"weights": {str(path): digest(path) for path in files}}


def _command(args: Namespace) -> str:
    """What was typed, or amounts to it."""
    given = {k: v for k, v in vars(args).items() if k not in ("data", "command", "minutes") and v}
    each = [(name, one) for name, value in given.items() for one in (value if isinstance(value, list) else [value])]
    words = [(f"--{name}", json.dumps(one) if isinstance(one, dict) else str(one)) for name, one in each]
    return shlex.join(["midms", "train", args.data.typed(), *itertools.chain.from_iterable(words)])


def _products(name: str, network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The files of a stage."""
    if isinstance(network, MatchingNetwork):
        return [("features", network.features), ("confidence", network.confidence)]
    return [(name, network)]


def _standardise(network: Patchified, data: TrainingData) -> None:
    """The autoencoder's latents, by what it makes of the first pictures."""
    known = encode(network, data, torch.arange(min(2048, data.pictures))).float()
    network.standardise(known.mean((0, 2, 3)), known.std((0, 2, 3)))


class Stage(Schema):
    """The record of a stage, as far as it is read again."""

    model_config = ConfigDict(extra="allow")
    made: dict[str, str] = Field(default_factory=dict)


class Record(RootModel[dict[str, Stage]]):
    """What `results.json` holds: a record a stage."""


def _record(folder: Path) -> dict[str, Any]:
    """What a folder's stages recorded.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = folder / "results.json"
    if not path.exists():
        return {}
    content = checked(Record, read_json(path, CheckpointError), str(path), CheckpointError)
    return {name: stage.model_dump() for name, stage in content.root.items()}


def _check_out(out: Path, name: str, files: Sequence[str]) -> None:
    """Find out before the work whether a stage may write to a folder; what it may have been stopped at is its own.

    Raises:
        CheckpointError: its record is damaged, or it holds a composition, or weights of these names that no stage made.
    """
    made = {file for stage in _record(out).values() for file in stage["made"]}
    others = [name for name in ("composition.json", "config.json") if (out / name).exists()]
    if not (out / f"{name}.checkpoint").exists():
        weights = [f"{file}.safetensors" for file in files]
        others += [file for file in weights if (out / file).exists() and file not in made]
    if others:
        raise CheckpointError(f"{out}: holds {', '.join(others)}, which no training left there; choose another --out")


def _remember(path: Path, name: str, record: dict[str, object]) -> None:
    write_json(path, _record(path.parent) | {name: record})
