"""What one step of MIDMs' training makes of a batch, before anything is compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from midms.core.types import Context, Level, NoiseFn
from midms.data.pair import Pair
from midms.loop import Moment, Parts, Policy
from midms.loop.interleave import Encoded, Matched, denoised, first_match
from midms.training.noise import integers


@dataclass(frozen=True)
class Streams:
    """Two streams side by side: the exemplar's, of which nobody knows the answer, and the ground truth's own.

    Attributes:
        pair: what went in, with a condition of the exemplar.
        exemplar: latent and features of the exemplar's stream.
        truth: those of the ground truth's, which is matched to its own condition.
        first: the first match to the exemplar.
        first_truth: the first match to the ground truth.
        moments: of the loop, both streams' at each level; none in the warm-up.
        estimate: of the ground truth's latent: its first warp in the warm-up, later x0, predicted at once from the
            noised latent.
        picture: of the exemplar's stream, decoded.
        truth_picture: of the ground truth's.
    """

    pair: Pair
    exemplar: Encoded
    truth: Encoded
    first: Matched
    first_truth: Matched
    moments: tuple[tuple[Moment, Moment], ...]
    estimate: Float[Tensor, "b c h w"]
    picture: Float[Tensor, "b 3 y x"]
    truth_picture: Float[Tensor, "b 3 y x"]


@dataclass(frozen=True)
class Recomputed:
    """A function of which nothing is kept for the backward pass but its arguments: it is computed again there."""

    function: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.function, name)

    def __call__(self, *args: Any) -> Any:
        """What the function gives."""
        return checkpoint(self.function, *args, use_reentrant=False)


def run_streams(parts: Parts, policy: Policy, pair: Pair, draw: NoiseFn, joint: bool, checkpointing: bool) -> Streams:
    """Both streams, from pictures to pictures.

    The ground truth's is matched again when the exemplar's is and keeps its x0. Features of the condition are computed
    once. Networks are called in this order: the encoder of conditions; that of pictures for the ground truth, then for
    the exemplar; at each re-match that of x0 for the exemplar's stream, then for the ground truth's.

    Args:
        parts: the record of parts.
        policy: when to match again, and what becomes of x0 then.
        pair: a batch, with conditions of exemplars.
        draw: the noise.
        joint: whether to go through the loop; else first warps are decoded.
        checkpointing: whether denoiser and decoder are computed again in the backward pass.

    Raises:
        NotFinite: a part gives numbers that are not finite; names the slot.
    """
    assert pair.exemplar_condition is not None
    again: Callable[[Any], Any] = Recomputed if checkpointing else lambda function: function
    with torch.no_grad():
        own, latent = (encoded_latent(parts.autoencoder, picture, draw) for picture in (pair.target, pair.exemplar))
    query = parts.features.condition(pair.condition)
    truth = Encoded(pair.condition, [own], query, [parts.features.exemplar(own, pair.condition)])
    exemplar = Encoded(pair.condition, [latent], query, [parts.features.exemplar(latent, pair.exemplar_condition)])
    parts = replace(parts, denoiser=again(parts.denoiser), refiner=None)
    sure = replace(parts, confidence=lambda match: own.new_ones(len(own), 1, *match.grid))
    first, first_truth = first_match(parts, exemplar), first_match(sure, truth)
    moments: tuple[tuple[Moment, Moment], ...] = ()
    ends, estimate = (first.warp, first_truth.warp), first_truth.warp
    if joint:
        left = replace(policy, edit="context")
        both = denoised(parts, policy, exemplar, first, draw), denoised(sure, left, truth, first_truth, draw)
        moments = tuple(zip(*both, strict=True))
        ends = moments[-1][0].step.x0, moments[-1][1].step.x0
        estimate = one_step(parts, own, Context(first_truth.warp, pair.condition, first_truth.confidence), draw, again)
    decode = again(parts.autoencoder.decode)
    return Streams(pair, exemplar, truth, first, first_truth, moments, estimate, *(decode(end) for end in ends))


def encoded_latent(autoencoder: Any, picture: Float[Tensor, "b 3 y x"], draw: NoiseFn) -> Float[Tensor, "b c h w"]:
    """The latent of a picture, drawn where the autoencoder has a distribution of it."""
    if hasattr(autoencoder, "sample"):
        return autoencoder.sample(picture, draw)  # type: ignore[no-any-return]
    return autoencoder.encode(picture)  # type: ignore[no-any-return]


def one_step(
    parts: Parts, latent: Float[Tensor, "b c h w"], context: Context, draw: NoiseFn, again: Callable[[Any], Any]
) -> Float[Tensor, "b c h w"]:
    """x0 of a latent that was noised, each picture to a level of its own, predicted at once.

    Where the sampler starts noisier than the timestep that the network gets, all levels here are so: the latent is
    noised to the level before.

    Args:
        parts: the record of parts.
        latent: clean.
        context: what the denoiser gets beside the latent.
        draw: asked for a number a picture that chooses the level, then for the noise.
        again: what the denoiser is wrapped in.
    """
    levels = parts.sampler.levels
    chosen = integers(draw, len(latent), 0, len(levels)).flatten().tolist()
    at = [levels[i] for i in chosen]
    noisy = at if levels.start is None else [(levels.start, *levels)[i] for i in chosen]
    x = _column(noisy, "alpha", latent) * latent + _column(noisy, "sigma", latent) * draw(tuple(latent.shape))
    timestep = torch.tensor([level.timestep for level in at], device=latent.device)
    alpha, sigma = _column(at, "alpha", latent), _column(at, "sigma", latent)
    denoiser: Any = parts.denoiser
    return again(denoiser.denoise)(x, timestep, alpha, sigma, context)  # type: ignore[no-any-return]


def _column(levels: list[Level], name: str, like: Tensor) -> Float[Tensor, "b 1 1 1"]:
    return like.new_tensor([getattr(level, name) for level in levels]).view(-1, 1, 1, 1)
