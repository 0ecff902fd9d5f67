"""`midms train`: the stages of a preset in order, what each needs from the ones before, and what it leaves behind.

Every stage adds its weights and its record to the folder; with the last the folder is whole, for `from_pretrained`.
Which stages there are, with which settings, a preset says (`Recipe.training`); their names are those of `STAGES`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import shlex
import time
import warnings
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from midms.checkpoints.convert import find
from midms.checkpoints.folder import CONFIG, Weights, check, read_folder, write_folder
from midms.compose.presets import PRESETS
from midms.compose.recipe import Recipe
from midms.compose.spec import Spec
from midms.core.errors import printable
from midms.core.files import held
from midms.core.limits import side
from midms.core.tensors import CheckpointError, cast, checksum
from midms.core.torch_defaults import defaults
from midms.pipeline.datasets import pairs_digest
from midms.pipeline.pipeline import Pipeline
from midms.registry import BadArguments
from midms.training.data import TrainingData, split_datasets, training_data
from midms.training.plan import changed, planned
from midms.training.progress import OtherRun, differences
from midms.training.start import made_stage, matching_weights, recipe_for, weights_for
from midms.training.trackers import check_installed, end, quiet_threads
from midms.training.trainer import Engine, Interrupted, accelerator, begin, fit


@defaults()
def train(args: Namespace) -> int:
    """Run the stages that are left, or one; returns the exit status (3 if it stopped early and can be resumed).

    Raises:
        BadArguments: a setting changes nothing, or cannot be followed here.
        HeldError: another process trains in the same folder.
        CheckpointError: the folder holds something else, or something damaged; or the disk refuses.
        DatasetError: the data set cannot be trained on.
        Diverged: numbers are not finite.
    """
    out, plan = Path(args.out), planned(args.preset, args.stage, args.terms, args.vgg19)
    log_with = None if args.log_with == "none" else args.log_with
    check_installed(log_with)
    run = accelerator(args.device == "cpu", args.precision, log_with, out)
    deadline = args.minutes and time.monotonic() + 60 * args.minutes
    engine = Engine(run, args.accumulate, args.compile, args.keep, args.sheet_every, deadline)
    try:
        with quiet_threads(), held(out) if run.is_main_process else contextlib.nullcontext():
            return _train(args, out, plan, engine)
    except Interrupted as stop:
        run.print(printable(stop))
        return 3
    finally:
        end(run)


def _train(args: Namespace, out: Path, plan: list[Spec], engine: Engine) -> int:
    run = engine.accelerator
    with run.main_process_first():  # of a hub id, what it names is fetched once
        init = matching_weights(find(args.init), PRESETS[args.preset]) if args.init else None
    recipe = recipe_for(args.preset, args.size, init, args.condition_from)
    _check_out(out, recipe)
    datasets: tuple[Any, Any] | None = None
    data: TrainingData | None = None
    for spec in plan:
        found = weights_for(out, init)
        pipe, stage = made_stage(changed(spec, steps=args.steps, batch=args.batch), recipe, found, args.seed)
        if wrong := side(pipe.autoencoder.stride, pipe.size):
            raise BadArguments(f"--size: {wrong}")
        _check_needs(out, stage, pipe, found, recipe, spec.name)
        datasets = datasets or split_datasets(args.data, pipe.size, pipe.condition)
        trained_on = printable(getattr(datasets[0], "trained_on", "") or _described(args.data))
        frozen = _frozen(stage, pipe, recipe)
        settings = _settings(args, recipe, spec, stage, datasets[0], found, init, frozen)
        if record := _record(out, spec.name):
            if different := differences({name: record.get(name) for name in settings}, settings):
                raise OtherRun(f"{out}: {spec.name} {different}; choose another --out")
            run.print(f"{spec.name}: trained already")
            continue
        progress = begin(stage, out, spec.name, settings, engine)
        if data is None:
            with run.main_process_first():  # which renders what takes long
                data = training_data(
                    datasets, pipe.condition.channels, out / "data", args.seed, args.workers, args.max_broken
                )
            data.check_files(run.process_index, run.num_processes)
        random = {slot: part for slot, part in frozen.items() if slot not in found.parts}
        if random and run.is_main_process:
            lacking = f"no weights for the {' and '.join(random)}, which stay random; give --init"
            warnings.warn(f"{spec.name}: {lacking}", stacklevel=2)
        made = {"command": _command(args), **fit(stage, progress, data, engine)}
        if init:
            made["init"] = {"from": init.name, **init.recipe.made}
        if run.is_main_process:
            _leave(out, recipe, spec.name, trained_on, {**random, **stage.products()}, found, made)
            print(json.dumps(made["held out"]))
        run.wait_for_everyone()
    return 0


def _check_out(out: Path, recipe: Recipe) -> None:
    """Find out before the work whether stages may write to a folder.

    Raises:
        CheckpointError: its configuration is damaged, or it holds something else.
    """
    if (out / CONFIG).exists():
        check(out, "train")
        if (name := read_folder(out).recipe.name) != recipe.name:
            raise CheckpointError(f"{out}: holds {name}, this run trains {recipe.name}; choose another --out")
        return
    others = [file for slot in recipe.slots if (out / (file := f"{slot}.safetensors")).exists()]
    if others:
        raise CheckpointError(f"{out}: holds {', '.join(others)}, which no training left there; choose another --out")


def _check_needs(out: Path, stage: Any, pipe: Pipeline, found: Weights, recipe: Recipe, name: str) -> None:
    """Find out whether there are weights for all that a stage needs.

    Raises:
        CheckpointError: there are not.
    """
    learnt = [slot for slot in stage.needs if isinstance(part := getattr(pipe, slot), nn.Module) and part.state_dict()]
    if lacking := [slot for slot in learnt if slot not in found.parts]:
        names = [spec.name for spec in recipe.training]
        before = " and ".join(f"--stage {one}" for one in names[: names.index(name)])
        how = f"run `midms train` with {before} first" if before else "give --init"
        raise CheckpointError(f"{out}: has no {lacking[0]} yet; {how}")


def _frozen(stage: Any, pipe: Pipeline, recipe: Recipe) -> dict[str, nn.Module]:
    """The parts with weights that a stage works with and does not train."""
    parts = {slot: getattr(pipe, slot) for slot in recipe.weights if slot not in stage.products()}
    used = [*stage.modules()]
    return {slot: part for slot, part in parts.items() if slot in stage.needs or any(part is one for one in used)}


def _settings(
    args: Namespace,
    recipe: Recipe,
    spec: Spec,
    stage: Any,
    dataset: Any,
    found: Weights,
    init: Weights | None,
    frozen: Iterable[str],
) -> dict[str, Any]:
    """What a run follows from."""
    sums = {slot: checksum(found.state(slot)) for slot in frozen if slot in found.parts}
    if init:
        sums |= {f"init {slot}": checksum(init.state(slot)) for slot in stage.products() if slot in init.parts}
    terms = {"terms": spec.arguments.get("terms", {})} if stage.losses else {}
    if network := getattr(stage, "perceptual_network", ""):
        terms["perceptual network"] = network
    return {
        "steps": stage.optimisation.steps,
        "batch": stage.optimisation.batch,
        "seed": args.seed,
        "preset": args.preset,
        "dataset": args.data.typed(),
        "pairs": len(dataset),
        "some pairs": pairs_digest(dataset, args.data.name),
        "size": args.size or PRESETS[args.preset].loop["size"],
        "condition": recipe.slots["condition"].typed(),
        "precision": args.precision,
        **terms,
        "weights": sums,
    }


def _described(data: Spec) -> str:
    """What a card calls pictures of which their data set says nothing."""
    path = data.arguments.get("path")
    return f"the data set {data.name}" + (f":{Path(path).name}" if path else "")


def _record(out: Path, name: str) -> Mapping[str, Any]:
    """Of a stage that is trained, how."""
    found: Mapping[str, Any] = read_folder(out).recipe.made.get(name, {}) if (out / CONFIG).exists() else {}
    return found


def _leave(
    out: Path,
    recipe: Recipe,
    name: str,
    trained_on: str,
    parts: Mapping[str, nn.Module],
    found: Weights,
    record: Mapping[str, Any],
) -> None:
    """Add what a stage trained to its folder: the weights in half precision, those it began with, and the record."""
    before = read_folder(out).recipe if (out / CONFIG).exists() else Recipe()
    states = {slot: cast(module.state_dict(), torch.float16, f"{out}, {slot}") for slot, module in parts.items()}
    states |= {slot: found.state(slot) for slot in found.parts if slot not in {*parts, *before.weights}}
    domain = dataclasses.replace(recipe.domain.unmeasured(), size=recipe.loop["size"], trained_on=trained_on)
    written = dataclasses.replace(
        recipe,
        domain=domain,
        purpose=recipe.purpose if trained_on == recipe.domain.trained_on else "",
        weights={**before.weights, **{slot: f"{slot}.safetensors" for slot in states}},
        source=f"trained by `midms train --preset {recipe.name}`",
        license="",
        made={**before.made, name: record},
    )
    write_folder(out, "train", written, states, replace=True, lock=False)  # both were seen to before the work


def _command(args: Namespace) -> str:
    """What was typed, or amounts to it."""
    given = {
        k: v
        for k, v in vars(args).items()
        if k not in ("data", "command", "minutes") and (v or type(v) in (int, float))
    }
    each = [(name, one) for name, value in given.items() for one in (value if isinstance(value, list) else [value])]
    words = [
        [f"--{name.replace('_', '-')}"]
        + ([] if one is True else [json.dumps(one) if isinstance(one, dict) else str(one)])
        for name, one in each
    ]
    return shlex.join(["midms", "train", "--data", args.data.typed(), *itertools.chain.from_iterable(words)])
