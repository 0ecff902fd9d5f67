"""`midms train`: the stages in order, what each needs from the ones before, and what it leaves behind.

    autoencoder     -> the autoencoder
    matching        -> the features and the confidence      (needs the autoencoder)
    diffusion       -> the denoiser, a bridge               (needs both)

Every stage adds its weights and its record to the folder; with the last the folder is whole, for
`from_pretrained`. The unconditional denoiser is for another loop: with the parts that it was trained with it goes to a
folder of its own inside, called like its preset.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import shlex
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from midms.checkpoints.folder import CONFIG, Weights, check, read_folder, write_folder
from midms.checkpoints.tensors import CheckpointError, cast, checksum, load_state
from midms.compose.catalog import create
from midms.compose.presets import PRESETS
from midms.compose.recipe import Recipe
from midms.core.files import held
from midms.core.torch_defaults import defaults
from midms.diffusion.autoencoders.patchified import Patchified
from midms.training.data import DataError, TrainingData, training_data
from midms.training.precomputed import encode, first_warps, importance, latents
from midms.training.progress import Progress
from midms.training.stages.autoencoder import AutoencoderStage
from midms.training.stages.diffusion import DiffusionStage
from midms.training.stages.matching import TERMS, WITHOUT_FLOW, MatchingNetwork, MatchingStage
from midms.training.trainer import Interrupted, Task, fit

_STEPS = {"autoencoder": 7_000, "matching": 4_000, "bridge": 16_000, "unconditional": 3_000}
_SLOTS = {"autoencoder": ("autoencoder",), "matching": ("features", "confidence")}
"""What a stage trains; other stages train a denoiser."""
PRESET = {"bridge": "midm-faces", "unconditional": "midm-faces-paper"}


_NEEDS = {"autoencoder": (), "matching": ("autoencoder",)}
"""Parts trained before that a stage needs; another stage needs ALL."""
ALL = ("autoencoder", "features", "confidence")


def fresh_part(slot: str, preset: str = "midm-faces") -> Any:
    """A preset's part with fresh weights: what is trained is what the preset loads."""
    spec = PRESETS[preset].slots[slot]
    return create(slot, spec.name, **spec.arguments)


@defaults()
def train(args: Namespace) -> int:
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
    slots = _SLOTS.get(name, ("denoiser",))
    _check_out(out, name, slots)
    start = _started(Path(args.start), name) if args.start else None
    known, network = known_parts(name, out, device), fresh(name, device)
    if start:
        for slot, module in _products(name, network).items():
            load_state(module, _state(start, slot), f"{start.name}, {slot}")
    settings = {"steps": args.steps or _STEPS[name], "seed": args.seed, **_inputs(args, name, known, start)}
    progress = Progress(out / f"{name}.checkpoint", network, settings)
    data = training_data(args.data, args.size, fresh_part("condition"), out / "data")
    task = stage(name, network, known, data, out, device, args.terms)
    try:
        network, outcome = fit(task, progress, args.minutes)
    except Interrupted as stop:
        print(stop)
        return 3
    if isinstance(network, Patchified):
        _standardise(network, data[0])
    record = {"command": _command(args), **outcome}
    if start:
        record["start"] = start.recipe.made.get(name)
    _leave(out, name, args, _products(name, network), known, record)
    print(json.dumps(outcome["held out"]))
    return 0


def home(out: Path, name: str) -> Path:
    """The folder of a run to which a stage adds its weights."""
    return out / PRESET[name] if name == "unconditional" else out


def _leave(
    out: Path,
    name: str,
    args: Namespace,
    products: Mapping[str, nn.Module],
    known: Mapping[str, nn.Module],
    record: Mapping[str, Any],
) -> None:
    """Add what a stage trained to its folder: the weights in half precision, and the record."""
    folder, preset, own = home(out, name), PRESETS[PRESET.get(name, "midm-faces")], products
    before, kept = (read_folder(place).recipe if (place / CONFIG).exists() else Recipe() for place in (out, folder))
    made = {**before.made, **kept.made, name: record}
    if folder != out:  # whole by itself: with what its denoiser was trained with
        own = {**{slot: part for slot, part in known.items() if slot in preset.weights}, **products}
        made = {stage: made[stage] for stage in ("autoencoder", "matching", name) if stage in made}
        folder.mkdir(exist_ok=True)
    states = {slot: cast(module.state_dict(), torch.float16, f"{folder}, {slot}") for slot, module in own.items()}
    domain = dataclasses.replace(preset.domain.unmeasured(), size=args.size)
    if args.data.name != "portraits":
        domain = dataclasses.replace(domain, trained_on=f"the data set {args.data.name}")
    recipe = dataclasses.replace(
        preset,
        loop={**preset.loop, "size": args.size},
        domain=domain,
        weights={**kept.weights, **{slot: f"{slot}.safetensors" for slot in states}},
        source="trained by `midms train`",
        license="",
        made=made,
    )
    write_folder(folder, "train", recipe, states, replace=True, lock=False)  # both were seen to before the work


def known_parts(name: str, out: Path, device: torch.device) -> dict[str, Any]:
    """The parts that stages before have trained and this one needs, by slot.

    Raises:
        CheckpointError: the weights of one are missing or damaged.
    """
    slots = _NEEDS.get(name, ALL)
    found = read_folder(out) if (out / CONFIG).exists() else None
    return {slot: _load(fresh_part(slot), slot, found, out, device) for slot in slots}


def fresh(name: str, device: torch.device) -> Any:
    """The network that a stage trains, its weights drawn by PyTorch's own generator."""
    if name == "matching":
        network: nn.Module = MatchingNetwork(fresh_part("features"), fresh_part("confidence"))
    else:
        network = fresh_part("denoiser", PRESET[name]) if name in PRESET else fresh_part(name)
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
            network,
            train,
            held_out,
            latent,
            latents(out, autoencoder, held_out),
            device,
            weights,
            fresh_part("matcher"),
        )
    warps = (
        first_warps(known["features"], known["confidence"], fresh_part("matcher"), train, latent, device)
        if name == "bridge"
        else None
    )
    schedule = PRESETS[PRESET[name]].schedule
    return DiffusionStage(network, train, latent, warps, importance(autoencoder, latent), device, schedule, name=name)


def _weights(terms: Mapping[str, float], data: TrainingData) -> dict[str, float]:
    """The weights of the matching losses, as far as pairs know what they need."""
    if data.flow(torch.tensor([0])) is not None:
        return {**TERMS, **terms}
    if missing := [name for name in ("exact", "distance") if terms.get(name)]:
        raise DataError(f"terms {', '.join(missing)}: need a flow, which the pairs of this data set do not have")
    return {**WITHOUT_FLOW, **terms}


def _load(module: nn.Module, slot: str, found: Weights | None, out: Path, device: torch.device) -> Any:
    if found is None or slot not in found.parts:
        stage = "autoencoder" if slot == "autoencoder" else "matching"
        raise CheckpointError(f"{out}: has no {slot} yet; run `midms train` with --stage {stage} first")
    load_state(module, found.state(slot), f"{out}, {slot}")
    return module.to(device).eval().requires_grad_(False)


def _started(folder: Path, name: str) -> Weights:
    """The weights that a stage begins with."""
    inside = home(folder, name)
    return read_folder(inside if (inside / CONFIG).exists() else folder)


def _state(found: Weights, slot: str) -> dict[str, Tensor]:
    if slot not in found.parts:
        raise CheckpointError(f"{found.name}: has no {slot} to start from")
    return found.state(slot)


def _inputs(args: Namespace, name: str, known: Mapping[str, nn.Module], start: Weights | None) -> dict[str, Any]:
    """What a run follows from beside steps and seed."""
    weights = {slot: checksum(part.state_dict()) for slot, part in known.items()}
    if start:
        weights |= {f"start {slot}": checksum(_state(start, slot)) for slot in _SLOTS.get(name, ("denoiser",))}
    inputs = {"dataset": args.data.typed(), "size": args.size}
    terms = {"terms": args.terms} if name == "matching" else {}
    return inputs | terms | {"weights": weights}


def _command(args: Namespace) -> str:
    """What was typed, or amounts to it."""
    given = {k: v for k, v in vars(args).items() if k not in ("data", "command", "minutes") and v}
    each = [(name, one) for name, value in given.items() for one in (value if isinstance(value, list) else [value])]
    words = [(f"--{name}", json.dumps(one) if isinstance(one, dict) else str(one)) for name, one in each]
    return shlex.join(["midms", "train", args.data.typed(), *itertools.chain.from_iterable(words)])


def _products(name: str, network: nn.Module) -> dict[str, nn.Module]:
    """What a stage trains, by slot."""
    if isinstance(network, MatchingNetwork):
        return {"features": network.features, "confidence": network.confidence}
    return {_SLOTS.get(name, ("denoiser",))[0]: network}


def _standardise(network: Patchified, data: TrainingData) -> None:
    """The autoencoder's latents, by what it makes of the first pictures."""
    known = encode(network, data, torch.arange(min(2048, data.pictures))).float()
    network.standardise(known.mean((0, 2, 3)), known.std((0, 2, 3)))


def _check_out(out: Path, name: str, slots: Sequence[str]) -> None:
    """Find out before the work whether a stage may write to a folder.

    Raises:
        CheckpointError: its configuration is damaged, or it holds something else.
    """
    folder = home(out, name)
    if (folder / CONFIG).exists():
        check(folder, "train")
        return
    others = [file for slot in slots if (folder / (file := f"{slot}.safetensors")).exists()]
    if others:
        raise CheckpointError(f"{out}: holds {', '.join(others)}, which no training left there; choose another --out")
