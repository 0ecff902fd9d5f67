"""Laws of confidences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.protocols import QUESTIONS, ConfidenceEstimator, Match, Matcher, Unanswered
from midms.matching.matchers.correlation import Correlation
from midms.testing.laws import NOT_REPEATED, Laws, close, features

_RANGE = "a confidence is in [0, 1] and never NaN: clamp it, and mind divisions by 0"


@dataclass(frozen=True)
class Bare:
    """A match with the protocol's verbs and nothing else."""

    inside: Match

    @property
    def grid(self) -> tuple[int, int]:
        """(h, w) of the rows."""
        return self.inside.grid

    def apply(self, values: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c h w"]:
        """Warped values of the whole batch."""
        assert len(values) == 2, "a match need not take one set of values for a whole batch"
        return self.inside.apply(values)

    def transpose(self) -> Bare:
        """The other direction."""
        return Bare(self.inside.transpose())

    def similarity(self) -> Float[Tensor, "b 1 h w"]:
        """The mean cosine."""
        return self.inside.similarity()


@dataclass(frozen=True)
class Silent:
    """A match that does not answer one question."""

    inside: Match
    question: str

    def __getattr__(self, name: str) -> Any:
        if name == self.question:
            raise AttributeError(name)
        return getattr(self.inside, name)

    def transpose(self) -> Silent:
        """The other direction, which does not answer it either."""
        return Silent(self.inside.transpose(), self.question)


def confidence_in(confidence: ConfidenceEstimator, match: Match) -> Float[Tensor, "b 1 h w"]:
    """What a confidence says of a match that lacks something; what it lacks must be asked for."""
    try:
        return confidence(match)
    except AttributeError as error:
        raise AssertionError(
            f"a match need not have all that this one is asked for ({error}): in place of match.top(2) write"
            ' midms.core.protocols.ask(match, "top", 2), and declare asks = frozenset({"top"})'
        ) from error


class ConfidenceLaws(Laws):
    """What holds of every confidence. Inherit it, and give `make`.

    Attributes:
        make: a class or function that makes the confidence, without arguments.
        matcher: a class or function that makes the matcher whose matches it reads, if it needs one of a kind.
    """

    make: Callable[[], ConfidenceEstimator]
    matcher: Callable[[], Matcher] = Correlation

    @pytest.fixture
    def confidence(self) -> ConfidenceEstimator:
        """The confidence under test."""
        return type(self).make()

    def match(self, query: Float[Tensor, "b d h w"], key: Float[Tensor, "b d H W"]) -> Match:
        """A match of the matcher whose matches the confidence reads."""
        return type(self).matcher()(query, key)

    def test_confidence_is_a_share_in_each_cell(self, confidence: ConfidenceEstimator) -> None:
        """A number in [0, 1] for each cell of the condition, whatever the exemplar's grid, also if all is unlike.

        Typical cause: no clamp to [0, 1], or the exemplar's grid taken for the condition's.
        """
        for key in (features(1, h=5, w=4), -features(1, h=5, w=4).abs()):
            weight = confidence(self.match(features(0) if key.max() > 0 else features(0).abs(), key))
            assert weight.shape == (2, 1, 6, 8), "expected [b, 1, h, w] of `match.grid`, the condition's cells"
            assert torch.all((weight >= 0) & (weight <= 1)), _RANGE

    def test_what_is_matched_to_itself_is_trusted(self, confidence: ConfidenceEstimator) -> None:
        """A picture that is matched to itself has a confidence near 1.

        Typical cause: a threshold that even a perfect match does not reach.
        """
        mean = confidence(self.match(features(0), features(0))).mean()
        assert mean > 0.9, f"a picture matched to itself has a mean confidence of {mean:.3g}, expected above 0.9"

    @pytest.mark.parametrize("flaw", [0.0, 1.0, torch.nan, torch.inf])
    def test_features_that_say_nothing_do_no_harm(self, confidence: ConfidenceEstimator, flaw: float) -> None:
        """The confidence is in [0, 1], and its gradients, if it has any, are finite whatever features hold.

        Typical cause: NaN of 0 / 0, or a norm without a gradient at 0.
        """
        query = torch.full((2, 32, 6, 8), flaw).requires_grad_()
        key = features(1, h=5, w=4, dtype=torch.float32).requires_grad_()
        weight = confidence(self.match(query, key))
        assert torch.all((weight >= 0) & (weight <= 1)), _RANGE
        if weight.requires_grad:
            gradients = torch.autograd.grad(weight.sum(), (query, key), allow_unused=True)
            finite = all(one is None or one.isfinite().all() for one in gradients)
            assert finite, (
                "a gradient is not finite: sqrt, log or a division at 0; clamp what goes into it, not the result"
            )

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_features(self, confidence: ConfidenceEstimator, dtype: torch.dtype) -> None:
        """Of features in half precision the confidence is in single precision, as similarity is.

        Typical cause: the answer keeps the precision of the features.
        """
        match = self.match(features(0).to(dtype), features(1).to(dtype))
        weight = confidence(match)
        single = weight.dtype == match.similarity().dtype == torch.float32
        assert single, f"expected the type of match.similarity(), torch.float32, got {weight.dtype}"
        assert torch.all((weight >= 0) & (weight <= 1)), _RANGE

    def test_pictures_of_a_batch_do_not_mix(self, confidence: ConfidenceEstimator) -> None:
        """Each match is judged as if it were alone.

        Typical cause: a mean or a maximum over the batch.
        """
        query, key = (torch.cat([features(i, batch=1), features(0, batch=1)]) for i in (1, 2))
        alone = [confidence(self.match(*pair)) for pair in zip(query.split(1), key.split(1), strict=True)]
        why = "a maximum or mean is taken over the batch, not each picture"
        close(confidence(self.match(query, key)), torch.cat(alone), why)

    def test_the_same_is_judged_alike(self, confidence: ConfidenceEstimator) -> None:
        """Nothing is drawn at random or remembered.

        Typical cause: random numbers, or something kept from call to call.
        """
        match = self.match(features(0), features(1))
        first = confidence(match)
        confidence(self.match(features(2), features(2)))
        assert torch.equal(confidence(match), first), NOT_REPEATED

    def test_it_asks_what_it_declares(self, confidence: ConfidenceEstimator) -> None:
        """What a confidence declares as `asks` is what it asks: nothing else is missed, and each of it is.

        Typical cause: `asks` lacks a question that is put, or has one that is not.
        """
        asked = {question for question in QUESTIONS if not self.reads_without(confidence, question)}
        declared = getattr(confidence, "asks", asked)
        assert asked == declared, f"it asks {sorted(asked)}, and declares asks = {sorted(declared)}"

    def reads_without(self, confidence: ConfidenceEstimator, question: str) -> bool:
        """Whether it can read a match that answers everything else."""
        try:
            confidence_in(confidence, Silent(self.match(features(0), features(1)), question))
        except Unanswered:
            return False
        return True

    def test_it_has_the_gradient_that_it_declares(self, confidence: ConfidenceEstimator) -> None:
        """Of a match of features with gradients, as `differentiable` says.

        Typical cause: `differentiable` is missing for a comparison, a rounding or `top`, which have no gradient.
        """
        found = confidence(self.match(*(features(i).requires_grad_() for i in range(2))))
        declared = getattr(confidence, "differentiable", found.requires_grad)
        assert found.requires_grad == declared, f"requires_grad is {found.requires_grad}, differentiable = {declared}"

    def test_a_match_of_another_kind_is_read_or_refused(self, confidence: ConfidenceEstimator) -> None:
        """The protocol's verbs are enough and give the same, or `Unanswered` says what is missing.

        Typical cause: a field of `FactoredMatch` is read; use the four methods of every match, or `ask`.
        """
        match = self.match(features(0), features(1))
        try:
            weight = confidence_in(confidence, Bare(match))
        except Unanswered:
            return
        close(weight, confidence(match), "it depends on the match's class, or on what its class alone has")
