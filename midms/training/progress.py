"""How far a network is trained, kept in a checkpoint that the next call goes on from."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from midms.checkpoints.convert.torch_files import plain
from midms.checkpoints.tensors import CheckpointError, finite, load_state
from midms.core.errors import MidmsError, brief
from midms.core.files import atomic_write
from midms.core.schema import Schema, checked

MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
"""What the optimiser knows of a parameter."""


class Diverged(MidmsError, FloatingPointError):
    """Training whose numbers are not finite any more; the message says where."""


def dense(value: Tensor) -> Tensor:
    """A tensor whose numbers are all there."""
    if value.is_nested or value.layout != torch.strided or value.device.type != "cpu":
        raise PydanticCustomError("dense", "expected a tensor whose numbers are all there")
    return value


def setting(value: Any) -> Any:
    """A number, a word, or such by name."""
    if not all(
        isinstance(one, int | float | str | None) for one in (value.values() if type(value) is dict else [value])
    ):
        raise PydanticCustomError("setting", "expected a number, a word, or such by name")
    return value


Numbers = Annotated[Tensor, AfterValidator(dense)]
_Setting = Annotated[Any, AfterValidator(setting)]


class Checkpoint(Schema):
    """What a checkpoint holds."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    step: int = Field(ge=0)
    losses: list[dict[str, float]]
    seconds: float = Field(ge=0)
    settings: dict[str, _Setting]
    network: dict[str, Numbers]
    averaged: dict[str, Numbers]
    optimiser: dict[str, Any]


class Progress:
    """A network in training: it, the average of its weights, the optimiser, and what is on record so far.

    Args:
        path: of the checkpoint; if there is one, the network takes its weights.
        network: what is trained.
        settings: what the run follows from, in plain numbers and words: "steps" in all, "seed" of every draw, and
            whatever else; they go into the checkpoint and the record.

    Attributes:
        step: steps taken.
        losses: terms of the loss by name, a mapping a step.
        seconds: that training took.

    Raises:
        CheckpointError: the checkpoint cannot be read, or belongs to a run with other settings.
    """

    def __init__(self, path: Path, network: nn.Module, settings: Mapping[str, Any]) -> None:
        self.path, self.network, self.settings = path, network, dict(settings)
        self.averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.998), use_buffers=False)
        self.optimiser = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.98), weight_decay=1e-2)
        self.step, self.seconds = 0, 0.0
        self.losses: list[dict[str, float]] = []
        if os.path.lexists(path):
            self._resume()
        self._since = time.monotonic()

    def save(self) -> None:
        """Write the checkpoint, whole or not at all.

        Raises:
            CheckpointError: the disk refuses; what was there is there.
            Diverged: a weight is not finite.
        """
        now = time.monotonic()
        self.seconds, self._since = self.seconds + now - self._since, now
        if not all(map(finite, self.averaged.state_dict().values())):
            raise Diverged(f"{self.path}: not written, weights are not finite at step {self.step}")
        parts: dict[str, Any] = {"network": self.network, "averaged": self.averaged, "optimiser": self.optimiser}
        content = {name: getattr(self, name) for name in Checkpoint.model_fields if name not in parts}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self.path) as part:
                torch.save(content | {name: one.state_dict() for name, one in parts.items()}, part)
        except (OSError, RuntimeError) as error:  # torch's own is a RuntimeError
            reason = getattr(error, "strerror", None) or "is the disk full?"
            raise CheckpointError(f"{self.path}: cannot be written ({reason}); what was there is there") from None

    def _resume(self) -> None:
        path, settings = self.path, self.settings
        held = checked(Checkpoint, plain(path), str(path), CheckpointError)
        if different := _differences(held.settings, settings):
            raise CheckpointError(f"{path}: {different}; choose another --out")
        if held.step != len(held.losses) or held.step > settings["steps"]:
            raise CheckpointError(f"{path}: has {len(held.losses)} losses of {held.step} steps")
        if any(not loss or loss.keys() != held.losses[0].keys() for loss in held.losses):
            raise CheckpointError(f"{path}: losses must have the same names at every step")
        load_state(self.network, held.network, f"{path}, network")
        load_state(self.averaged, held.averaged, f"{path}, averaged")
        self._resume_optimiser(dict(held.optimiser), held.step)
        self.step, self.losses, self.seconds = held.step, held.losses, held.seconds

    def _resume_optimiser(self, state: dict[str, Any], steps: int) -> None:
        """Give the optimiser its moments back.

        Raises:
            CheckpointError: they are no finite numbers of the parameters' shapes, lack some, or go with other settings
                or steps.
        """
        own = self.optimiser.state_dict()["param_groups"]
        try:
            same = [{**group, "lr": 0} for group in own] == [{**group, "lr": 0} for group in state["param_groups"]]
            parameters = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
            state["state"] = {
                index: {name: _moment(name, value, parameters[index], steps) for name, value in values.items()}
                for index, values in state["state"].items()
            }
            every = set(range(len(parameters))) if steps else set()
            complete = all(values.keys() == MOMENTS for values in state["state"].values())
            if not (same and complete and state["state"].keys() == every):
                raise ValueError("of another network or other settings, or not of all parameters")
            self.optimiser.load_state_dict(state)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError) as error:
            text = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{self.path}, optimiser: does not fit ({text})") from None


def _moment(name: str, value: Tensor, parameter: Tensor, steps: int) -> Tensor:
    """One of a parameter's moments, in memory of its own.

    Raises:
        ValueError: it cannot be one after so many steps.
    """
    shape = () if name == "step" else parameter.shape
    if value.shape != shape or not finite(dense(value)):
        raise ValueError("numbers that are not finite, or of another network")
    if (name == "step" and not 0 < value <= steps) or (name == "exp_avg_sq" and (value < 0).any()):
        raise ValueError(f"{name} cannot be so after {steps} steps")
    return value.clone()


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Which settings a checkpoint was made with, where this run has others."""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    differences = (f"was made with {name} {old.get(name)}, this run has {new.get(name)}" for name in names)
    return "; ".join(map(brief, differences))
