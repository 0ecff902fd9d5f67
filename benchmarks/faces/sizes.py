"""`midm-faces` at 64 pixels against `midm-faces-128`, on the same pairs: at 64 pixels, and at 128.

    python -m benchmarks.faces.sizes --pairs 200

The larger model's results are averaged to 64 pixels, the smaller one's interpolated to 128. Of the splits, "moved" is
the test split in the wide variety: heads scaled from .5 to 1.2 and moved by up to a quarter of the width, backdrops
empty and cluttered, more glasses, pens of many widths. Every figure is inside the head of the answer. Writes the
results file, and `docs/faces-128.png` by --sheet.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from benchmarks.results import RESULTS, command, machine, table, write_json
from midms import build
from midms.data.portraits.pairs import Pairs, draw_pairs, generators
from midms.evaluation.metrics.faces import conditions, matches, pictures
from midms.evaluation.metrics.perceptual import VGG16Distance
from midms.images import save_images, to_pil
from midms.images.figure import Sheet
from midms.pipeline.pipeline import Pipeline

SPLITS = {"test": ("test", "narrow"), "hard": ("hard", "narrow"), "moved": ("test", "wide")}
"""The split and the variety of its portraits."""
SMALL, LARGE = 64, 128
BATCH, SEED, SHOWN = 20, 0, (0, 3, 5, 6, 8, 13, 1, 2, 4)
Figures = dict[str, Tensor]


def main() -> None:
    """Measure, write the results file, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200, help="of each split (default %(default)s)")
    parser.add_argument("--splits", nargs="+", default=[*SPLITS], choices=SPLITS)
    parser.add_argument("--weights", help="of midm-faces-128, a folder instead of the shipped ones")
    parser.add_argument("--sheet", type=Path, help="where to write pictures of both")
    parser.add_argument("--out", type=Path, default=RESULTS / "faces-128.json", help="results file")
    args = parser.parse_args()
    small, large = build("midm-faces"), build("midm-faces-128", weights=args.weights)
    distance = VGG16Distance()
    results: dict[str, Any] = {"command": command("faces.sizes"), "pairs": args.pairs, "perceptual": distance.name}
    results |= machine() | {"splits": {}}
    for split in args.splits:
        results["splits"][split] = measure(small, large, distance, split, args.pairs)
        for size, rows in results["splits"][split].items():
            print(f"\n{split}, {size}\n{table(rows)}")
    write_json(args.out, results)
    if args.sheet:
        save_images({args.sheet: sheet(small, large, [split for split in args.splits for _ in range(3)])})


@torch.inference_mode()
def measure(
    small: Pipeline, large: Pipeline, distance: VGG16Distance, split: str, count: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Means over the pairs of a split, by size and model."""
    found: dict[str, dict[str, list[Figures]]] = {}
    for start in tqdm(range(0, count, BATCH), desc=split, unit_scale=BATCH, unit="pair"):
        indices = range(start, min(start + BATCH, count))
        pairs = {size: drawn(split, indices, size) for size in (SMALL, LARGE)}
        ours, other = translated(small, pairs[SMALL], indices), translated(large, pairs[LARGE], indices)
        images = {
            SMALL: {"midm-faces": ours["image"], "midm-faces-128": F.avg_pool2d(other["image"], 2)},
            LARGE: {"midm-faces": doubled(ours["image"]), "midm-faces-128": other["image"]},
        }
        for size, rows in images.items():
            far = distance.to(pairs[size].answer, pairs[size].head)
            for name, image in rows.items():
                figures = pictures(image, pairs[size]) | {"perceptual": far(image)}
                own = {id(one["image"]): one for one in (ours, other)}.get(id(image))
                if own is not None:
                    figures["PCK@0.05"] = matches(own["match"], own["confidence"], pairs[size])["PCK@0.05"]
                found.setdefault(f"{size} pixels", {}).setdefault(name, []).append(figures)
    return {
        size: {
            name: {figure: torch.cat([one[figure] for one in pieces]).nanmean().item() for figure in pieces[0]}
            for name, pieces in rows.items()
        }
        for size, rows in found.items()
    }


def drawn(split: str, indices: range, size: int) -> Pairs:
    """Pairs of a split; those of one index show the same at any size."""
    name, variety = SPLITS[split]
    return draw_pairs(name, indices, size, variety=variety)


def translated(pipe: Pipeline, pairs: Pairs, indices: range) -> dict[str, Any]:
    """What the whole loop makes of the sketches, its match and the confidence in it."""
    *_, moment = pipe.trajectory(conditions(pipe.condition, pairs), pairs.exemplar, generator=generators(SEED, indices))
    return {"image": pipe.autoencoder.decode(moment.step.x0), "match": moment.match, "confidence": moment.confidence}


def doubled(image: Tensor) -> Tensor:
    """Pictures at twice their size."""
    return F.interpolate(image, scale_factor=2, mode="bicubic", align_corners=False)


@torch.inference_mode()
def sheet(small: Pipeline, large: Pipeline, splits: list[str]) -> Any:
    """Some pairs of the splits, by both models."""
    rows = []
    for split, number in zip(splits, itertools.cycle(SHOWN), strict=False):
        indices = range(number, number + 1)
        few, many = drawn(split, indices, SMALL), drawn(split, indices, LARGE)
        images = {
            "sketch": F.avg_pool2d(1 - 2 * many.sketch, 2).expand(-1, 3, -1, -1),
            "exemplar": many.exemplar,
            "midm-faces": doubled(translated(small, few, indices)["image"]),
            "midm-faces-128": translated(large, many, indices)["image"],
            "exact answer": many.answer,
        }
        rows.append({title: to_pil(image) for title, image in images.items()})
    return Sheet([[*row.values()] for row in rows], [*rows[0]], 192).image


if __name__ == "__main__":
    main()
