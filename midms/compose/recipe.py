"""What a pipeline is made of: parts by name and settings, without the numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from midms.compose.spec import Spec
from midms.core.domain import Domain

SHIPPED = Path(__file__).parents[1] / "checkpoints" / "weights"
"""Where the package keeps weights: a folder a preset, called like it."""

OPTIONAL = ("refiner", "injection", "finisher")
"""Slots that may have no part."""
_TEXT_TO_IMAGE = ("unet-condition", "sd3", "flux")
"""Denoisers of text-to-image models."""
_SAMPLERS = ("sampler", "refiner")
"""Slots that take a sampler."""


@dataclass(frozen=True)
class Recipe:
    """A composition: what a preset is, and what a folder of weights says of itself.

    Attributes:
        name: of the preset.
        slots: slot to Spec; those of `OPTIONAL` may be absent. A folder of weights may lack others too.
        loop: how the loop interleaves, by the names of `midms.loop.policy.Policy`, and `size`.
        weights: slot to file in the folder of weights, for parts that have weights of their own.
        domain: what the weights were trained on.
        purpose: what it is for, in plain words.
        source: where it comes from.
        license: of the weights, as the hub calls licenses; empty if it is not known.
        precision: of the parts when they are loaded, "float32", or empty for that in which the weights are stored.
        notes: what a user should know.
        made: how the weights were made, a record a step.
        training: the stages of its training by name, in order, with their settings; see `midms.training.stages`.
        obtain: how to get weights where none are shipped.
        call: the Python that made a pipeline of it, such as `build('midm-faces')`, but for what was changed; empty
            where nobody said.
        changes: what was changed by that call: slots, and settings of the loop.
    """

    name: str = ""
    slots: Mapping[str, Spec] = field(default_factory=dict)
    loop: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    domain: Domain = field(default_factory=Domain)
    purpose: str = ""
    source: str = ""
    license: str = ""
    precision: str = ""
    notes: tuple[str, ...] = ()
    made: Mapping[str, Any] = field(default_factory=dict, compare=False)
    training: tuple[Spec, ...] = field(default=(), compare=False)
    obtain: str = field(default="give weights=FOLDER or --weights FOLDER", compare=False)
    call: str = field(default="", compare=False)
    changes: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def home(self) -> Path:
        """The folder of its shipped weights, if there are any."""
        return SHIPPED / self.name

    @property
    def shipped(self) -> bool:
        """Whether all its weights come with the package."""
        return all((self.home / file).is_file() for file in self.weights.values())

    @property
    def borrows(self) -> bool:
        """Whether it is for a text-to-image model of somebody else's, too large to be made without its weights."""
        return "denoiser" in self.slots and self.slots["denoiser"].name in _TEXT_TO_IMAGE

    @property
    def schedule(self) -> Any:
        """The schedule that the denoiser was trained with, if a sampler says it."""
        return self.slots["sampler"].arguments.get("schedule") if "sampler" in self.slots else None

    def sized(self, parts: Mapping[str, Spec], schedule: Any) -> Recipe:
        """The same with other parts, and the schedule that these were trained with; None for the recipe's own."""
        samplers = {
            slot: Spec(spec.name, **(spec.arguments | {"schedule": schedule}))
            for slot, spec in self.slots.items()
            if slot in _SAMPLERS and schedule is not None
        }
        return dataclasses.replace(self, slots={**self.slots, **parts, **samplers})
