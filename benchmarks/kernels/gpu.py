"""B1 to B9, B12 and B13: the kernels against their peers on one GPU, each figure behind its gate.

    benchmarks/gpu.sh [--out FILE]

which runs this after the quickest tests. A peer that is not installed, fails, crashes or hangs is a row with the
reason; so is what there was no time for. The results file is whole after every row, and says if that was the last.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.results import RESULTS, command, write_json

CHILD = (sys.executable, "-m", "benchmarks.kernels.gpu_rows")


def main() -> None:
    """Measure, write the results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=400.0, help="no row is begun later")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu with TRITON_INTERPRET=1")
    parser.add_argument("--side", type=int, default=64, help="of the smallest square grid; others are 2 and 4 times it")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--width", type=int, default=256, help="of the features")
    parser.add_argument("--out", type=Path, help="default: results/kernels-<card>-<day>.json")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU; nothing was measured")
    asked = {"side": args.side, "batch": args.batch, "width": args.width, "device": args.device}
    measure_all(args.out, args.seconds, asked, CHILD)


def measure_all(out: Path | None, limit: float, asked: dict[str, Any], child: Sequence[str]) -> None:
    """Have all rows measured in another process, and in a new one after each that dies; write the file after each row.

    Args:
        out: where to; None for a name of the card and the day.
        limit: seconds after which no row is begun.
        asked: side, batch, width and device.
        child: command of the process, see `gpu_rows`.
    """
    results: dict[str, Any] = {"command": command("kernels.gpu"), "seed": 0, **asked, "finished": False, "rows": []}
    rows, until = results["rows"], time.time() + limit
    while not results["finished"]:
        done = len(rows)
        asks = json.dumps(asked | {"done": done, "until": until})
        coming: dict[str, Any] | None = None
        with subprocess.Popen([*child, asks], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for event in map(json.loads, process.stdout):
                results = event.get("origin", {}) | results
                results["finished"], coming = "finished" in event, event.get("next")
                if "row" in event:
                    rows.append(event["row"])
                    _save(out, results)
        if coming is not None:
            rows.append(coming | {"missing": _death(process.returncode)})
            _save(out, results)
        elif len(rows) == done and not results["finished"]:
            raise RuntimeError(f"{' '.join(child)}: ended with {process.returncode} before its next row")
    _save(out, results)


def _save(out: Path | None, results: dict[str, Any]) -> None:
    card = results["hardware"].replace(" ", "-").lower()
    write_json(out or RESULTS / f"kernels-{card}-{results['date'][:10]}.json", results)
    print(results["rows"][-1], file=sys.stderr, flush=True)


def _death(code: int) -> str:
    if code == -signal.SIGALRM:
        return "given up: it took too long"
    return f"its process died of {signal.Signals(-code).name}" if code < 0 else f"its process ended with {code}"


if __name__ == "__main__":
    main()
