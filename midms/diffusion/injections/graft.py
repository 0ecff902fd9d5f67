"""Grafting: tokens of the exemplar that are trusted stand beside the picture's own in attention."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from midms.core.attention import Attention, Visitor, visited
from midms.core.injection import LayerMatching, References
from midms.core.precision import precise
from midms.core.types import Context, Level, cells
from midms.diffusion.injections.common import (
    Remembered,
    check_parts,
    check_share,
    layers_of,
    of_picture,
    remembered,
)


@dataclass(frozen=True)
class Graft:
    """FreeGraftor (arXiv:2504.15958, sec. 3.3): each block matches the exemplar's tokens to the picture's own.

    Keys and values of those that are trusted are appended, with the position embedding of the place where they belong.
    Confidence c is a bias log c of their columns: 1 is a token like any other, 0 none. Position embeddings that are in
    the tokens from the beginning, as in Stable Diffusion 3, and U-Nets, which have none, leave a key as it is.

    To choose with transformers, such as FLUX.1, for which the others are not made.

    Args:
        matcher: from what layers are given of the exemplar and of the picture to a match; `midms.create` and `build`
            take names and `Spec`s, here and below.
        confidence: in it.
        layers: names of blocks whose attention is changed.
        last: share of the levels after which they are left alone.
        dropout: the probability that a token is left out, times sigma of the level.

    Raises:
        ValueError: an argument is not as it should be, or the network has no such layers.
    """

    nested: ClassVar[Mapping[str, str]] = {"matcher": "matcher", "confidence": "confidence"}
    matcher: Any = "nearest"
    confidence: Any = "cycle"
    layers: tuple[str, ...] = ("transformer_blocks",)
    last: float = 1.0
    dropout: float = 0.4

    def __post_init__(self) -> None:
        check_parts(matcher=self.matcher, confidence=self.confidence)
        check_share(last=self.last, dropout=self.dropout)

    def check(self, denoiser: Any) -> None:
        """Find out whether the network has these layers.

        Raises:
            ValueError: it has not.
        """
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
        """x0 of a noisy latent, as the denoiser predicts it with tokens of the exemplar beside its own."""
        if references.done >= self.last:
            return denoiser(x, level, context)  # type: ignore[no-any-return]
        layers = layers_of(denoiser, self.layers)
        memories = [remembered(denoiser, one, level, context, layers).layers for one in references.exemplars]
        others = {name: [memory[name] for memory in memories] for name in layers}
        visitor = _Grafting(self, denoiser, others, matching, references, self.dropout * level.sigma, x)
        with visited(denoiser.network, visitor, layers):
            return denoiser(x, level, context)  # type: ignore[no-any-return]


class _Grafting(Visitor):
    """One pass: the last pictures of the batch, which have the positive prompt, see the exemplar's tokens too."""

    def __init__(
        self,
        settings: Graft,
        denoiser: Any,
        others: Mapping[str, Sequence[Remembered]],
        matching: LayerMatching,
        references: References,
        dropout: float,
        x: Tensor,
    ) -> None:
        self.settings, self.denoiser, self.others, self.matching = settings, denoiser, others, matching
        self.references, self.dropout = references, dropout
        self.latent, self.batch = (x.shape[-2], x.shape[-1]), len(x)
        self._hidden: Tensor | None = None

    def given(self, layer: str, module: Any, hidden: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """What a layer is given is what is matched."""
        self._hidden = hidden[-self.batch :]
        return hidden

    def attend(self, layer: str, attention: Attention) -> Float[Tensor, "b heads n d"]:
        """What the softmax gives over the picture's own tokens and those that are grafted."""
        own = attention.attended()
        query, key, value = (x[-self.batch :] for x in (attention.query, attention.key, attention.value))
        mine = Attention(query, key, value, attention.rotary)
        assert self._hidden is not None
        picture = of_picture(self.denoiser, self._hidden, mine, self.latent)
        keys, values, biases = [key], [value], [key.new_zeros(len(key), key.shape[2])]
        for number, other in enumerate(self.others[layer]):
            places, trusted = self._places(picture, other, number)
            keys.append(moved(other, picture, places))
            values.append(other.attention.value)
            biases.append(trusted.log().flatten(1).to(key))
        bias = torch.cat(biases, 1)[:, None, None]
        grafted = F.scaled_dot_product_attention(query, torch.cat(keys, 2), torch.cat(values, 2), attn_mask=bias)
        return torch.cat([own[: -self.batch], grafted])

    def _places(self, picture: Remembered, other: Remembered, number: int) -> tuple[Tensor, Tensor]:
        """Where the exemplar's tokens belong, and how far they are trusted, some left out by chance."""
        query, key = (precise(rearrange(one.hidden, "b (h w) d -> b d h w", h=one.grid[0])) for one in (picture, other))
        made = self.settings.matcher, self.settings.confidence
        places, trusted = self.matching.places(*made, key, query, number)
        if self.dropout:
            uniform = torch.special.ndtr(self.references.draw(tuple(trusted.shape))).to(trusted)
            trusted = trusted * (uniform >= self.dropout)
        return places, trusted


def moved(other: Remembered, picture: Remembered, places: Float[Tensor, "b 2 H W"]) -> Float[Tensor, "b heads m d"]:
    """The exemplar's keys, turned from their own places to others in the picture (RoPE, arXiv:2104.09864, eq. 34).

    An angle rises in a line along either side of the picture, so that places may lie between cells.

    Args:
        other: the exemplar's layer.
        picture: the picture's, which says how fast angles rise.
        places: (x, y) in cells of the picture.
    """
    key = other.attention.key
    if picture.attention.rotary is None:
        return key
    cosine, sine = (precise(one).unflatten(0, picture.grid) for one in picture.attention.rotary)
    angle = torch.atan2(sine, cosine)[..., ::2]
    by = places - cells(*other.grid, places)
    turn = torch.einsum("bphw,pd->bhwd", by.to(angle), torch.stack([_rise(angle, 1), _rise(angle, 0)]))
    turn = rearrange(turn, "b h w d -> b 1 (h w) d")
    even, odd = precise(key).unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([even * turn.cos() - odd * turn.sin(), odd * turn.cos() + even * turn.sin()], -1)
    return turned.flatten(-2).to(key)


def _rise(angle: Float[Tensor, "h w d"], axis: int) -> Float[Tensor, " d"]:
    """By how much angles rise from one cell to the next along an axis."""
    if angle.shape[axis] == 1:
        return angle.new_zeros(angle.shape[-1])
    first, second = angle.select(axis, 0)[0], angle.select(axis, 1)[0]
    return torch.remainder(second - first + math.pi, 2 * math.pi) - math.pi
