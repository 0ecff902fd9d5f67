"""The other Triton kernels: nearest columns, logsumexp both ways, the cycle error."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from triton.runtime.errors import OutOfResources
from triton_cases import DEVICE, allowed, every_precision, operands

from midms.matching.kernels import NoImplementation, attend, cycle, logsumexp_both, mutual_nearest, top_k
from midms.matching.kernels.triton.configs import Tile

pytestmark = pytest.mark.usefixtures("interpreted")


@pytest.mark.gpu
@pytest.mark.parametrize("size", [(1, 1, 1, 1), (2, 5, 9, 7), (1, 30, 20, 11)])
def test_the_cycle_error(size: tuple[int, ...]) -> None:
    b, h, w, other = size
    forth, back = (
        place * torch.tensor([far_w, far_h]).view(1, 2, 1, 1) * 1.4 - 1
        for place, far_w, far_h in ((torch.rand(b, 2, h, w), other, h + 1), (torch.rand(b, 2, h + 1, other), w, h))
    )
    forth[0, 1, -1, -1] = torch.nan
    got = cycle(forth.to(DEVICE), back.to(DEVICE), 0.3, "triton")
    wanted = cycle(forth, back, 0.3, "reference")
    torch.testing.assert_close(got[0].cpu(), wanted[0], rtol=1e-5, atol=1e-5)
    assert torch.equal(got[1].cpu(), (got[0].cpu() < 0.3).float())
    with pytest.raises(NoImplementation, match="the cycle error has no gradient"):
        cycle(forth.to(DEVICE).requires_grad_(), back.to(DEVICE), 0.3, "triton")


@pytest.mark.parametrize("precision", ["auto", "fp16x3", "ieee", "tf32"])
@pytest.mark.parametrize(("n", "m", "count"), [(37, 50, 3), (5, 130, 1), (40, 2, 2), (1, 1, 1), (3, 40, 14)])
def test_nearest_are_exact(n: int, m: int, count: int, precision: str) -> None:
    q, k, *_ = (x.float() for x in operands(15, 2, n, m, 24, 1, 1))
    k[:, m // 2] = k[:, 0] * (1 - 2e-5)  # half precision does not tell them apart
    q[:, 0] = k[:, 0]
    products = q.double() @ k.double().mT
    got = top_k(q.to(DEVICE), k.to(DEVICE), count, "triton", precision)
    wanted = products.topk(count, -1)
    torch.testing.assert_close(got.scores.cpu().double(), wanted.values, rtol=1e-6, atol=1e-6)
    assert torch.equal(got.indices.cpu(), wanted.indices)
    mutual = mutual_nearest(q.to(DEVICE), k.to(DEVICE), "triton", precision)
    best = products.argmax(-1)
    returns = products.argmax(1).gather(1, best) == torch.arange(n)
    assert torch.equal(mutual.indices.cpu(), best.where(returns, -1))


def test_more_near_ties_than_are_kept_are_looked_at_again() -> None:
    best = torch.nn.functional.normalize(torch.randn(64, generator=torch.Generator().manual_seed(18)), dim=0)
    order = torch.randperm(400, generator=torch.Generator().manual_seed(19))
    k = best * (1 - 5e-7 * order[:, None])
    got = top_k(best[None, None].to(DEVICE), k[None].to(DEVICE), 2, "triton", "fp16")
    assert torch.equal(got.indices[0, 0].cpu(), order.argsort()[:2])


def test_none_is_missed_among_columns_that_half_precision_confuses() -> None:
    generator = torch.Generator().manual_seed(2)
    base, noise, q = (torch.randn(1, count, 64, generator=generator) for count in (1, 300, 60))
    q, k = (torch.nn.functional.normalize(x, dim=-1) for x in (q, base + 1e-3 * noise))
    products = q.double() @ k.double().mT
    best = products.amax(-1, keepdim=True)
    scores, columns = top_k(q.to(DEVICE), k.to(DEVICE), 1, "triton", "fp16")
    torch.testing.assert_close(scores.cpu().double(), best, rtol=0, atol=1e-6)
    torch.testing.assert_close(products.gather(-1, columns.cpu()), best, rtol=0, atol=1e-6)


def test_nearest_are_compiled_through(unchecked: None) -> None:
    q, k, *_ = (x.float().to(DEVICE) for x in operands(20, 2, 9, 30, 16, 1, 1))

    def found(q: Tensor, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        best = top_k(q, k, 3, "triton")
        return best.scores * 2, best.indices, mutual_nearest(q, k, "triton").indices

    compiled = torch.compile(found, fullgraph=True, backend="aot_eager")(q, k)
    for one, two in zip(compiled, found(q, k), strict=True):
        assert torch.equal(one, two)


@pytest.mark.filterwarnings("ignore:All-NaN slice:RuntimeWarning")  # numpy's, in the interpreter
def test_a_row_that_is_not_finite_is_nobodys_nearest() -> None:
    q, k, *_ = (x.float().to(DEVICE) for x in operands(21, 1, 9, 30, 16, 1, 1))
    without = mutual_nearest(q[:, :8], k, "triton").indices
    q[:, 8] = torch.nan
    mutual = mutual_nearest(q, k, "triton").indices
    assert torch.equal(mutual[:, :8], without) and mutual[0, 8] == -1


@pytest.mark.gpu
def test_of_equals_the_first_is_nearest() -> None:
    same = torch.full((1, 60, 16), 0.25, device=DEVICE)
    assert torch.equal(top_k(same[:, :3], same, 4, "triton").indices.cpu(), torch.arange(4).expand(1, 3, 4))


@pytest.mark.gpu
@every_precision
@pytest.mark.parametrize("biased", [False, True])
def test_masses_both_ways(precision: str, biased: bool) -> None:
    """As symmetric Sinkhorn takes them, from one product; gradients by the envelope theorem."""
    q, k, _, _, row, column = operands(16, 2, 37, 50, 24, 0, 0)
    row[:, 3:9] = -torch.inf
    column[:, 40:] = -torch.inf
    given = [q, k, row, column] if biased else [q, k]

    def both(inputs: list[Tensor], backend: str, precision: str) -> list[Tensor]:
        leaves = [x.requires_grad_() for x in inputs]
        biases = leaves[2:] or [None, None]
        rows, columns = logsumexp_both(*leaves[:2], *biases, 20.0, None, backend, precision)
        return [rows, columns, *torch.autograd.grad(rows.square().mean() + columns.sum(), leaves)]

    exact = both(given, "reference", "auto")
    got = both([x.float().detach().to(DEVICE) for x in given], "triton", precision)
    for ours, theirs in zip(got, exact, strict=True):
        off = (ours.double().cpu() - theirs).abs().max().item()
        assert off <= allowed(precision, 20.0) * theirs.abs().max().item()


def test_tuning_takes_the_quickest_tile_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from midms.matching.kernels.triton import tuning as triton_tuning

    tile, tried = Tile(32, 32, 4, 2, 32), []

    def run(other: Tile) -> None:
        tried.append(other)
        if other.rows > 32:
            raise OutOfResources(2, 1, "shared memory")

    monkeypatch.setattr(triton_tuning, "_FOUND", {})
    assert triton_tuning.tuned("key", tile, torch.device("cpu"), run) == tile and not tried
    monkeypatch.setenv("MIDMS_AUTOTUNE", "1")
    best = triton_tuning.tuned("key", tile, torch.device("cpu"), run)
    seen = len(tried)
    assert triton_tuning.tuned("key", tile, torch.device("cpu"), run) == best and len(tried) == seen > 3
    assert best.rows <= 32


def test_tuned_launches_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDMS_AUTOTUNE", "1")
    q, k, v, *_ = (x.float().to(DEVICE) for x in operands(17, 1, 20, 30, 16, 3, 0))
    wanted = attend(q, k, v, None, 20.0, 0.0, "reference")[0]
    leaf = q.requires_grad_()
    out, _ = attend(leaf, k, v, None, 20.0, 0.0, "triton", "fp16x3")
    torch.testing.assert_close(out, wanted, rtol=1e-4, atol=1e-5)
    assert torch.autograd.grad(out.sum(), leaf)[0].isfinite().all()
