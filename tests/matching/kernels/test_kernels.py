"""Kernels: the reference against scipy and finite differences, the others against the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from functorch.compile import make_boxed_func
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp as scipy_logsumexp
from scipy.special import softmax as scipy_softmax
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd

from midms.matching.kernels import (
    IMPLEMENTATIONS,
    NoImplementation,
    attend,
    logsumexp,
    reference,
    statistics,
    top_k,
)
from midms.matching.kernels.chunked import autograd as chunked_autograd
from midms.matching.kernels.chunked import slices as chunked_slices

NAMES = [name for name in IMPLEMENTATIONS if name != "triton"]
OTHERS = [name for name in NAMES if name != "reference"]


def operands(seed: int, b: int, n: int, m: int, d: int, c: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """q and k of unit length, v, col_bias."""
    generator = torch.Generator().manual_seed(seed)
    q, k, v, bias = (
        torch.randn(*s, generator=generator, dtype=torch.float64) for s in ((b, n, d), (b, m, d), (b, m, c), (b, m))
    )
    normalize = torch.nn.functional.normalize
    return [x.to(dtype).requires_grad_() for x in (normalize(q, dim=-1), normalize(k, dim=-1), v, bias)]


def outcome(backend: str, inputs: list[Tensor], scale: float, floor: float | None, biased: bool = True) -> list[Tensor]:
    """Values, logsumexp, and gradients of a fixed mixture of both."""
    q, k, v, bias = inputs
    out, mass = attend(q, k, v, bias if biased else None, scale, floor, backend)
    generator = torch.Generator().manual_seed(7)
    weights = (torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.dtype) for x in (out, mass))
    loss = sum((x * w).double().sum() for x, w in zip((out, mass), weights, strict=True))
    return [out, mass, *torch.autograd.grad(loss, inputs if biased else inputs[:3])]


@pytest.fixture
def tiny_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(chunked_slices.SLICE_ENTRIES, "cpu", 64)


@pytest.mark.parametrize("floor", [None, 0.0])
@pytest.mark.parametrize("backend", NAMES)
def test_agrees_with_scipy(backend: str, floor: float | None) -> None:
    inputs = operands(0, 2, 7, 5, 4, 3)
    q, k, v, bias = (x.detach().numpy() for x in inputs)
    products = q @ k.transpose(0, 2, 1)
    logits = 200 * (products if floor is None else products.clip(floor)) + bias[:, None]
    out, mass = attend(*inputs, 200.0, floor, backend)
    torch.testing.assert_close(out, torch.from_numpy(scipy_softmax(logits, -1) @ v))
    torch.testing.assert_close(mass, torch.from_numpy(scipy_logsumexp(logits, -1)))


@pytest.mark.parametrize("floor", [None, 0.0])
@pytest.mark.parametrize("backend", NAMES)
def test_gradients_are_finite_differences(backend: str, floor: float | None, tiny_slices: None) -> None:
    inputs = operands(1, 2, 9, 5, 4, 2)
    assert torch.autograd.gradcheck(lambda *x: attend(*x, 6.0, floor, backend), inputs)


@pytest.mark.parametrize("backend", OTHERS)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.tuples(*(st.integers(1, top) for top in (3, 40, 40, 9)), st.integers(0, 6)),
    scale=st.sampled_from([1.0, 20.0, 200.0]),
    floor=st.sampled_from([None, 0.0, 0.3]),
    excluded=st.sampled_from([None, 0.0, 0.3]),
    entries=st.sampled_from([1, 50, 300, 1 << 20]),
)
def test_agrees_with_reference(
    backend: str,
    seed: int,
    sizes: tuple[int, ...],
    scale: float,
    floor: float | None,
    excluded: float | None,
    entries: int,
) -> None:
    inputs = operands(seed, *sizes)
    if excluded is not None:
        out_of_it = torch.rand(inputs[3].shape, generator=torch.Generator().manual_seed(seed)) < excluded
        out_of_it[:, 0] = False
        inputs[3] = inputs[3].detach().masked_fill(out_of_it, -torch.inf).requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(chunked_slices.SLICE_ENTRIES, "cpu", entries)
        got = outcome(backend, inputs, scale, floor, biased=excluded is not None)
    wanted = outcome("reference", inputs, scale, floor, biased=excluded is not None)
    for value, right in zip(got, wanted, strict=True):
        torch.testing.assert_close(value, right, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("backend", NAMES)
def test_narrow_inputs_are_summed_in_float32(backend: str, dtype: torch.dtype, tiny_slices: None) -> None:
    inputs = operands(2, 2, 30, 70, 32, 4, dtype)
    exact = outcome("reference", [x.detach().double().requires_grad_() for x in inputs], 200.0, 0.0)
    got = outcome(backend, inputs, 200.0, 0.0)
    assert [x.dtype for x in got] == [dtype, torch.float32, dtype, dtype, dtype, dtype]
    # what is returned may be rounded once to its own precision; nothing before it
    for value, right in zip(got, exact, strict=True):
        allowed = max(torch.finfo(value.dtype).eps, 4e-5) * right.abs().max().item()
        torch.testing.assert_close(value.double(), right, rtol=0, atol=allowed)


@pytest.mark.parametrize("floor", [None, 0.0])
@pytest.mark.parametrize("backend", NAMES)
def test_equal_features_give_the_mean(backend: str, floor: float | None) -> None:
    _, _, v, _ = operands(3, 2, 6, 50, 8, 3)
    same = torch.full((2, 50, 8), 8**-0.5, dtype=torch.float64)
    out, mass = attend(same[:, :6], same, v, None, 200.0, floor, backend)
    torch.testing.assert_close(out, v.mean(1, keepdim=True).expand_as(out))
    torch.testing.assert_close(mass, torch.full_like(mass, 200.0).add(torch.tensor(50.0).double().log()))


@pytest.mark.parametrize("backend", NAMES)
def test_one_column_is_copied(backend: str) -> None:
    q, k, v, _ = operands(4, 1, 9, 1, 4, 3)
    out, _ = attend(q, k, v, None, 200.0, backend=backend)
    assert torch.equal(out, v.expand_as(out))


@pytest.mark.parametrize("backend", NAMES)
def test_a_bias_of_minus_infinity_removes_a_column(backend: str) -> None:
    q, k, v, bias = operands(5, 2, 6, 8, 4, 3)
    kept = [0, 2, 3, 6]
    masked = torch.full_like(bias, -torch.inf)
    masked[:, kept] = bias[:, kept].detach()
    whole = attend(q, k, v, masked, 20.0, 0.0, backend)
    parts = attend(q, k[:, kept], v[:, kept], bias[:, kept], 20.0, 0.0, backend)
    for value, right in zip(whole, parts, strict=True):
        torch.testing.assert_close(value, right)


@pytest.mark.parametrize("backend", NAMES)
def test_a_sample_without_columns_gives_zeros(backend: str) -> None:
    q, k, v, bias = operands(6, 2, 6, 8, 4, 3)
    masked = bias.detach().clone()
    masked[0] = -torch.inf
    inputs = [q, k, v, masked.requires_grad_()]
    out, mass = attend(*inputs, 20.0, None, backend)
    assert torch.all(out[0] == 0) and torch.all(mass[0] == -torch.inf)
    torch.testing.assert_close(out[1:], attend(q[1:], k[1:], v[1:], masked[1:], 20.0, None, backend)[0])
    gradients = torch.autograd.grad(out.sum() + mass[1].sum(), inputs)
    assert all(torch.all(g[0] == 0) and g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("backend", NAMES)
def test_logsumexp_is_the_second_result(backend: str, tiny_slices: None) -> None:
    q, k, v, bias = operands(7, 2, 30, 20, 4, 3)
    mass = logsumexp(q, k, bias, 20.0, 0.0, backend)
    torch.testing.assert_close(mass, attend(q, k, v, bias, 20.0, 0.0, backend)[1])
    coupling = attend(q, k, torch.eye(20).double().expand(2, -1, -1), bias, 20.0, 0.0, backend)[0]
    torch.testing.assert_close(torch.autograd.grad(mass.sum(), bias)[0], coupling.sum(1))


@pytest.mark.parametrize("backend", NAMES)
def test_autocast_changes_nothing(backend: str) -> None:
    inputs = operands(8, 1, 40, 30, 16, 3, torch.float32)
    plain = outcome(backend, inputs, 200.0, 0.0)
    with torch.autocast("cpu", torch.bfloat16):
        cast = outcome(backend, inputs, 200.0, 0.0)
    if backend == "reference":  # autograd itself runs its backward pass under autocast
        plain, cast = plain[:2], cast[:2]
    for value, right in zip(cast, plain, strict=True):
        assert torch.equal(value, right)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the implementations whose `attend` ran."""
    names: list[str] = []

    def spy(name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        def spied(*arguments: Any) -> Any:
            names.append(name)
            return run(*arguments)

        return spied

    for name, module in IMPLEMENTATIONS.items():
        monkeypatch.setattr(module, "attend", spy(name, module.attend))
    return names


def test_auto_takes_chunked_and_a_name_takes_its_own(taken: list[str]) -> None:
    inputs = operands(10, 1, 3, 3, 2, 1)
    for backend in ("auto", "chunked", "reference"):
        attend(*inputs, 1.0, backend=backend)
    assert taken == ["chunked", "chunked", "reference"]


def test_an_implementation_that_cannot_run_is_not_forced(taken: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = operands(11, 2, 3, 5, 2, 1)
    monkeypatch.setattr(reference, "DENSE_ENTRIES", 29)
    with pytest.raises(NoImplementation, match=r"^backend: 'reference' .*30 entries, more than 29.*'chunked'"):
        attend(*inputs, 1.0, backend="reference")
    attend(*inputs, 1.0)
    assert taken == ["chunked"]


def test_an_unknown_implementation_is_named() -> None:
    inputs = operands(12, 1, 2, 2, 2, 1)
    with pytest.raises(NoImplementation, match=r"^backend: expected one of auto, triton, .*, got 'fast'"):
        attend(*inputs, 1.0, backend="fast")


def test_errors_are_named() -> None:
    q, k, v, bias = operands(13, 2, 3, 4, 2, 1)
    for scale in (0.0, -1.0, torch.inf, torch.nan):
        with pytest.raises(ValueError, match=f"scale must be positive and finite, got {scale}"):
            attend(q, k, v, bias, scale)
    for floor in (torch.inf, -torch.inf, torch.nan):
        with pytest.raises(ValueError, match=f"floor must be finite or None, got {floor}"):
            attend(q, k, v, bias, 1.0, floor)
    with pytest.raises(ValueError, match=r"n, m > 0, got \[2, 3, 2\], \[2, 0, 2\], \[2, 0, 1\], \[2, 0\]"):
        attend(q, k[:, :0], v[:, :0], bias[:, :0], 1.0)
    with pytest.raises(ValueError, match=r"precision: expected one of auto, .*, got 'fp8'"):
        attend(q, k, v, bias, 1.0, precision="fp8")
    for stats, came in ((["peak", "mode"], "'mode'"), ("peak", "'p', 'e', 'a', 'k'")):
        with pytest.raises(ValueError, match=f"stats: expected a collection .* peak, argmax, entropy, got {came}$"):
            statistics(q, k, v, bias, 1.0, stats=stats)
    with pytest.raises(ValueError, match="count: expected 1 to 4, the number of columns, got 5"):
        top_k(q, k, 5)


def test_errors_in_shape_are_named(unchecked: None) -> None:
    q, k, v, bias = operands(13, 2, 3, 4, 2, 1)
    with pytest.raises(ValueError, match=r"col_bias \[b m\] with n, m > 0, got .*, \[2, 3\]"):
        attend(q, k, v, bias[:, :3], 1.0)


def test_chunked_refuses_second_derivatives() -> None:
    q, k, v, _ = operands(14, 1, 3, 3, 2, 1)
    (gradient,) = torch.autograd.grad(attend(q, k, v, None, 1.0)[0].square().sum(), q, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiable once"):
        gradient.sum().backward()


def test_torch_compile_takes_chunked_as_it_is(unchecked: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(chunked_slices.SLICE_ENTRIES, "cpu", 64)  # in many slices, of which the graph is to have none
    q, k, v, bias = (x.detach() for x in operands(15, 2, 40, 30, 4, 3))
    graphs: list[torch.fx.GraphModule] = []

    def mixture(q: Tensor, k: Tensor) -> Tensor:
        rows = statistics(q, k, v, bias, 5.0, 0.0, "chunked")
        return rows.values.square().sum() + rows.logsumexp.sum() + rows.entropy.sum() + rows.peak.sum()  # type: ignore[union-attr]

    def keep(graph: torch.fx.GraphModule, _: list[Tensor]) -> Any:
        graphs.append(graph)
        return make_boxed_func(graph.forward)

    leaves = [q.requires_grad_(), k.requires_grad_()]
    backend = aot_autograd(fw_compiler=keep, bw_compiler=keep)
    made, plain = torch.compile(mixture, fullgraph=True, backend=backend)(*leaves), mixture(*leaves)
    torch.testing.assert_close(made, plain)
    for one, two in zip(torch.autograd.grad(made, leaves), torch.autograd.grad(plain, leaves), strict=True):
        torch.testing.assert_close(one, two)
    assert len(graphs) == 2 and all(len(graph.graph.nodes) < 150 for graph in graphs)


def test_torch_compile_takes_another_scale_and_floor(unchecked: None) -> None:
    q, k, v, _ = (x.detach() for x in operands(17, 1, 9, 8, 4, 2))
    compiled = torch.compile(attend, fullgraph=True, backend="aot_eager")
    for scale, floor in ((20.0, 0.1), (10.0, 0.2), (5.0, 0.3)):
        torch.testing.assert_close(compiled(q, k, v, None, scale, floor), attend(q, k, v, None, scale, floor))


def test_chunked_keeps_the_rules_of_torch() -> None:
    q, k, v, bias = operands(16, 2, 7, 5, 4, 3)
    q, k, v = (x.mT.contiguous().detach().requires_grad_() for x in (q, k, v))
    u, row = torch.randn(2, 2, 7, dtype=q.dtype, requires_grad=True), torch.randn(2, 7, dtype=q.dtype)
    rules = ("test_schema", "test_autograd_registration", "test_faketensor")
    operator = chunked_autograd.attend
    torch.library.opcheck(operator, (q, k, v, u, row, bias, 5.0, 0.0, True, True), test_utils=rules)
    torch.library.opcheck(operator, (q, k, v, None, None, None, 5.0, None, False, False), test_utils=rules)
