"""What the kernels do beside `attend`: both directions, statistics, nearest, the cycle error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from scipy.special import logsumexp as scipy_logsumexp
from scipy.special import softmax as scipy_softmax
from scipy.stats import entropy as scipy_entropy
from torch import Tensor
from torch.nn.functional import normalize

from midms.matching.kernels import (
    IMPLEMENTATIONS,
    STATISTICS,
    Attended,
    attend_both,
    cycle,
    logsumexp_both,
    mutual_nearest,
    statistics,
    top_k,
)
from midms.matching.kernels.chunked import slices as chunked_slices
from midms.matching.matches.factored import FactoredMatch

NAMES = [name for name in IMPLEMENTATIONS if name != "triton"]
every_implementation = pytest.mark.parametrize("backend", NAMES)
every_other = pytest.mark.parametrize("backend", [name for name in NAMES if name != "reference"])


def operands(seed: int, b: int, n: int, m: int, d: int, c: int, e: int) -> list[Tensor]:
    """q and k of unit length, v, u, row_bias, col_bias."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((b, n, d), (b, m, d), (b, m, c), (b, n, e), (b, n), (b, m))
    q, k, *others = (torch.randn(*s, generator=generator, dtype=torch.float64) for s in shapes)
    return [x.requires_grad_() for x in (normalize(q, dim=-1), normalize(k, dim=-1), *others)]


def floating(sides: tuple[Attended, Attended]) -> list[Tensor]:
    """All that has gradients."""
    return [x for side in sides for x in side if x is not None and x.is_floating_point()]


def outcome(inputs: list[Tensor], *more: Any, **options: Any) -> list[Tensor]:
    """All results of both directions, then the gradients of a fixed mixture of them."""
    sides = attend_both(*inputs, *more, **options)
    generator = torch.Generator().manual_seed(7)
    loss = sum((x * torch.randn(x.shape, generator=generator, dtype=x.dtype)).sum() for x in floating(sides))
    assert isinstance(loss, Tensor)
    return [x for side in sides for x in side if x is not None] + list(torch.autograd.grad(loss, inputs))


@pytest.fixture
def tiny_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(chunked_slices.SLICE_ENTRIES, "cpu", 64)


@pytest.mark.parametrize("floor", [None, 0.0])
@every_implementation
def test_both_directions_agree_with_scipy(backend: str, floor: float | None, tiny_slices: None) -> None:
    inputs = operands(0, 2, 17, 11, 4, 3, 2)
    q, k, v, u, row_bias, col_bias = (x.detach().numpy() for x in inputs)
    products = q @ k.transpose(0, 2, 1)
    logits = 20 * (products if floor is None else products.clip(floor))
    rows, columns = attend_both(*inputs, 20.0, floor, backend, stats=STATISTICS)
    for side, seen, values in (
        (rows, logits + col_bias[:, None], v),
        (columns, logits.transpose(0, 2, 1) + row_bias[:, None], u),
    ):
        plan = scipy_softmax(seen, -1)
        wanted = (plan @ values, scipy_logsumexp(seen, -1), plan.max(-1), plan.argmax(-1), scipy_entropy(plan, axis=-1))
        for value, right in zip(side, wanted, strict=True):
            torch.testing.assert_close(value, torch.from_numpy(right))


@pytest.mark.parametrize("floor", [None, 0.0])
@every_implementation
def test_gradients_of_everything_are_finite_differences(backend: str, floor: float | None, tiny_slices: None) -> None:
    inputs = operands(1, 1, 12, 8, 3, 2, 1)
    assert torch.autograd.gradcheck(
        lambda *x: tuple(floating(attend_both(*x, 6.0, floor, backend, stats=STATISTICS))), inputs
    )


@every_other
@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.tuples(*(st.integers(1, top) for top in (2, 20, 20, 5)), st.integers(0, 4), st.integers(0, 4)),
    scale=st.sampled_from([1.0, 200.0]),
    floor=st.sampled_from([None, 0.0, 0.3]),
    excluded=st.sampled_from([0.0, 0.3]),
    stats=st.sets(st.sampled_from(STATISTICS)),
    entries=st.sampled_from([1, 50, 1 << 20]),
)
def test_agrees_with_reference(
    backend: str,
    seed: int,
    sizes: tuple[int, ...],
    scale: float,
    floor: float | None,
    excluded: float,
    stats: set[str],
    entries: int,
) -> None:
    inputs = operands(seed, *sizes)
    for at in (4, 5):
        out_of_it = torch.rand(inputs[at].shape, generator=torch.Generator().manual_seed(seed + at)) < excluded
        out_of_it[:, -1] = False
        inputs[at] = inputs[at].detach().masked_fill(out_of_it, -torch.inf).requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(chunked_slices.SLICE_ENTRIES, "cpu", entries)
        got = outcome(inputs, scale, floor, backend, stats=stats)
    for value, right in zip(got, outcome(inputs, scale, floor, "reference", stats=stats), strict=True):
        torch.testing.assert_close(value, right, rtol=1e-8, atol=1e-8)


@every_implementation
def test_one_direction_is_half_of_both(backend: str) -> None:
    q, k, v, u, row_bias, col_bias = operands(2, 2, 8, 6, 4, 3, 2)
    rows, columns = attend_both(q, k, v, u, row_bias, col_bias, 20.0, 0.1, backend, stats=STATISTICS)
    for side, alone in (
        (rows, statistics(q, k, v, col_bias, 20.0, 0.1, backend)),
        (columns, statistics(k, q, u, row_bias, 20.0, 0.1, backend)),
    ):
        for one, other in zip(side, alone, strict=True):
            torch.testing.assert_close(one, other)
    for mass, side in zip(logsumexp_both(q, k, row_bias, col_bias, 20.0, 0.1, backend), (rows, columns), strict=True):
        torch.testing.assert_close(mass, side.logsumexp)


@every_implementation
def test_where_nothing_takes_part_all_is_zero(backend: str) -> None:
    q, k, v, u, _, _ = operands(3, 2, 4, 5, 3, 2, 2)
    none = torch.full((2, 4), -torch.inf).double()
    none[1] = 0
    rows, columns = attend_both(q, k, v, u, none, None, 20.0, None, backend, stats=STATISTICS)
    assert all(x is not None and x.isfinite().all() for x in rows)
    values, mass, *rest = columns
    assert torch.all(values[0] == 0) and torch.all(mass[0] == -torch.inf) and all(torch.all(x[0] == 0) for x in rest)
    torch.testing.assert_close(columns.values[1], statistics(k, q, u, None, 20.0, backend=backend).values[1])


@every_implementation
@pytest.mark.parametrize("sizes", [(1, 30, 20), (2, 7, 50), (3, 1, 4), (1, 5, 1)])
def test_nearest_are_those_of_a_full_sort(backend: str, sizes: tuple[int, int, int], tiny_slices: None) -> None:
    q, k = (x.detach().float() for x in operands(4, *sizes, 8, 1, 1)[:2])
    products = (q @ k.mT).numpy()
    count = min(4, sizes[2])
    nearest = top_k(q, k, count, backend)
    assert np.array_equal(nearest.indices, np.argsort(-products, -1, kind="stable")[..., :count])
    np.testing.assert_allclose(nearest.scores, -np.sort(-products, -1)[..., :count], atol=1e-6)
    best, home = products.argmax(-1), products.argmax(1)
    mutual = np.take_along_axis(home, best, 1) == np.arange(sizes[1])
    pairs = mutual_nearest(q, k, backend)
    assert np.array_equal(pairs.indices, np.where(mutual, best, -1))
    np.testing.assert_allclose(pairs.scores, products.max(-1), atol=1e-6)


@every_other
def test_a_row_that_is_not_finite_changes_no_other(backend: str, tiny_slices: None) -> None:
    q, k = (x.detach().float() for x in operands(4, 1, 30, 20, 8, 1, 1)[:2])
    without = mutual_nearest(q[:, :29], k, backend).indices
    q[:, 29] = torch.nan
    with_it = mutual_nearest(q, k, backend).indices[:, :29]
    assert torch.equal(with_it, mutual_nearest(q, k, backend).indices[:, :29])
    assert torch.all((with_it == without) | (with_it == -1))


@every_implementation
def test_an_empty_batch_gives_an_empty_batch(backend: str) -> None:
    q, k, v, u, row, column = (x.detach() for x in operands(4, 0, 3, 5, 8, 2, 1))
    rows, columns = attend_both(q, k, v, u, row, column, 20.0, backend=backend, stats=STATISTICS)
    assert rows.values.shape == (0, 3, 2) and columns.values.shape == (0, 5, 1) and rows.logsumexp.shape == (0, 3)
    assert top_k(q, k, 2, backend).indices.shape == (0, 3, 2) and mutual_nearest(q, k, backend).indices.shape == (0, 3)


@every_implementation
def test_the_first_of_equals_is_the_best(backend: str, tiny_slices: None) -> None:
    same = torch.full((1, 40, 4), 0.5)
    rows, columns = attend_both(same, same[:, :30], None, None, None, None, 20.0, backend=backend, stats=STATISTICS)
    for side, count in ((rows, 30), (columns, 40)):
        assert side.argmax is not None and side.peak is not None and side.entropy is not None
        assert torch.all(side.argmax == 0)
        torch.testing.assert_close(side.peak, torch.full_like(side.peak, 1 / count))
        torch.testing.assert_close(side.entropy, torch.full_like(side.entropy, np.log(count)))
    assert mutual_nearest(same, same, backend).indices[0].tolist() == [0] + [-1] * 39


@every_implementation
def test_cycle_reads_the_backward_map_where_the_forward_arrives(backend: str) -> None:
    generator = torch.Generator().manual_seed(5)
    forward = 8 * torch.rand(2, 2, 5, 9, generator=generator, dtype=torch.float64) - 1
    backward = 9 * torch.rand(2, 2, 7, 6, generator=generator, dtype=torch.float64)
    error, mask = cycle(forward, backward, 0.3, backend)
    lost = forward.clone()
    lost[0, 1, 0, 0] = torch.nan
    assert cycle(lost, 0 * backward, 0.3, backend)[1][0, 0, 0].tolist() == [0.0, *[1.0] * 2, *[0.0] * 6], (
        "NaN is nowhere"
    )
    for b in range(2):
        x, y = forward[b].numpy()
        home = np.stack([map_coordinates(side, [y, x], order=1, mode="nearest") for side in backward[b].numpy()])
        wanted = np.linalg.norm(home - np.mgrid[:5, :9][::-1], axis=0) / 9
        np.testing.assert_allclose(error[b, 0], wanted)
        assert np.array_equal(mask[b, 0], wanted < 0.3) and 0 < mask.mean() < 1


@every_implementation
def test_a_match_has_them_on_its_grid(backend: str) -> None:
    b, (h, w), (rows, columns) = 2, (3, 4), (5, 2)
    q, k, v, u, row_bias, col_bias = (x.detach() for x in operands(8, b, h * w, rows * columns, 6, 3, 2))

    def here(x: Tensor) -> Tensor:
        return x.mT.unflatten(-1, (h, w))

    def there(x: Tensor) -> Tensor:
        return x.mT.unflatten(-1, (rows, columns))

    biases = row_bias.unflatten(-1, (h, w)), col_bias.unflatten(-1, (rows, columns))
    match = FactoredMatch(here(q), there(k), 20.0, None, *biases, backend=backend)
    plan = (20 * q @ k.mT + col_bias[:, None]).softmax(-1)
    torch.testing.assert_close(match.peak(), here(plan.amax(-1)[..., None]))
    assert torch.equal(match.argmax(), here(plan.argmax(-1)[..., None]))
    torch.testing.assert_close(match.entropy(), here(-(plan * plan.log()).sum(-1)[..., None]))
    torch.testing.assert_close(match.similarity(), here((plan * (q @ k.mT)).sum(-1)[..., None]))
    scores, indices = (q @ k.mT).sort(-1, descending=True)
    torch.testing.assert_close(match.top(3).scores, here(scores[..., :3]))
    assert torch.equal(match.top(3).indices, here(indices[..., :3]))
    warped, back = match.both(there(v), here(u))
    torch.testing.assert_close(warped, match.apply(there(v)))
    torch.testing.assert_close(back, match.transpose().apply(here(u)))
    with pytest.raises(ValueError, match=r"values: expected a batch of 1 or 2 on a grid of \(3, 4\)"):
        match.both(there(v), there(u[:, :10]))
    assert match.transpose().transpose() == match


@pytest.mark.parametrize("worst", [1e30, torch.inf, torch.nan])
@every_implementation
def test_whatever_an_absent_column_holds_is_not_read(backend: str, worst: float, tiny_slices: None) -> None:
    q, k, v, u, row_bias, col_bias = (x.detach().float() for x in operands(11, 2, 9, 7, 4, 3, 2))
    row_bias[:, 2] = col_bias[:, 3] = -torch.inf
    there, here = torch.arange(7) != 3, torch.arange(9) != 2
    spoilt, back = v.clone(), u.clone()
    spoilt[:, 3], back[:, 2] = worst, worst
    inputs = [x.requires_grad_() for x in (q, k, spoilt, back, row_bias, col_bias)]
    rows, columns = attend_both(*inputs, 20.0, 0.0, backend, stats=STATISTICS)
    alone = statistics(q, k[:, there], v[:, there], col_bias[:, there], 20.0, 0.0, backend)
    others = statistics(k, q[:, here], u[:, here], row_bias[:, here], 20.0, 0.0, backend)
    for side, wanted in ((rows, alone), (columns, others)):
        for name in ("values", "logsumexp", "peak", "entropy"):
            torch.testing.assert_close(getattr(side, name), getattr(wanted, name))
    gradients = torch.autograd.grad(rows.values.sum() + columns.values.sum() + rows.logsumexp.sum(), inputs)
    assert all(x.isfinite().all() for x in gradients)
    assert not gradients[2][:, 3].any() and not gradients[3][:, 2].any()
    assert not gradients[4][:, 2].any() and not gradients[5][:, 3].any()
