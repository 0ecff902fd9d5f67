"""Matching-interleaved diffusion (Seo et al. 2023, arXiv:2209.11047): match, warp, denoise, match again."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from midms.defaults import defaults
from midms.domain import TELLING, Domain
from midms.loop.arguments import OneOrMore, describe, draws, exemplars, finite
from midms.loop.policy import Policy, outside
from midms.matching.mosaic import compare, side_by_side
from midms.networks.precision import precise
from midms.presets import Spec
from midms.protocols import (
    Autoencoder,
    ConditionExtractor,
    ConfidenceEstimator,
    Denoiser,
    FeatureExtractor,
    Match,
    Matcher,
    Sampler,
)
from midms.saved import write
from midms.slots import impossible
from midms.translation import Translation, translate
from midms.types import Confidence, Context, Level, Moment, Noise, Step

PARTS = ("condition", "features", "matcher", "confidence", "denoiser", "sampler", "autoencoder", "refiner")
POLICY = tuple(setting.name for setting in dataclasses.fields(Policy))
"""Settings of the policy, which `replace` and `build` take beside the loop's own."""


@dataclass(frozen=True)
class MatchingInterleavedDiffusion:
    """The loop, from parts.

    Every denoising step is cut in half. Between predicting x0 and noising it again, the exemplar may be matched anew
    to what x0 has become.

    Attributes:
        condition: makes condition maps from pictures.
        features: of the condition, the exemplar and x0.
        matcher: from features to a match.
        confidence: from a match to trust in it.
        denoiser: predicts x0.
        sampler: the levels, and the way from one to the next.
        autoencoder: pictures to latents and back.
        refiner: a last pass of plain diffusion with this sampler, or None.
        policy: when to match again, and what becomes of x0 then.
        size: the shorter side in pixels that the weights were trained for.
        name: of the preset it came from.
        notes: what a user should know, such as parts that have random weights.
        domain: what the weights were trained on.
        specs: slot to the name and arguments that its part was made from, where it was.

    Raises:
        ValueError: a setting is not as it should be; all that are not are listed.
    """

    condition: ConditionExtractor
    features: FeatureExtractor
    matcher: Matcher
    confidence: ConfidenceEstimator
    denoiser: Denoiser
    sampler: Sampler
    autoencoder: Autoencoder
    refiner: Sampler | None = None
    policy: Policy = field(default_factory=Policy)
    size: int = 64
    name: str = ""
    notes: tuple[str, ...] = ()
    domain: Domain = field(default_factory=Domain)
    specs: Mapping[str, Spec] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        parts = {name: getattr(self, name) for name in PARTS}
        if wrong := impossible(parts, self.policy.rematch, self.size):
            raise ValueError("; ".join(wrong))

    @torch.no_grad()
    def __call__(
        self,
        condition: Float[Tensor, "b k Y X"],
        exemplar: OneOrMore,
        exemplar_condition: OneOrMore | None = None,
        generator: Noise = None,
        regions: Sequence[Float[Tensor, "b 1 Y X"]] | None = None,
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

        Returns:
            The picture, not clipped, in the precision of the condition; that of the weights is the networks' own.

        Raises:
            ValueError: a shape, type or number is not as it should be; names the argument.
            NotFinite: a part gives numbers that are not finite; names the slot.
        """
        (last,) = deque(self.trajectory(condition, exemplar, exemplar_condition, generator, regions), maxlen=1)
        return finite(self.autoencoder.decode(last.step.x0), self.autoencoder, "autoencoder").to(condition.dtype)

    def trajectory(
        self,
        condition: Float[Tensor, "b k Y X"],
        exemplar: OneOrMore,
        exemplar_condition: OneOrMore | None = None,
        generator: Noise = None,
        regions: Sequence[Float[Tensor, "b 1 Y X"]] | None = None,
    ) -> Iterator[Moment]:
        """The moments of the loop, one a level, then those of the last pass; gradients flow. Arguments as in a call.

        All is in float32, or float64 where that was given: half precision is within networks, see `networks.precision`.
        """
        channels, stride = self.condition.channels, self.autoencoder.stride
        pictures, maps = exemplars(condition, exemplar, exemplar_condition, regions, channels, stride)
        condition = precise(condition)
        draw = draws(generator, condition)

        latents = [finite(self.autoencoder.encode(picture), self.autoencoder, "autoencoder") for picture in pictures]
        wanted = self.features.condition(condition)
        offered = [
            self.features.exemplar(z, self.condition.photo(picture) if drawn is None else drawn)
            for z, picture, drawn in zip(latents, pictures, maps, strict=True)
        ]
        latent = side_by_side(latents)
        least = getattr(self.denoiser, "least_trust", 0.0)

        def matched(query: Tensor, keys: list[Tensor]) -> tuple[Match, Tensor, Confidence]:
            match, trust = compare(self.matcher, self.confidence, query, keys, regions)
            finite(trust.weight, self.confidence, "confidence")
            return match, finite(match.apply(latent), self.matcher, "matcher"), trust

        def matched_again(x: Tensor) -> tuple[Match, Tensor, Confidence]:
            return matched(self.features.iterate(x, wanted), [features.again for features in offered])

        def judge(x0: Tensor) -> Confidence:
            query, keys = self.features.iterate(x0, outside(wanted)), outside([one.again for one in offered])
            return self.policy.dialled(compare(self.matcher, self.confidence, query, keys, outside(regions))[1])

        def denoise(x: Tensor, level: Level) -> Tensor:
            context = Context(warp, condition, self.policy.dialled(trust, least).weight)
            return finite(self.denoiser(x, level, context), self.denoiser, "denoiser")

        match, warp, trust = matched(wanted.first, [features.first for features in offered])
        step: Step | None = None
        x = self.sampler.noise(warp, draw)
        for level in self.sampler.levels:
            if step is not None:
                x = self.sampler.advance(step, level, draw)
            step = self.sampler.predict(denoise, x, level, step)
            again = level.index in self.policy.rematch
            if again:
                match, warp, trust = matched_again(step.x0 if self.policy.look == "x0" else x)
                step = self.policy.edited(step, warp, trust, judge)
            finite(step.x0, self.policy if again else self.sampler, "policy" if again else "sampler")
            yield Moment(step, match, warp, trust, again)

        if self.refiner is None or step is None:
            return
        x, step = self.refiner.noise(step.x0, draw), None
        for level in self.refiner.levels:
            if step is not None:
                x = self.refiner.advance(step, level, draw)
            step = self.refiner.predict(denoise, x, level, step)
            finite(step.x0, self.refiner, "refiner")
            yield Moment(step, match, warp, trust, rematched=False, stage="refine")

    def translate(self, condition: Any, exemplar: Any, **options: Any) -> Translation:
        """The same for people, with pictures of any kind and size: see `midms.translation.translate`."""
        return translate(self, condition, exemplar, **options)

    def replace(self, **fields: Any) -> MatchingInterleavedDiffusion:
        """The same composition with other fields, those of the policy among them."""
        policy = fields.pop("policy", self.policy)
        changes = {name: fields.pop(name) for name in POLICY if name in fields}
        if fields.keys() & set(TELLING):
            fields.setdefault("domain", self.domain.unmeasured())
        fields.setdefault("specs", {slot: spec for slot, spec in self.specs.items() if slot not in fields})
        return dataclasses.replace(self, policy=dataclasses.replace(policy, **changes), **fields)

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None, replace: bool = False) -> None:
        """Write the composition to a folder, for `midms.from_pretrained`: settings to read, weights as safetensors.

        Args:
            folder: made if need be. A composition in it is replaced as one: killed at any moment, it is the old or the
                new one.
            dtype: in which weights are stored; by default each as it is, and loading gives the same bits.
            replace: whether the folder may hold something else, of which files of the same names are replaced.

        Raises:
            CheckpointError: a part was given ready-made, or an argument of it cannot be written; all are named. Or a
                weight is not finite, the folder holds something else, or the disk refuses. Nothing is written.
            HeldError: another process writes to the folder.
        """
        parts = {slot: getattr(self, slot) for slot in PARTS}
        loop = dataclasses.asdict(self.policy) | {"size": self.size}
        write(Path(folder), self.name, parts, self.specs, loop, self.notes, self.domain, dtype, replace)

    @defaults()
    def to(self, *target: Any, **options: Any) -> MatchingInterleavedDiffusion:
        """Move every part that has weights, as `nn.Module.to`; returns itself."""
        for module in self.modules():
            module.to(*target, **options)
        return self

    def modules(self) -> list[nn.Module]:
        """The parts that have weights."""
        return [part for name in PARTS if isinstance(part := getattr(self, name), nn.Module)]

    def __repr__(self) -> str:
        lines = [f"  {name:<12}{describe(getattr(self, name))}" for name in PARTS]
        lines.append(f"  {'policy':<12}{self.policy}")
        lines.append(f"  {'size':<12}{self.size}")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join([f"MatchingInterleavedDiffusion {self.name}".rstrip(), *lines])
