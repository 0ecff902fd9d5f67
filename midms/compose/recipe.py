"""What a pipeline is made of: parts by name and settings, without the numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from midms.compose.spec import Spec
from midms.core.domain import Domain

SHIPPED = Path(__file__).parents[1] / "checkpoints" / "weights"
"""Where the package keeps weights."""


@dataclass(frozen=True)
class Recipe:
    """A composition.

    Attributes:
        source: where it comes from.
        slots: slot to Spec; "refiner" is a sampler or absent.
        loop: how the loop interleaves, by the names of `midms.loop.policy.Policy`, and `size`.
        weights: slot to file below the package's `weights` folder, for parts that have weights of their own.
        obtain: how to get them where they are not shipped.
        purpose: what it is for, in plain words.
        domain: what its weights were trained on.
    """

    source: str
    slots: dict[str, Spec]
    loop: dict[str, Any]
    weights: dict[str, str] = field(default_factory=dict)
    obtain: str = "give weights=FOLDER or --weights FOLDER"
    purpose: str = ""
    domain: Domain = field(default_factory=Domain)

    @property
    def shipped(self) -> bool:
        """Whether all its weights come with the package."""
        return all((SHIPPED / file).is_file() for file in self.weights.values())
