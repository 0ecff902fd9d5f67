"""What is between the loop and what an injection does inside the denoiser's network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from midms.core.protocols import ConfidenceEstimator, Matcher
from midms.core.types import Context, Level, NoiseFn


@dataclass(frozen=True)
class References:
    """The pictures that a network attends to beside its own, at its own level of noise.

    Attributes:
        exemplars: latents.
        structure: the latent of the condition as a picture.
        step: how many levels lie behind.
        steps: how many levels there are.
        draw: noise for what is left to chance.
        pictures: the exemplars themselves, in [-1, 1].
        share: how far they count, in [0, 1], as the policy's style says.
    """

    exemplars: Sequence[Float[Tensor, "b c _ _"]]
    structure: Float[Tensor, "b c h w"]
    step: int
    steps: int
    draw: NoiseFn
    pictures: Sequence[Float[Tensor, "b 3 _ _"]] = ()
    share: float = 1.0

    @property
    def done(self) -> float:
        """The share of the levels that lie behind, in [0, 1)."""
        return self.step / self.steps


@runtime_checkable
class WarpFn(Protocol):
    """Values on the grid of each exemplar to those on one's own, under a match."""

    def __call__(
        self, values: Sequence[Float[Tensor, "b c _ _"]], change: Callable[[Tensor], Tensor] | None = None
    ) -> Float[Tensor, "b c h w"]:
        """What each cell takes.

        Args:
            values: of each exemplar.
            change: what becomes of the match's weights, one by one; None for nothing. Rows are not shared out anew.
        """


@runtime_checkable
class LayerMatching(Protocol):
    """Matches features of layers as the loop matches its own: with several exemplars, masks and style.

    Batches may be multiples of the loop's, heads of a picture being neighbours.
    """

    def exemplars(
        self, matcher: Matcher, confidence: ConfidenceEstimator, query: Float[Tensor, "b d h w"], keys: Sequence[Tensor]
    ) -> tuple[WarpFn, Float[Tensor, "b 1 h w"]]:
        """Match to features [b d H W] of each exemplar; and how far this is trusted, after the policy's style."""

    def structure(
        self, matcher: Matcher, confidence: ConfidenceEstimator, query: Float[Tensor, "b d h w"], key: Tensor
    ) -> tuple[WarpFn, Float[Tensor, "b 1 h w"]]:
        """The same with features [b d h w] of the condition as a picture, of which nothing is masked."""

    def places(
        self,
        matcher: Matcher,
        confidence: ConfidenceEstimator,
        key: Float[Tensor, "b d H W"],
        query: Tensor,
        which: int,
    ) -> tuple[Float[Tensor, "b 2 H W"], Float[Tensor, "b 1 H W"]]:
        """Where each cell of an exemplar belongs, (x, y) among the query's cells [b d h w], and how far it is trusted.

        Args:
            matcher: from features to a match.
            confidence: in it.
            key: features of the exemplar.
            query: features of the picture.
            which: the number of the exemplar.
        """


@runtime_checkable
class Injection(Protocol):
    """Puts something of the exemplar into layers of the denoiser's network, while it predicts x0.

    Where the policy's style is 0, nothing of the exemplar is. A negative prompt is left alone: what is injected is a
    part of what the picture shall show.
    """

    def __call__(
        self,
        denoiser: Any,
        x: Float[Tensor, "b c h w"],
        level: Level,
        context: Context,
        references: References,
        matching: LayerMatching,
    ) -> Float[Tensor, "b c h w"]:
        """x0 of a noisy latent, as the denoiser predicts it with what is injected."""

    def check(self, denoiser: Any) -> None:
        """Find out whether it can be injected into a denoiser: `ValueError` says why not."""
