"""Where weights come from: parts with their sizes, and a state for each. What a folder of them looks like."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import Tensor

import midms
from midms.checkpoints import folder as weights_folder
from midms.checkpoints.folder import Name, Plain, Settings, write_text
from midms.checkpoints.tensors import cast, check_sizes, read_shapes
from midms.compose.catalog import create
from midms.compose.spec import Spec
from midms.core.schema import Schema
from midms.diffusion.levels import Schedule

SLOTS = ("denoiser", "autoencoder", "features")
"""What weights may be for."""
CONFIG, REPORT, REFUSAL = "config.json", "report.txt", "refused.txt"
"""Files beside the weights: what they belong to, what was left out of them; or why there are none."""


@dataclass(frozen=True)
class Source:
    """Weights for some slots of a composition.

    Attributes:
        name: what users call it.
        parts: slot to the part and the sizes that its weights have.
        schedule: that the denoiser was trained with, one of `midms.diffusion.levels.SCHEDULES`, or betas.
        state: from a slot to its parameters.
        report: what to know of it, such as why tensors were left out, and which.
    """

    name: str
    parts: dict[str, Spec]
    schedule: Schedule
    state: Callable[[str], dict[str, Tensor]]
    report: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Part(Schema):
    """A part that weights belong to: one of those that weights are converted for."""

    name: Literal["unconditional", "vq", "kl", "midm"]
    arguments: dict[Name, Plain]


class Config(Settings):
    """What `config.json` says.

    Attributes:
        midms: the version that wrote it.
        source: what was converted.
        schedule: that the denoiser was trained with.
        parts: slot to part.
    """

    midms: str
    source: str
    schedule: Plain
    parts: dict[Literal["denoiser", "autoencoder", "features"], Part]

    def slots(self) -> list[str]:
        """Slots that there are weights for."""
        return [*self.parts]


def check(folder: Path, replace: bool) -> None:
    """Find out before the work whether a folder may be written to.

    Raises:
        CheckpointError: it holds something that no conversion left, and `replace` is not set.
    """
    weights_folder.check(folder, CONFIG, Config, SLOTS, replace)


def write(source: Source, folder: Path, replace: bool = False) -> None:
    """A folder that `build(preset, weights=folder)` takes: weights, what they belong to, and the report.

    Killed at any moment, the folder is as it was or as it will be.

    Args:
        source: what to write.
        folder: made if need be.
        replace: whether the folder may hold something else, of which files of the same names are replaced.

    Raises:
        CheckpointError: it does, a number is not finite, or the disk refuses.
        HeldError: another process writes to it.
    """
    states = {slot: cast(source.state(slot), None, f"{source.name}, {slot}") for slot in source.parts}
    content = {
        "midms": midms.__version__,
        "source": source.name,
        "schedule": source.schedule,
        "parts": {slot: {"name": spec.name, "arguments": spec.arguments} for slot, spec in source.parts.items()},
    }
    lines = [line for reason, names in source.report.items() for line in (reason, *names)]
    texts = {REPORT: _lines(lines), REFUSAL: ""}
    weights_folder.write(folder, CONFIG, Config, content, states, texts, replace)


def write_refusal(lines: Sequence[str], folder: Path) -> Path:
    """Why a conversion failed, a line each reason; the folder is made if need be, and what is in it stays."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / REFUSAL, _lines(lines))
    return folder / REFUSAL


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def read(folder: Path) -> Source:
    """A folder that `write` left.

    Raises:
        CheckpointError: its configuration cannot be read or lacks something; later, its weights.
    """
    config = weights_folder.read(folder, CONFIG, Config)
    parts = {str(slot): Spec(part.name, **part.arguments) for slot, part in config.parts.items()}

    def state(slot: str) -> dict[str, Tensor]:
        path, spec = config.path(folder, slot), parts[slot]
        check_sizes(lambda: create(slot, spec.name, **spec.arguments), read_shapes(path), str(path))
        return config.state(folder, slot)

    return Source(str(folder), parts, config.schedule, state)
