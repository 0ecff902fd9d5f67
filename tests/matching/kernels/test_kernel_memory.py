"""What `chunked` holds at once: a few slices of the matrix, never the matrix."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from midms.matching.kernels import STATISTICS, attend, attend_both, mutual_nearest, top_k
from midms.matching.kernels.chunked import slices as chunked_slices

ROWS, COLUMNS, SLICE = 1024, 2048, 256 * 2048


@pytest.fixture
def inputs(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """q, k, v, u, row_bias, col_bias of two samples, few channels: all of them are a tenth of a slice."""
    monkeypatch.setitem(chunked_slices.SLICE_ENTRIES, "cpu", SLICE)
    shapes = ((ROWS, 4), (COLUMNS, 4), (COLUMNS, 2), (ROWS, 2), (ROWS,), (COLUMNS,))
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, *shape, generator=generator).requires_grad_() for shape in shapes]


def watched(run: Callable[[], list[Tensor]]) -> tuple[list[Tensor], int, int]:
    """Results; float32 numbers that torch held at most at once, beyond those before, and that it holds at the end."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        results = run()
    assert seen.profiler is not None and seen.profiler.kineto_results is not None
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = list(accumulate(event.nbytes() // 4 for event in sorted(events, key=lambda event: event.start_ns())))
    return results, max(held), held[-1]


def one(inputs: list[Tensor], backend: str) -> list[Tensor]:
    q, k, v, _, _, bias = inputs
    return [*attend(q, k, v, bias, 200.0, 0.0, backend)]


def both(inputs: list[Tensor], backend: str) -> list[Tensor]:
    return [x for side in attend_both(*inputs, 200.0, 0.0, backend) for x in side if x is not None]


def everything(inputs: list[Tensor], backend: str) -> list[Tensor]:
    sides = attend_both(*inputs, 200.0, 0.0, backend, stats=STATISTICS)
    return [x for side in sides for x in side if x is not None and x.is_floating_point()]


@pytest.mark.parametrize(("run", "forward", "backward"), [(one, 2, 3), (both, 2, 4), (everything, 3, 4)])
def test_chunked_never_holds_the_matrix(
    run: Callable[[list[Tensor], str], list[Tensor]], forward: int, backward: int, inputs: list[Tensor]
) -> None:
    results, most, kept = watched(lambda: run(inputs, "chunked"))
    assert most < (forward + 1) * SLICE  # all that is no slice is less than one
    assert kept < SLICE / 2
    _, more, left = watched(lambda: [*torch.autograd.grad([x.sum() for x in results], inputs, allow_unused=True)])
    assert kept + more < (backward + 1) * SLICE < 2 * ROWS * COLUMNS
    assert kept + left < SLICE / 2


@pytest.mark.parametrize("run", [lambda q, k: top_k(q, k, 3, "chunked"), lambda q, k: mutual_nearest(q, k, "chunked")])
def test_the_nearest_are_found_in_one_slice(
    run: Callable[[Tensor, Tensor], list[Tensor]], inputs: list[Tensor]
) -> None:
    _, most, kept = watched(lambda: run(*inputs[:2]))
    assert most < 2 * SLICE and kept < SLICE / 2


def test_what_is_held_is_seen(inputs: list[Tensor]) -> None:
    results, most, kept = watched(lambda: one(inputs, "reference"))
    _, more, _ = watched(lambda: [*torch.autograd.grad([x.sum() for x in results], inputs[:1])])
    assert all(entries >= 2 * ROWS * COLUMNS for entries in (most, kept, more))


def test_slices_cover_everything_once() -> None:
    for batch, rows, columns in ((1, 1, 1), (5, 7, 3), (2, 4096, 5000), (40, 256, 256), (3, 2, 1 << 21)):
        seen = torch.zeros(batch, rows, dtype=torch.int)
        q, k = torch.empty(batch, 1, rows), torch.empty(batch, 1, columns)
        for samples, heights, (held,) in chunked_slices.slices(q, k, 1):
            seen[samples, heights] += 1
            assert held.shape == (*seen[samples, heights].shape, columns) and held.is_contiguous()
            assert held.numel() <= max(chunked_slices.SLICE_ENTRIES["cpu"], 128 * columns)
        assert torch.all(seen == 1)
