"""What injections share: passes of references that are remembered, heads as a batch, checks of arguments."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from midms.core import limits
from midms.core.attention import Attention, Visitor, self_attention, visited
from midms.core.precision import precise
from midms.core.types import Context, Level


@dataclass(frozen=True)
class Remembered:
    """What an attention layer was given and weighed of the picture's tokens in a pass.

    Attributes:
        hidden: what it was given.
        attention: queries, keys and values.
        grid: (height, width) of the tokens.
    """

    hidden: Float[Tensor, "b n d"]
    attention: Attention
    grid: tuple[int, int]


class Memory(Visitor):
    """Remembers a pass, and changes nothing.

    Args:
        denoiser: says which tokens are the picture's.
        latent: the (height, width) of the latent.
    """

    def __init__(self, denoiser: Any, latent: tuple[int, int]) -> None:
        self.denoiser, self.latent = denoiser, latent
        self.layers: dict[str, Remembered] = {}
        self.results: dict[str, Tensor] = {}
        self._hidden: Tensor | None = None

    def given(self, layer: str, module: Any, hidden: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Remember what a layer is given."""
        self._hidden = hidden
        return hidden

    def attend(self, layer: str, attention: Attention) -> None:
        """Remember what it weighs."""
        assert self._hidden is not None
        self.layers[layer] = of_picture(self.denoiser, self._hidden, attention, self.latent)

    def result(self, module: str, output: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Remember what another module gives."""
        self.results[module] = output
        return output


def remembered(
    denoiser: Any, x: Tensor, level: Level, context: Context, layers: Collection[str], results: Collection[str] = ()
) -> Memory:
    """What layers of the network make of a reference, under the positive prompt.

    Args:
        denoiser: that injections are for; where it is controlled, the one within.
        x: its noisy latent.
        level: of it.
        context: of the denoiser.
        layers: of attention, by name.
        results: other modules.
    """
    memory = Memory(denoiser, (x.shape[-2], x.shape[-1]))
    bare = getattr(denoiser, "bare", denoiser)
    with visited(bare.network, memory, layers, results):
        bare.guided_by(1.0)(x, level, context)
    return memory


def of_picture(denoiser: Any, hidden: Tensor, attention: Attention, latent: tuple[int, int]) -> Remembered:
    """What a layer was given and weighed of the picture's tokens alone, the prompt's left out.

    Args:
        denoiser: says which these are.
        hidden: what the layer was given [b n d].
        attention: of all tokens.
        latent: the (height, width) of the latent.
    """
    place = denoiser.picture_tokens(latent)
    query, key, value = (one[:, :, place] for one in (attention.query, attention.key, attention.value))
    rotary = None if attention.rotary is None else (attention.rotary[0][place], attention.rotary[1][place])
    count = key.shape[2]
    hidden = hidden if hidden.shape[1] == count else hidden[:, place]
    return Remembered(hidden, Attention(query, key, value, rotary), grid_of(count, latent))


def grid_of(count: int, latent: tuple[int, int]) -> tuple[int, int]:
    """The (height, width) of so many tokens: those of the latent, halved as often as need be.

    Raises:
        ValueError: no halving gives so many.
    """
    for times in range(8):
        height, width = (-(-side // 2**times) for side in latent)
        if height * width == count:
            return height, width
    raise ValueError(f"{count} tokens are no grid of a latent of {latent[0]} x {latent[1]} cells")


def to_maps(tokens: Float[Tensor, "b heads n d"], grid: tuple[int, int]) -> Float[Tensor, "_ d h w"]:
    """Heads as a batch of maps, those of a picture neighbours, in float32 at least."""
    return precise(rearrange(tokens, "b k (h w) d -> (b k) d h w", h=grid[0]))


def to_heads(maps: Float[Tensor, "_ d h w"], like: Float[Tensor, "b heads _ _"]) -> Float[Tensor, "b heads n d"]:
    """The inverse of `to_maps`, in the precision of what they are like."""
    return rearrange(maps, "(b k) d h w -> b k (h w) d", k=like.shape[1]).to(like.dtype)


def check_share(**shares: float) -> None:
    """Find out whether arguments are shares of the levels.

    Raises:
        OutOfLimits: one is not in [0, 1].
    """
    limits.number(0, 1, False, **shares)


def layers_of(denoiser: Any, blocks: Sequence[str], argument: str = "layers") -> list[str]:
    """The names of self-attention layers in blocks of a denoiser's network; `argument` is what named these.

    Raises:
        ValueError: the denoiser lets nobody in, or a block has no such layer.
    """
    if not hasattr(denoiser, "guided_by") or not hasattr(denoiser, "picture_tokens"):
        raise ValueError(f"{type(denoiser).__name__} has no layers to inject into; a model of diffusers has")
    return self_attention(denoiser.network, blocks, argument)


def check_picture_alone(denoiser: Any) -> None:
    """Find out whether self-attention is to the picture's tokens alone, as in U-Nets.

    Raises:
        ValueError: it is to those of the prompt too.
    """
    if not getattr(denoiser, "picture_alone", True):
        raise ValueError(f"attention of {type(denoiser).__name__} is to picture and prompt at once; take graft")


def check_parts(**parts: Any) -> None:
    """Find out whether arguments are parts, made already.

    Raises:
        ValueError: one is none.
    """
    for name, part in parts.items():
        if not callable(part):
            raise ValueError(f"{name} must be an object, got {part!r}; midms.create makes it of a name")
