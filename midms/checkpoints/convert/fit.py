"""A checkpoint's tensors into the parts that a configuration describes; what is missing or left over is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from midms.checkpoints.convert.names import Origin
from midms.compose.catalog import create
from midms.compose.presets import PRESETS
from midms.compose.recipe import Recipe
from midms.compose.spec import Spec
from midms.core.tensors import FEW, FLOATS, CheckpointError, finite, outline
from midms.diffusion.levels import Schedule

_WRAPPED = "network."
"""What the names begin with of a part that wraps somebody else's network."""


def recipe_of(parts: Mapping[str, Spec], schedule: Schedule) -> Recipe:
    """What converted weights belong to: the preset whose condition they read, or only the parts that they are for.

    Args:
        parts: slot to the part that there are weights for.
        schedule: that the denoiser was trained with.
    """
    read = parts["features"].arguments.get("condition_channels") if "features" in parts else None
    fitting = [
        preset
        for preset in PRESETS.values()
        if preset.slots["features"].name == "midm" and preset.slots["features"].arguments["condition_channels"] == read
    ]
    recipe = fitting[0] if fitting else Recipe(slots={"sampler": Spec("ddim")}, source="a latent diffusion")
    weights = {slot: f"{slot}.safetensors" for slot in parts}
    return dataclasses.replace(recipe.sized(parts, schedule), weights=weights, precision="float32")


@dataclass
class TensorUse:
    """A checkpoint's tensors, which of them were taken, and what did not fit.

    Attributes:
        name: what users call the checkpoint.
        tensors: by name.
        taken: names that some part's parameter came from.
        missing: names that a part needs and the checkpoint lacks.
        misshapen: sentences on tensors that are there and do not fit.
        networks: what the names of the networks begin with that something was taken for.
    """

    name: str
    tensors: Mapping[str, Tensor]
    taken: set[str] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)
    networks: set[str] = field(default_factory=set)

    def take(
        self, spec: Spec, kind: str, origins: Callable[[list[str]], dict[str, Origin]], prefix: str = ""
    ) -> dict[str, Tensor]:
        """The state of a part, as far as the checkpoint has it.

        Args:
            spec: the part and its sizes.
            kind: of part.
            origins: from the names inside the part's `network`, or the part's own, to where each is found.
            prefix: of all of them in the checkpoint.
        """
        part: nn.Module = outline(lambda: create(kind, spec.name, **spec.arguments), len(self.tensors), self.name)
        wanted = part.state_dict()
        own = {name.removeprefix(_WRAPPED): name for name in wanted}
        state = {}
        for inner, origin in origins(list(own)).items():
            name, theirs = own[inner], prefix + origin.name
            self.networks.add(prefix or f"{theirs.partition('.')[0]}.")
            if theirs not in self.tensors:
                self.missing.append(theirs)
                continue
            self.taken.add(theirs)
            value = self._shaped(theirs, origin, wanted[name])
            if value is not None:
                state[name] = value
        return state

    def _shaped(self, theirs: str, origin: Origin, like: Tensor) -> Tensor | None:
        """A parameter out of a tensor of theirs, if it has the shape that it should have."""
        tensor = self.tensors[theirs]
        try:
            value = origin.take(tensor)
        except (RuntimeError, TypeError, IndexError):  # the rows are not what attention would have
            value = tensor
        if value.shape != like.shape:
            self.misshapen.append(f"{theirs} is {tuple(tensor.shape)}, for a parameter of {tuple(like.shape)}")
            return None
        if tensor.dtype not in (FLOATS if like.is_floating_point() else (like.dtype,)):
            self.misshapen.append(f"{theirs} is {tensor.dtype}, for a parameter of {like.dtype}")
            return None
        if not finite(value.to(like.dtype)):
            self.misshapen.append(f"{theirs} is not finite")
            return None
        return value

    def leftover(self) -> list[str]:
        """Names that nothing was taken from."""
        return [name for name in self.tensors if name not in self.taken]

    def check(self, config: str, unexpected: Iterable[str]) -> None:
        """Complain of everything that does not fit.

        Args:
            config: what says how the networks are.
            unexpected: names that nobody knows; inside a network they are a part of it that would be lost.

        Raises:
            CheckpointError: something does not.
        """
        unexpected = [*unexpected]
        if not (self.missing or self.misshapen or any(name.startswith(tuple(self.networks)) for name in unexpected)):
            return
        problems = {"missing": sorted(set(self.missing)), "": sorted(set(self.misshapen)), "unexpected": unexpected}
        few = "; ".join(some(what, names) for what, names in problems.items() if names)
        details = [f"{what} {name}".strip() for what, names in problems.items() for name in names]
        raise CheckpointError(f"{self.name}: not the networks of {config}: {few}", details)


def some(what: str, names: list[str]) -> str:
    """A few names and how many more there are."""
    more = f" and {len(names) - FEW:,} more" if len(names) > FEW else ""
    return f"{what} {', '.join(names[:FEW])}{more}".strip()
