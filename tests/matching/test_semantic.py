"""Matching label by label, against a masked softmax; the labels, from condition maps; confidences in them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from midms import create
from midms.confidence.margin import Margin
from midms.confidence.mutual import Mutual
from midms.confidence.product import Product
from midms.confidence.semantic import LabelAgreement
from midms.core.types import Features
from midms.features.labelled import LabelledFeatures
from midms.matching.matchers.correlation import Correlation
from midms.matching.matchers.optimal_transport import OptimalTransport
from midms.matching.matchers.semantic import Semantic
from midms.matching.matches.factored import tokens
from midms.testing import features, rows


def labelled(seed: int, kinds: tuple[int, ...], h: int = 6, w: int = 8) -> tuple[Tensor, Tensor]:
    """Features with a label as their last channel, and the labels."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.tensor(kinds)[torch.randint(len(kinds), (2, h, w), generator=generator)]
    label.flatten(1)[:, : len(kinds)] = torch.tensor(kinds)
    return torch.cat([features(seed, h=h, w=w), label[:, None].double()], 1), label.flatten(1)


def test_it_is_a_masked_softmax_both_ways() -> None:
    """Label 3 is in the condition alone and 7 in the exemplar alone: they take from everything."""
    (query, mine), (key, theirs) = labelled(0, (0, 1, 3)), labelled(1, (0, 1, 7), 5, 4)
    match = Semantic(Correlation(temperature=0.1))(query, key)
    logits = tokens(query[:, :-1]) @ tokens(key[:, :-1]).mT / 0.1
    same = mine[:, :, None] == theirs[:, None]
    there = logits.masked_fill(~(same | ~same.any(2, keepdim=True)), -torch.inf).softmax(2)
    back = logits.masked_fill(~(same | ~same.any(1, keepdim=True)), -torch.inf).softmax(1)
    torch.testing.assert_close(rows(match), there)
    torch.testing.assert_close(rows(match.transpose()).mT, back)
    torch.testing.assert_close(match.similarity().flatten(1), (there * logits * 0.1).sum(2))
    torch.testing.assert_close(match.entropy().flatten(1), torch.special.entr(there).sum(2))
    torch.testing.assert_close(match.peak().flatten(1), there.amax(2))
    assert torch.equal(match.argmax().flatten(1), there.argmax(2))
    assert torch.equal(match.agreement().flatten(1) > 0, same.any(2))
    assert torch.equal(LabelAgreement()(match).flatten(1) > 0, same.any(2))


def test_balanced_transport_balances_each_label() -> None:
    (query, mine), (key, _) = labelled(0, (0, 1)), labelled(1, (0, 1), 5, 4)
    match = Semantic(OptimalTransport(epsilon=0.1, iterations=100))(query, key)
    for block in match.blocks:
        mass = block.match.log_row_sums().exp()
        torch.testing.assert_close(mass, torch.full_like(mass, 1 / len(block.rows)), rtol=1e-5, atol=0)
    assert sum(len(block.rows) for block in match.blocks) == mine.numel()


def test_gradients_reach_the_features() -> None:
    query, key = (labelled(seed, (0, 1))[0].requires_grad_() for seed in (0, 1))
    match = Semantic()(query, key)
    loss = match.apply(features(2, channels=3)).square().sum() + match.similarity().sum()
    for gradient in torch.autograd.grad(loss, (query, key)):
        assert gradient.isfinite().all() and gradient[:, :-1].abs().sum() > 0 and torch.all(gradient[:, -1] == 0)


def test_a_rival_is_looked_for_on_the_label() -> None:
    (query, _), (key, _) = labelled(0, (0,)), labelled(0, (0,))
    key[..., 5, 7] = query[..., 0, 0]  # the same features far away
    key[:, -1, 5, 7] = 1
    assert Margin()(Correlation()(query[:, :-1], key[:, :-1]))[..., 0, 0].sum() == 0
    assert Margin()(Semantic()(query, key))[..., 0, 0].sum() == 2


@pytest.mark.parametrize("name", ["local", "patchmatch", "cocosnet", "top-k", "cost-aggregation"])
def test_a_matcher_that_looks_at_places_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"matcher \w+ depends on where cells lie"):
        create("matcher", "semantic", matcher=name)


class Plain:
    """Features that are the map's own."""

    stride = 4

    def condition(self, condition: Tensor) -> Features:
        small = torch.nn.functional.avg_pool2d(condition, 4)
        return Features(small, small.flip(1))

    def exemplar(self, latent: Tensor, condition: Tensor) -> Features:
        return Features(latent, latent)

    def rematch_query(self, x0: Tensor, condition: Features) -> Tensor:
        return x0 + condition.rematch


def test_labels_come_from_the_condition_map() -> None:
    labels = torch.tensor([[0, 1, 2], [2, 2, 1]])
    condition = torch.nn.functional.one_hot(labels, 3).permute(2, 0, 1)[None].double()
    condition = condition.repeat_interleave(4, -1).repeat_interleave(4, -2)
    condition[..., 0, 0] = torch.tensor([0.0, 1.0, 0.0])  # one pixel of another kind
    wrapped = LabelledFeatures(Plain())
    assert wrapped.stride == 4 and wrapped.labelled
    query = wrapped.condition(condition)
    for x in (query.initial, query.rematch, wrapped.exemplar(torch.zeros(1, 3, 2, 3).double(), condition).initial):
        assert torch.equal(x[0, -1].long(), labels) and x.shape == (1, 4, 2, 3)
    x0 = torch.rand(1, 3, 2, 3).double()
    found = wrapped.rematch_query(x0, query)
    assert torch.equal(found[:, :-1], Plain().rematch_query(x0, Plain().condition(condition)))
    assert torch.equal(found[0, -1].long(), labels)


def test_a_product_trusts_what_all_trust() -> None:
    match = Correlation()(features(0), features(0, batch=2).roll(1, -1) + 0.5 * features(1))
    each = [Margin(threshold=0.2)(match), Mutual()(match)]
    assert torch.equal(create("confidence", "product", of=(Margin(threshold=0.2), "mutual"))(match), each[0] * each[1])
    with pytest.raises(ValueError, match=r"of must be a tuple of confidences, got \(\)"):
        Product(())


def test_a_products_trained_parts_are_its_own() -> None:
    assert {
        name.split(".")[-1] for name in create("confidence", "product", of=("calibrated", "cycle")).state_dict()
    } == {"weight", "bias"}
