"""What rounding the features costs, against float64: the table of precisions, with bounds that it must keep.

    python -m benchmarks.kernels.precision [--interpret]

Emulated: the features are rounded as each precision rounds them and multiplied in float64. With `--interpret` the
Triton kernels compute it too, interpreted. Writes `benchmarks/results/precision.json`.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.kernels.peers import SCALE, with_coordinates
from benchmarks.measure import Inputs, inputs, versions
from benchmarks.results import RESULTS, command, machine, write_json
from midms.core.flow import return_error
from midms.core.normalize import l2_normalize
from midms.matching.kernels import attend_both
from midms.matching.matches.factored import tokens

Round = Callable[[Tensor], Tensor]
SETS = ("random", "smooth")
BOUNDS = {"ieee": 1e-4, "fp16x3": 1e-4, "fp16x2k": 1e-2, "tf32": 1e-2, "fp16": 1e-2, "bf16": 1e-1}
"""Of the relative error of the values warped."""
RADIUS = 0.05


def main() -> None:
    """Measure, write, and fail where a bound is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--interpret", action="store_true", help="the Triton kernels too")
    parser.add_argument("--out", type=Path, default=RESULTS / "precision.json")
    args = parser.parse_args()
    if args.interpret:
        os.environ["TRITON_INTERPRET"] = "1"
    rows = table(args.side, args.width, args.seed, args.interpret)
    origin = machine() | {
        "command": command("kernels.precision"),
        "seed": args.seed,
        "width": args.width,
        "side": args.side,
    }
    origin["versions"] |= versions("triton")
    write_json(args.out, origin | {"features": SETS, "bounds": BOUNDS, "rows": rows})
    for row in rows:
        print(row)
    if loose := [row for row in rows if not row["warp"] <= BOUNDS[row["precision"]]]:
        raise SystemExit(f"over its bound: {loose}")


def table(side: int, width: int, seed: int, interpret: bool) -> list[dict[str, Any]]:
    """A row a precision and a way: the worst over the sets of features."""
    rows = []
    for precision in BOUNDS:
        exactly = precision == "tf32"  # the interpreter does not round to it
        for way in ("emulated", "triton, interpreted")[: 1 + (interpret and not exactly)]:
            found = []
            for features in SETS:
                x = inputs(features, side, width=width, seed=seed)
                run = emulated if way == "emulated" else by_triton
                found.append(_errors(x, *run(x, precision)))
            worst = {name: max(one[name] for one in found) for name in found[0]}
            rows.append({"precision": precision, "by": way} | worst)
    return rows


def emulated(x: Inputs, precision: str) -> tuple[Tensor, Tensor]:
    """Values and coordinates forth, coordinates back, of rounded features; all else in float64."""
    q, k = (tokens(l2_normalize(side)) for side in (x.q, x.k))
    logits = SCALE * products(q, k, precision).clamp(min=0)
    values, here = (tokens(side).double() for side in with_coordinates(x))
    return logits.softmax(-1) @ values, logits.mT.softmax(-1) @ here


def products(q: Tensor, k: Tensor, precision: str) -> Tensor:
    """Inner products of the rounded features, exactly summed but for "ieee"."""
    if precision == "ieee":
        return (q @ k.mT).double()
    parts = [terms(side, precision) for side in (q, k)]
    if precision == "fp16x2k":
        parts[0] = parts[0][:1]
    return sum(
        (a @ b.mT for i, a in enumerate(parts[0]) for j, b in enumerate(parts[1]) if i + j < 2),
        torch.zeros((), dtype=torch.float64),
    )


def terms(x: Tensor, precision: str) -> list[Tensor]:
    """What a precision multiplies, in float64: one rounded term, or two that add up to the feature."""
    if precision == "tf32":  # ten bits of mantissa are kept, rounded to nearest
        return [((x.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32).double()]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    lift = 64.0 if "x" in precision else 1.0
    large = (x * lift).to(dtype)
    small = (x * lift - large.float()).to(dtype)
    return [part.double() / lift for part in ((large, small) if "x" in precision else (large,))]


def by_triton(x: Inputs, precision: str) -> tuple[Tensor, Tensor]:
    """The same by the kernels."""
    q, k = (tokens(l2_normalize(side)) for side in (x.q, x.k))
    values, here = (tokens(side) for side in with_coordinates(x))
    rows, columns = attend_both(q, k, values, here, None, None, SCALE, 0.0, "triton", precision)
    return rows.values.double(), columns.values.double()


def _errors(x: Inputs, rows: Tensor, columns: Tensor) -> dict[str, float]:
    exact = emulated(Inputs(*(side.double() for side in x)), "ieee")
    warped, wanted = rows[..., :-2], exact[0][..., :-2]
    distance = (rows[..., -2:] - exact[0][..., -2:]).norm(dim=-1)
    h, w = x.q.shape[-2:]

    def mask(there: Tensor, back: Tensor) -> Tensor:
        forward, backward = (side[..., -2:].mT.unflatten(-1, (h, w)) for side in (there, back))
        return return_error(forward, backward) < RADIUS

    return {
        "warp": ((warped - wanted).norm() / wanted.norm()).item(),
        "flow mean px": distance.mean().item(),
        "flow p99 px": distance.quantile(0.99).item(),
        "flow max px": max(distance.max().item(), (columns - exact[1]).norm(dim=-1).max().item()),
        "flips": (mask(rows, columns) != mask(*exact)).double().mean().item(),
    }


if __name__ == "__main__":
    main()
