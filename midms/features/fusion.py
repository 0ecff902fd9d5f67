"""Several extractors as one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from midms.core.limits import LARGE, number
from midms.core.protocols import lent_to
from midms.core.types import Features
from midms.features.common import resized, unit_features


@dataclass(frozen=True)
class Fused(Features):
    """Features of several extractors side by side; `parts` are those of each."""

    parts: tuple[Features, ...] = ()


class FusionFeatures(nn.Module):
    """Features of several extractors side by side, so that correlations add up (Zhang et al. 2023, arXiv:2305.15347).

    The cosine of two cells is the weighted mean of the extractors' cosines.

    To choose where one extractor knows where things are and another what they are.

    Args:
        extractors: of which the first says on which grid; `midms.create` and `build` take names and `Spec`s too.
        weights: how much each counts; by default all alike.

    Raises:
        ValueError: there are no extractors, weights are not as many or not positive, or declared facts disagree.
    """

    nested: ClassVar[dict[str, str]] = {"extractors": "features"}

    def __init__(self, extractors: Sequence[Any] = ("pyramid", "timm"), weights: Sequence[float] | None = None) -> None:
        super().__init__()
        for name, given in (("extractors", extractors), ("weights", () if weights is None else weights)):
            if not isinstance(given, Sequence) or isinstance(given, str):
                raise ValueError(f"{name} must be a tuple, got {given!r}")
        weights = [1.0] * len(extractors) if weights is None else list(weights)
        for weight in weights:
            number(0, LARGE, above=True, weights=weight)
        if not extractors or len(weights) != len(extractors):
            raise ValueError(f"weights: expected {len(extractors) or 'some'} positive numbers, got {weights}")
        if names := [one for one in extractors if isinstance(one, str)]:
            raise ValueError(f"extractors must be objects, got {names}; midms.create makes them of names")
        self.extractors = list(extractors)
        self.networks = nn.ModuleList(part for part in self.extractors if isinstance(part, nn.Module))
        self.shares = [(weight / sum(weights)) ** 0.5 for weight in weights]
        for fact in ("condition_channels", "latent_channels", "stride"):
            values = {getattr(part, fact) for part in self.extractors if getattr(part, fact, None) is not None}
            if len(values) > 1:
                raise ValueError(f"extractors disagree on {fact}: {', '.join(map(str, sorted(values)))}")
            setattr(self, fact, values.pop() if values else None)

    def lend(self, denoiser: Any, autoencoder: Any) -> FusionFeatures:
        """The same with a composition's parts for those extractors that want them."""
        lent = copy.copy(self)
        lent.extractors = [lent_to(one, denoiser, autoencoder) for one in self.extractors]
        return lent

    def condition(self, condition: Float[Tensor, "b k Y X"]) -> Fused:
        """Features of the condition map; re-matching is guided by each extractor's own."""
        parts = [part.condition(condition) for part in self.extractors]
        first = self._fused([features.initial for features in parts])
        return Fused(first, first, parts=tuple(parts))

    def exemplar(self, latent: Float[Tensor, "b c H W"], condition: Float[Tensor, "b k Y X"]) -> Features:
        """Features of the exemplar, for the first match and for re-matching."""
        parts = [part.exemplar(latent, condition) for part in self.extractors]
        return Features(self._fused([p.initial for p in parts]), self._fused([p.rematch for p in parts]))

    def rematch_query(self, x0: Float[Tensor, "b c h w"], condition: Features) -> Float[Tensor, "b d h w"]:
        """Features of a predicted x0, each extractor given its own of the condition.

        Raises:
            ValueError: the condition's features are not those that this extractor gave.
        """
        if not isinstance(condition, Fused):
            raise ValueError("rematch_query: expected the condition's features as this extractor gave them")
        pairs = zip(self.extractors, condition.parts, strict=True)
        return self._fused([part.rematch_query(x0, features) for part, features in pairs])

    def _fused(self, maps: list[Tensor]) -> Float[Tensor, "b d h w"]:
        grid = maps[0].shape[-2], maps[0].shape[-1]
        onto = [unit_features(x if x.shape[-2:] == grid else resized(x, grid)) for x in maps]
        return torch.cat([share * x for share, x in zip(self.shares, onto, strict=True)], 1)
