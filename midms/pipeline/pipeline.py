"""What people hold: a composed method that is called, translates, saves and moves; `from_pretrained` loads it."""

from __future__ import annotations

import dataclasses
import re
import reprlib
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from midms.checkpoints.convert.hub import push
from midms.checkpoints.folder import write_folder
from midms.compose.compose import unknown_change
from midms.compose.recipe import Recipe
from midms.compose.slots import SLOTS, check_part, check_settings
from midms.core.domain import TELLING, Domain
from midms.core.offload import offload
from midms.core.tensors import FLOATS, CheckpointError, cast
from midms.core.torch_defaults import defaults
from midms.core.types import Noise
from midms.loop import POLICY, Hints, Moment, Parts, Policy, interleave
from midms.loop.inputs import OneOrMore, check_finite
from midms.pipeline.translate import translate

_MANY = re.compile(r"\(([^(),]+), (?:[^(),]+, ){30,}([^(),]+)\)")
"""A tuple of 32 numbers or more, as repr shows it."""


@dataclass(frozen=True)
class Pipeline(Parts):
    """Parts and the policy by which they are interleaved.

    Attributes:
        policy: when to match again, and what becomes of x0 then.
        size: the shorter side in pixels that the weights were trained for.
        recipe: what it was composed from: its `slots` are those whose parts were made by name. Where policy and size
            were changed since, they hold.

    Raises:
        ValueError: a setting is not as it should be; all that are not are listed.
    """

    policy: Policy = field(default_factory=Policy)
    size: int = 64
    recipe: Recipe = field(default_factory=Recipe, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        parts = {name: getattr(self, name) for name in SLOTS}
        if wrong := check_settings(parts, self.policy.rematch, self.size):
            raise ValueError("; ".join(wrong))

    @property
    def name(self) -> str:
        """Of the preset it came from."""
        return self.recipe.name

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know, such as parts that have random weights."""
        return self.recipe.notes

    @property
    def domain(self) -> Domain:
        """What the weights were trained on."""
        return self.recipe.domain

    @torch.no_grad()
    def __call__(
        self,
        condition: Float[Tensor, "b k Y X"],
        exemplar: OneOrMore,
        exemplar_condition: OneOrMore | None = None,
        generator: Noise = None,
        regions: Sequence[Float[Tensor, "b 1 Y X"]] | None = None,
        hints: Hints | None = None,
        exemplar_regions: Sequence[Float[Tensor, "b 1 _ _"] | None] = (),
    ) -> Float[Tensor, "b 3 Y X"]:
        """Translate: the condition's structure in the exemplar's appearance.

        Args:
            condition: map in [0, 1], sides divisible by the autoencoder's stride.
            exemplar: picture [b 3 Y2 X2] in [-1, 1], of the same or another size; or several in a list, of which each
                cell takes from the one whose match is trusted most.
            exemplar_condition: the exemplar's own map [b k Y2 X2], or a list; made from it where not given.
            generator: for the noise; or a list of one for each picture, which is then what it is alone; or a callable
                from shape to draw, asked for each draw in order: the loop's start (and its steps, where the sampler
                draws), the last pass's start, then its steps.
            regions: for several exemplars a mask each, in [0, 1]: what of the condition takes from it.
            hints: places that take from places of an exemplar or have a colour, the same for each picture.
            exemplar_regions: masks in [0, 1] of exemplars in their order, of their sizes: a cell may be taken from
                where all of it is 0.5 at least; None or a missing one for all of the exemplar.

        Returns:
            The picture, not clipped, in the precision of the condition; that of the weights is the networks' own.

        Raises:
            ValueError: a shape, type or number is not as it should be; names the argument.
            NotFinite: a part gives numbers that are not finite; names the slot.

        Warns:
            UserWarning: of what a person should know before trusting the picture.
        """
        given = condition, exemplar, exemplar_condition, generator, regions, hints, exemplar_regions
        for last in self.trajectory(*given):
            for text in last.warnings:
                warnings.warn(text, stacklevel=3)
        return check_finite(self.autoencoder.decode(last.step.x0), self.autoencoder, "autoencoder").to(condition.dtype)

    def trajectory(
        self,
        condition: Float[Tensor, "b k Y X"],
        exemplar: OneOrMore,
        exemplar_condition: OneOrMore | None = None,
        generator: Noise = None,
        regions: Sequence[Float[Tensor, "b 1 Y X"]] | None = None,
        hints: Hints | None = None,
        exemplar_regions: Sequence[Float[Tensor, "b 1 _ _"] | None] = (),
    ) -> Iterator[Moment]:
        """The moments of the loop, one a level, then those of the last pass; gradients flow. Arguments as in a call.

        See `midms.loop.interleave.interleave`.
        """
        given = condition, exemplar, exemplar_condition, generator, regions, hints, exemplar_regions
        return interleave(self, self.policy, *given)

    translate = translate
    """The same for people, with pictures of any kind and size: `midms.pipeline.translate.translate`."""

    def replace(self, **fields: Any) -> Pipeline:
        """The same composition with other fields, those of the policy among them; a part is an object, not its name.

        Raises:
            ValueError: nothing is called so, a part does not fit its slot, or a setting is not as it should be; all
                that are not are listed.
        """
        known = [*(one.name for one in dataclasses.fields(self)), *POLICY]
        wrong = [unknown_change(name, known, self.recipe) for name in fields if name not in known]
        wrong += [f"{slot}: {why}" for slot in SLOTS if slot in fields and (why := check_part(slot, fields[slot]))]
        kinds = {"policy": Policy, "recipe": Recipe}
        wrong += [
            f"{name}: expected a {kind.__name__}, got {reprlib.repr(fields[name])}"
            for name, kind in kinds.items()
            if not isinstance(fields.get(name, getattr(self, name)), kind)
        ]
        if wrong:
            raise ValueError("; ".join(wrong))
        policy = fields.pop("policy", self.policy)
        changes = {name: fields.pop(name) for name in POLICY if name in fields}
        recipe = fields.pop("recipe", self.recipe)
        slots = {slot: spec for slot, spec in recipe.slots.items() if slot not in fields}
        domain = recipe.domain.unmeasured() if fields.keys() & set(TELLING) else recipe.domain
        fields["recipe"] = dataclasses.replace(recipe, slots=slots, domain=domain)
        return dataclasses.replace(self, policy=dataclasses.replace(policy, **changes), **fields)

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None, replace: bool = False) -> None:
        """Write the composition to a folder, for `midms.from_pretrained`: settings to read, weights as safetensors.

        Args:
            folder: made if need be. A composition in it is replaced as one: killed at any moment, it is the old or the
                new one.
            dtype: in which weights are stored; by default each as it is, and loading gives the same bits. What computes
                in float32 does so again when it is loaded, however it is stored.
            replace: whether the folder may hold something else, of which files of the same names are replaced.

        Raises:
            CheckpointError: a part was given ready-made, or an argument of it cannot be written; all are named. Or a
                weight is not finite, the folder holds something else, or the disk refuses. Nothing is written.
            HeldError: another process writes to the folder.
        """
        parts = {slot: part for slot in SLOTS if (part := getattr(self, slot)) is not None}
        if ready := [slot for slot in parts if slot not in self.recipe.slots]:
            problems = "; ".join(
                f"{slot} is a ready {type(parts[slot]).__name__}, give it to build by its registered name or as a Spec"
                for slot in ready
            )
            raise CheckpointError(f"{folder}: cannot be saved: {problems}")
        own = {
            slot: state for slot, part in parts.items() if isinstance(part, nn.Module) and (state := part.state_dict())
        }
        precisions = {value.dtype for state in own.values() for value in state.values() if value.is_floating_point()}
        states = {slot: cast(state, dtype, f"{folder}, {slot}") for slot, state in own.items()}
        recipe = dataclasses.replace(
            self.recipe,
            slots={slot: self.recipe.slots[slot] for slot in parts},
            loop=dataclasses.asdict(self.policy) | {"size": self.size},
            weights={slot: f"{slot}.safetensors" for slot in states},
            precision="float32" if precisions <= {torch.float32} else "",
        )
        write_folder(Path(folder), "save_pretrained", recipe, states, replace=replace)

    def push_to_hub(
        self,
        repo_id: str,
        private: bool | None = None,
        dtype: torch.dtype | None = None,
        commit_message: str = "Weights of midms",
    ) -> str:
        """Put what `save_pretrained` writes on the Hugging Face hub, for `midms.from_pretrained(repo_id)`.

        Args:
            repo_id: OWNER/NAME; the repository is made if need be. Its own README.md stays if it has one.
            private: whether only its owner sees a new repository; by default as the owner's settings say.
            dtype: in which weights are stored, as of `save_pretrained`.
            commit_message: what is said of the change.

        Returns:
            The address of the commit.

        Raises:
            CheckpointError: the pipeline cannot be saved, or the hub refuses or cannot be reached.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, dtype)
            return push(Path(folder), repo_id, private, commit_message)

    @defaults()
    def to(self, *target: Any, **options: Any) -> Pipeline:
        """Move every part that has weights, as `nn.Module.to`; returns itself.

        Raises:
            ValueError: nothing can be computed in that type.
        """
        for value in (*target, *options.values()):
            if isinstance(value, torch.dtype) and value not in FLOATS:
                raise ValueError(f"dtype: expected one of {', '.join(map(str, FLOATS))}, got {value}")
        for module in self.modules():
            module.to(*target, **options)
        return self

    def offload(self, how: str = "model", device: str | torch.device = "cuda") -> Pipeline:
        """Let networks wait in the machine's memory until they are called; returns itself.

        Args:
            how: "model", each whole, or "sequential", layer by layer, in the least memory (`midms.core.offload`).
            device: on which they compute.
        """
        offload(self.modules(), how, device)
        return self

    def modules(self) -> list[nn.Module]:
        """The parts that have weights."""
        return [part for name in SLOTS if isinstance(part := getattr(self, name), nn.Module)]

    def __repr__(self) -> str:
        lines = [f"  {name:<12}{_describe(getattr(self, name))}" for name in SLOTS]
        lines.append(f"  {'policy':<12}{self.policy}")
        lines.append(f"  {'size':<12}{self.size}")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join([f"Pipeline {self.name}".rstrip(), *lines])


def _describe(part: Any) -> str:
    """One line on a part: its repr, of many numbers the ends; or how large it is if it has weights."""
    if not isinstance(part, nn.Module):
        return _MANY.sub(lambda many: f"({many[1]}, ..., {many[2]}: {many[0].count(',') + 1:,} numbers)", repr(part))
    count = sum(parameter.numel() for parameter in part.parameters())
    return f"{type(part).__name__} ({count:,} parameters)"
