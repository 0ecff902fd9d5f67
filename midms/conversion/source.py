"""Where weights come from: parts with their sizes, and a state for each. What a folder of them looks like."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

import midms
from midms.catalog import create
from midms.checkpoints import CheckpointError, check_sizes, read_shapes, read_weights, save_state
from midms.diffusion.schedule import Schedule
from midms.files import whole
from midms.presets import Spec
from midms.saved import read_json, tupled

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
        schedule: that the denoiser was trained with, one of `midms.diffusion.schedule.SCHEDULES`, or betas.
        state: from a slot to its parameters.
        report: what to know of it, such as why tensors were left out, and which.
    """

    name: str
    parts: dict[str, Spec]
    schedule: Schedule
    state: Callable[[str], dict[str, Tensor]]
    report: Mapping[str, Sequence[str]] = field(default_factory=dict)


def write(source: Source, folder: Path) -> None:
    """A folder that `build(preset, weights=folder)` takes: weights, what they belong to, and the report.

    Args:
        source: what to write.
        folder: made if need be. What an earlier conversion left goes first and the configuration comes last, so that
            half a folder is none.
    """
    states = {slot: source.state(slot) for slot in source.parts}
    for name in (CONFIG, REPORT, REFUSAL, *map(_weights, SLOTS)):
        (folder / name).unlink(missing_ok=True)
    for slot, state in states.items():
        save_state(state, folder / _weights(slot))
    _write_lines([line for reason, names in source.report.items() for line in (reason, *names)], folder / REPORT)
    content = {
        "midms": midms.__version__,
        "source": source.name,
        "schedule": source.schedule,
        "parts": {slot: {"name": spec.name, "arguments": spec.arguments} for slot, spec in source.parts.items()},
    }
    with whole(folder / CONFIG) as part:
        part.write_text(json.dumps(content, indent=1) + "\n")


def write_refusal(lines: Sequence[str], folder: Path) -> Path:
    """Why a conversion failed, a line each reason; the folder is made if need be, and what is in it stays."""
    folder.mkdir(parents=True, exist_ok=True)
    return _write_lines(lines, folder / REFUSAL)


def _write_lines(lines: Sequence[str], path: Path) -> Path:
    with whole(path) as part:
        part.write_text("".join(f"{line}\n" for line in lines))
    return path


def _weights(slot: str) -> str:
    return f"{slot}.safetensors"


def read(folder: Path) -> Source:
    """A folder that `write` left.

    Raises:
        CheckpointError: its configuration cannot be read or lacks something; later, its weights.
    """
    content = read_json(folder / CONFIG)
    try:
        parts = {
            slot: Spec(part["name"], **{name: tupled(value) for name, value in part["arguments"].items()})
            for slot, part in content["parts"].items()
        }
        schedule = tupled(content["schedule"])
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder / CONFIG}: not as `midms convert` writes it ({error!r})") from None
    return Source(str(folder), parts, schedule, lambda slot: _state(slot, parts[slot], folder / _weights(slot)))


def _state(slot: str, spec: Spec, path: Path) -> dict[str, Tensor]:
    check_sizes(lambda: create(slot, spec.name, **spec.arguments), read_shapes(path), str(path))
    return read_weights(path)
