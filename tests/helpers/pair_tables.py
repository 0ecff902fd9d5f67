"""Small tables of pairs, and what translations of them leave."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def write_pairs(folder: Path, count: int) -> Path:
    """Drawings of two sizes, photos, and a table of them."""
    y, x = np.mgrid[:64, :64]
    for i in range(count):
        drawing = Image.new("RGB", (64, 64 if i % 3 else 48), "white")
        ImageDraw.Draw(drawing).ellipse([8 + 2 * i, 8, 50, 40], outline="black", width=2)
        drawing.save(folder / f"{i}.png")
        Image.fromarray(np.stack([3 * x, 4 * y, 0 * x + 40 * i], -1).astype(np.uint8)).save(folder / f"photo{i}.png")
    rows = [f"{i}.png,photo{i}.png" for i in range(count)]
    (folder / "pairs.csv").write_text("\n".join(["condition,exemplar", *rows]))
    return folder / "pairs.csv"


def pictures(folder: Path) -> dict[str, bytes]:
    """Finished results by their path; those that are being written are in hidden folders, which come and go."""
    paths = [Path(place, name).relative_to(folder) for place, _, names in os.walk(folder) for name in names]
    finished = [path for path in sorted(paths) if path.suffix == ".png" and path.as_posix()[0] != "."]
    return {path.as_posix(): (folder / path).read_bytes() for path in finished}


def lines(folder: Path, name: str = "manifest.jsonl") -> list[dict[str, object]]:
    """Of pairs."""
    found = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    return [line for line in found if "run" not in line]
