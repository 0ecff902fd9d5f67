"""CPU time of reading drawings and photos at several sizes; that of drawings is in proportion to the pixels.

    python -m benchmarks.faces.sketch

Writes `benchmarks/results/sketch.json`, and what docs/scale.md quotes of it.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.measure import versions
from benchmarks.results import RESULTS, between, command, machine, table, write_json
from midms.conditions.celebahq_edge import background_edges
from midms.conditions.sketch import Sketch
from midms.conditions.strokes import resize_area
from midms.data.portraits.pairs import draw_pairs

SIZES = ((256, 256), (512, 512), (1024, 1024), (2048, 2048), (256, 1024), (1024, 256), (512, 2048), (2048, 512))
"""Height and width in pixels, of the picture and of its map."""
FIGURE, PHOTO, CANNY = (f"{kind}, ns a pixel" for kind in ("drawing", "photo", "canny"))
OWN = " of its own"
"""Without the system's time, which is spent on pages of memory that the C library gives back and asks for anew."""


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
    ratio = slowest_to_quickest(rows, FIGURE)
    result |= {"rows": rows, "slowest to quickest drawing": ratio, **machine()}
    result["versions"] |= versions("opencv-python-headless", "kornia")
    write_json(args.out, result)
    if args.out == RESULTS / "sketch.json":
        between(Path(__file__).parents[2] / "docs" / "scale.md", "reading", page(result))
    print(page(result))


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
                before = resource.getrusage(resource.RUSAGE_SELF)
                read()
                after = resource.getrusage(resource.RUSAGE_SELF)
                own, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
                for figure, spent in ((name, own + system), (name + OWN, own)):
                    nanoseconds = spent / (height * width) * 1e9
                    row[figure] = min(nanoseconds, row.get(figure, nanoseconds))
    return rows


def slowest_to_quickest(rows: Mapping[str, Mapping[str, float]], figure: str) -> float:
    """Of all sizes."""
    found = [row[figure] for row in rows.values()]
    return max(found) / min(found)


def page(result: dict[str, Any]) -> str:
    """The table of what was measured, how, and what is claimed of which column."""
    rows, versions = result["rows"], ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return "\n\n".join(
        [
            table(rows),
            "That a pixel takes as long whatever the size is claimed of drawings: the slowest size takes "
            f"{result['slowest to quickest drawing']:.2f} times as long as the quickest. Of Canny's edges, which the "
            f"released model of faces takes, it holds of their own time ({slowest_to_quickest(rows, CANNY + OWN):.2f}"
            "): the rest is the system's, which is asked anew for the memory of each step once a picture is large. "
            "Photos of more than 512 pixels take less a pixel, for their edges are those of a reduction to 512.",
            f"`{result['command']}`, {result['date'][:10]}: CPU time of one thread, the least of {result['repeats']} "
            f"counts; {result['hardware']}; {versions}; seed {result['seed']}.",
        ]
    )


def readings(drawing: Float[Tensor, "1 3 Y X"], photo: Float[Tensor, "1 3 Y X"]) -> dict[str, Callable[[], Tensor]]:
    """What is measured, by name."""
    height, width = drawing.shape[-2:]
    return {
        FIGURE: lambda: Sketch().drawing(drawing, (height, width)),
        PHOTO: lambda: Sketch().photo(photo),
        CANNY: lambda: background_edges(photo),
    }


def brought(picture: Float[Tensor, "1 3 Y X"], height: int, width: int) -> Float[Tensor, "1 3 y x"]:
    """The picture stretched to a size."""
    return resize_area(picture, (height, width)).clamp(-1, 1)


if __name__ == "__main__":
    main()
