"""The records of the loop: the parts that it runs on, and what it knew at each level."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from midms.core.injection import Injection
from midms.core.protocols import (
    Autoencoder,
    ConditionExtractor,
    ConfidenceEstimator,
    Denoiser,
    FeatureExtractor,
    Finisher,
    Match,
    Matcher,
    Sampler,
    lent_to,
)
from midms.core.types import Step


@dataclass(frozen=True)
class Parts:
    """What the loop is composed of, a part a slot.

    Attributes:
        condition: makes condition maps from pictures.
        features: of the condition, the exemplar and x0.
        matcher: from features to a match.
        confidence: from a match to the confidence in it.
        denoiser: predicts x0.
        sampler: the levels, and the way from one to the next.
        autoencoder: pictures to latents and back.
        refiner: a last pass of plain diffusion with this sampler, or None.
        injection: puts something of the exemplar into layers of the denoiser's network, or None.
        finisher: brings a picture to its drawing's size when people translate, or None; the loop knows nothing of it.
    """

    condition: ConditionExtractor
    features: FeatureExtractor
    matcher: Matcher
    confidence: ConfidenceEstimator
    denoiser: Denoiser
    sampler: Sampler
    autoencoder: Autoencoder
    refiner: Sampler | None = None
    injection: Injection | None = None
    finisher: Finisher | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", lent_to(self.features, self.denoiser, self.autoencoder))


@dataclass(frozen=True)
class Moment:
    """What the loop knew at one level, after any re-matching.

    Attributes:
        step: the half step, its x0 already as the policy edits it.
        match: the match in force.
        warp: the exemplar's latent under that match.
        confidence: in it, as it was estimated, in [0, 1]; before the policy's style.
        rematched: whether the match was made at this level.
        stage: "loop", or "refine" for the last pass.
        warnings: what a person should know before trusting what comes of it, a line each; the first moment has them.
    """

    step: Step
    match: Match
    warp: Float[Tensor, "b c h w"]
    confidence: Float[Tensor, "b 1 h w"]
    rematched: bool
    stage: str = "loop"
    warnings: tuple[str, ...] = ()
