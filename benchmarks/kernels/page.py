"""The page about the kernels, written from the results files that `benchmarks.kernels.hotpath` left.

    python -m benchmarks.kernels.page

Reads `benchmarks/results/kernels-*.json` and `precision.json`; writes `docs/kernels.md` and its plots.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.results import RESULTS
from midms.core.files import atomic_write

DOCS = Path(__file__).parents[2] / "docs"
OURS, BASE = "midms chunked", "released"
Row = dict[str, Any]


def main() -> None:
    """Write the page and the plots."""
    cpu = json.loads((RESULTS / "kernels-cpu.json").read_text())
    precision = json.loads((RESULTS / "precision.json").read_text())
    _write(DOCS / "kernels-cpu.svg", plot(cpu["rows"]))
    _write(DOCS / "kernels.md", page(cpu, of_gpus(), precision))


def of_gpus() -> list[dict[str, Any]]:
    """What was measured on GPUs."""
    found = (json.loads(path.read_text()) for path in sorted(RESULTS.glob("kernels-*.json")))
    return [results for results in found if results.get("device") == "cuda"]


def page(cpu: dict[str, Any], gpus: list[dict[str, Any]], precision: dict[str, Any]) -> str:
    """All of it, in Markdown."""
    parts = [
        "# Kernels: what the match costs",
        "Written by `python -m benchmarks.kernels.page` from the files in `benchmarks/results`; do not edit. Every "
        "figure is behind a gate: the peer's numbers were compared with float64 first.",
        "## On a CPU",
        f"One match between two square grids: {cpu['values']} values warped, both flows, the check; features of "
        f"{cpu['width']} channels, float32. With gradients: of the warped values, in features and values. Extra "
        "memory is the peak of the process beyond what it held before. Smooth features give small softmax weights in "
        f"the denormal range, random ones do not. {_origin(cpu)} Command: `{cpu['command']}`.",
        "![time against the released path](kernels-cpu.svg)",
        "\n".join(_in_short(cpu["rows"])),
    ]
    for (side, features, threads, trains), rows in _grouped(cpu["rows"]):
        title = f"{side} x {side}, {features} features, {threads} thread{'s' * (threads > 1)}"
        parts += [f"### {title}, {'with' if trains else 'without'} gradients", _table(rows)]
    parts += ["## On a GPU"]
    parts += [_gpu(results) for results in gpus] or [
        "Not measured: no GPU was to be had. `benchmarks/gpu.sh` measures it; a test runs the same script at a tiny "
        "size with the kernels interpreted."
    ]
    parts += ["## What the precisions cost", _precision(precision)]
    return "\n\n".join(parts) + "\n"


def _in_short(rows: list[Row]) -> Iterable[str]:
    for (side, features, threads, trains), group in _grouped(rows):
        found = {row["peer"]: row for row in group if "ms" in row}
        if OURS not in found or features != "random":
            continue
        what = (
            f"- {side} x {side}, {threads} thread{'s' * (threads > 1)}, {'with' if trains else 'without'} gradients: "
        )
        ours, base = found[OURS], found.get(BASE)
        if base is None:
            yield f"{what}{ours['ms'] / 1000:.0f} s, {ours['extra MB']:.0f} MB of extra memory."
        else:
            yield (
                f"{what}{base['ms'] / ours['ms']:.1f} times faster than the released path, with 1/"
                f"{base['extra MB'] / ours['extra MB']:.0f} of its extra memory."
            )


def _table(rows: list[Row]) -> str:
    base = next((row for row in rows if row["peer"] == BASE), {})
    lines = [
        "| | ms | times faster | extra MB | of the released | error of values | of flows, px | of gradients |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if problem := row.get("missing") or row.get("red"):
            lines.append(f"| {row['peer']} | {problem} | | | | | | |")
            continue
        faster = f"{base['ms'] / row['ms']:.1f}" if "ms" in base else "-"
        share = f"{row['extra MB'] / base['extra MB']:.3f}" if "ms" in base else "-"
        wrong = " | ".join(
            f"{row[name]:.0e}" if name in row else "-" for name in ("value error", "flow error px", "gradient error")
        )
        lines.append(f"| {row['peer']} | {row['ms']:.0f} | {faster} | {row['extra MB']:.0f} | {share} | {wrong} |")
    return "\n".join(lines)


def _gpu(results: dict[str, Any]) -> str:
    rows, ends = results["rows"], "" if results["finished"] else f" Cut off after {len(results['rows'])} rows."
    gemm, copy = (_best(rows, what, rate) for what, rate in (("square product", "TFLOP/s"), ("copy", "GB/s")))
    lines = [
        f"{_origin(results)} Command: `{results['command']}`.{ends} Times are the medians of bursts, and "
        "multiples of the first of midms's in the same benchmark; rates are also given as shares of a square product's "
        "in half precision, and of a copy's, in this run.\n",
        "| | what | size | who | ms | times midms's | extra MB | TFLOP/s | GB/s | errors | timed by |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        head = f"| {row['id']} | {row['what']} | {row['size']} | {row['peer']} |"
        if problem := row.get("missing") or row.get("red"):
            lines.append(f"{head} {problem.replace('|', '/')} | | | | | | |")
            continue
        wrong = ", ".join(f"{name} {value:.0e}" for name, value in row.items() if "error" in name or "differ" in name)
        memory = f"{row['extra MB']:.0f}" if "extra MB" in row else "-"
        rates = f"{_rate(row, 'TFLOP/s', gemm)} | {_rate(row, 'GB/s', copy)}"
        times = f"{row['ms']:.4f} | {_times(row, rows)}"
        lines.append(f"{head} {times} | {memory} | {rates} | {wrong} | {row['timed by']} |")
    return "\n".join(lines)


def _best(rows: list[Row], what: str, rate: str) -> float | None:
    return max((row[rate] for row in rows if row["what"] == what and rate in row), default=None)


def _rate(row: Row, rate: str, most: float | None) -> str:
    share = "" if most is None else f" ({row.get(rate, 0) / most:.2f})"
    return f"{row[rate]:.0f}{share}" if rate in row else "-"


def _times(row: Row, rows: list[Row]) -> str:
    alike = [other for other in rows if all(other[name] == row[name] for name in ("id", "what", "size"))]
    ours = next((other["ms"] for other in alike if other["peer"].startswith("midms") and "ms" in other), None)
    return "-" if ours is None else f"{row['ms'] / ours:.2f}"


def _precision(results: dict[str, Any]) -> str:
    figures = ("warp", "flow mean px", "flow p99 px", "flow max px", "flips")
    lines = [
        f"Products rounded as each precision rounds them, {results['side']} x {results['side']}, temperature 0.005, "
        f"against float64; the worst of {', '.join(results['features'])} features. {_origin(results)}\n",
        "| precision | by | relative error of values | flow mean px | flow p99 px | flow max px | mask flips |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        cells = " | ".join(f"{row[name]:.1e}" for name in figures)
        lines.append(f"| {row['precision']} | {row['by']} | {cells} |")
    return "\n".join(lines)


def plot(rows: list[Row]) -> str:
    """Bars of how many times faster than the released path each peer is, as SVG."""
    bars: list[tuple[str, float | None]] = []
    for (side, features, threads, trains), group in _grouped(rows):
        base = next((row["ms"] for row in group if row["peer"] == BASE and "ms" in row), None)
        if base is None or features != "random" or side < 64:
            continue
        bars.append((f"{side} x {side}, {threads} thread(s), {'with' if trains else 'without'} gradients", None))
        bars += [(row["peer"], base / row["ms"]) for row in group if "ms" in row]
    longest = max((value for _, value in bars if value), default=1.0)
    height = 18 * len(bars) + 10
    size = f'width="760" height="{height}" font-family="sans-serif" font-size="12"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>']
    lines.append('<rect width="100%" height="100%" fill="white"/>')
    for index, (name, value) in enumerate(bars):
        y = 18 * index + 18
        if value is None:
            lines.append(f'<text x="8" y="{y}" font-weight="bold">{name}</text>')
            continue
        colour = "#c33" if name == OURS else "#999"
        length = 400 * value / longest
        lines.append(f'<text x="24" y="{y}">{name}</text>')
        lines.append(f'<rect x="220" y="{y - 11}" width="{length:.0f}" height="13" fill="{colour}"/>')
        lines.append(f'<text x="{226 + length:.0f}" y="{y}">{value:.1f} x</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def _grouped(rows: list[Row]) -> Iterable[tuple[tuple[int, str, int, bool], list[Row]]]:
    groups: dict[tuple[int, str, int, bool], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["side"], row["features"], row["threads"], row["gradients"]), []).append(row)
    return sorted(groups.items())


def _origin(results: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    return f"Made on {results['date'][:10]}, {results['hardware']}, {versions}."


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as part:
        part.write_text(text)


if __name__ == "__main__":
    main()
