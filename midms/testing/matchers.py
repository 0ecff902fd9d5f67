"""Laws of matchers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.core.protocols import QUESTIONS, Match, Matcher, Unanswered, answers_of, written
from midms.core.types import cells
from midms.loop.hints import Anchor, Hints
from midms.loop.multi_exemplar import compare
from midms.matching.matches.factored import tokens, untokens
from midms.testing.laws import CHANGED_INPUT, NOT_REPEATED, Laws, close, features


def rows(match: Match) -> Float[Tensor, "b n m"]:
    """The rows of the coupling, normalised."""
    h, w = match.transpose().grid
    return tokens(match.apply(torch.eye(h * w, dtype=torch.float64).view(1, h * w, h, w).expand(2, -1, -1, -1)))


def _answered(match: Match, question: str) -> bool:
    arguments = (1,) if question == "top" else ()
    try:
        return hasattr(match, question) and getattr(match, question)(*arguments) is not None
    except Unanswered:
        return False


class MatcherLaws(Laws):
    """What holds of every matcher. Inherit it, and give `make`.

    Attributes:
        make: a class or function that makes the matcher, without arguments.
        steady: share of cells whose match half precision must leave; lower for matchers that choose one cell of many.
    """

    make: Callable[[], Matcher]
    steady: float = 0.999

    @pytest.fixture
    def matcher(self) -> Matcher:
        """The matcher under test."""
        return type(self).make()

    def test_rows_are_an_expectation(self, matcher: Matcher) -> None:
        """Nothing is negative, and a row sums to one.

        Typical cause: weights that are not normalised over the exemplar's cells, or normalised over the wrong axis.
        """
        coupling = rows(matcher(features(0), features(1, h=5, w=4)))
        assert coupling.shape == (2, 48, 20), "rows are the condition's cells, columns the exemplar's; swapped?"
        assert torch.all(coupling >= 0), "a coupling is not negative: softmax, not raw scores"
        close(coupling.sum(-1), torch.ones(2, 48, dtype=torch.float64), "rows sum to 1: softmax over the last axis?")

    def test_apply_is_linear_in_the_coupling(self, matcher: Matcher) -> None:
        """Warped values are the rows times the values.

        Typical cause: `apply` clips, rounds or normalises the values.
        """
        match = matcher(features(0), features(1, h=5, w=4))
        values = features(2, channels=3, h=5, w=4)
        expected = untokens(rows(match) @ tokens(values), match.grid)
        close(match.apply(values), expected, "apply(values) is no product of one matrix with the values")

    def test_what_is_written_out_is_the_coupling(self, matcher: Matcher) -> None:
        """In pieces of some rows, of which the last has fewer.

        Typical cause: `weights` leaves out a bias or a floor that `apply` has, or drops the last rows.
        """
        match = matcher(features(0), features(1, h=5, w=4))
        pieces = [*written(match, 7, features(0))]
        assert [piece.shape[1] for piece in pieces] == [7] * 6 + [6]
        torch.testing.assert_close(torch.cat(pieces, 1), rows(match))

    def test_transpose_is_transpose(self, matcher: Matcher) -> None:
        """Both directions come from one matrix: where neither is 0 they differ by a factor for each line.

        Typical cause: `transpose` matches anew instead of reading the same matrix.
        """
        match = matcher(features(0), features(1, h=5, w=4))
        for there, back in zip(rows(match), rows(match.transpose()).mT, strict=True):
            i, j = torch.nonzero((there > 1e-300) & (back > 1e-300), as_tuple=True)
            assert len(i) > 0, "transpose() shares no cells with the match"
            ratio = (there[i, j].log() - back[i, j].log())[:, None]
            factors = torch.cat([F.one_hot(i, 48), F.one_hot(j, 20)], 1).double()
            fitted = factors @ torch.linalg.lstsq(factors, ratio, driver="gelsd").solution
            why = "transpose() reads another matrix: it is the same with rows normalised anew, not a match made anew"
            close(fitted, ratio, why, rtol=0, atol=1e-9)
        turned = match.transpose().grid == (5, 4) and match.transpose().transpose().grid == match.grid
        assert turned, "transpose().grid is (h, w) of the exemplar"
        close(rows(match.transpose().transpose()), rows(match), "transposed twice it is another match")

    def test_permuting_the_exemplar_changes_nothing(self, matcher: Matcher) -> None:
        """Cells of the exemplar have no order.

        Typical cause: the match depends on where cells lie: declare `spatial = True`.
        """
        query, key, values = features(0), features(1), features(2, channels=3)
        order = torch.randperm(48, generator=torch.Generator().manual_seed(3))
        permuted = [untokens(tokens(x)[:, order], (6, 8)) for x in (key, values)]
        moved = matcher(query, permuted[0]).apply(permuted[1])
        why = "the match depends on where cells lie; if it should, declare spatial = True and an exception to this law"
        close(moved, matcher(query, key).apply(values), why)

    def test_a_permuted_picture_is_found_again(self, matcher: Matcher) -> None:
        """What is the same is matched to itself, wherever it lies.

        Typical cause: the temperature is so high that a cell takes from all.
        """
        query, where = features(0, channels=64), cells(6, 8, features(0)).expand(2, -1, -1, -1)
        order = torch.randperm(48, generator=torch.Generator().manual_seed(3))
        key, values = (untokens(tokens(x)[:, order], (6, 8)) for x in (query, where))
        match = matcher(query, key)
        close(match.apply(values), where, "cells of a permuted picture are not found: too soft?", rtol=0, atol=0.05)
        assert torch.all(match.similarity() > 0.99), "what is matched to itself has a similarity near 1"

    def test_similarity_is_the_expected_cosine(self, matcher: Matcher) -> None:
        """Similarity is the mean cosine of a cell and what it is matched to.

        Typical cause: it is of other features than those that were given, or of the best cell alone.
        """
        query, key = features(0), features(1, h=5, w=4)
        match = matcher(query, 3 * key)
        cosines = torch.einsum("bdn,bdm->bnm", query.flatten(2), key.flatten(2))
        expected = (rows(match) * cosines).sum(-1)
        close(match.similarity().flatten(1), expected, "similarity() is the rows times the cosines of unit features")

    @pytest.mark.parametrize("flaw", ["constant", "zero", "nan", "inf", "one nan cell"])
    @pytest.mark.parametrize("side", ["query", "key", "both"])
    def test_features_that_say_nothing_do_no_harm(self, matcher: Matcher, flaw: str, side: str) -> None:
        """Results and gradients are finite whatever features hold.

        Typical cause: a division by a norm or a sum that is 0.
        """
        bad = {"constant": 1.0, "zero": 0.0, "nan": torch.nan, "inf": torch.inf, "one nan cell": 1.0}[flaw]
        spoilt = torch.full((2, 16, 4, 4), bad)
        if flaw == "one nan cell":
            spoilt = features(4, channels=16, h=4, w=4, dtype=torch.float32)
            spoilt[0, 3, 1, 2] = torch.nan
        good = features(5, channels=16, h=4, w=4, dtype=torch.float32)
        query = (good if side == "key" else spoilt).clone().requires_grad_()
        key = (good if side == "query" else spoilt).clone().requires_grad_()
        match = matcher(query, key)
        results = [
            one.apply(features(6, channels=3, h=4, w=4, dtype=torch.float32)) for one in (match, match.transpose())
        ]
        results += [match.similarity(), match.transpose().similarity()]
        gradients = torch.autograd.grad(torch.stack([x.square().sum() for x in results]).sum(), (query, key))
        finite = all(x.isfinite().all() for x in (*results, *gradients))
        assert finite, "NaN or infinite: take F.normalize's eps, and nan_to_num of features, before anything else"

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision_features(self, matcher: Matcher, dtype: torch.dtype) -> None:
        """Values keep their precision, and the match is nearly that of the same features in double precision.

        Typical cause: products are taken in half precision; or warped values come back in float32.
        """
        query, key, values = (features(i, dtype=torch.float32).to(dtype) for i in range(3))
        match = matcher(query, key)
        exact = matcher(query.double(), key.double()).apply(values.double())
        types = match.apply(values).dtype, match.similarity().dtype
        assert types == (dtype, torch.float32), f"apply keeps the values' type, similarity is float32; got {types}"
        # unit vectors are rounded to half precision once, which a scale of 200 magnifies
        near = (match.apply(values).double() - exact).abs().amax(1) < (0.02 if dtype == torch.float16 else 0.2)
        share = near.float().mean()
        assert share > self.steady, f"{share:.3f} of cells match as in float64, expected `steady`, {self.steady}"

    def test_a_match_is_and_answers_what_is_declared(self, matcher: Matcher) -> None:
        """The match is of the kind that the matcher `gives`, and tells what is declared in `answers`, no more.

        Typical cause: `gives` or `answers` is missing or says more than is there.
        """
        match = matcher(features(0), features(1))
        kind = getattr(matcher, "gives", object)
        assert isinstance(match, kind), f"declares gives = {kind.__name__}, and gives a {type(match).__name__}"
        answers, given = answers_of(matcher), {question for question in QUESTIONS if _answered(match, question)}
        same = answers is None or answers == given
        assert same, f"matches answer {sorted(given)}, and answers = {sorted(answers or ())} is declared"

    def test_a_hint_has_its_share_of_a_row(self, matcher: Matcher) -> None:
        """The rest is shared out as it was; the hint's own cell takes from it alone, and is certain.

        Typical cause: a match of one's own that does not keep to rows that sum to one.
        """
        query, key = features(0), features(1, h=5, w=4)
        hints = Hints((Anchor((2.5 / 8, 3.5 / 6), (1.5 / 4, 4.5 / 5), radius=0.2),))
        match, confidence = compare(matcher, lambda found: 0 * found.similarity(), query, [key], None, hints)
        share = torch.tensor([[2.0 ** -(((x - 2) ** 2 + (y - 3) ** 2) / 1.6**2) for x in range(8)] for y in range(6)])
        share = share.double().where(share > 1 / 256, 0).flatten()
        found, hinted = rows(matcher(query, key)), rows(match).unflatten(2, (5, 8))
        close(hinted[..., :4].flatten(2), (1 - share[:, None]) * found, "without the hint the rows sum to 1?")
        close(hinted[..., 4, 5], share.expand(2, -1), "the column of the hint has its share")
        close(confidence.flatten(1), share.expand(2, -1), "what a hint says is certain")
        own = hinted[:, 3 * 8 + 2].flatten(1).argmax(1).tolist()
        assert own == [4 * 8 + 5] * 2 and share[3 * 8 + 2] == 1, "the hint's own cell takes from it alone"
        close(hinted.sum((2, 3)), torch.ones(2, 48, dtype=torch.float64), "rows sum to 1")

    def test_pictures_of_a_batch_do_not_mix(self, matcher: Matcher) -> None:
        """Each picture is matched as if it were alone.

        Typical cause: a mean, a maximum or a sort over the batch.
        """
        query, key, values = features(0), features(1, h=5, w=4), features(2, channels=3, h=5, w=4)
        alone = [matcher(q, k).apply(v) for q, k, v in zip(query.split(1), key.split(1), values.split(1), strict=True)]
        close(matcher(query, key).apply(values), torch.cat(alone), "a statistic is taken over the batch")

    def test_the_same_is_matched_alike(self, matcher: Matcher) -> None:
        """Nothing is drawn at random or remembered, and features are left as they were.

        Typical cause: random numbers, something kept from call to call, or an in-place operation on features.
        """
        query, key, values = features(0), features(1), features(2, channels=3)
        first = matcher(query, key).apply(values)
        matcher(features(3), features(4)).apply(values)
        assert torch.equal(matcher(query, key).apply(values), first), NOT_REPEATED
        assert torch.equal(query, features(0)) and torch.equal(key, features(1)), CHANGED_INPUT
