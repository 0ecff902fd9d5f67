"""The pairs of `results/translation-facesjs.json`, from the lines that `faces.mjs` prints to files.

    node benchmarks/translation/faces.mjs 0 3000 | python -m benchmarks.translation.rendered --out faces3000

Each line becomes two coloured pictures and two drawings, PNG of `--size` pixels, and two rows of `pairs.csv`: either
face is once the target, the other the exemplar. The data set `facesjs` draws such pairs as they are needed, of other
faces.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from pathlib import Path

import resvg_py
from PIL import Image
from tqdm import tqdm


def main() -> None:
    """Read lines from standard input, write a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    parser.add_argument("--size", type=int, default=128, help="pixels a side (default %(default)s)")
    args = parser.parse_args()
    args.out.mkdir(parents=True)
    with (args.out / "pairs.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["condition", "exemplar", "target", "exemplar_condition"])
        for line in tqdm(sys.stdin, unit="pair"):
            both = json.loads(line)
            names = [f"{both['seed']:06d}{which}" for which in "ab"]
            for name, faces in zip(names, both["pictures"], strict=True):
                rendered(faces["picture"], args.size).save(args.out / f"{name}.png")
                rendered(faces["drawing"], args.size).convert("L").save(args.out / f"{name}.drawing.png")
            for target, exemplar in (names, names[::-1]):
                rows.writerow([f"{target}.drawing.png", f"{exemplar}.png", f"{target}.png", f"{exemplar}.drawing.png"])


def rendered(svg: str, size: int) -> Image.Image:
    """A face, drawn larger and reduced."""
    drawn = resvg_py.svg_to_bytes(svg_string=svg, width=3 * size, height=3 * size)
    return Image.open(io.BytesIO(bytes(drawn))).convert("RGB").resize((size, size), Image.Resampling.BOX)


if __name__ == "__main__":
    main()
