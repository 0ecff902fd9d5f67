"""Laws of feature extractors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from midms.core.protocols import FeatureExtractor
from midms.testing.laws import CHANGED_INPUT, NOT_REPEATED, Laws, close, normals


class FeatureLaws(Laws):
    """What holds of every feature extractor. Inherit it, and give `make`.

    Attributes:
        make: a class or function that makes the extractor, without arguments.
        condition_channels: of the condition maps.
        latent_channels: of the latents.
        stride: pixels a latent cell.
        labels: channels at the end of its features that are labels and no part of the unit vector.
    """

    make: Callable[[], FeatureExtractor]
    condition_channels: int = 2
    latent_channels: int = 5
    stride: int = 4
    labels: int = 0

    @pytest.fixture
    def extractor(self) -> FeatureExtractor:
        """The extractor under test."""
        torch.manual_seed(0)
        return type(self).make()

    def scene(self, dtype: torch.dtype = torch.float32) -> list[Tensor]:
        """Condition, exemplar's latent and condition on another grid, x0: two of each, not square, odd."""
        shapes = ((self.condition_channels, 5, 9), (self.latent_channels, 6, 7))
        condition, own = (
            normals(seed, 2, k, self.stride * h, self.stride * w).sigmoid().to(dtype)
            for seed, (k, h, w) in enumerate([shapes[0], (self.condition_channels, 6, 7)])
        )
        latent, x0 = (normals(seed, 2, self.latent_channels, h, w).to(dtype) for seed, h, w in ((2, 6, 7), (3, 5, 9)))
        return [condition, latent, own, x0]

    def everything(self, extractor: FeatureExtractor, scene: list[Tensor]) -> list[Tensor]:
        """Features of the condition, the exemplar's first and for re-matching, and the prediction's."""
        condition, latent, own, x0 = scene
        query, key = extractor.condition(condition), extractor.exemplar(latent, own)
        return [query.initial, key.initial, key.rematch, extractor.rematch_query(x0, query)]

    def test_features_are_unit_vectors_on_their_grids(self, extractor: FeatureExtractor) -> None:
        """Those that are compared have the same length, on the grids of condition and exemplar.

        Typical cause: vectors that are not normalised, or on the picture's grid instead of the latent's.
        """
        found = self.everything(extractor, self.scene())
        grids = [tuple(one.shape[-2:]) for one in found]
        assert grids == [(5, 9), (6, 7), (6, 7), (5, 9)], (
            f"features lie on the latents' grids, see `stride`; got {grids}"
        )
        paired = found[0].shape[1] == found[1].shape[1] and found[2].shape[1] == found[3].shape[1]
        assert paired, "what is compared has other numbers of channels"
        for one in found:
            length = one[:, : one.shape[1] - self.labels].norm(dim=1)
            close(length, torch.ones_like(length), "no unit vectors: F.normalize(x, dim=1)?", rtol=1e-4, atol=1e-4)

    def test_pictures_of_a_batch_do_not_mix(self, extractor: FeatureExtractor) -> None:
        """Each has the features that it has alone.

        Typical cause: batch normalisation in training mode.
        """
        scene = self.scene()
        together, alone = (self.everything(extractor, one) for one in (scene, [x[1:] for x in scene]))
        for both, single in zip(together, alone, strict=True):
            why = "a statistic is taken over the batch, not each picture; of a network, eval() is not called"
            close(both[1:], single, why, rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_blank_pictures_do_no_harm(self, extractor: FeatureExtractor, value: float) -> None:
        """Their features are finite, and no longer than 1.

        Typical cause: a division by a norm that is 0.
        """
        for one in self.everything(extractor, [torch.full_like(x, value) for x in self.scene()]):
            assert one.isfinite().all(), "a picture of one value gave NaN: a division by its length or deviation?"
            assert (one[:, : one.shape[1] - self.labels].norm(dim=1) < 1 + 1e-4).all(), "longer than unit vectors"

    def test_the_same_has_the_same_features(self, extractor: FeatureExtractor) -> None:
        """Nothing is drawn at random or remembered, and what was given is left as it was.

        Typical cause: dropout, random numbers, or an in-place operation on what was given.
        """
        scene = self.scene()
        first = self.everything(extractor, scene)
        self.everything(extractor, [x.flip(-1) for x in scene])
        for one, again in zip(first, self.everything(extractor, scene), strict=True):
            assert torch.equal(one, again), NOT_REPEATED
        assert all(torch.equal(x, same) for x, same in zip(scene, self.scene(), strict=True)), CHANGED_INPUT

    def test_answers_are_as_precise_as_the_question(self, extractor: FeatureExtractor) -> None:
        """Single precision for single, double for double, whatever the weights are in; and nearly the same.

        Typical cause: the answer keeps the precision of the weights.
        """
        single, double = (self.everything(extractor, self.scene(dtype)) for dtype in (torch.float32, torch.float64))
        for one, precise in zip(single, double, strict=True):
            types = (one.dtype, precise.dtype)
            assert types == (torch.float32, torch.float64), f"answers have the type of the question, got {types}"
            assert (one - precise).abs().mean() < 1e-3, "float64 gives other features than float32"

    def test_gradients_are_finite(self, extractor: FeatureExtractor) -> None:
        """Of features that depend on what was given by way of a gradient.

        Typical cause: a norm or a root without a gradient at 0.
        """
        scene = [x.requires_grad_() for x in self.scene()]
        total = sum((one.square() * (i + 1)).cos().sum() for i, one in enumerate(self.everything(extractor, scene)))
        if isinstance(total, Tensor) and total.requires_grad:
            gradients = torch.autograd.grad(total, scene, allow_unused=True)
            finite = all(one is None or one.isfinite().all() for one in gradients)
            assert finite, "a gradient is not finite: sqrt, log or a division at 0"
