"""The figures of docs/scale.md, from the results file.

python -m benchmarks.throughput.page
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.measure import MIB
from benchmarks.results import RESULTS, between, table
from benchmarks.throughput.__main__ import LOOP

ROOT = Path(__file__).parents[2]
MEASURED = ("throughput", "rows", "kills")
"""Results files."""
PAIRS, PROCESSES, SHARD = 10_000_000, 64, 1000
FASTER = (1, 10)
"""How many times as quick as the process that was measured one of the 64 may be."""
SHOWN = ("pairs a second", "times faster", "MB at the peak", "MB grown", "levels apart", "values apart")


def main() -> None:
    """Write what stands between the marks."""
    result, rows, killed = (json.loads((RESULTS / f"{name}.json").read_text()) for name in MEASURED)
    page = ROOT / "docs" / "scale.md"
    between(page, "figures", figures(result))
    between(page, "arithmetic", arithmetic(result, rows))
    between(page, "kills", kills(killed))


def figures(result: dict[str, Any]) -> str:
    """The table of what was measured, and how."""
    rows = {name: {figure: row[figure] for figure in SHOWN} for name, row in result["rows"].items()}
    name, best = max(result["rows"].items(), key=lambda item: item[1]["pairs a second"])
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return "\n\n".join(
        [
            table(rows),
            f"{name} is {best['times faster']:.2f} times as quick as the loop. The rate is from the first pair on, "
            f"which comes after {best['seconds to start']:.1f} seconds; memory is of all processes, at the peak and "
            "from the first pair to the last; the last columns compare the pictures with the loop's.",
            f"`{result['command']}`, {result['date'][:10]}: {result['pairs']} pairs of {result['preset']} at "
            f"{result['size']} x {result['size']} pixels, the median of {result['repeats']} runs; "
            f"{result['hardware']}, of which {result['cores']} used; {versions}; seed {result['seed']}.",
        ]
    )


def kills(result: dict[str, Any]) -> str:
    """What became of runs that were killed, and how much memory an unbroken one had."""
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    pairs = [*result["MB by pairs"]]
    columns = " | ".join(f"{int(pairs_done):,}" for pairs_done in pairs)
    held = " | ".join(f"{megabytes:.0f}" for megabytes in result["MB by pairs"].values())
    return "\n\n".join(
        [
            table(result["rows"]),
            "MB that the unbroken run has, by pairs done, at last as it ends and its libraries' files are read again:"
            f"\n\n| pairs | {columns} |\n"
            f"|{' --- |' * (len(pairs) + 1)}\n| MB | {held} |",
            f"`{result['command']}`, {result['date'][:10]}: {result['pairs']:,} pairs of {result['preset']}, batch "
            f"{result['batch']}, tar files of {result['shard']}, a thread each process; {result['hardware']}; "
            f"{versions}; seed {result['seed']}.",
        ]
    )


def arithmetic(result: dict[str, Any], large: dict[str, Any]) -> str:
    """What ten million pairs take, from what was measured of many pairs, and of rows."""
    name, row = max(
        ((name, row) for name, row in result["rows"].items() if name != LOOP and name.endswith("1 process")),
        key=lambda item: item[1]["pairs a second"],
    )
    large, share, rate = large["figures"], PAIRS / PROCESSES, row["pairs a second"]
    batch = int(name.split(",")[0].split()[1])
    hours = {times: share / rate / times / 3600 for times in FASTER}
    start, line, size = row["seconds to start"], large["microseconds a line"], result["bytes a result"]
    read, memory = large["microseconds a row"], large["bytes in memory a row"] + large["bytes in memory a line"]
    lines = [
        ("pairs of a process", f"{share:,.0f}", f"{PAIRS:,} / {PROCESSES}"),
        ("results", f"{PAIRS * size / 2**30:,.0f} GiB", f"{size:,.0f} bytes each"),
        ("table", f"{PAIRS * large['bytes a row'] / 2**30:.2f} GiB", f"{large['bytes a row']:.0f} bytes a row"),
        ("manifest", f"{PAIRS * large['bytes a line'] / 2**30:.2f} GiB", f"{large['bytes a line']:.0f} bytes a line"),
        (
            "until the first pair",
            f"{start + PAIRS * read / 1e6:.0f} s",
            f"{start:.1f} s to start, {read:.1f} us a row",
        ),
        ("more when it is resumed", f"{PAIRS * line / 1e6:.0f} s", f"{line:.1f} us a line of the manifest"),
        (
            "memory of a process",
            f"{row['MB at the peak'] + share * memory / MIB:,.0f} MB",
            f"{row['MB at the peak']:,.0f} MB as measured, {memory:.0f} bytes a row and line of its share",
        ),
        *(
            (
                "the work" if times == 1 else f"the work, {times} times as quick",
                f"{time:,.1f} hours",
                f"{rate * times:,.1f} pairs a second and process",
            )
            for times, time in hours.items()
        ),
        ("lost by a kill", f"{3 * batch / rate:.1f} s", f"at most three batches of {batch} of a process"),
        ("tar files", f"{PAIRS / SHARD:,.0f}", f"{SHARD:,} results each, {SHARD * size / MIB:.1f} MiB and more"),
        ("lost by a kill with tar files", f"{SHARD / rate:.0f} s more", "at most one of them of a process"),
    ]
    rows = "\n".join(f"| {what} | {much} | {why} |" for what, much, why in lines)
    return f"| | | from |\n| --- | --- | --- |\n{rows}"


if __name__ == "__main__":
    main()
