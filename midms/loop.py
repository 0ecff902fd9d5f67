"""Matching-interleaved diffusion (Seo et al. 2023, arXiv:2209.11047): match, warp, denoise, match again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from midms.protocols import (
    Autoencoder,
    ConditionExtractor,
    ConfidenceEstimator,
    Denoiser,
    FeatureExtractor,
    Matcher,
    Sampler,
)
from midms.translation import Translation, translate
from midms.types import Context, Draw, Moment, Step

if TYPE_CHECKING:
    from midms.types import Level

PARTS = ("condition", "features", "matcher", "confidence", "denoiser", "sampler", "autoencoder", "refiner")


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
        rematch: indices of the levels at which to match again.
        blend: whether x0 is overwritten by the new warp where that is trusted; otherwise the new warp reaches the
            denoiser's context alone.
        size: the shorter side in pixels that the weights were trained for.
        name: of the preset it came from.
        notes: what a user should know, such as parts that have random weights.
    """

    condition: ConditionExtractor
    features: FeatureExtractor
    matcher: Matcher
    confidence: ConfidenceEstimator
    denoiser: Denoiser
    sampler: Sampler
    autoencoder: Autoencoder
    refiner: Sampler | None = None
    rematch: tuple[int, ...] = ()
    blend: bool = True
    size: int = 64
    name: str = ""
    notes: tuple[str, ...] = field(default=())

    @torch.no_grad()
    def __call__(
        self,
        condition: Float[Tensor, "b k Y X"],
        exemplar: Float[Tensor, "b 3 Y2 X2"],
        exemplar_condition: Float[Tensor, "b k Y2 X2"] | None = None,
        generator: torch.Generator | Draw | None = None,
    ) -> Float[Tensor, "b 3 Y X"]:
        """Translate: the condition's structure in the exemplar's appearance.

        Args:
            condition: map in [0, 1], sides divisible by the autoencoder's stride.
            exemplar: picture in [-1, 1].
            exemplar_condition: the exemplar's own map; made from it where not given.
            generator: for the noise, or a callable from shape to draw, asked for each draw in order: the loop's start
                (and its steps, where the sampler draws), the last pass's start, then its steps.

        Returns:
            The picture, not clipped.

        Raises:
            ValueError: a shape, type or number is not as it should be; names the argument.
        """
        last = None
        for last in self.trajectory(condition, exemplar, exemplar_condition, generator):
            pass
        if last is None:
            raise ValueError("the sampler has no levels")
        return self.autoencoder.decode(last.step.x0)

    def trajectory(
        self,
        condition: Float[Tensor, "b k Y X"],
        exemplar: Float[Tensor, "b 3 Y2 X2"],
        exemplar_condition: Float[Tensor, "b k Y2 X2"] | None = None,
        generator: torch.Generator | Draw | None = None,
    ) -> Iterator[Moment]:
        """The moments of the loop, one a level, then those of the last pass; gradients flow. Arguments as in a call."""
        if exemplar_condition is None:
            exemplar_condition = self.condition.photo(exemplar)
        self._check(condition, exemplar, exemplar_condition)
        draw = draws(generator, condition)

        latent = self.autoencoder.encode(exemplar)
        wanted = self.features.condition(condition)
        offered = self.features.exemplar(latent, exemplar_condition)
        match = self.matcher(wanted.first, offered.first)
        warp, trust = match.apply(latent), self.confidence(match)

        def denoise(x: Tensor, level: Level) -> Tensor:
            return self.denoiser(x, level, Context(warp, condition, trust.weight))

        step: Step | None = None
        x = self.sampler.noise(warp, draw)
        for level in self.sampler.levels:
            if step is not None:
                x = self.sampler.advance(step, level, draw)
            step = self.sampler.predict(denoise, x, level, step)
            again = level.index in self.rematch
            if again:
                match = self.matcher(self.features.iterate(step.x0, wanted), offered.again)
                warp, trust = match.apply(latent), self.confidence(match)
                if self.blend:
                    step = dataclasses.replace(step, x0=trust.blend(warp, step.x0))
            yield Moment(step, match, warp, trust, again)

        if self.refiner is None or step is None:
            return
        x = self.refiner.noise(step.x0, draw)
        step = None
        for level in self.refiner.levels:
            if step is not None:
                x = self.refiner.advance(step, level, draw)
            step = self.refiner.predict(denoise, x, level, step)
            yield Moment(step, match, warp, trust, False, "refine")

    def translate(self, condition: Any, exemplar: Any, **options: Any) -> Translation:
        """The same for people: paths, PIL pictures, arrays or tensors of any size. See `midms.translation.translate`."""
        return translate(self, condition, exemplar, **options)

    def replace(self, **fields: Any) -> MatchingInterleavedDiffusion:
        """The same composition with other fields."""
        return dataclasses.replace(self, **fields)

    def to(self, *target: Any, **options: Any) -> MatchingInterleavedDiffusion:
        """Move every part that has weights, as `nn.Module.to`; returns itself."""
        for module in self.modules():
            module.to(*target, **options)
        return self

    def modules(self) -> list[nn.Module]:
        """The parts that have weights."""
        return [part for name in PARTS if isinstance(part := getattr(self, name), nn.Module)]

    def _check(self, condition: Tensor, exemplar: Tensor, exemplar_condition: Tensor) -> None:
        stride, channels = self.autoencoder.stride, self.condition.channels
        wanted = {"condition": (condition, channels), "exemplar": (exemplar, 3), "exemplar_condition": (exemplar_condition, channels)}
        for name, (value, depth) in wanted.items():
            if value.ndim != 4 or value.shape[1] != depth or not value.is_floating_point():
                raise ValueError(f"{name} must be a float tensor [b, {depth}, Y, X], got {tuple(value.shape)} {value.dtype}")
            if any(side % stride or side < 2 * stride for side in value.shape[-2:]):
                raise ValueError(f"sides of {name} must be multiples of {stride}, at least {2 * stride}, got {tuple(value.shape[-2:])}")
            if len(value) != len(condition):
                raise ValueError(f"{name} has batch {len(value)}, condition has {len(condition)}")
            if not torch.isfinite(value).all():
                raise ValueError(f"{name} holds numbers that are not finite")
        if exemplar_condition.shape[-2:] != exemplar.shape[-2:]:
            raise ValueError(
                f"exemplar_condition is {tuple(exemplar_condition.shape[-2:])}, the exemplar {tuple(exemplar.shape[-2:])}"
            )

    def __repr__(self) -> str:
        def describe(part: Any) -> str:
            if not isinstance(part, nn.Module):
                return repr(part)
            count = sum(p.numel() for p in part.parameters())
            return f"{type(part).__name__}({count / 1e6:.2f} M parameters)"

        lines = [f"  {name:<12}{describe(getattr(self, name))}" for name in PARTS]
        lines.append(f"  {'loop':<12}rematch={self.rematch}, blend={self.blend}, size={self.size}")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join([f"MatchingInterleavedDiffusion {self.name}".rstrip(), *lines])


def draws(generator: torch.Generator | Callable[[tuple[int, ...]], Tensor] | None, like: Tensor) -> Draw:
    """A source of standard normals. A generator of another device draws there, so that seeds give the same everywhere."""
    if callable(generator):
        return generator
    device = generator.device if generator is not None else like.device
    return lambda shape: torch.randn(shape, generator=generator, device=device, dtype=like.dtype).to(like.device)
