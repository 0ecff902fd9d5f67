"""How long a run takes on a GPU: the work itself, not its launches."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from benchmarks.kernels.gate import too_wrong
from benchmarks.kernels.gpu_cases import Case

LEAST, MOST, BURST = 3, 20, 0.02
"""Times taken, and seconds of work in each."""


def timing(case: Case, once: float, budget: float) -> dict[str, Any]:
    """The median of several bursts of replays of a CUDA graph; what cannot be captured is launched anew each time.

    The graph goes through copies of the inputs, at least 4 and more than the cache holds twice (16 at most), unless one
    run takes as long as a burst. Its results are checked too: what ran elsewhere than in the captured stream left none.

    Args:
        case: warmed up.
        once: seconds that a run takes, launches included.
        budget: seconds for all bursts.

    Returns:
        "ms" a run, "spread" (from the least to the most, over the median), "timed by", and the clock in "SM MHz".
    """
    count = 1 if once > BURST else _copies(case.args)
    sets = [case.args, *(tree_map(_copy, case.args) for _ in range(count - 1))]

    def in_turn() -> Any:
        first = case.run(*sets[0])
        for other in sets[1:]:
            case.run(*other)
        return first

    step, how = in_turn, "events, for it is not torch's"
    if not case.foreign:
        try:
            step, how = _captured(case, in_turn), "CUDA graph"
        except Exception as problem:  # whatever cannot be captured raises something of its own
            how = f"events, no graph: {type(problem).__name__}: {problem}".splitlines()[0][:120]
    times, clock = _bursts(step, budget)
    median = statistics.median(times)
    return {
        "ms": 1000 * median / len(sets),
        "spread": (max(times) - min(times)) / median,
        "timed by": f"{how}, {len(sets)} inputs in turn, {len(times)} bursts",
        "SM MHz": clock,
    }


def _captured(case: Case, in_turn: Callable[[], Any]) -> Callable[[], Any]:
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        in_turn()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = in_turn()
    with torch.no_grad():
        for part in tree_leaves(found):
            part.fill_(math.nan if part.is_floating_point() else -2)
    graph.replay()
    torch.cuda.synchronize()
    if wrong := too_wrong(case.check(found), case.allowed):
        raise RuntimeError(f"replayed it is wrong: {wrong}")
    return graph.replay


def _bursts(step: Callable[[], Any], budget: float) -> tuple[list[float], int | None]:
    once = _elapsed(step, 1)
    calls = max(1, math.ceil(BURST / max(once, 1e-6)))
    _elapsed(step, calls)
    times = [_elapsed(step, calls)]
    while len(times) < LEAST or (len(times) < MOST and calls * sum(times) < budget):
        times.append(_elapsed(step, calls))
    for _ in range(calls):
        step()
    clock = _clock()  # while it works
    torch.cuda.synchronize()
    return times, clock


def _elapsed(step: Callable[[], Any], calls: int) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(calls):
        step()
    end.record()
    torch.cuda.synchronize()
    seconds: float = begin.elapsed_time(end) / 1000 / calls
    return seconds


def _copies(args: tuple[Any, ...]) -> int:
    held = sum(part.nbytes for part in tree_leaves(args) if isinstance(part, Tensor))
    cache = torch.cuda.get_device_properties().L2_cache_size
    return min(16, max(4, math.ceil(2 * cache / max(held, 1))))


def _copy(part: Any) -> Any:
    return part.detach().clone().requires_grad_(part.requires_grad) if isinstance(part, Tensor) else part


def _clock() -> int | None:
    try:
        return torch.cuda.clock_rate()
    except Exception:  # it needs nvidia-ml-py, and leave
        return None
