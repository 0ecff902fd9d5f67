"""The record of parts that the loop runs on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from midms.core.protocols import (
    Autoencoder,
    ConditionExtractor,
    ConfidenceEstimator,
    Denoiser,
    FeatureExtractor,
    Matcher,
    Sampler,
)


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
    """

    condition: ConditionExtractor
    features: FeatureExtractor
    matcher: Matcher
    confidence: ConfidenceEstimator
    denoiser: Denoiser
    sampler: Sampler
    autoencoder: Autoencoder
    refiner: Sampler | None = None


PARTS = tuple(field.name for field in dataclasses.fields(Parts))
"""The slots."""
