"""Every matcher with every confidence in `midm-faces`: they run, or `build` says why not."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from pairs_that_compose import composes
from torch import Tensor

from midms import available, build, register
from midms.compose.compose import BuildError
from midms.confidence import CONFIDENCES
from midms.core.protocols import Unanswered
from midms.features.labelled import LabelledFeatures
from midms.matching import MATCHERS
from midms.matching.matches.factored import FactoredMatch
from midms.pipeline.pipeline import Pipeline

PAIRS = [(m, c) for m in MATCHERS for c in CONFIDENCES]


@cache
def faces() -> Pipeline:
    return build("midm-faces")


def composed(matcher: str, confidence: str) -> Pipeline:
    pipe = faces()
    features = LabelledFeatures(pipe.features) if matcher == "semantic" else pipe.features
    parts = {"features": features, "denoiser": pipe.denoiser, "autoencoder": pipe.autoencoder}
    return build("midm-faces", matcher=matcher, confidence=confidence, rematch=(1,), **parts)


@pytest.mark.filterwarnings("ignore:midm-faces")  # of the weights that another confidence has
@pytest.mark.parametrize(("matcher", "confidence"), [pair for pair in PAIRS if composes(*pair)])
def test_a_pair_runs(matcher: str, confidence: str) -> None:
    numbers = torch.Generator().manual_seed(0)
    condition, exemplar = (
        torch.rand(1, 2, 24, 16, generator=numbers),
        torch.rand(1, 3, 16, 32, generator=numbers) * 2 - 1,
    )
    *_, last = composed(matcher, confidence).trajectory(condition, exemplar, generator=numbers)
    assert last.rematched and last.step.x0.shape == (1, 8, 6, 4) and last.step.x0.isfinite().all()
    assert last.confidence.shape == (1, 1, 6, 4) and torch.all((last.confidence >= 0) & (last.confidence <= 1))


@pytest.mark.parametrize(("matcher", "confidence"), [pair for pair in PAIRS if not composes(*pair)])
def test_a_pair_that_cannot_says_why(matcher: str, confidence: str) -> None:
    with pytest.raises(BuildError, match=r"confidence does not go with the matcher: .{30}"):
        composed(matcher, confidence)


def test_labels_are_for_those_who_know_them() -> None:
    with pytest.raises(BuildError, match="disagree on a label as the last feature: features False, matcher True"):
        build("midm-faces", matcher="semantic", features=faces().features)
    with pytest.raises(BuildError, match="disagree on a label as the last feature: features True, matcher False"):
        build("midm-faces", features=LabelledFeatures(faces().features))


@pytest.mark.usefixtures("registries")
def test_a_matcher_of_ones_own_in_a_notebook() -> None:
    """The cell is run twice, as people do."""
    for sharpness in (100.0, 200.0):

        @register("matcher", "mine")
        class Mine:
            """Correlation at a very low temperature."""

            def __call__(self, query: Tensor, key: Tensor, scale: float = sharpness) -> FactoredMatch:
                return FactoredMatch(query, key, scale)

        pipe = composed("mine", "entropy")
        assert pipe.matcher(torch.rand(1, 4, 2, 2), torch.rand(1, 4, 2, 2)).scale == sharpness
        assert pipe(torch.rand(1, 2, 16, 16), torch.rand(1, 3, 16, 16)).isfinite().all()
    assert "mine" in available("matcher")


@pytest.mark.usefixtures("registries")
def test_a_match_of_ones_own_says_what_it_lacks_at_build() -> None:
    @register("matcher", "bare")
    class Bare:
        answers = frozenset[str]()

        def __init__(self, grid: tuple[int, int] = (1, 1), other: tuple[int, int] = (1, 1)) -> None:
            self.grid, self.other = grid, other

        def __call__(self, query: Tensor, key: Tensor) -> Bare:
            return Bare((query.shape[2], query.shape[3]), (key.shape[2], key.shape[3]))

        def apply(self, values: Tensor) -> Tensor:
            return values.mean((2, 3), keepdim=True).expand(-1, -1, *self.grid)

        def transpose(self) -> Bare:
            return Bare(self.other, self.grid)

        def similarity(self) -> Tensor:
            return torch.ones(1, 1, *self.grid)

    assert composed("bare", "cycle").matcher.__class__ is Bare
    with pytest.raises(BuildError, match="confidence does not go with the matcher: Bare cannot give its entropy"):
        composed("bare", "entropy")
    del Bare.answers
    pipe = composed("bare", "entropy")
    with pytest.raises(Unanswered, match="Bare cannot give its entropy"):
        pipe(torch.rand(1, 2, 16, 16), torch.rand(1, 3, 16, 16))
