"""Laws of every registered matcher, and what each promises beside."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs_that_compose import PLACED

from midms import create
from midms.core.normalize import l2_normalize
from midms.core.types import cells
from midms.matching import MATCHERS
from midms.matching.kernels import NoImplementation
from midms.matching.matchers.correlation import Correlation
from midms.matching.matchers.optimal_transport import OptimalTransport
from midms.matching.matches.factored import FactoredMatch, tokens
from midms.testing import MatcherLaws, features, rows

CHOOSY = {"nearest", "mutual-nearest"} | PLACED
"""Matchers that leave most cells out, so that a rounding can make them choose others."""


SHUFFLED = dict.fromkeys(
    ("test_permuting_the_exemplar_changes_nothing", "test_a_permuted_picture_is_found_again"),
    "it depends on where cells lie",
)
COSINE = "test_similarity_is_the_expected_cosine"
UNCLAIMED = dict.fromkeys(PLACED, SHUFFLED) | {
    "cocosnet": SHUFFLED | {COSINE: "its features are patches"},
    "attention": {"test_a_permuted_picture_is_found_again": "of unit vectors it tells little apart"},
    "semantic": {COSINE: "its features are all but the last"},
}

for name in MATCHERS:
    globals()[f"Test_{name}"] = type(
        f"Test_{name}",
        (MatcherLaws,),
        {
            "make": functools.partial(MATCHERS.create, name),
            "exceptions": UNCLAIMED.get(name, {}),
            "steady": 0.9 if name in CHOOSY else 0.999,
        },
    )


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    grids=st.tuples(*(st.integers(1, 5) for _ in range(4))),
    floor=st.sampled_from([None, 0.0]),
    biases=st.tuples(st.booleans(), st.booleans()),
)
def test_factored_match_is_its_formula(
    seed: int, grids: tuple[int, ...], floor: float | None, biases: tuple[bool, bool]
) -> None:
    h, w, height, width = grids
    generator = torch.Generator().manual_seed(seed)
    query, key = features(seed, h=h, w=w), features(seed + 1, h=height, w=width)
    row, column = (
        torch.randn(2, *grid, generator=generator, dtype=torch.float64) for grid in ((h, w), (height, width))
    )
    row, column = row if biases[0] else None, column if biases[1] else None
    match = FactoredMatch(query, key, 10.0, floor, row, column)
    products = tokens(query) @ tokens(key).mT
    log = 10 * (products if floor is None else products.clamp(min=floor))
    log = (
        log + (0 if row is None else row.flatten(1)[:, :, None]) + (0 if column is None else column.flatten(1)[:, None])
    )
    torch.testing.assert_close(rows(match), log.softmax(-1))
    torch.testing.assert_close(rows(match.transpose()), log.mT.softmax(-1))
    torch.testing.assert_close(match.log_row_sums().flatten(1), log.exp().sum(-1).log())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(1, 6), m=st.integers(1, 6), iterations=st.integers(1, 20))
def test_optimal_transport_is_pots(seed: int, n: int, m: int, iterations: int) -> None:
    query, key = features(seed, h=n, w=3), features(seed + 1, h=2, w=m)
    match = OptimalTransport(epsilon=0.1, iterations=iterations)(query, key)
    products = tokens(query) @ tokens(key).mT
    plan = (10 * products + match.row_bias.flatten(1)[:, :, None] + match.col_bias.flatten(1)[:, None]).exp()
    for ours, cosine in zip(plan.numpy(), products.numpy(), strict=True):
        marginals = (np.full(len(side), 1 / len(side)) for side in (cosine, cosine.T))
        theirs = ot.sinkhorn(*marginals, 1 - cosine, 0.1, "sinkhorn_log", numItermax=iterations, stopThr=0, warn=False)
        np.testing.assert_allclose(ours, theirs, rtol=1e-7)


@pytest.mark.parametrize("floor", [None, 0.0, 0.2])
def test_correlation_is_its_formula(floor: float | None) -> None:
    query, key = features(0), features(1, h=5, w=4)
    products = tokens(query) @ tokens(key).mT
    floored = products if floor is None else products.clamp(min=floor)
    torch.testing.assert_close(
        rows(Correlation(temperature=0.5, floor=floor)(2 * query, key)), (floored / 0.5).softmax(-1)
    )


def test_optimal_transport_has_its_marginals() -> None:
    match = OptimalTransport(epsilon=0.1, iterations=200)(features(0), features(1, h=5, w=4))
    for one, size in ((match, 48), (match.transpose(), 20)):
        mass = one.log_row_sums().exp()
        torch.testing.assert_close(mass, torch.full_like(mass, 1 / size), rtol=1e-6, atol=0)


def test_optimal_transport_uses_what_correlation_neglects() -> None:
    query, key = features(0), features(1)
    query[:, :, :3] = key[:, :, :1, :1]  # half of the condition looks like one cell of the exemplar
    greedy = rows(Correlation(temperature=0.05)(query, key)).sum(1)[:, 0]
    fair = rows(OptimalTransport(epsilon=0.05, iterations=200)(query, key)).sum(1)[:, 0]
    assert torch.all(greedy > 20) and torch.all((fair - 1).abs() < 0.1)


@pytest.mark.parametrize("matcher", [Correlation, OptimalTransport])
def test_gradients_do_not_depend_on_the_implementation(matcher: type) -> None:
    gradients = []
    for backend in ("chunked", "reference"):
        inputs = [features(0).requires_grad_(), features(1, h=5, w=4).requires_grad_()]
        match = matcher(backend=backend)(*inputs)
        warped = match.apply(features(2, channels=3, h=5, w=4))
        loss = warped.square().sum() + match.transpose().log_row_sums().sin().sum()
        gradients.append(torch.autograd.grad(loss, inputs))
    for value, reference in zip(*gradients, strict=True):
        torch.testing.assert_close(value, reference)


def test_a_batch_of_one_serves_all() -> None:
    match = Correlation()(features(0), features(1, h=5, w=4))
    where = cells(5, 4, features(0))
    assert torch.equal(match.apply(where), match.apply(where.expand(2, -1, -1, -1)))


def test_values_on_another_grid_are_refused() -> None:
    match = Correlation()(features(0), features(1, h=5, w=4))
    for shape in ((2, 3, 6, 8), (3, 3, 5, 4)):
        with pytest.raises(ValueError, match=r"values: expected a batch of 1 or 2 on a grid of \(5, 4\), got shape \("):
            match.apply(torch.zeros(shape, dtype=torch.float64))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Correlation(temperature=0.0), "temperature must be positive, got 0.0"),
        (
            lambda: Correlation(temperature=float("nan")),
            "temperature must be a finite number above 0 to 1e\\+06, got nan",
        ),
        (lambda: OptimalTransport(epsilon=-1.0), r"epsilon must be positive, got -1.0"),
        (lambda: OptimalTransport(iterations=0), "iterations must be a whole number from 1 to 1000, got 0"),
    ],
)
def test_impossible_arguments_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_unit_has_length_one_or_zero() -> None:
    x = 3e4 * features(0, channels=64).sign().half()  # of a length that overflows half precision
    x[0, :, 0, 0], x[0, 5, 0, 1], x[0, 5, 0, 2] = 0, torch.nan, torch.inf
    length = l2_normalize(x).float().norm(dim=1)
    assert torch.all(length[0, 0, :3] == 0)
    length[0, 0, :3] = 1
    torch.testing.assert_close(length, torch.ones_like(length), rtol=0, atol=1e-3)


def test_gradients_of_unit_are_those_of_the_quotient() -> None:
    x = features(0, channels=7).double().requires_grad_()
    torch.autograd.gradcheck(l2_normalize, x, fast_mode=False)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_cells_that_say_nothing_get_no_gradient_and_others_the_quotients(dtype: torch.dtype) -> None:
    x, grad = features(0, channels=16).to(dtype), features(1, channels=16).to(dtype)
    x[0, :, 0, 0], x[0, 5, 0, 1], x[0, 5, 0, 2] = 0, torch.nan, torch.inf
    (found,) = torch.autograd.grad(l2_normalize(x.requires_grad_()), x, grad)
    assert found.dtype == dtype
    assert torch.all(found[0, :, 0, :3] == 0)
    wide = x.detach().double().requires_grad_()
    (wanted,) = torch.autograd.grad(wide / wide.norm(dim=1, keepdim=True), wide, grad.double())
    found, wanted = found[..., 1:, :].double(), wanted[..., 1:, :]
    torch.testing.assert_close(found, wanted, rtol=0, atol=4 * torch.finfo(dtype).eps * wanted.abs().max().item())


def test_what_cannot_run_names_its_argument_and_what_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    features = torch.rand(2, 1, 4, 3, 3)
    matchers = [create("matcher", name, backend="triton") for name in ("correlation", "nearest", "optimal-transport")]
    for matcher in matchers:
        with pytest.raises(NoImplementation, match=r"^backend: 'triton' cannot run .*expected 'auto' or 'chunked' or"):
            matcher(*features).apply(features[1])
    with pytest.raises(NoImplementation, match=r"^precision: 'fp16' can be computed by no backend here \(triton: "):
        create("matcher", "correlation", precision="fp16")(*features).apply(features[1])
