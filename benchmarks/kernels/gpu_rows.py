"""The part of `kernels.gpu` that measures, in a process of its own: its argument is JSON, and so is each line."""

from __future__ import annotations

import datetime
import functools
import json
import math
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch

from benchmarks.kernels.gate import too_wrong
from benchmarks.kernels.gpu_cases import Case, product, warped
from benchmarks.kernels.gpu_cells import checks, copies
from benchmarks.kernels.gpu_clock import timing
from benchmarks.kernels.gpu_matches import directions, matches, trainings
from benchmarks.kernels.gpu_points import neighbours, transports
from benchmarks.measure import MIB, one_run, seconds, versions

PACKAGES = (
    "torch",
    "numpy",
    "triton",
    "xformers",
    "flash-attn-4",
    "flash-sinkhorn",
    "geomloss",
    "pykeops",
    "ott-jax",
    "kornia",
    "midms",
)
BUDGET, SLOW, LONGEST = 0.3, 1.0, 90
"""Seconds: for the times of a row; from which a run is not repeated; after which a row, all included, is given up."""
Section = tuple[Callable[[int, int, int, str], Iterator[Case]], int, int]


def sections(side: int, many: int) -> list[Section]:
    """What is measured, of which side and in which batch: first what has a target, then what completes the picture."""
    targets: list[Section] = [
        (product, side, 1), (copies, side, many), (warped, side, many), (matches, side, 1), (trainings, side, 1),
        (trainings, 2 * side, 1), (transports, side, 1), (transports, 2 * side, 1), (directions, side, many),
        (neighbours, side, 1), (checks, side, 1),
    ]  # fmt: skip
    others: list[Section] = [
        (warped, side, 1), (warped, 2 * side, 1), (matches, side, many), (matches, 2 * side, 1),
        (trainings, side, many), (trainings, 4 * side, 1), (neighbours, 2 * side, 1),
        (transports, 4 * side, 1), (neighbours, 4 * side, 1), (product, side, 1),
    ]  # fmt: skip
    return targets + others


def cases(side: int, many: int, width: int, device: str) -> Iterator[Case]:
    """All of them; a section that cannot even be set up is a case that fails."""
    for section, of_side, batch in sections(side, many):
        try:
            yield from section(of_side, batch, width, device)
        except Exception as problem:
            what, size = section.__name__, f"{of_side} x {of_side}, batch {batch}"
            yield Case("-", what, size, "-", functools.partial(_fail, problem), (), lambda _: {})


def measure(case: Case, device: str) -> dict[str, Any]:
    """A row: errors, and if they are within bounds, memory, time and rates."""
    row = head(case)
    try:
        row |= case.check(case.run(*case.args))
        if wrong := too_wrong(row, case.allowed):
            return row | {"red": wrong}
        memory, once = one_run(functools.partial(case.run, *case.args), device)
        row |= {} if case.foreign else {"extra MB": memory / MIB}
        row |= _time(case, device, once)
    except Exception as problem:  # a peer's failure is a finding, whatever it raises
        return row | {"missing": f"{type(problem).__name__}: {problem}".splitlines()[0][:160]}
    if case.flops:
        row["TFLOP/s"] = case.flops / row["ms"] / 1e9
    if case.traffic:
        row["GB/s"] = case.traffic / row["ms"] / 1e6
    return row


def head(case: Case) -> dict[str, Any]:
    """The words of a row."""
    return {"id": case.id, "what": case.what, "size": case.size, "peer": case.peer}


def _time(case: Case, device: str, once: float) -> dict[str, Any]:
    if once > SLOW:
        return {"ms": 1000 * once, "timed by": "one run"}
    if device == "cpu":
        return {"ms": 1000 * seconds(functools.partial(case.run, *case.args), BUDGET), "timed by": "wall clock"}
    return timing(case, once, BUDGET)


def _origin() -> dict[str, Any]:
    """As `results.machine`, without what a machine that only measures need not have."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(*PACKAGES) | {"python": platform.python_version(), "CUDA": torch.version.cuda or "none"},
        "hardware": torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU",
    }


def _fail(problem: Exception) -> None:
    raise problem


def main() -> None:
    """Say where, then before each row what comes and after it what came; one that hangs ends the process.

    After an error that spoils the device this raises, as everything would: then a new process goes on.
    """
    asked = json.loads(sys.argv[1])
    with os.fdopen(os.dup(1), "w") as events:
        os.dup2(2, 1)  # where others print

        def tell(**event: Any) -> None:
            print(json.dumps(event), file=events, flush=True)

        tell(origin=_origin())
        for case in islice(cases(asked["side"], asked["batch"], asked["width"], asked["device"]), asked["done"], None):
            left = asked["until"] - time.time()
            if left <= 0:
                tell(row=head(case) | {"missing": "not measured: out of time"})
                continue
            tell(next=head(case))
            signal.alarm(math.ceil(min(LONGEST, left + LONGEST / 3)))
            tell(row=measure(case, asked["device"]))
            if asked["device"] != "cpu":
                torch.cuda.synchronize()
            signal.alarm(0)
        tell(finished=True)


if __name__ == "__main__":
    main()
