"""Pairs a second and peak memory of many translations, against the loop over single pairs in the same run.

    python -m benchmarks.throughput

Writes `benchmarks/results/throughput.json`; `python -m benchmarks.throughput.page` brings it to docs/scale.md. Nothing
else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from benchmarks.measure import versions
from benchmarks.results import RESULTS, command, machine, table, write_json
from benchmarks.throughput.worker import PRESET
from midms.data.portraits.pairs import draw_pairs
from midms.images import save_images, to_pil

SIZE = 64
LOOP = "loop over single pairs"


def main() -> None:
    """Measure, write the results file, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=400, help="how many (default %(default)s)")
    parser.add_argument("--batches", default="1,4,16", help="sizes of batches (default %(default)s)")
    parser.add_argument("--processes", default="1,2", help="numbers of processes (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="of each, the median counts (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    parser.add_argument("--out", type=Path, default=RESULTS / "throughput.json")
    args = parser.parse_args()
    batches, counts = ([int(one) for one in text.split(",")] for text in (args.batches, args.processes))
    ways = {LOOP: (0, 1)} | {named(batch, count): (batch, count) for count in counts for batch in batches}
    with tempfile.TemporaryDirectory() as folder:
        pairs = write_table(Path(folder), args.pairs)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for number in tqdm(range(args.repeats), "repeats", disable=None):
            for name, (batch, count) in ways.items():
                out = Path(folder) / f"{name}-{number}"
                found[name].append(measured(pairs, out, batch, count, args.seed))
        rows = {name: summary(runs, found[LOOP]) for name, runs in found.items()}
        for name in ways:
            rows[name] |= difference(Path(folder) / f"{LOOP}-0", Path(folder) / f"{name}-0")
        results = [path.stat().st_size for path in (Path(folder) / f"{LOOP}-0").glob("*.png")]
    described = {"preset": PRESET, "size": SIZE, "pairs": args.pairs, "repeats": args.repeats, "seed": args.seed}
    content = {"command": command("throughput"), **described, **machine(), "rows": rows}
    content |= {"bytes a result": statistics.fmean(results), "cores": len(os.sched_getaffinity(0))}
    content["versions"] |= versions("pillow")
    write_json(args.out, content)
    print(f"{table(rows)}\nwritten to {args.out}")


def named(batch: int, processes: int) -> str:
    """What a row is called."""
    return f"batch {batch}, {processes} process{'es' if processes > 1 else ''}"


def write_table(folder: Path, count: int) -> Path:
    """Portraits and sketches that nothing was trained on, as files, and a table of them."""
    for start in tqdm(range(0, count, 50), "drawing pairs", disable=None):
        numbers = range(start, min(start + 50, count))
        pairs = draw_pairs("test", numbers, SIZE)
        for number, sketch, exemplar in zip(numbers, pairs.sketch, pairs.exemplar, strict=True):
            files = {f"{number}.png": 1 - 2 * sketch[:1], f"exemplar-{number}.png": exemplar}
            save_images({folder / name: to_pil(picture[None]) for name, picture in files.items()})
    lines = [f"{number},{number}.png,exemplar-{number}.png" for number in range(count)]
    (folder / "pairs.csv").write_text("\n".join(["key,condition,exemplar", *lines]) + "\n")
    return folder / "pairs.csv"


def measured(pairs: Path, out: Path, batch: int, count: int, seed: int) -> dict[str, float]:
    """One run, in processes of its own that share the cores; what takes time before the first pair is apart."""
    started, threads = time.time(), str(max(1, len(os.sched_getaffinity(0)) // count))
    words = [sys.executable, "-m", "benchmarks.throughput.worker", pairs, out, f"--batch={batch}", f"--seed={seed}"]
    running = [
        subprocess.Popen(
            [*map(str, words)],
            env=os.environ | {"RANK": str(rank), "WORLD_SIZE": str(count), "OMP_NUM_THREADS": threads},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    said = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise RuntimeError(f"{out.name}: a process failed, see above")
    return combined([json.loads(text.splitlines()[-1]) for text in said], started)


def combined(processes: list[dict[str, Any]], started: float) -> dict[str, float]:
    """The figures of a run, from those of its processes, which were started at once; the rate is while they worked."""
    seconds = max(one["ended"] for one in processes) - min(one["began"] for one in processes)
    return {
        "pairs a second": sum(one["pairs"] for one in processes) / seconds,
        "MB at the peak": sum(one["MB at the peak"] for one in processes),
        "MB grown": sum(one["MB after"] - one["MB before"] for one in processes),
        "seconds to start": max(one["began"] for one in processes) - started,
    }


def summary(runs: list[dict[str, float]], loop: list[dict[str, float]]) -> dict[str, float]:
    """Medians of a way's runs, and how much quicker than the loop it is."""
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return medians | {"times faster": medians["pairs a second"] / statistics.median(r["pairs a second"] for r in loop)}


def difference(one: Path, other: Path) -> dict[str, float]:
    """How far the pictures of two folders are apart, in levels of 255, and what share of their values is."""
    pictures = [(_values(path), _values(other / path.name)) for path in sorted(one.glob("*.png"))]
    apart = np.stack([abs(a - b) for a, b in pictures])
    return {"levels apart": float(apart.max()), "values apart": float((apart > 0).mean())}


def _values(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


if __name__ == "__main__":
    main()
