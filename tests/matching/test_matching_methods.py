"""Each matcher beside the factored ones against something independent."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from bent import scene
from kornia.feature import match_mnn
from torch import Tensor

from midms.core.types import cells
from midms.matching import MATCHERS
from midms.matching.matchers.cocosnet import CoCosNet
from midms.matching.matchers.cost_aggregation import CostAggregation
from midms.matching.matchers.dual_softmax import DualSoftmax
from midms.matching.matchers.local import Local
from midms.matching.matchers.mutual_nearest import MutualNearest
from midms.matching.matchers.nearest import Nearest
from midms.matching.matchers.patchmatch import PatchMatch
from midms.matching.matchers.top_k import TopK
from midms.matching.matches import edges
from midms.matching.matches.factored import tokens
from midms.matching.matches.sparse import SparseMatch, link
from midms.testing import features, rows


def products(query: Tensor, key: Tensor) -> Tensor:
    return tokens(query) @ tokens(key).mT


def test_dual_softmax_is_its_formula() -> None:
    query, key = features(0), features(1, h=5, w=4)
    match = DualSoftmax(temperature=0.1)(3 * query, key)
    logits = products(query, key) / 0.1
    coupling = logits.softmax(2) * logits.softmax(1)
    torch.testing.assert_close(rows(match), coupling / coupling.sum(2, keepdim=True))
    torch.testing.assert_close(rows(match.transpose()).mT, coupling / coupling.sum(1, keepdim=True))
    torch.testing.assert_close(match.log_row_sums().flatten(1), coupling.sum(2).log())


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
    assert torch.autograd.gradcheck(lambda a, b: edges.edge_sum(edges.edge_dot(a, b, i, j), b, i, j, 4), inputs)
    assert torch.autograd.gradgradcheck(lambda a, b: edges.edge_sum(edges.edge_dot(a, b, i, j), b, i, j, 4), inputs)


def patches(x: Tensor) -> Tensor:
    """3 x 3 patches of a padded grid, entry by entry, centred and of unit length: [b n 9 d]."""
    padded = F.pad(x, (1, 1, 1, 1))
    h, w = x.shape[-2:]
    parts = [padded[:, :, y : y + h, x : x + w].flatten(2).mT for y in range(3) for x in range(3)]
    flat = torch.stack(parts, -1).flatten(2)
    return F.normalize(flat - flat.mean(2, keepdim=True), dim=2)


@pytest.mark.parametrize("losers", [1.0, 1e-4])
def test_cocosnet_is_the_released_formula(losers: float) -> None:
    query, key = features(0), features(1, h=5, w=4)
    match = CoCosNet(losers=losers)(query, key)
    correlation = patches(query) @ patches(key).mT
    best = correlation.amax(2, keepdim=True)
    logits = torch.where(correlation == best, correlation, losers * correlation) / 0.01
    torch.testing.assert_close(rows(match), logits.softmax(2))
    torch.testing.assert_close(rows(match.transpose()).mT, logits.softmax(1))
    torch.testing.assert_close(match.entropy().flatten(1), torch.special.entr(logits.softmax(2)).sum(2))
    torch.testing.assert_close(match.peak().flatten(1), logits.softmax(2).amax(2))
    assert torch.equal(match.argmax().flatten(1), logits.argmax(2))


def test_top_k_attends_inside_the_best_blocks() -> None:
    query, key = features(0, h=5, w=7), features(1, h=8, w=6)
    cosines = products(query, key)

    def blocks(h: int, w: int) -> Tensor:
        return torch.tensor([[(y // 3) * -(-w // 3) + x // 3 for x in range(w)] for y in range(h)]).flatten()

    mine, theirs = F.one_hot(blocks(5, 7)).double(), F.one_hot(blocks(8, 6)).double()
    means = [torch.einsum("nk,bnd->bkd", one / one.sum(0), tokens(x)) for one, x in ((mine, query), (theirs, key))]
    chosen = torch.zeros(2, 6, 6).scatter(2, (means[0] @ means[1].mT).topk(2).indices, 1.0).double()
    allowed = torch.einsum("nk,bkl,ml->bnm", mine, chosen, theirs) > 0
    expected = (cosines / 0.1).masked_fill(~allowed, -torch.inf).softmax(2)
    torch.testing.assert_close(rows(TopK(count=2, block=3, temperature=0.1)(query, key)), expected)


def test_local_is_a_window_around_the_flow() -> None:
    query, key = features(0), features(1, h=5, w=9)
    place = 12 * torch.rand(2, 2, 6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 2
    match = Local(radius=1, temperature=0.1, prior=place)(query, key)
    x, y = place[:, 0].round().clamp(0, 8), place[:, 1].round().clamp(0, 4)
    near_x = (x.flatten(1)[..., None] - torch.arange(45) % 9).abs() <= 1
    near_y = (y.flatten(1)[..., None] - torch.arange(45) // 9).abs() <= 1
    expected = (products(query, key) / 0.1).masked_fill(~(near_x & near_y), -torch.inf).softmax(2)
    torch.testing.assert_close(rows(match), expected)
    with pytest.raises(ValueError, match=r"prior is \(2, 2, 6, 8\), expected \(2, 2, 5, 9\)"):
        Local(prior=place)(key, query)


@pytest.mark.parametrize("name", ["correlation", "local", "patchmatch", "top-k", "cost-aggregation", "cocosnet"])
def test_a_bent_picture_is_followed(name: str) -> None:
    query, key, place = scene(0, 24)
    found = MATCHERS.create(name)(query, key).apply(cells(24, 24, key))
    error = (found - place).norm(dim=1)
    assert (error < 1.5).float().mean() > 0.9, error.median()


def test_cost_aggregation_is_its_formula() -> None:
    query, key = features(0, 1, h=3, w=4), features(1, 1, h=4, w=3)

    def mutual(c: np.ndarray) -> np.ndarray:
        return c**3 / c.max(1, keepdims=True) / c.max(0, keepdims=True)

    def aggregate(c: np.ndarray) -> np.ndarray:
        """One step and one slack, cell by cell."""
        out, sides = np.zeros_like(c), c.shape
        steps = [np.array(s) for s in itertools.product((-1, 0, 1), repeat=2)]

        def inside(cell: np.ndarray, grid: tuple[int, ...]) -> bool:
            return bool(np.all((cell >= 0) & (cell < grid)))

        for at in np.ndindex(*sides):
            heard, weights = [], []
            for s, t in itertools.product(steps, repeat=2):
                i, j = np.array(at[:2]) + s, np.array(at[2:]) + s
                if inside(i, sides[:2]) and inside(j, sides[2:]) and inside(j + t, sides[2:]):
                    heard.append(c[(*i, *(j + t))])
                    weights.append(np.prod(2 - np.abs(t)))
            out[at] = np.average(heard, weights=weights)
        return out

    c = mutual(products(query, key)[0].clamp(min=0).numpy()).reshape(3, 4, 4, 3)
    both = aggregate(c) + aggregate(c.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1)
    expected = torch.from_numpy(mutual(both.reshape(12, 12) / 2) / 0.02).softmax(1)
    match = CostAggregation()(query, key)
    identity = torch.eye(12, dtype=torch.float64).view(1, 12, 4, 3)
    torch.testing.assert_close(tokens(match.apply(identity))[0], expected)


def test_cost_aggregation_sees_through_ambiguity() -> None:
    """Where single cells are noisy, neighbours that move alike decide."""
    query, key, place = scene(0, 24, noise=1.0)
    errors = [
        (MATCHERS.create(n)(query, key).apply(cells(24, 24, key)) - place).norm(dim=1).median()
        for n in ("correlation", "cost-aggregation")
    ]
    assert errors[1] < errors[0]


def test_grids_too_large_for_a_matrix_are_refused() -> None:
    huge = torch.ones(1, 1, 128, 64)
    with pytest.raises(ValueError, match=r"grids of \(128, 64\) and .* make a matrix of 67,108,864 entries"):
        CostAggregation()(huge, huge)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DualSoftmax(temperature=0.0), "temperature must be positive, got 0.0"),
        (lambda: CoCosNet(temperature=-1.0), "temperature must be positive, got -1.0"),
        (lambda: CoCosNet(patch=2), "patch must be odd and positive, got 2"),
        (lambda: CoCosNet(losers=2.0), "losers must be between 0 and 1, got 2.0"),
        (lambda: TopK(count=0), "count must be a whole number from 1 to 4096, got 0"),
        (lambda: Local(radius=-1), "radius must be a whole number from 0 to 64, got -1"),
        (lambda: Local(coarse=0), "coarse must be a whole number from 1 to 64, got 0"),
        (lambda: PatchMatch(iterations=0), "iterations must be a whole number from 1 to 64, got 0"),
        (lambda: CostAggregation(temperature=0.0), "temperature must be positive, got 0.0"),
        (lambda: CostAggregation(slack=-1), "slack must be a whole number from 0 to 16, got -1"),
    ],
)
def test_impossible_arguments_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
