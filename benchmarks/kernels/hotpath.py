"""The hot path of a match against its peers: time, error and memory, each figure behind a check that it is right.

    python -m benchmarks.kernels.hotpath --device cpu

Writes `benchmarks/results/kernels-cpu.json`; `python -m benchmarks.kernels.page` makes `docs/kernels.md` of it. What a
GPU can do is measured by `benchmarks/gpu.sh`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.kernels.gate import errors, gradient_error, too_wrong
from benchmarks.kernels.peers import Peer, gradients, peers
from benchmarks.measure import MIB, Inputs, inputs, one_run, seconds, versions
from benchmarks.results import RESULTS, command, machine, write_json

PACKAGES = ("torch", "triton", "pykeops", "midms")


def main() -> None:
    """Measure, write the results file."""
    known = peers("cpu")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu"], default="cpu", help="for a GPU see benchmarks/gpu.sh")
    parser.add_argument("--sides", type=_count, nargs="+", default=[32, 64, 128, 256], help="of the square grids")
    parser.add_argument("--threads", type=_count, nargs="+", default=[1, 2])
    parser.add_argument("--width", type=_count, default=256, help="of the features")
    parser.add_argument("--budget", type=float, default=4.0, help="seconds a figure; what takes longer runs once")
    parser.add_argument("--only", nargs="+", choices=[*known], metavar="PEER", help="; ".join(known))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if min(args.sides) > (most := max(known[name].most for name in args.only or known)):
        parser.error(f"argument --sides: none is up to {most}, the largest that is measured of these peers")
    rows: list[dict[str, Any]] = []
    origin = machine() | {
        "command": command("kernels.hotpath"),
        "seed": args.seed,
        "width": args.width,
        "values": 20,
    }
    origin["versions"] |= versions(*PACKAGES)
    for threads in args.threads:
        rows += _in_a_process_of(threads, args)
    write_json(args.out or RESULTS / "kernels-cpu.json", origin | {"threads": args.threads, "rows": rows})


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def _in_a_process_of(threads: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """What the measurements with so many threads found: libraries read the number as they are loaded."""
    completed = subprocess.run(
        [sys.executable, "-m", "benchmarks.kernels.hotpath_rows", json.dumps(vars(args) | {"out": None})],
        env=os.environ | {"OMP_NUM_THREADS": str(threads)}, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    rows: list[dict[str, Any]] = json.loads(completed.stdout.splitlines()[-1])
    return rows


def measure(name: str, peer: Peer, x: Inputs, trains: bool, budget: float, device: str) -> dict[str, Any]:
    """One row: how wrong, and unless too wrong how slow and how large."""
    weight = torch.randn(x.values.shape, generator=torch.Generator().manual_seed(1)).to(device)
    row: dict[str, Any] = {"peer": name, "gradients": trains}
    found: list[Tensor] = []

    def run() -> None:
        found[:] = gradients(peer.run, x, weight) if trains else peer.run(x)

    run()  # compiles, allocates
    row |= {"gradient error": gradient_error(x, weight, found[0])} if trains else errors(x, *found[:3])
    found.clear()
    if wrong := too_wrong(row):
        return row | {"red": wrong}
    memory, once = one_run(run, device)
    row["extra MB"] = memory / MIB
    found.clear()
    row["ms"] = 1000 * (once if once > budget else seconds(run, budget))
    return row


def _spared(trains: bool, args: dict[str, Any]) -> bool:
    """The largest grid is there to show that it runs: without gradients, with all threads."""
    return trains or torch.get_num_threads() < max(args["threads"])


def rows_of(args: dict[str, Any]) -> list[dict[str, Any]]:
    """All measurements of one number of threads."""
    threads, found = torch.get_num_threads(), []
    for side in args["sides"]:
        for features in ("random", "smooth") if side == 64 else ("random",):
            x = inputs(features, side, width=args["width"], seed=args["seed"])
            for name, peer in peers(args["device"]).items():
                if args["only"] and name not in args["only"]:
                    continue
                for trains in (False, True):
                    row = {"side": side, "features": features, "threads": threads}
                    if side > peer.most or (trains and not peer.trains) or (side > 128 and _spared(trains, args)):
                        continue
                    if peer.missing:
                        found.append(row | {"peer": name, "gradients": trains, "missing": peer.missing})
                        continue
                    found.append(row | measure(name, peer, x, trains, args["budget"], args["device"]))
                    print(found[-1], file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    main()
