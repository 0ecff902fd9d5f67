"""The Triton kernels against the float64 reference: interpreted on a CPU, compiled where there is a GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from triton_cases import DEVICE, ROUNDING, allowed, every_precision, operands

from midms.matching.kernels import STATISTICS, NoImplementation, attend, attend_both, statistics
from midms.matching.kernels.dispatch import unsupported

pytestmark = pytest.mark.usefixtures("interpreted")


def outcome(inputs: list[Tensor | None], **more: Any) -> tuple[list[Tensor], list[Tensor]]:
    """All results, and the gradients of a fixed mixture of them."""
    leaves = [None if x is None else x.detach().clone().requires_grad_() for x in inputs]
    results = [x for side in attend_both(*leaves, **more) for x in side if x is not None]
    generator = torch.Generator().manual_seed(7)
    loss = torch.zeros((), dtype=torch.float64, device=DEVICE if results[0].is_cuda else "cpu")
    for x in results:
        weights = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.device)
        if x.is_floating_point():
            loss = loss + (x.double() * weights).sum()
    wanted = [x for x in leaves if x is not None]
    return results, list(torch.autograd.grad(loss, wanted))


def agree(
    inputs: list[Tensor | None],
    precision: str,
    scale: float,
    floor: float | None,
    stats: Any = (),
    backend: str = "triton",
) -> None:
    """Results and gradients are the float64 reference's."""
    exact = outcome(inputs, scale=scale, floor=floor, backend="reference", stats=stats)
    narrow = [None if x is None else x.float().to(DEVICE) for x in inputs]
    got = outcome(narrow, scale=scale, floor=floor, backend=backend, precision=precision, stats=stats)
    for ours, theirs in zip([*got[0], *got[1]], [*exact[0], *exact[1]], strict=True):
        assert ours.shape == theirs.shape
        if theirs.is_floating_point() and theirs.numel():
            off = (ours.double().cpu() - theirs).abs().max().item()
            assert off <= allowed(precision, scale) * theirs.abs().max().clamp(min=1e-3).item()
        elif not theirs.is_floating_point():
            assert torch.equal(ours.cpu(), theirs) or precision in ("fp16", "bf16", "fp16x2k")


@every_precision
@pytest.mark.parametrize("stats", [pytest.param((), marks=pytest.mark.gpu), STATISTICS])
def test_both_directions(precision: str, stats: tuple[str, ...]) -> None:
    agree(list(operands(0, 2, 37, 50, 24, 5, 3)), precision, 50.0, 0.0, stats)


@pytest.mark.parametrize("floor", [None, 0.3])
@pytest.mark.parametrize("biased", [False, True])
def test_floors_and_biases(floor: float | None, biased: bool) -> None:
    inputs: list[Tensor | None] = list(operands(1, 1, 40, 21, 16, 2, 1))
    if not biased:
        inputs[4:] = [None, None]
    agree(inputs, "fp16x3", 20.0, floor)


@pytest.mark.parametrize("floor", [0.0, 0.25])
@pytest.mark.parametrize(("backend", "precision"), [("triton", "fp16x3"), ("chunked", "ieee")])
def test_a_product_that_is_the_floor_has_its_gradient(backend: str, precision: str, floor: float) -> None:
    q, k, *others = operands(22, 1, 9, 12, 16, 3, 2)
    q[:, :4], k[:, :, 0] = 0, 0.5
    q[:, :4, 0] = 2 * floor
    agree([q, k, *others], precision, 20.0, floor, backend=backend)


@pytest.mark.parametrize(
    "sizes",
    [
        (1, 1, 1, 1, 1, 1),
        (3, 1, 70, 16, 3, 0),
        (1, 130, 2, 17, 0, 4),
        (2, 5, 33, 300, 17, 1),
        (1, 34, 18, 8, 160, 2),
        (1, 18, 20, 8, 300, 90),
    ],
)
def test_sizes(sizes: tuple[int, ...]) -> None:
    agree(list(operands(2, *sizes)), "fp16x3", 20.0, 0.0)


@pytest.mark.gpu
def test_many_programs_share_the_columns() -> None:
    agree(list(operands(3, 1, 3, 300, 16, 2, 2)), "ieee", 50.0, None, STATISTICS)


@pytest.mark.parametrize("precision", ["fp16x3", "fp16"])
def test_equal_features_give_the_mean(precision: str) -> None:
    _, _, v, *_ = operands(4, 1, 6, 50, 8, 3, 0)
    same = torch.full((1, 50, 8), 8**-0.5, device=DEVICE)
    warped = statistics(same[:, :6], same, v.float().to(DEVICE), None, 200.0, 0.0, "triton", precision)
    mean = v.mean(1, keepdim=True).expand_as(warped.values)
    torch.testing.assert_close(warped.values.double().cpu(), mean, rtol=0, atol=2e-3 if precision == "fp16" else 2e-6)
    flat = torch.full((1, 6), 50.0)
    torch.testing.assert_close(warped.entropy.cpu(), flat.log(), rtol=1e-3, atol=0)
    torch.testing.assert_close(warped.peak.cpu(), 1 / flat, rtol=1e-3, atol=0)
    assert torch.all(warped.argmax == 0)


@every_precision
def test_one_column_that_wins_is_copied(precision: str) -> None:
    k, v = torch.eye(40, device=DEVICE)[None], torch.randn(1, 40, 3, device=DEVICE)
    order = torch.randperm(40)
    warped = statistics(k[:, order], k, v, None, 200.0, 0.0, "triton", precision)
    rounding = max(ROUNDING[precision], 2**-22)
    torch.testing.assert_close(warped.values, v[:, order], rtol=2 * rounding, atol=2 * rounding)
    assert torch.equal(warped.argmax[0].cpu(), order) and torch.all(warped.entropy.abs() < 1e-4)


def test_columns_at_minus_infinity_take_no_part() -> None:
    q, k, v, _, _, bias = (x.float().to(DEVICE) for x in operands(5, 2, 20, 45, 16, 3, 0))
    masked = torch.full_like(bias, -torch.inf)
    kept = [2, 3, 40]
    masked[:, kept] = bias[:, kept]
    whole = attend(q, k, v, masked, 20.0, 0.0, "triton", "ieee")
    parts = attend(q, k[:, kept], v[:, kept], bias[:, kept], 20.0, 0.0, "triton", "ieee")
    for value, reference in zip(whole, parts, strict=True):
        torch.testing.assert_close(value, reference, rtol=1e-5, atol=1e-5)
    masked[0] = -torch.inf
    out, mass = attend(q, k, v, masked.requires_grad_(), 20.0, 0.0, "triton", "ieee")
    assert torch.all(out[0] == 0) and torch.all(mass[0] == -torch.inf)
    assert torch.autograd.grad(out.sum(), masked)[0].isfinite().all()


def test_values_and_gradients_of_any_magnitude() -> None:
    q, k, v, _, _, _ = (x.float().to(DEVICE) for x in operands(6, 2, 20, 30, 16, 4, 0))
    size = torch.tensor([1e-12, 1.0, 1e4, 1e12], device=DEVICE)
    plain = attend(q, k, v, None, 20.0, 0.0, "triton", "fp16")[0]
    torch.testing.assert_close(
        attend(q, k, v * size, None, 20.0, 0.0, "triton", "fp16")[0] / size, plain, rtol=2e-3, atol=2e-3
    )
    leaf = q.clone().requires_grad_()
    loss = attend(leaf, k, v, None, 20.0, 0.0, "triton", "fp16")[0].square().sum()
    (small,), (large,) = (torch.autograd.grad(loss * by, leaf, retain_graph=True) for by in (2.0**-40, 2.0**40))
    assert torch.equal(small * 2.0**40, large * 2.0**-40) and small.abs().max() > 0


@pytest.mark.gpu
def test_the_same_twice() -> None:
    inputs = [x.float().to(DEVICE) for x in operands(7, 1, 40, 90, 16, 3, 3)]
    more = {"scale": 50.0, "floor": 0.0, "backend": "triton", "precision": "fp16"}
    first, second = outcome(inputs, **more), outcome(inputs, **more)
    for which in (0, 1):
        assert all(torch.equal(one, two) for one, two in zip(first[which], second[which], strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_inputs_come_back_in_their_own_precision(dtype: torch.dtype) -> None:
    q, k, v, _, _, bias = (x.to(dtype).to(DEVICE).requires_grad_() for x in operands(8, 1, 20, 30, 16, 3, 0))
    out, mass = attend(q, k, v, bias, 20.0, None, "triton")
    exact = attend(*(x.double().cpu() for x in (q, k, v, bias)), 20.0, None, "reference")[0]
    assert (out.dtype, mass.dtype) == (dtype, torch.float32)
    torch.testing.assert_close(out.double().cpu(), exact, rtol=0, atol=2e-2 if dtype == torch.bfloat16 else 5e-3)
    assert [g.dtype for g in torch.autograd.grad(out.float().sum(), (q, k, v, bias))] == [dtype] * 4


def test_bf16_warns() -> None:
    q, k, v, *_ = (x.float().to(DEVICE) for x in operands(9, 1, 20, 30, 16, 3, 0))
    with pytest.warns(UserWarning, match="bf16 keeps 8 bits"):
        out, _ = attend(q, k, v, None, 20.0, 0.0, "triton", "bf16")
    torch.testing.assert_close(out, attend(q, k, v, None, 20.0, 0.0, "reference")[0], rtol=0, atol=0.1)


def test_torch_compile_and_autocast_pass_through(unchecked: None) -> None:
    q, k, v, u, row, column = (x.float().to(DEVICE) for x in operands(10, 1, 20, 30, 16, 3, 2))

    def mixture(q: Tensor, k: Tensor) -> Tensor:
        rows, columns = attend_both(q, k, v, u, row, column, 20.0, 0.0, "triton", "ieee")
        return rows.values.sum() + columns.values.square().sum() + rows.logsumexp.mean()

    leaves = [q.requires_grad_(), k.requires_grad_()]
    plain = mixture(*leaves)
    compiled = torch.compile(mixture, fullgraph=True, backend="aot_eager")(*leaves)
    with torch.autocast(DEVICE, torch.bfloat16):
        cast = mixture(*leaves)
    for other in (compiled, cast):
        torch.testing.assert_close(other, plain)
        for one, two in zip(
            torch.autograd.grad(other, leaves), torch.autograd.grad(plain, leaves, retain_graph=True), strict=True
        ):
            torch.testing.assert_close(one, two)


@pytest.mark.parametrize("backend", ["triton", "chunked"])
def test_a_checkpoint_makes_a_coupling_again(unchecked: None, backend: str) -> None:
    q, k, v, *_ = (x.float().to(DEVICE).detach().requires_grad_() for x in operands(12, 1, 6, 5, 8, 3, 0))

    def warped(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend(q, k, v, None, 20.0, 0.0, backend)[0].square().sum()

    again = torch.autograd.grad(checkpoint(warped, q, k, v, use_reentrant=False), (q, k, v))
    for one, two in zip(again, torch.autograd.grad(warped(q, k, v), (q, k, v)), strict=True):
        torch.testing.assert_close(one, two)


def test_operators_keep_the_rules_of_torch() -> None:
    from midms.matching.kernels.triton.attend import attend as operator

    q, k, v, u, row, column = (x.float().to(DEVICE).detach().requires_grad_() for x in operands(11, 1, 5, 6, 16, 2, 1))
    rules = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(operator, (q, k, v, u, row, column, 5.0, 0.0, "ieee", True, True), test_utils=rules)
    torch.library.opcheck(operator, (q, k, v, None, None, None, 5.0, None, "ieee", False, False), test_utils=rules)


def test_why_triton_cannot_run_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v, *_ = operands(12, 1, 4, 5, 600, 1, 0)
    said = unsupported("triton", "attend", q, k, v)
    assert said == ["computes in float32, not float64", "feature width 600 > 512"]
    if DEVICE == "cpu":
        with monkeypatch.context() as older:
            older.setattr("triton.__version__", "3.4.0")  # it would end the process
            assert "triton 3.4.0 cannot interpret the kernels, 3.6 can;" in unsupported("triton", "attend", q, k, v)[0]
        monkeypatch.delenv("TRITON_INTERPRET")
        with pytest.raises(NoImplementation, match="tensors are on cpu; computes in float32"):
            attend(q, k, v, None, 1.0, backend="triton")
