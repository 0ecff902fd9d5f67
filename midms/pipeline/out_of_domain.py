"""Whether what is handed in is like what weights were trained on: Mahalanobis distance of features to those of it.

Of one class, after Lee et al. 2018 (arXiv:1807.03888). The Gaussians and how far is too far are measured by
`benchmarks/faces/domain.py` and `benchmarks/lineart/domain.py`, and lie with the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from midms.checkpoints.folder import CONFIG, USUAL_PICTURES, read_folder
from midms.compose.recipe import SHIPPED
from midms.core.precision import without_autocast
from midms.core.protocols import Autoencoder, FeatureExtractor

ASPECTS = {"drawing": "the drawing", "picture": "the picture", "colours": "the picture"}
"""What is judged, and what a person calls it."""


@dataclass(frozen=True)
class Usual:
    """A Gaussian of what is usual.

    Attributes:
        mean: of the summaries.
        precision: the inverse of their covariance.
        most: the distance from which a summary is unusual.
    """

    mean: Float[Tensor, " d"]
    precision: Float[Tensor, "d d"]
    most: float

    @without_autocast
    def distance(self, summary: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """Of each summary to the mean, in standard deviations: the root mean square over the Gaussian's axes."""
        off = summary.to(self.mean) - self.mean
        return ((off @ self.precision) * off).mean(1).clamp(min=0).sqrt()


@cache
def usual(name: str) -> dict[str, Usual]:
    """The Gaussians that lie with shipped weights, by aspect, for those by which strangers are known."""
    found = read_folder(SHIPPED / name) if (SHIPPED / name / CONFIG).exists() else None
    if not found or USUAL_PICTURES not in found.recipe.weights:
        return {}
    held = found.state(USUAL_PICTURES)
    return {
        aspect: Usual(held[f"{aspect}.mean"], held[f"{aspect}.precision"], held[f"{aspect}.most"].item())
        for aspect in ASPECTS
        if f"{aspect}.mean" in held
    }


@torch.no_grad()
def drawing_summary(features: FeatureExtractor, condition: Float[Tensor, "b k Y X"]) -> dict[str, Tensor]:
    """What is judged of condition maps: the mean of their features over all cells."""
    return {"drawing": features.condition(condition).initial.mean((2, 3))}


@torch.no_grad()
def picture_summary(
    features: FeatureExtractor, latent: Float[Tensor, "b c h w"], condition: Float[Tensor, "b k Y X"]
) -> dict[str, Tensor]:
    """What is judged of exemplars: the mean of their features, and mean and spread of their latents' channels."""
    return {
        "picture": features.exemplar(latent, condition).initial.mean((2, 3)),
        "colours": torch.cat([latent.mean((2, 3)), latent.std((2, 3))], 1),
    }


@without_autocast
def unusual(
    name: str,
    features: FeatureExtractor,
    autoencoder: Autoencoder,
    condition: Float[Tensor, "b k Y X"],
    pictures: Sequence[Float[Tensor, "b 3 _ _"]],
    conditions: Sequence[Float[Tensor, "b k _ _"]],
) -> list[tuple[str, ...]]:
    """What of each translation's input the weights do not know: "the drawing", "the picture", both, or nothing.

    Args:
        name: of the folder of shipped weights.
        features: of the composition.
        autoencoder: of the composition.
        condition: the maps.
        pictures: for each exemplar.
        conditions: their maps.
    """
    known = usual(name)
    if not known:
        return [()] * len(condition)
    found = [drawing_summary(features, condition)] if "drawing" in known else []
    with torch.no_grad():
        latents = [autoencoder.encode(picture) for picture in pictures]
    found += [picture_summary(features, latent, own) for latent, own in zip(latents, conditions, strict=True)]
    far: list[dict[str, None]] = [{} for _ in condition]
    for summary in found:
        for aspect, values in summary.items():
            if aspect not in known or known[aspect].mean.shape != values.shape[1:]:  # a folder may name another's
                continue
            within = known[aspect].distance(values.float().cpu()) <= known[aspect].most
            for one in (~within).nonzero()[:, 0].tolist():
                far[one][ASPECTS[aspect]] = None
    return [tuple(one) for one in far]
