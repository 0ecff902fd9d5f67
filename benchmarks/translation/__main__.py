"""Translation against the targets of a data set, beside what needs no translation.

    python -m benchmarks.translation runs/mine --data pairs:faces/pairs.csv --pairs 200 --out results.json

Every figure is a mean over pairs, of the foreground where pairs have one, else of the whole picture.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.results import command, machine, table, write_json
from midms.cli.values import dataset_value
from midms.compose.catalog import create
from midms.compose.presets import PRESETS
from midms.data.pair import Pair, collate
from midms.evaluation.metrics.perceptual import VGG16Distance
from midms.evaluation.metrics.pictures import psnr, ssim
from midms.pipeline.build import build
from midms.pipeline.pipeline import Pipeline
from midms.pipeline.pretrained import from_pretrained

BATCH, SEED = 8, 0


def main() -> None:
    """Measure, write the results file, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", help="a preset, or a folder such as `midms train` leaves")
    parser.add_argument("--data", type=dataset_value, required=True, help="a data set, see `midms list dataset`")
    parser.add_argument("--split", default="validation", help="which pairs of it (default %(default)s)")
    parser.add_argument("--pairs", type=int, default=200, help="the most pairs, the first (default %(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="results file")
    args = parser.parse_args()
    pipe = build(args.preset) if args.preset in PRESETS else from_pretrained(args.preset)
    dataset = create(
        "dataset", args.data.name, **args.data.arguments, split=args.split, size=pipe.size, condition=pipe.condition
    )
    count, perceptual = min(args.pairs, len(dataset)), VGG16Distance()
    rows = measure(pipe, dataset, count, perceptual)
    described = {
        "data": args.data.typed(),
        "split": args.split,
        "pairs": count,
        "size": pipe.size,
        "perceptual": perceptual.name,
        "made": dict(pipe.recipe.made),
    }
    write_json(args.out, {"command": command("translation"), **described, **machine(), "rows": rows})
    print(f"{table(rows)}\nwritten to {args.out}")


@torch.inference_mode()
def measure(pipe: Pipeline, dataset: Any, count: int, perceptual: VGG16Distance) -> dict[str, dict[str, float]]:
    """A row for each way to a picture."""
    encode, decode = pipe.autoencoder.encode, pipe.autoencoder.decode
    ways: dict[str, Callable[[Pair, range], Tensor]] = {
        "exemplar copied": lambda pair, indices: pair.exemplar,
        "autoencoder, of the target": lambda pair, indices: decode(encode(pair.target)),
        "first warp decoded": lambda pair, indices: decode(next(_trajectory(pipe, pair, indices)).warp),
        "translation": lambda pair, indices: decode([*_trajectory(pipe, pair, indices)][-1].step.x0),
    }
    found: dict[str, dict[str, list[Tensor]]] = {name: {} for name in ways}
    seconds = dict.fromkeys(ways, 0.0)
    for start in tqdm(range(0, count, BATCH), unit_scale=BATCH, unit="pair"):
        indices = range(start, min(start + BATCH, count))
        pair = collate([dataset[index] for index in indices])
        mask = torch.ones_like(pair.target[:, 0]).bool() if pair.foreground is None else pair.foreground[:, 0]
        distance = perceptual.to(pair.target, mask)
        for name, way in ways.items():
            began = time.perf_counter()
            image = way(pair, indices)
            seconds[name] += time.perf_counter() - began
            figures = {"PSNR": psnr, "SSIM": ssim}
            measured = {figure: of(image, pair.target, mask) for figure, of in figures.items()}
            for figure, values in (measured | {"perceptual": distance(image)}).items():
                found[name].setdefault(figure, []).append(values)
    warp = torch.cat(found["first warp decoded"]["PSNR"])
    return {
        name: {figure: torch.cat(values).mean().item() for figure, values in figures.items()}
        | {"better than first warp": (torch.cat(figures["PSNR"]) > warp).float().mean().item()}
        | {"ms a pair": 1000 * seconds[name] / count}
        for name, figures in found.items()
    }


def _trajectory(pipe: Pipeline, pair: Pair, indices: range) -> Any:
    """The moments of the loop; noise follows from the seed and the pair's index."""
    noise = [torch.Generator().manual_seed(SEED + index) for index in indices]
    return pipe.trajectory(pair.condition, pair.exemplar, pair.exemplar_condition, generator=noise)


if __name__ == "__main__":
    main()
