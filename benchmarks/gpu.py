"""B1 to B9, B12 and B13: the kernels against their peers on one GPU, each figure behind its gate.

Run by `python -m benchmarks.hotpath --device cuda`, which `benchmarks/gpu.sh` does after the tests. A peer that is not
installed, or fails, is listed with its reason. With `TRITON_INTERPRET=1` it runs at tiny sizes on a CPU: a proof of the
script.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import gpu_cases, gpu_points
from benchmarks.gate import too_wrong
from benchmarks.gpu_cases import Case
from benchmarks.measure import MIB, extra_memory, seconds, versions
from benchmarks.results import RESULTS, command, machine, write_json

PACKAGES = ("triton", "xformers", "flash-sinkhorn", "geomloss", "pykeops", "kornia", "midms")
BUDGET = 0.3


def measure_all(
    out: Path | None, sides: list[int], width: int, seed: int, device: str = "cuda", batches: Sequence[int] = (1, 16)
) -> dict[str, Any]:
    """Measure every case at every side, write the results file.

    Args:
        out: where to; None for a name of the card and the day.
        sides: of the square grids.
        width: of the features.
        seed: of the inputs.
        device: "cpu" to prove it with the interpreter.
        batches: of the smallest grid; one match of the others.

    Returns:
        What was written.
    """
    origin = machine() | {
        "command": command("gpu"),
        "seed": seed,
        "width": width,
    }
    origin["versions"] |= versions(*PACKAGES)
    gemm = gemm_rate(device)
    rows: list[dict[str, Any]] = []
    for case in cases(sides, width, seed, device, batches):
        rows.append(measure(case, device))
        if "TFLOP/s" in rows[-1]:
            rows[-1]["share of GEMM"] = rows[-1]["TFLOP/s"] / gemm
        print(rows[-1], file=sys.stderr, flush=True)
    card = origin["hardware"].replace(" ", "-").lower()
    path = out or RESULTS / f"kernels-{card}-{datetime.date.today().isoformat()}.json"
    results = origin | {"GEMM TFLOP/s": gemm, "rows": rows}
    write_json(path, results)
    return results


def cases(sides: list[int], width: int, seed: int, device: str, batches: Sequence[int]) -> Iterator[Case]:
    """All of them, from the smallest grid to the largest."""
    for side in sides:
        for batch in batches if side == min(sides) else (1,):
            yield from gpu_cases.cases(side, batch, width, seed, device)
        yield from gpu_points.cases(side, width, seed, device)


def measure(case: Case, device: str) -> dict[str, Any]:
    """A row: errors, and if they are within bounds, time, memory and rate."""
    row: dict[str, Any] = {"id": case.id, "what": case.what, "size": case.size, "peer": case.peer}
    try:
        row |= case.check(case.run())
        if wrong := too_wrong(row, case.allowed):
            return row | {"red": wrong}
        row["extra MB"] = extra_memory(case.run, device) / MIB
        row["ms"] = 1000 * seconds(case.run, device, BUDGET)
    except Exception as problem:  # a peer's failure is a finding, whatever it raises
        return row | {"missing": f"{type(problem).__name__}: {problem}".splitlines()[0][:160]}
    if case.flops:
        row["TFLOP/s"] = case.flops / row["ms"] / 1e9
    return row


def gemm_rate(device: str) -> float:
    """TFLOP/s of a square product in half precision, what the card can do in this run."""
    n = 8192 if device == "cuda" else 128
    a = torch.randn(n, n, device=device, dtype=torch.bfloat16)

    def run() -> Tensor:
        return a @ a

    run()
    return 2 * n**3 / seconds(run, device, BUDGET) / 1e12
