"""Each matcher beside the factored ones against something independent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kornia.feature import match_mnn
from test_matchers import features, rows
from torch import Tensor

from midms.matching import edges
from midms.matching.dual_softmax import DualSoftmax
from midms.matching.match import tokens
from midms.matching.mutual_nearest import MutualNearest
from midms.matching.nearest import Nearest
from midms.matching.sparse import SparseMatch, link


def products(query: Tensor, key: Tensor) -> Tensor:
    return tokens(query) @ tokens(key).mT


def test_dual_softmax_is_its_formula() -> None:
    query, key = features(0), features(1, h=5, w=4)
    match = DualSoftmax(temperature=0.1)(3 * query, key)
    logits = products(query, key) / 0.1
    coupling = logits.softmax(2) * logits.softmax(1)
    torch.testing.assert_close(rows(match), coupling / coupling.sum(2, keepdim=True))
    torch.testing.assert_close(rows(match.transpose()).mT, coupling / coupling.sum(1, keepdim=True))
    torch.testing.assert_close(match.log_mass().flatten(1), coupling.sum(2).log())


def test_dual_softmax_leaves_nothing_to_the_second_who_asks() -> None:
    """Two cells want one: correlation gives it to both, dual softmax to the one that is more like it."""
    query, key = features(0), features(1)
    query[..., 0, 0], key[..., 2, 2] = 0.9 * key[..., 2, 2] + 0.1 * key[..., 3, 3], query[..., 0, 1]
    logits = DualSoftmax(temperature=0.02)(query, key)
    share = logits.transpose().apply(torch.eye(48, dtype=torch.float64).view(1, 48, 6, 8))[:, :2, 2, 2]
    assert torch.all(share[:, 1] > 0.99) and torch.all(share[:, 0] < 0.01)


def test_nearest_is_numpys_argmax() -> None:
    query, key = features(0, h=9, w=7), features(1, h=5, w=11)
    match, cosines = Nearest()(5 * query, key), products(query, key).numpy()
    assert np.array_equal(rows(match).argmax(-1).numpy(), cosines.argmax(2)) and torch.all(rows(match).amax(-1) == 1)
    assert np.array_equal(rows(match.transpose()).argmax(-1).numpy(), cosines.argmax(1))
    assert np.array_equal(match.argmax().flatten(1).numpy(), cosines.argmax(2))
    np.testing.assert_allclose(match.similarity().flatten(1).numpy(), cosines.max(2), rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_mutual_nearest_is_kornias(seed: int) -> None:
    query, key = features(seed, h=9, w=7, dtype=torch.float32), features(seed + 9, h=5, w=11, dtype=torch.float32)
    match = MutualNearest()(query, key)
    there, back = match.argmax().flatten(1), match.transpose().argmax().flatten(1)
    for b in range(2):
        pairs = match_mnn(tokens(query)[b], tokens(key)[b])[1].tolist()  # by distance, which falls as the cosine grows
        assert sorted([i, j] for i, j in enumerate(there[b].tolist()) if j >= 0) == sorted(pairs)
        assert sorted([i, j] for j, i in enumerate(back[b].tolist()) if i >= 0) == sorted(pairs)


def test_a_cell_without_a_partner_gets_the_mean() -> None:
    query, key, values = features(0), features(1, h=5, w=4), features(2, channels=3, h=5, w=4)
    match = MutualNearest()(query, key)
    alone = match.argmax() < 0
    assert 0.5 < alone.double().mean() < 1
    mean = values.mean((2, 3), keepdim=True).expand(-1, -1, 6, 8)
    torch.testing.assert_close(match.apply(values).where(alone, 0), mean.where(alone, 0))
    cosines = products(query, key).mean(2).unflatten(1, (6, 8))[:, None]
    torch.testing.assert_close(match.similarity()[alone], cosines[alone])


def some_edges(scale: float) -> tuple[SparseMatch, Tensor]:
    """A match over a third of all entries, and its matrix."""
    query, key = features(0).requires_grad_(), features(1, h=5, w=4)
    generator = torch.Generator().manual_seed(2)
    candidates = torch.randint(0, 20, (2, 48, 7), generator=generator)  # some come twice
    candidates[0, 5] = candidates[1, 7, 1:] = -1
    allowed = torch.zeros(2, 48, 21).scatter(2, candidates.where(candidates >= 0, 20), 1.0)[..., :20] > 0
    more = torch.randint(0, 48, (2, 20, 2), generator=generator).where(
        torch.rand(2, 20, 1, generator=generator) < 0.5, -1
    )
    more = more.where(more != 5, -1)
    allowed |= torch.zeros(2, 20, 49).scatter(2, more.where(more >= 0, 48), 1.0)[..., :48].mT > 0
    return link(query, key, scale, candidates, more), (products(query, key) * scale).masked_fill(~allowed, -torch.inf)


def test_sparse_match_is_its_formula() -> None:
    match, logits = some_edges(10.0)
    empty = (logits == -torch.inf).all(2, keepdim=True)
    coupling = logits.masked_fill(empty, 0).softmax(2)
    torch.testing.assert_close(rows(match), coupling)
    back = logits.masked_fill((logits == -torch.inf).all(1, keepdim=True), 0).softmax(1)
    torch.testing.assert_close(rows(match.transpose()), back.mT)
    torch.testing.assert_close(match.peak().flatten(1), coupling.amax(2))
    entropy = torch.special.entr(coupling).sum(2)
    torch.testing.assert_close(match.entropy().flatten(1), entropy)
    best = coupling.argmax(2).masked_fill(empty[..., 0], -1)
    assert torch.equal(match.argmax().flatten(1), best) and best[0, 5] == -1
    cosines = products(match.query, match.key)
    torch.testing.assert_close(match.similarity().flatten(1), (coupling * cosines).sum(2))
    nearest = match.top(3)
    torch.testing.assert_close(nearest.scores.flatten(2).mT, cosines.topk(3).values)


def test_sparse_gradients_are_the_dense_ones() -> None:
    match, logits = some_edges(10.0)
    values = features(3, channels=3, h=5, w=4).requires_grad_()
    coupling = logits.masked_fill((logits == -torch.inf).all(2, keepdim=True), 0).softmax(2)
    outcome = [match.apply(values), match.entropy(), match.peak()]
    expected = [(coupling @ tokens(values)).mT, torch.special.entr(coupling.clamp(min=1e-300)).sum(2), coupling.amax(2)]
    for one, other in zip(outcome, expected, strict=True):
        ours = torch.autograd.grad(one.sin().sum(), (match.query, values), retain_graph=True, allow_unused=True)
        theirs = torch.autograd.grad(other.sin().sum(), (match.query, values), retain_graph=True, allow_unused=True)
        for our, their in zip(ours, theirs, strict=True):
            if their is not None:
                torch.testing.assert_close(our, their)


def test_sums_over_edges_can_be_differentiated_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edges, "ENTRIES", 12)
    i, j = torch.tensor([0, 0, 1, 3, 3, 3]), torch.tensor([2, 1, 1, 0, 2, 3])
    a, b = features(0, 1, 3, 2, 2)[0].flatten(1).mT, features(1, 1, 3, 2, 2)[0].flatten(1).mT
    inputs = [a.contiguous().requires_grad_(), b.contiguous().requires_grad_()]
    assert torch.autograd.gradcheck(lambda a, b: edges.carry(edges.dot(a, b, i, j), b, i, j, 4), inputs)
    assert torch.autograd.gradgradcheck(lambda a, b: edges.carry(edges.dot(a, b, i, j), b, i, j, 4), inputs)
