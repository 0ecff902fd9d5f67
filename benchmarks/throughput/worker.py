"""One process of the measurement: translates the pairs of a table, and says what that took.

    python -m benchmarks.throughput.worker pairs.csv out --batch 16

Prints a line of JSON. With `--batch 0` it is a loop over single pairs, read, translated and saved one after the other,
as one writes it in Python without `translate_pairs`.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.measure import MIB, resident
from midms.core.seeds import seeded
from midms.data.pair_rows import read_pair_rows
from midms.pipeline.build import build
from midms.pipeline.jobs.manifest import Share
from midms.pipeline.jobs.translate_pairs import translate_pairs
from midms.pipeline.pipeline import Pipeline

PRESET = "midm-faces"


def main() -> None:
    """Warm up, translate, print the line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    pipe = build(PRESET)
    first = read_pair_rows(args.table, Share().has).rows[0]
    pipe.translate(args.table.parent / first.condition, args.table.parent / first.exemplars[0], seed=0)
    print(json.dumps(work(pipe, args.table, args.out, args.batch, args.seed)))


def work(pipe: Pipeline, table: Path, out: Path, batch: int, seed: int) -> dict[str, Any]:
    """Translate the table's pairs of this process.

    Args:
        pipe: a composed method, warm.
        table: of pairs.
        out: folder of the results.
        batch: how many at once; 0 for the loop.
        seed: of the noise.

    Returns:
        Pairs, when it began and ended (seconds since 1970), MB at the peak, and MB held before and after.
    """
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before, began = resident("VmRSS"), time.time()
    count = _loop(pipe, table, out, seed) if batch == 0 else _batches(pipe, table, out, batch, seed)
    ended, after = time.time(), resident("VmRSS")
    return {
        "pairs": count,
        "began": began,
        "ended": ended,
        "MB at the peak": resident("VmHWM") / MIB,
        "MB before": before / MIB,
        "MB after": after / MIB,
    }


def _loop(pipe: Pipeline, table: Path, out: Path, seed: int) -> int:
    rows = read_pair_rows(table, Share().has).rows
    out.mkdir(parents=True, exist_ok=True)
    for row in tqdm(rows, "loop", unit="pair", disable=None):
        noise = seeded(seed, "pair", row.key)
        condition, exemplar = table.parent / row.condition, table.parent / row.exemplars[0]
        pipe.translate(condition, exemplar, generator=noise).image.save(out / f"{row.key}.png")
    return len(rows)


def _batches(pipe: Pipeline, table: Path, out: Path, batch: int, seed: int) -> int:
    done = translate_pairs(pipe, table, out, batch=batch, seed=seed)
    if done.failures:
        raise RuntimeError("; ".join(done.failures))
    return done.written


if __name__ == "__main__":
    main()
