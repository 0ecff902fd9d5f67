"""What a denoiser is conditioned on: a negative and a positive prompt, as text encoders embedded them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from jaxtyping import Float, Real
from torch import Tensor, nn

from midms.core import limits
from midms.core.types import Level
from midms.diffusion.denoisers.prediction import expand_level, x0_from_prediction

PICTURE_SIZES = 6
"""What SDXL is given of a picture beside the prompt: height and width, where it was cut, height and width to have."""

MOST_TOKENS, MOST_CHANNELS = 4096, 8192
"""The most tokens of a prompt, and the most numbers of each: T5 XXL, which SD3 and FLUX.1 read with, has 4096."""


D = TypeVar("D")


class PromptEmbeds(NamedTuple):
    """A prompt for each sample of a batch."""

    tokens: Float[Tensor, "b n d"]
    pooled: Float[Tensor, "b p"] | None


class Prompts(nn.Module):
    """The negative prompt, then the positive one, embedded. They are kept beside the weights and saved with them.

    Zero until they are loaded: text encoders are read once, where weights are (`midms.checkpoints.convert`), and are
    not kept in memory.

    Args:
        tokens: how many each has.
        width: of a token's embedding.
        pooled: width of the embedding of a whole prompt; 0 for none.
    """

    tokens: Tensor
    pooled: Tensor | None

    def __init__(self, tokens: int, width: int, pooled: int = 0) -> None:
        super().__init__()
        limits.int_range(1, MOST_TOKENS, tokens=tokens)
        limits.int_range(1, MOST_CHANNELS, width=width)
        self.register_buffer("tokens", torch.zeros(2, tokens, width))
        self.register_buffer("pooled", torch.zeros(2, pooled) if pooled else None)

    def positive(self, batch: int) -> PromptEmbeds:
        """The positive prompt for a batch."""
        pooled = None if self.pooled is None else self.pooled[1:].expand(batch, -1)
        return PromptEmbeds(self.tokens[1:].expand(batch, -1, -1), pooled)

    def both(self, batch: int) -> PromptEmbeds:
        """The negative prompt for a batch, then the positive one for another."""
        pooled = None if self.pooled is None else self.pooled.repeat_interleave(batch, 0)
        return PromptEmbeds(self.tokens.repeat_interleave(batch, 0), pooled)


def guided(
    predict: Callable[[Tensor, Tensor, PromptEmbeds], Tensor],
    x: Float[Tensor, "b c h w"],
    timestep: Real[Tensor, " b"],
    prompts: Prompts,
    guidance: float,
) -> Float[Tensor, "b c h w"]:
    """What a network predicts under classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598, eq. 6).

    negative + guidance (positive - negative), of one call with twice the batch; a guidance of 1 is the positive prompt
    alone.

    Args:
        predict: from latents, their timesteps and their prompts to what the network predicts.
        x: noisy latents.
        timestep: of each.
        prompts: the negative and the positive one.
        guidance: how far to go.
    """
    if guidance == 1:
        return predict(x, timestep, prompts.positive(len(x)))
    negative, positive = predict(torch.cat([x, x]), torch.cat([timestep] * 2), prompts.both(len(x))).chunk(2)
    return negative + guidance * (positive - negative)


def guided_x0(
    predict: Callable[[Tensor, Tensor, PromptEmbeds], Tensor],
    x: Float[Tensor, "b c h w"],
    level: Level,
    prompts: Prompts,
    prediction: str,
    guidance: float,
) -> Float[Tensor, "b c h w"]:
    """x0 of what `guided` gives, for the whole batch at one level; `prediction` is one of `PREDICTIONS`."""
    timestep, alpha, sigma = expand_level(x, level)
    return x0_from_prediction(prediction, guided(predict, x, timestep, prompts, guidance), x, alpha, sigma)


def check_guidance(**guidance: float) -> None:
    """Find out whether arguments can say how far to guide.

    Raises:
        OutOfLimits: one cannot.
    """
    limits.number(0, 1000, False, **guidance)


def with_guidance(denoiser: D, guidance: float) -> D:
    """A denoiser with another guidance; its weights are the same tensors."""
    other: Any = copy.copy(denoiser)
    other.guidance = guidance
    return other  # type: ignore[no-any-return]
