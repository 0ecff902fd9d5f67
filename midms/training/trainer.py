"""One training loop: progress bar, atomic checkpoints, exact resume, a record that writes itself."""

from __future__ import annotations

import datetime
import json
import math
import os
import platform
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import torch
from pydantic import ConfigDict, Field
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from midms.checkpoints import CheckpointError, finite, load_state
from midms.conversion.torch_files import plain
from midms.files import whole
from midms.mistakes import Mistake
from midms.schema import Schema, checked
from midms.training.album import Album

CHECKPOINT_EVERY = 60.0  # seconds


@runtime_checkable
class Task(Protocol):
    """What a stage trains."""

    name: str
    network: Any
    album: Album
    learning_rate: float

    def loss(self, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """The loss of one step, every random choice taken from `generator`; and its terms, for the record."""

    def evaluate(self, network: Any) -> dict[str, float]:
        """Figures on held-out faces."""


MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
"""What the optimiser knows of a parameter."""


class Diverged(Mistake, FloatingPointError):
    """Training whose numbers are not finite any more; the message says where."""


class Checkpoint(Schema):
    """What a checkpoint holds."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    step: int = Field(ge=0)
    losses: list[dict[str, float]]
    seconds: float = Field(ge=0)
    settings: dict[str, Any]
    network: dict[str, Tensor]
    averaged: dict[str, Tensor]
    optimiser: dict[str, Any]


class Interrupted(Exception):
    """Training stopped before its last step; the checkpoint continues it."""


def fit(
    task: Task,
    steps: int,
    out: Path,
    seed: int,
    minutes: float | None = None,
    inputs: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[nn.Module, dict[str, Any]]:
    """Train to `steps`, continuing from `out/{name}.checkpoint` if there is one.

    The draws of a step follow from (seed, step) alone, so a resumed run takes the same steps as an unbroken one.

    Args:
        task: network, loss and evaluation.
        steps: steps in all, over which the learning rate rises and falls.
        out: folder for the checkpoint.
        seed: of every draw.
        minutes: stop after so long, leaving the checkpoint.
        inputs: what else the run follows from, in plain numbers and words; it goes into the checkpoint and the record.

    Returns:
        The network with averaged weights, and the record of the run.

    Raises:
        Interrupted: time ran out or the user interrupted.
        CheckpointError: the checkpoint cannot be read, or belongs to a run with other settings or inputs.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{task.name}.checkpoint"
    optimiser = torch.optim.AdamW(task.network.parameters(), task.learning_rate, betas=(0.9, 0.98), weight_decay=1e-2)
    averaged = AveragedModel(task.network, multi_avg_fn=get_ema_multi_avg_fn(0.998), use_buffers=False)
    settings = {"steps": steps, "seed": seed, **inputs}
    state: dict[str, Any] = {"step": 0, "losses": [], "seconds": 0.0, "settings": settings}
    if path.exists():
        state = _resume(path, settings, task.network, averaged, optimiser)
    started = saved = time.monotonic()
    before = state["seconds"]

    def save() -> None:
        state["seconds"] = before + time.monotonic() - started
        parts: dict[str, Any] = {"network": task.network, "averaged": averaged, "optimiser": optimiser}
        if not all(map(finite, averaged.state_dict().values())):
            raise Diverged(f"{task.name}: weights are not finite at step {state['step']}; no checkpoint is left of it")
        try:
            with whole(path) as part:
                torch.save({**state, **{name: module.state_dict() for name, module in parts.items()}}, part)
        except (OSError, RuntimeError) as error:  # torch's own is a RuntimeError
            reason = getattr(error, "strerror", None) or "is the disk full?"
            raise CheckpointError(f"{path}: cannot be written ({reason}); what was there is there") from None

    bar = tqdm(total=steps, initial=state["step"], desc=task.name, unit="step", mininterval=2)
    try:
        while state["step"] < steps:
            state["losses"].append(_step(task, optimiser, averaged, state["step"], steps, seed))
            state["step"] += 1
            bar.update()
            if state["step"] % 20 == 0:
                bar.set_postfix({k: f"{v:.4f}" for k, v in _recent(state["losses"]).items()}, refresh=False)
            now = time.monotonic()
            if now - saved > CHECKPOINT_EVERY:
                save()
                saved = now
            if minutes is not None and now - started > 60 * minutes:
                raise Interrupted(
                    f"{task.name}: {state['step']} of {steps} steps after {minutes} minutes; run again to go on"
                )
    except KeyboardInterrupt:
        raise Interrupted(f"{task.name}: interrupted at step {state['step']} of {steps}; run again to go on") from None
    finally:
        save()
        bar.close()
    network = averaged.module.eval()
    record = {
        **settings,
        "minutes": round(state["seconds"] / 60, 2),
        "parameters": sum(p.numel() for p in network.parameters()),
        "last losses": {k: round(v, 5) for k, v in _recent(state["losses"], 200).items()},
        "held out": task.evaluate(network),
        **machine(),
    }
    return network, record


def _step(
    task: Task, optimiser: torch.optim.Optimizer, averaged: AveragedModel, step: int, steps: int, seed: int
) -> dict[str, float]:
    for group in optimiser.param_groups:
        fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps))
        group["lr"] = task.learning_rate * min(1.0, (step + 1) / 100) * fall
    loss, terms = task.loss(torch.Generator().manual_seed(seed * 1_000_003 + step))
    if not torch.isfinite(loss):
        raise Diverged(f"{task.name}: the loss is {loss.item()} at step {step}")
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(task.network.parameters(), 1.0)
    optimiser.step()
    averaged.update_parameters(task.network)
    return {"loss": loss.item(), **terms}


def _resume(
    path: Path, settings: dict[str, Any], network: nn.Module, averaged: nn.Module, optimiser: torch.optim.Optimizer
) -> dict[str, Any]:
    content = plain(path)
    state = dict(checked(Checkpoint, content, str(path), CheckpointError))
    try:
        other = state["settings"] != settings
    except (RuntimeError, TypeError):  # tensors are not compared so
        other = True
    if other:
        raise CheckpointError(f"{path}: {_differences(state['settings'], settings)}; choose another --out")
    if state["step"] != len(state["losses"]) or state["step"] > settings["steps"]:
        raise CheckpointError(f"{path}: has {len(state['losses'])} losses of {state['step']} steps")
    if any(not loss or loss.keys() != state["losses"][0].keys() for loss in state["losses"]):
        raise CheckpointError(f"{path}: losses must have the same names at every step")
    for name, module in (("network", network), ("averaged", averaged)):
        load_state(module, state.pop(name), f"{path}, {name}")
    _resume_optimiser(optimiser, state.pop("optimiser"), f"{path}, optimiser", state["step"])
    return state


def _resume_optimiser(optimiser: torch.optim.Optimizer, state: dict[str, Any], where: str, steps: int) -> None:
    """Give an optimiser its moments back.

    Raises:
        CheckpointError: they are no finite numbers of the parameters' shapes, or go with other settings or steps.
    """
    own = optimiser.state_dict()["param_groups"]
    try:
        same = [{**group, "lr": 0} for group in own] == [{**group, "lr": 0} for group in state["param_groups"]]
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        state["state"] = {
            index: {name: _moment(name, value, parameters[index], steps) for name, value in values.items()}
            for index, values in state["state"].items()
        }
        complete = all(values.keys() == MOMENTS for values in state["state"].values())
        if not (same and complete and bool(state["state"]) == (steps > 0)):
            raise ValueError("numbers that are not finite, or of another network or other settings")
        optimiser.load_state_dict(state)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        raise CheckpointError(f"{where}: does not fit ({' '.join(str(error).split())[:200]})") from None


def _moment(name: str, value: Tensor, parameter: Tensor, steps: int) -> Tensor:
    """One of a parameter's moments, in memory of its own.

    Raises:
        ValueError: it cannot be one after so many steps.
    """
    shape = () if name == "step" else parameter.shape
    if value.shape != shape or value.layout != torch.strided or not finite(value):
        raise ValueError("numbers that are not finite, or of another network")
    if (name == "step" and not 0 < value <= steps) or (name == "exp_avg_sq" and (value < 0).any()):
        raise ValueError(f"{name} cannot be so after {steps} steps")
    return value.clone()


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Which settings a checkpoint was made with, where this run has others."""
    names = [name for name in {**old, **new} if str(old.get(name)) != str(new.get(name))]
    return "; ".join(f"was made with {name} {old.get(name)}, this run has {new.get(name)}" for name in names)


def _recent(losses: list[dict[str, float]], count: int = 50) -> dict[str, float]:
    last = losses[-count:]
    return {name: sum(step[name] for step in last) / len(last) for name in last[0]} if last else {}


def machine() -> dict[str, Any]:
    """Versions, hardware and date, for results files."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in ("torch", "diffusers", "numpy")}
        | {"python": platform.python_version()},
        "hardware": torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"{platform.machine()} CPU, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all; the folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n")
