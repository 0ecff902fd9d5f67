"""The page and the README's lines about the released models, from what `benchmarks.released.inference` left.

    python -m benchmarks.released

Reads `benchmarks/results/inference-*.json`; writes what stands between the marks of `docs/released.md` and README.md.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from benchmarks.results import RESULTS, between, table

ROOT = Path(__file__).parents[2]
SPLIT = ("encode", "features", "matching", "U-Net", "decode")
SHOWN = ("seconds", "CPU seconds", *SPLIT, "U-Net calls", "decode calls", "peak GiB", "times faster")
KEPT = 45.0
"""dB from which a picture counts as the same."""


def main() -> None:
    """Write both."""
    results = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("inference-*.json"))]
    results.sort(key=lambda result: -math.prod(result["size"]))
    between(ROOT / "docs" / "released.md", "figures", "\n\n".join(map(section, results)))
    between(ROOT / "README.md", "released", brief(results[0]))
    trained = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("training-*.json"))]
    trained.sort(key=lambda result: -result["size"])
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in trained[0]["released seconds"].items())
    calls = (
        f"Of the released code, by their call on another machine, forwards alone but for the last (seconds): {parts}."
    )
    between(ROOT / "docs" / "released.md", "training", "\n\n".join([*map(training, trained), calls]))


def training(result: dict[str, Any]) -> str:
    """What a step of the stage `joint` costs, in Markdown."""
    shown = ("CPU seconds", "pictures a CPU second", "peak GiB", "before the step GiB")
    rows = {name: {figure: row[figure] for figure in shown} for name, row in result["rows"].items()}
    stopped = ", ".join(f"`{name}`" for name in result["stopped"])
    memory = f"{result['memory GiB']:.0f} GiB"
    lacking = f" For {stopped} the memory of the machine, {memory}, was too little." if stopped else ""
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    parameters = next(iter(result["rows"].values()))["trained parameters"]
    return "\n\n".join(
        [
            f"### {result['preset']}, a step of `joint`, one picture of {result['size']} x {result['size']} pixels",
            table(rows),
            f"{parameters:,} parameters are trained, in float32, with AdamW.{lacking} "
            f"`{result['command']}`, {result['date'][:10]}, {result['cpu']['name']}, {result['threads']} threads; "
            f"{versions}; seed {result['seed']}.",
        ]
    )


def section(result: dict[str, Any]) -> str:
    """What one preset's inference costs, in Markdown."""
    height, width = result["size"]
    rows = {name: {figure: row[figure] for figure in SHOWN} for name, row in result["rows"].items()}
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    flags = ", ".join(result["cpu"]["flags"])
    parameters = ", ".join(f"{slot} {count:,}" for slot, count in result["parameters"].items())
    return "\n\n".join(
        [
            f"### {result['preset']}, one pair of {height} x {width} pixels",
            table(rows),
            "Encode to decode are CPU seconds over all threads, factors of these: the machine also did other work.",
            *verdicts(result["rows"]),
            f"Parameters: {parameters}. `{result['command']}`, {result['date'][:10]}, {result['cpu']['name']}, "
            f"{result['threads']} threads, of half-width arithmetic and AVX-512 the processor has {flags}; {versions}; "
            f"seed {result['seed']}, the quickest of {result['repeats']}.",
        ]
    )


def verdicts(rows: dict[str, dict[str, Any]]) -> list[str]:
    """What each variant gave, and whether its picture is the same."""
    said = []
    for name, row in rows.items():
        if name == "as released":
            continue
        same = "the same picture" if row["PSNR"] >= 200 else f"a picture within {row['PSNR']:.0f} dB of it"
        kept = "" if row["PSNR"] >= KEPT else f", which is less than the {KEPT:.0f} dB that count as the same"
        said.append(f"- {name}: {pace(row['times faster'])}, {same}{kept}.")
    return ["\n".join(said)]


def pace(factor: float) -> str:
    """A factor in words, whichever way it goes."""
    return f"{factor:.2f} times faster than as released" if factor >= 1 else f"takes {1 / factor:.2f} times as long"


def brief(result: dict[str, Any]) -> str:
    """The README's sentence."""
    height, width = result["size"]
    rows = result["rows"]
    fast, plain, released = rows["midms, Winograd"], rows["midms"], rows["as released"]
    return (
        f"`{result['preset']}` at {height} x {width} pixels on {result['threads']} threads of a CPU: "
        f"{released['CPU seconds']:.0f} CPU seconds as released, {plain['CPU seconds']:.0f} here for the same picture "
        f"({plain['times faster']:.2f} times faster), {fast['CPU seconds']:.0f} with Winograd's convolution "
        f"({fast['times faster']:.2f} times, {fast['PSNR']:.0f} dB). "
        "What it took: [docs/released.md](docs/released.md).\n"
    )


if __name__ == "__main__":
    main()
