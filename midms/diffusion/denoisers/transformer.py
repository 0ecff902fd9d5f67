"""What the transformers of rectified flows share: pairs of cells, and blocks that are scaled and shifted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from midms.core.hooks import Call, calls_of

PATCH = 2
"""Cells of the latent along a side of a token."""


def even(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h2 w2"]:
    """Continued by repetition to a grid of whole tokens."""
    down, right = -x.shape[-2] % PATCH, -x.shape[-1] % PATCH
    return F.pad(x, (0, right, 0, down), mode="replicate") if down or right else x


def tokens_of(latent: tuple[int, int]) -> int:
    """How many tokens a latent of this height and width has."""
    return (-(-latent[0] // PATCH)) * (-(-latent[1] // PATCH))


def modulated(call: Call, norm: nn.Module, dropped: Sequence[int]) -> Float[Tensor, "b n d"]:
    """What an adaptive normalisation of diffusers gave: (1 + scale) LN(x) + shift, scale and shift of the timestep.

    Args:
        call: of it.
        norm: it.
        dropped: channels of x that are taken for 0, massive ones that say nothing (DiTF, arXiv:2505.18584, sec. 3).
    """
    if not dropped:
        return call.result[0]  # type: ignore[no-any-return]
    x, emb = (*call.given, *call.named.values())[0].clone(), call.named["emb"]
    x[..., list(dropped)] = 0
    linear: nn.Linear = norm.linear  # type: ignore[assignment]
    act: Callable[[Tensor], Tensor] = norm.silu  # type: ignore[assignment]
    plain: Callable[[Tensor], Tensor] = norm.norm  # type: ignore[assignment]
    shift, scale, *_ = linear(act(emb)).split(x.shape[-1], dim=1)
    return plain(x) * (1 + scale[:, None]) + shift[:, None]


def modulated_maps(
    norms: Sequence[nn.Module], run: Callable[[], object], x: Float[Tensor, "b c h w"], dropped: Sequence[int]
) -> list[Float[Tensor, "b _ _ _"]]:
    """What adaptive normalisations give in one pass, which ends with the last of them, as maps.

    Args:
        norms: of the network.
        run: the pass.
        x: the latents that it is of.
        dropped: see `modulated`.

    Raises:
        ValueError: there is no such channel.
    """
    linear: Any = norms[0].linear
    width = int(linear.in_features)
    if not all(channel in range(width) for channel in dropped):
        raise ValueError(f"dropped must be out of channels 0 to {width - 1}, got {tuple(dropped)}")
    h, w = (-(-side // PATCH) for side in x.shape[-2:])
    pairs = zip(calls_of(norms, run), norms, strict=True)
    return [token_map(modulated(call, norm, dropped), h, w).to(x.dtype) for call, norm in pairs]


def token_map(tokens: Float[Tensor, "b n d"], h: int, w: int) -> Float[Tensor, "b d h w"]:
    """The last h w tokens as a map: before them are those of the prompt, if there are any."""
    return rearrange(tokens[:, -h * w :], "b (h w) d -> b d h w", h=h)
