"""How far networks are trained, kept in checkpoints, from the newest whole one of which the next call goes on."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from midms.checkpoints.convert.torch_files import plain
from midms.core.errors import MidmsError, brief
from midms.core.files import atomic_write, made
from midms.core.schema import Schema, checked
from midms.core.tensors import CheckpointError, finite, load_state

MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
"""What the optimiser knows of a parameter."""


class OtherRun(CheckpointError):
    """A checkpoint of a run with other settings; the message says which."""


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
    scaler: dict[str, float]
    left_out: list[str] = Field(default_factory=list)


_Weights = tuple[Tensor, ...] | list[Tensor]


def _average(decay: float) -> Callable[[_Weights, _Weights, Tensor | int], None]:
    """How averaged weights follow, for `AveragedModel`."""

    def update(averaged: _Weights, current: _Weights, count: Tensor | int) -> None:
        steps = int(count)
        get_ema_multi_avg_fn(min(decay, (1 + steps) / (10 + steps)))(averaged, current, count)

    return update


class Progress:
    """Networks in training: they, the average of their weights, the optimiser, and what is on record so far.

    Checkpoints are called NAME-STEP.checkpoint. One that is cut short or damaged is passed over for the one before.

    Args:
        folder: of the checkpoints; if there are any, the network takes the weights of the newest.
        name: of what is trained.
        network: what is trained.
        optimiser: of its parameters, or of some of them.
        settings: what the run follows from, in plain numbers and words: "steps" in all, "seed" of every draw, and
            whatever else; they go into the checkpoint and the record.
        average: the decay of the averaged weights; in the first n steps at most (1 + n) / (10 + n), so that a short run
            is not the weights that it began with (as in `diffusers.training_utils.EMAModel`).
        keep: how many checkpoints there are at a time.
        scaler: of gradients in half precision, if there is one.

    Attributes:
        step: steps taken.
        losses: terms of the loss by name, a mapping a step.
        seconds: that training took.
        left_out: what of the data set could not be read so far.

    Raises:
        CheckpointError: no checkpoint that is there can be read, or it belongs to a run with other settings.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        settings: Mapping[str, Any],
        average: float = 0.998,
        keep: int = 2,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        self.folder, self.name, self.network, self.optimiser = folder, name, network, optimiser
        self.settings, self.keep, self.scaler = dict(settings), keep, scaler
        self.averaged = AveragedModel(network, multi_avg_fn=_average(average), use_buffers=False)
        self.step, self.seconds = 0, 0.0
        self.losses: list[dict[str, float]] = []
        self.left_out: dict[str, None] = {}
        self._saved, self._moving = 0, False
        found = self.checkpoints()
        for path in reversed(found):
            try:
                self._resume(path)
                self._saved = self.step
                break
            except OtherRun:
                raise
            except CheckpointError as error:
                if path == found[0]:
                    raise CheckpointError(f"{error}; remove it to train {name} from its start") from None
                warnings.warn(f"{error}; going on from the checkpoint before", stacklevel=2)
        self._since = time.monotonic()

    def checkpoints(self) -> list[Path]:
        """Those that are there, the oldest first."""
        pattern = re.compile(rf"{re.escape(self.name)}-\d{{8,}}\.checkpoint")
        there = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted((path for path in there if pattern.fullmatch(path.name)), key=_step)

    def advance(self, optimiser: Any, losses: dict[str, float]) -> None:
        """One step: the weights, their average, and the record.

        Args:
            optimiser: this one, or what accelerate made of it.
            losses: terms of the loss by name.
        """
        self._moving = True
        optimiser.step()
        self.averaged.update_parameters(self.network)
        self.losses.append(losses)
        self.step += 1
        self._moving = False

    def take_average(self) -> None:
        """Give the network the averaged weights, to be used."""
        self.network.load_state_dict(self.averaged.module.state_dict())
        self.network.eval()

    @contextmanager
    def average(self) -> Iterator[None]:
        """The network with the averaged weights for as long as the block lasts."""
        kept = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.take_average()
        try:
            yield
        finally:
            self.network.load_state_dict(kept)
            self.network.train()

    def save(self) -> None:
        """Write a checkpoint, whole or not at all, and remove those that are too many.

        Nothing is written before the first step, where the last one is of the same step, or where one was broken off.

        Raises:
            CheckpointError: the disk refuses; what was there is there.
            Diverged: a weight is not finite.
        """
        if self.step == self._saved or self._moving:
            return
        now = time.monotonic()
        self.seconds, self._since = self.seconds + now - self._since, now
        path = self.folder / f"{self.name}-{self.step:08d}.checkpoint"
        if not all(map(finite, self.averaged.state_dict().values())):
            raise Diverged(f"{path}: not written, weights are not finite at step {self.step}")
        parts: dict[str, Any] = {"network": self.network, "averaged": self.averaged, "optimiser": self.optimiser}
        content = {name: getattr(self, name) for name in ("step", "losses", "seconds", "settings")}
        content["left_out"] = [*self.left_out]
        content |= {name: one.state_dict() for name, one in parts.items()}
        try:
            with made(self.folder), atomic_write(path) as part:
                torch.save(content | {"scaler": self.scaler.state_dict() if self.scaler else {}}, part)
            self._saved = self.step
            for old in self.checkpoints()[: -self.keep]:
                old.unlink()
        except (OSError, RuntimeError) as error:  # torch's own is a RuntimeError
            reason = getattr(error, "strerror", None) or "is the disk full?"
            raise CheckpointError(f"{path}: cannot be written ({reason}); what was there is there") from None

    def _resume(self, path: Path) -> None:
        settings = self.settings
        held = checked(Checkpoint, plain(path), str(path), CheckpointError)
        if different := differences(held.settings, settings):
            raise OtherRun(f"{path}: {different}; choose another --out")
        if held.step != len(held.losses) or not held.step == _step(path) <= settings["steps"]:
            raise CheckpointError(f"{path}: has {len(held.losses)} losses of {held.step} steps")
        if any(not loss or loss.keys() != held.losses[0].keys() for loss in held.losses):
            raise CheckpointError(f"{path}: losses must have the same names at every step")
        load_state(self.network, held.network, f"{path}, network")
        load_state(self.averaged, held.averaged, f"{path}, averaged")
        self._resume_optimiser(path, dict(held.optimiser), held.step)
        if self.scaler and held.scaler:
            self.scaler.load_state_dict(held.scaler)
        self.step, self.losses, self.seconds = held.step, held.losses, held.seconds
        self.left_out = dict.fromkeys(held.left_out)

    def _resume_optimiser(self, path: Path, state: dict[str, Any], steps: int) -> None:
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
            taken = steps and (state["state"] or not self.scaler)  # in half precision all steps so far may have failed
            every = set(range(len(parameters))) if taken else set()
            complete = all(values.keys() == MOMENTS for values in state["state"].values())
            if not (same and complete and state["state"].keys() == every):
                raise ValueError("of another network or other settings, or not of all parameters")
            self.optimiser.load_state_dict(state)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError) as error:
            text = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{path}, optimiser: does not fit ({text})") from None


def _step(path: Path) -> int:
    """After how many steps a checkpoint was written, by its name."""
    return int(path.stem.rpartition("-")[2])


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


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Which settings a checkpoint was made with, where this run has others."""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    differences = (f"was made with {name} {old.get(name)}, this run has {new.get(name)}" for name in names)
    return "; ".join(map(brief, differences))
