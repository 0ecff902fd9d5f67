"""Matching-interleaved diffusion (Seo et al. 2023, arXiv:2209.11047): match, warp, denoise, match again."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

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
from midms.types import Context, Draw, Level, Moment, Step

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
    rematch: tuple[int, ...] = ()
    blend: bool = True
    size: int = 64
    name: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        levels = range(len(self.sampler.levels))
        wrong = []
        if not levels or (self.refiner is not None and not self.refiner.levels):
            wrong.append("a sampler has no levels")
        if not isinstance(self.rematch, tuple) or not all(index in levels for index in self.rematch):
            wrong.append(f"rematch must be a tuple of levels out of {[*levels]}, got {self.rematch!r}")
        if not isinstance(self.blend, bool):
            wrong.append(f"blend must be True or False, got {self.blend!r}")
        if not isinstance(self.size, int) or self.size < 2 * self.autoencoder.stride:
            wrong.append(f"size must be at least {2 * self.autoencoder.stride} pixels, got {self.size!r}")
        if wrong:
            raise ValueError("; ".join(wrong))

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
            exemplar: picture in [-1, 1], of the same or another size.
            exemplar_condition: the exemplar's own map; made from it where not given.
            generator: for the noise, or a callable from shape to draw, asked for each draw in order: the loop's start
                (and its steps, where the sampler draws), the last pass's start, then its steps.

        Returns:
            The picture, not clipped.

        Raises:
            ValueError: a shape, type or number is not as it should be; names the argument.
        """
        (last,) = deque(self.trajectory(condition, exemplar, exemplar_condition, generator), maxlen=1)
        return self.autoencoder.decode(last.step.x0)

    def trajectory(
        self,
        condition: Float[Tensor, "b k Y X"],
        exemplar: Float[Tensor, "b 3 Y2 X2"],
        exemplar_condition: Float[Tensor, "b k Y2 X2"] | None = None,
        generator: torch.Generator | Draw | None = None,
    ) -> Iterator[Moment]:
        """The moments of the loop, one a level, then those of the last pass; gradients flow. Arguments as in a call."""
        self._check(condition, exemplar, exemplar_condition)
        draw = draws(generator, condition)
        if exemplar_condition is None:
            exemplar_condition = self.condition.photo(exemplar)

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
        x, step = self.refiner.noise(step.x0, draw), None
        for level in self.refiner.levels:
            if step is not None:
                x = self.refiner.advance(step, level, draw)
            step = self.refiner.predict(denoise, x, level, step)
            yield Moment(step, match, warp, trust, rematched=False, stage="refine")

    def translate(self, condition: Any, exemplar: Any, **options: Any) -> Translation:
        """The same for people, with pictures of any kind and size: see `midms.translation.translate`."""
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

    def _check(self, condition: Tensor, exemplar: Tensor, exemplar_condition: Tensor | None) -> None:
        """Say which argument is wrong, and how."""
        channels, stride = self.condition.channels, self.autoencoder.stride
        check("condition", condition, channels, stride, condition)
        check("exemplar", exemplar, 3, stride, condition)
        if exemplar_condition is not None:
            check("exemplar_condition", exemplar_condition, channels, stride, condition)
            sizes = tuple(exemplar_condition.shape[-2:]), tuple(exemplar.shape[-2:])
            if sizes[0] != sizes[1]:
                raise ValueError(f"exemplar_condition is {sizes[0]} pixels, expected the exemplar's {sizes[1]}")

    def __repr__(self) -> str:
        lines = [f"  {name:<12}{describe(getattr(self, name))}" for name in PARTS]
        lines.append(f"  {'loop':<12}rematch={self.rematch}, blend={self.blend}, size={self.size}")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join([f"MatchingInterleavedDiffusion {self.name}".rstrip(), *lines])


def describe(part: Any) -> str:
    """One line on a part: its repr, or how large it is if it has weights."""
    if not isinstance(part, nn.Module):
        return repr(part)
    count = sum(parameter.numel() for parameter in part.parameters())
    return f"{type(part).__name__} ({count:,} parameters)"


def check(name: str, value: Tensor, channels: int, stride: int, like: Tensor) -> None:
    """Find out whether a tensor can be an argument of the loop.

    Args:
        name: of the argument.
        value: a batch of pictures or maps.
        channels: that it must have.
        stride: that its sides must be divisible by.
        like: has the batch size, type and device that it must have.

    Raises:
        ValueError: it cannot.
    """
    if value.ndim != 4 or value.shape[1] != channels or not value.is_floating_point():
        raise ValueError(
            f"{name} is {value.dtype} {tuple(value.shape)}, expected floats [b, {channels}, height, width]"
        )
    if any(side % stride or side < 2 * stride for side in value.shape[-2:]):
        raise ValueError(
            f"{name} is {tuple(value.shape[-2:])} pixels, expected multiples of {stride} from {2 * stride} on"
        )
    if len(value) != len(like) or len(value) == 0:
        raise ValueError(f"{name} has a batch of {len(value)}, expected {len(like) or 'at least one'}")
    if (value.dtype, value.device) != (like.dtype, like.device):
        raise ValueError(f"{name} is {value.dtype} on {value.device}, the condition {like.dtype} on {like.device}")
    if not torch.isfinite(value).all():
        raise ValueError(f"{name} holds numbers that are not finite")


def draws(generator: torch.Generator | Callable[[tuple[int, ...]], Tensor] | None, like: Tensor) -> Draw:
    """A source of standard normals.

    A generator of another device draws there, so that a seed gives the same picture everywhere.

    Args:
        generator: or a callable from shape to draw, or None for PyTorch's own.
        like: has the type and device that draws should have.

    Raises:
        ValueError: it is none of these; or, when asked, the callable gives another shape.
    """

    def draw(shape: tuple[int, ...]) -> Tensor:
        if callable(generator):
            noise = generator(shape)
        else:
            device = like.device if generator is None else generator.device
            noise = torch.randn(shape, generator=generator, device=device, dtype=like.dtype)
        if noise.shape != shape:
            raise ValueError(f"generator gave {tuple(noise.shape)} when asked for {shape}")
        return noise.to(like)

    if not (generator is None or callable(generator) or isinstance(generator, torch.Generator)):
        raise ValueError(f"generator must be a torch.Generator or a callable, got {generator!r}")
    return draw
