"""Cross-image attention: keys and values of the exemplar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core import limits
from midms.core.attention import Attention, Visitor, visited
from midms.core.injection import LayerMatching, References, WarpFn
from midms.core.types import Context, Level
from midms.diffusion.injections.common import (
    Remembered,
    check_parts,
    check_picture_alone,
    check_share,
    grid_of,
    layers_of,
    remembered,
    to_heads,
    to_maps,
)


@dataclass(frozen=True)
class CrossAttention:
    """Alaluf et al. 2023 (arXiv:2311.03335): self-attention of the picture to keys and values of the exemplar.

    Where the match is not trusted, a layer does what it would do by itself. Weights may be made sharper, as in the
    released code (github.com/garibida/cross-image-attention): clip(contrast (A - mean A) + mean A, 0, 1), not made to
    sum to one again; rows are changed some at a time, and the matrix is never there as a whole.
    Guidance goes from the negative prompt, into which nothing is injected, to the positive one, into which it is.

    To choose with U-Nets, where exemplar and condition show the same kind of thing.

    Args:
        matcher: from queries and keys of each head to a match; by default that of attention itself. `midms.create` and
            `build` take names and `Spec`s, here and below.
        confidence: in it.
        layers: names of blocks whose self-attention is changed, those of the decoder.
        first: share of the levels that are left alone before.
        last: share after which they are left alone again.
        contrast: how much sharper weights become; 1 leaves them.
        structure_every: at each so many-th level keys and values of the condition's picture take the exemplar's place;
            0 for never.
        structure_until: share of the levels after which they no more do.
        guidance: at the first level and at the last one, on a line between them; None for the denoiser's own.

    Raises:
        ValueError: an argument is not as it should be, or the network has no such layers.
    """

    nested: ClassVar[Mapping[str, str]] = {"matcher": "matcher", "confidence": "confidence"}
    matcher: Any = "attention"
    confidence: Any = "always"
    layers: tuple[str, ...] = ("up_blocks.2", "up_blocks.3")
    first: float = 0.15
    last: float = 1.0
    contrast: float = 1.67
    structure_every: int = 5
    structure_until: float = 0.59
    guidance: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        check_parts(matcher=self.matcher, confidence=self.confidence)
        check_share(first=self.first, last=self.last, structure_until=self.structure_until)
        limits.number(1, 100, contrast=self.contrast)
        limits.int_range(0, 1000, structure_every=self.structure_every)
        for end in self.guidance or ():
            limits.number(0, 1000, guidance=end)

    def check(self, denoiser: Any) -> None:
        """Find out whether the network has these layers, and whether they attend to the picture alone.

        Raises:
            ValueError: it has not, or they do not.
        """
        check_picture_alone(denoiser)
        layers_of(denoiser, self.layers)

    def __call__(
        self,
        denoiser: Any,
        x: Float[Tensor, "b c h w"],
        level: Level,
        context: Context,
        references: References,
        matching: LayerMatching,
    ) -> Float[Tensor, "b c h w"]:
        """x0 of a noisy latent, as the denoiser predicts it with the exemplar's keys and values."""
        if self.guidance is not None:
            start, end = self.guidance
            denoiser = denoiser.guided_by(start + (end - start) * references.step / max(references.steps - 1, 1))
        if not self.first <= references.done < self.last:
            return denoiser(x, level, context)  # type: ignore[no-any-return]
        layers = layers_of(denoiser, self.layers)
        early = references.done < self.structure_until
        structure = bool(self.structure_every) and early and references.step % self.structure_every == 0
        pictures = [references.structure] if structure else references.exemplars
        memories = [remembered(denoiser, one, level, context, layers).layers for one in pictures]
        others = {name: [memory[name] for memory in memories] for name in layers}
        swap = _Swap(self, others, structure, matching, (x.shape[-2], x.shape[-1]), len(x))
        with visited(denoiser.network, swap, layers):
            return denoiser(x, level, context)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Swap(Visitor):
    """One pass: the last pictures of the batch, which have the positive prompt, get others' keys and values."""

    settings: CrossAttention
    others: Mapping[str, Sequence[Remembered]]
    structure: bool
    matching: LayerMatching
    latent: tuple[int, int]
    batch: int

    def attend(self, layer: str, attention: Attention) -> Float[Tensor, "b heads n d"]:
        """What the softmax gives."""
        own, others = attention.attended(), self.others[layer]
        query = attention.query[-self.batch :]
        grid = grid_of(query.shape[2], self.latent)
        keys, values = (
            [to_maps(one, other.grid) for one, other in zip(ones, others, strict=True)]
            for ones in ([o.attention.key for o in others], [o.attention.value for o in others])
        )
        made = self.settings.matcher, self.settings.confidence
        if self.structure:
            warp, trusted = self.matching.structure(*made, to_maps(query, grid), keys[0])
        else:
            warp, trusted = self.matching.exemplars(*made, to_maps(query, grid), keys)
        found = contrasted(warp, values, self.settings.contrast)
        plain = to_maps(own[-self.batch :], grid)
        return torch.cat([own[: -self.batch], to_heads(torch.lerp(plain, found, trusted.to(plain)), query)])


def contrasted(warp: WarpFn, values: Sequence[Float[Tensor, "b d _ _"]], contrast: float) -> Float[Tensor, "b d h w"]:
    """Values under the weights of a match, each weight first moved away from the mean of its row, and kept in [0, 1].

    Args:
        warp: values under the match.
        values: on the grid of each exemplar.
        contrast: how many times as far; 1 leaves them.
    """
    if contrast == 1:
        return warp(values)
    mean = 1 / sum(one.shape[-2] * one.shape[-1] for one in values)
    return warp(values, lambda weights: (contrast * (weights - mean) + mean).clamp(0, 1))
