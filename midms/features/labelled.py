"""Other features, and what each cell is."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from midms.core.protocols import FeatureExtractor, lent_to
from midms.core.types import Features


class LabelledFeatures(nn.Module):
    """The features of another extractor with one channel more, the cell's label, for the matcher `semantic`.

    The label is the channel of the condition map that is largest in the cell, as a whole number from 0: for maps with a
    channel a class, as the segmentations of CoCosNet (Zhang et al. 2020, arXiv:2004.05571) and SPADE (Park et al. 2019,
    arXiv:1903.07291). A predicted x0 has the labels of the condition that it follows.

    To choose where both pictures have reliable label maps.

    Args:
        features: an extractor; `midms.create` and `build` take its name or a `Spec` too. With weights:
            `LabelledFeatures(build("midm-faces").features)`.

    Raises:
        ValueError: it is none.
    """

    labelled: ClassVar[bool] = True

    nested: ClassVar[dict[str, str]] = {"features": "features"}

    def __init__(self, features: FeatureExtractor | str = "pyramid") -> None:
        super().__init__()
        if isinstance(features, str):
            raise ValueError(f"features must be an object, got {features!r}; midms.create makes it of a name")
        self.features = features
        for fact in ("latent_channels", "condition_channels", "stride"):
            if hasattr(self.features, fact):
                setattr(self, fact, getattr(self.features, fact))

    def lend(self, denoiser: Any, autoencoder: Any) -> LabelledFeatures:
        """The same with a composition's parts, if its extractor wants them."""
        return LabelledFeatures(lent_to(self.features, denoiser, autoencoder))

    def condition(self, condition: Float[Tensor, "b k Y X"]) -> Features:
        """Features of the condition map."""
        return self._labelled(self.features.condition(condition), condition)

    def exemplar(self, latent: Float[Tensor, "b c H W"], condition: Float[Tensor, "b k Y X"]) -> Features:
        """Features of the exemplar, labelled by its own condition map."""
        return self._labelled(self.features.exemplar(latent, condition), condition)

    def rematch_query(self, x0: Float[Tensor, "b c h w"], condition: Features) -> Float[Tensor, "b e h w"]:
        """Features of a predicted x0, labelled as the condition."""
        unlabelled = Features(condition.initial[:, :-1], condition.rematch[:, :-1])
        found = self.features.rematch_query(x0, unlabelled)
        return torch.cat([found, F.interpolate(condition.initial[:, -1:], found.shape[-2:])], 1)

    def _labelled(self, found: Features, condition: Float[Tensor, "b k Y X"]) -> Features:
        return Features(*(torch.cat([x, _labels(condition, x)], 1) for x in (found.initial, found.rematch)))


def _labels(condition: Float[Tensor, "b k Y X"], like: Float[Tensor, "b d h w"]) -> Float[Tensor, "b 1 h w"]:
    """The channel that is largest on the mean over each cell."""
    return F.adaptive_avg_pool2d(condition, (like.shape[-2], like.shape[-1])).argmax(1, keepdim=True).to(like.dtype)
