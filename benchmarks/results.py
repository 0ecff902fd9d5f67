"""Results files and the tables made from them."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from midms.core.files import atomic_write
from midms.core.results import machine, write_json

__all__ = ["RESULTS", "between", "command", "machine", "table", "write_json"]

RESULTS = Path(__file__).parent / "results"
DIGITS = {"PSNR": 2, "SSIM": 3, "perceptual": 4, "EPE px": 2, "ms a pair": 0, "minutes": 1}
DIGITS |= dict.fromkeys(("seconds", "CPU seconds", "encode", "features", "matching", "U-Net", "decode", "peak GiB"), 1)
DIGITS |= {"pictures a CPU second": 4, "before the step GiB": 1}
DIGITS |= {"pairs a second": 2, "MB at the peak": 0, "MB grown": 0, "levels apart": 0, "values apart": 5}
DIGITS |= dict.fromkeys(
    (f"{kind}, ns a pixel{of}" for kind in ("drawing", "photo", "canny") for of in ("", " of its own")), 0
)
DIGITS |= {f"{what} a {of}": 1 for what in ("bytes", "microseconds", "bytes in memory") for of in ("row", "line")}
DIGITS |= dict.fromkeys(("kills", "results", "once and equal", "noted twice", "other files"), 0)
DIGITS |= {"pairs": 0, "number": 0, "U-Net calls": 0, "decode calls": 0, "times faster": 2, "pictures a step": 1}
DIGITS |= dict.fromkeys(("steps", "calls", "of these cut short", "pictures", "bytes a cell", "without injection"), 0)


def table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """A Markdown table: a row a name, a column a figure; a dash where a row has no such figure."""
    columns = list(dict.fromkeys(figure for row in rows.values() for figure in row))
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    lines += [[name, *(_cell(figure, row.get(figure)) for figure in columns)] for name, row in rows.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(figure: str, value: Any) -> str:
    return "-" if value is None else f"{value:.{DIGITS.get(figure, 3)}f}"


def command(module: str) -> str:
    """What was typed to run one of these benchmarks."""
    return shlex.join(["python", "-m", f"benchmarks.{module}", *sys.argv[1:]])


def between(path: Path, name: str, text: str) -> None:
    """Replace what stands between a file's marks of a name."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    content, found = re.subn(
        f"{begin}.*?{end}", lambda _: f"{begin}{text.rstrip()}\n{end}", path.read_text(), flags=re.S
    )
    if not found:
        raise ValueError(f"{path}: has no marks {begin.strip()} and {end}")
    with atomic_write(path) as part:
        part.write_text(content)
