"""CPU time of reading drawings and photos at several sizes; it is in proportion to the pixels.

    python -m benchmarks.faces.sketch

Writes `benchmarks/results/sketch.json`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.measure import versions
from benchmarks.results import RESULTS, command, machine, table, write_json
from midms.conditions.celebahq_edge import background_edges
from midms.conditions.sketch import Sketch
from midms.conditions.strokes import resize_area
from midms.data.portraits.pairs import draw_pairs

SIZES = ((256, 256), (512, 512), (1024, 1024), (2048, 2048), (256, 1024), (1024, 256), (512, 2048), (2048, 512))
"""Height and width in pixels, of the picture and of its map."""
FIGURE = "drawing, ns a pixel"


def main() -> None:
    """Measure and write the results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="which face is drawn")
    parser.add_argument("--repeats", type=int, default=7, help="the quickest of so many counts")
    parser.add_argument("--longest", type=int, default=2048, help="leave out sizes beyond")
    parser.add_argument("--out", type=Path, default=RESULTS / "sketch.json")
    args = parser.parse_args()
    sizes = [size for size in SIZES if max(size) <= args.longest]
    rows = measure(sizes, args.seed, args.repeats)
    result: dict[str, Any] = {"command": command("faces.sketch"), "seed": args.seed, "repeats": args.repeats}
    ratio = max(row[FIGURE] for row in rows.values()) / min(row[FIGURE] for row in rows.values())
    result |= {"rows": rows, "slowest to quickest drawing": ratio, **machine()}
    result["versions"] |= versions("opencv-python-headless", "kornia")
    write_json(args.out, result)
    print(table(rows))
    print(f"slowest to quickest drawing: {ratio:.2f}")


def measure(sizes: list[tuple[int, int]], seed: int, repeats: int) -> dict[str, dict[str, float]]:
    """Nanoseconds of one thread a pixel, a row a size; every size in turn, so that all see the same machine."""
    import cv2

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    pair = draw_pairs("test", [seed], 128)
    drawing, photo = (1 - 2 * pair.sketch).expand(-1, 3, -1, -1), pair.exemplar
    rows: dict[str, dict[str, float]] = {f"{height} x {width}": {} for height, width in sizes}
    for _ in range(repeats):
        for (height, width), row in zip(sizes, rows.values(), strict=True):
            for name, read in readings(brought(drawing, height, width), brought(photo, height, width)).items():
                start = time.process_time()
                read()
                spent = (time.process_time() - start) / (height * width) * 1e9
                row[name] = min(spent, row.get(name, spent))
    return rows


def readings(drawing: Float[Tensor, "1 3 Y X"], photo: Float[Tensor, "1 3 Y X"]) -> dict[str, Callable[[], Tensor]]:
    """What is measured, by name."""
    height, width = drawing.shape[-2:]
    return {
        FIGURE: lambda: Sketch().drawing(drawing, (height, width)),
        "photo, ns a pixel": lambda: Sketch().photo(photo),
        "canny, ns a pixel": lambda: background_edges(photo),
    }


def brought(picture: Float[Tensor, "1 3 Y X"], height: int, width: int) -> Float[Tensor, "1 3 y x"]:
    """The picture stretched to a size."""
    return resize_area(picture, (height, width)).clamp(-1, 1)


if __name__ == "__main__":
    main()
