"""What rows of a table and lines of a manifest cost a process before its first pair.

    python -m benchmarks.throughput.rows

Writes `benchmarks/results/rows.json`; `python -m benchmarks.throughput.page` brings it to docs/scale.md. Seconds are of
the process alone: other programs may run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import tracemalloc
from pathlib import Path

from benchmarks.results import RESULTS, command, machine, table, write_json
from midms.data.pair_rows import read_pair_rows
from midms.pipeline.jobs.manifest import Manifest, Share

PROCESSES = 64
"""Among whom the time that a row takes is counted; memory is of a row of the process' own."""


def main() -> None:
    """Measure, write the results file, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000, help="of the table (default %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS / "rows.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder), args.rows)
    write_json(args.out, {"command": command("throughput.rows"), "rows": args.rows, **machine(), "figures": found})
    print(f"{table({'a row': found})}\nwritten to {args.out}")


def measured(folder: Path, count: int) -> dict[str, float]:
    """Bytes and microseconds a row and a line, of files with names of eight digits."""
    lines = [f"{number:08d},drawings/{number:08d}.png,photos/{number:08d}.jpg" for number in range(count)]
    path = folder / "large.csv"
    path.write_text("\n".join(["key,condition,exemplar", *lines]))
    began = time.process_time()
    read_pair_rows(path, Share(0, PROCESSES).has)
    seconds = time.process_time() - began
    tracemalloc.start()
    rows = read_pair_rows(path, Share().has).rows
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    out = folder / "results"
    out.mkdir()
    with (out / "manifest.jsonl").open("w") as file:
        file.write('{"run": {}}\n')
        for row in rows:
            (out / f"{row.key}.png").touch()
            states = {"condition": row.condition, "exemplar": row.exemplars[0]}
            inputs = {name: [[place, 12345, 1764470000000000000]] for name, place in states.items()}
            made = {"file": f"{row.key}.png", "bytes": 0, "warnings": [], "inputs": inputs | {"exemplar_condition": []}}
            file.write(json.dumps({"key": row.key} | made) + "\n")
    written = (out / "manifest.jsonl").stat().st_size
    began = time.process_time()
    with Manifest(out, Share(0, PROCESSES)).held({}, resume=True):
        resumed = time.process_time() - began
    tracemalloc.start()
    with Manifest(out, Share()).held({}, resume=True) as there:
        known = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    if len(there) != count:
        raise RuntimeError(f"expected {count} results in the manifest, got {len(there)}")
    return {
        "bytes a row": path.stat().st_size / count,
        "microseconds a row": 1e6 * seconds / count,
        "bytes in memory a row": kept / count,
        "bytes a line": written / count,
        "microseconds a line": 1e6 * resumed / count,
        "bytes in memory a line": known / count,
    }


if __name__ == "__main__":
    main()
