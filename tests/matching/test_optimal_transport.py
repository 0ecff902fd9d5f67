"""Optimal transport against POT and geomloss: plans, marginals, masses, gradients."""

from __future__ import annotations

import geomloss
import numpy as np
import ot
import pytest
import torch
from torch import Tensor

from midms.core.protocols import Unanswered
from midms.matching.matchers.optimal_transport import OptimalTransport, unbalanced
from midms.matching.matches.factored import FactoredMatch, tokens
from midms.testing import features


def plan(match: FactoredMatch) -> Tensor:
    assert match.row_bias is not None and match.col_bias is not None
    logits = tokens(match.query) @ tokens(match.key).mT * match.scale
    return (logits + match.row_bias.flatten(1)[:, :, None] + match.col_bias.flatten(1)[:, None]).exp()


def weights(marginals: str, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Marginals in the released UNITE's words: softmax of the similarity to the other picture's mean feature."""
    q, k = tokens(query), tokens(key)
    if marginals == "uniform":
        return torch.full(q.shape[:2], 1 / q.shape[1]).double(), torch.full(k.shape[:2], 1 / k.shape[1]).double()
    return (q @ k.mean(1)[..., None])[..., 0].softmax(1), (k @ q.mean(1)[..., None])[..., 0].softmax(1)


@pytest.mark.parametrize("marginals", ["uniform", "features"])
@pytest.mark.parametrize(("reach", "annealing"), [(None, None), (None, 0.7), (0.3, None), (0.05, 0.7)])
def test_plans_are_pots(marginals: str, reach: float | None, annealing: float | None) -> None:
    query, key = features(0), features(1, h=5, w=4)
    match = OptimalTransport(0.2, 100, reach, marginals, annealing)(query, key)
    ours, cost = plan(match), 1 - tokens(query) @ tokens(key).mT
    for mine, c, a, b in zip(
        ours.numpy(), cost.numpy(), *(x.numpy() for x in weights(marginals, query, key)), strict=True
    ):
        if reach is None:
            theirs = ot.sinkhorn(a, b, c, 0.2, "sinkhorn_log", numItermax=2000, stopThr=1e-14, warn=False)
        else:
            theirs = ot.unbalanced.sinkhorn_unbalanced(a, b, c, 0.2, reach, numItermax=5000, stopThr=1e-14)
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(match.log_row_sums().flatten(1).exp(), ours.sum(2))
    torch.testing.assert_close(match.transpose().log_row_sums().flatten(1).exp(), ours.sum(1))
    if reach is not None:
        a, b = weights(marginals, query, key)
        torch.testing.assert_close(match.mass().flatten(1), ours.sum(2) / a)
        torch.testing.assert_close(match.transpose().mass().flatten(1), ours.sum(1) / b)


@pytest.mark.parametrize("reach", [None, 0.3])
def test_plans_and_gradients_are_geomlosss(reach: float | None) -> None:
    """Theirs ends with one sweep at the last epsilon, so it is near the optimum; ours is there."""
    query, key = features(0).requires_grad_(), features(1, h=5, w=4)
    match = OptimalTransport(0.2, 100, reach)(query, key)
    a, b = weights("uniform", query, key)
    settings = {"p": 1, "blur": 0.2, "reach": reach, "debias": False, "scaling": 0.99, "backend": "tensorized"}

    def cost(x: Tensor, y: Tensor) -> Tensor:
        return 1 - x @ y.mT

    q = tokens(query).contiguous()
    f, g = geomloss.SamplesLoss("sinkhorn", cost=cost, potentials=True, **settings)(a, q, b, tokens(key).contiguous())
    theirs = ((f[:, :, None] + g[:, None] - cost(q, tokens(key))) / 0.2).exp() * a[:, :, None] * b[:, None]
    torch.testing.assert_close(plan(match), theirs, rtol=1e-2, atol=1e-8)

    assert match.row_bias is not None and match.col_bias is not None
    ours_f = 0.2 * (match.row_bias.flatten(1) - a.log()) + 1
    ours_g = 0.2 * (match.col_bias.flatten(1) - b.log())
    if reach is None:
        value = (a * ours_f).sum(1) + (b * ours_g).sum(1)
    else:  # the dual of Chizat et al. 2018, with the constant of KL(P | a b^T)
        value = (a * reach * (1 - (-ours_f / reach).exp())).sum(1) + (b * reach * (1 - (-ours_g / reach).exp())).sum(1)
        value = value + 0.2 * (1 - plan(match).sum((1, 2)))
    their_value = geomloss.SamplesLoss("sinkhorn", cost=cost, **settings)(a, q, b, tokens(key).contiguous())
    torch.testing.assert_close(value, their_value, rtol=1e-3, atol=0)
    (our_gradient,) = torch.autograd.grad(value.sum(), query)
    if reach is None:
        (their_gradient,) = torch.autograd.grad(their_value.sum(), query)
    else:  # geomloss scales it for its divergence; by the envelope theorem it is that of the cost under their plan
        their_gradient = -(theirs.detach() @ tokens(key)).mT.unflatten(2, match.grid)
    on_sphere = their_gradient - (their_gradient * query).sum(1, keepdim=True) * query  # as ours, of unit features
    torch.testing.assert_close(our_gradient, on_sphere, rtol=0, atol=0.02 * on_sphere.abs().max().item())


def test_gradients_of_the_plan_are_pots() -> None:
    query, key = features(0, batch=1).requires_grad_(), features(1, batch=1, h=5, w=4).requires_grad_()
    wanted = features(2, 1, 1, 48, 20)[:, 0]
    ours = torch.autograd.grad((plan(OptimalTransport(0.1, 20)(query, key)) * wanted).sum(), (query, key))
    a, b = (x[0] for x in weights("uniform", query, key))
    normalized = [tokens(x / x.norm(dim=1, keepdim=True))[0] for x in (query, key)]
    cost = 1 - normalized[0] @ normalized[1].mT
    theirs = ot.sinkhorn(a, b, cost, 0.1, "sinkhorn_log", numItermax=20, stopThr=0, warn=False)
    for mine, other in zip(ours, torch.autograd.grad((theirs * wanted[0]).sum(), (query, key)), strict=True):
        torch.testing.assert_close(mine, other)


def test_annealing_needs_fewer_sweeps() -> None:
    query, key = features(0, 1, h=4, w=4), features(1, 1, h=4, w=4)
    cold, annealed = OptimalTransport(0.01, 8), OptimalTransport(0.01, 8, annealing=0.6)
    exact = plan(OptimalTransport(0.01, 300, annealing=0.6)(query, key))
    misses = [(plan(matcher(query, key)) - exact).abs().sum() for matcher in (cold, annealed)]
    assert misses[1] < 0.5 * misses[0]


def test_what_has_no_counterpart_is_kept() -> None:
    query, key = features(0), features(0)
    key[..., 4:] = features(1)[..., 4:]
    share = unbalanced()(query, key).mass()
    assert torch.all(share[..., :4] > 0.75) and share[..., 4:].mean() < 0.35


def test_only_unbalanced_transport_tells_masses() -> None:
    with pytest.raises(Unanswered, match="only unbalanced transport lets a cell keep some"):
        OptimalTransport()(features(0), features(1)).mass()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reach": 0.0}, "reach must be positive, got 0.0"),
        ({"marginals": "even"}, "marginals must be 'uniform' or 'features', got 'even'"),
        ({"annealing": 1.0}, "annealing must be a number above 0 to 0.99, got 1.0"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OptimalTransport(**arguments)  # type: ignore[arg-type]
