"""Translation and matching on faces, where the exact answer and the exact correspondence are known.

    python -m benchmarks.faces --pairs 200
    python -m benchmarks.faces --pairs 200 --matcher optimal-transport --confidence always

Every figure is inside the head of the answer, hair included, and is a mean over pairs. A pixel's match is right if the
exemplar shows its counterpart and the match is off by less than 0.05 widths.
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

from benchmarks.results import machine, table, write_json
from midms import build
from midms.data.portraits.pairs import Pairs, draw_pairs, generators
from midms.evaluation.metrics.faces import conditions, matches, pictures
from midms.evaluation.metrics.perceptual import VGG16Distance
from midms.evaluation.metrics.pictures import auroc
from midms.pipeline.pipeline import Pipeline

BATCH, SEED = 20, 0
Picture = Callable[[Pairs, range], dict[str, Any]]


def main() -> None:
    """Measure, write the results file, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200, help="pairs of each split")
    parser.add_argument("--splits", nargs="+", default=["test", "hard"], choices=["validation", "test", "hard"])
    parser.add_argument("--size", type=int, default=64, help="pixels a side")
    for slot in ("matcher", "confidence", "sampler"):
        parser.add_argument(f"--{slot}", help=f"{slot} of the composed rows instead of the presets' own")
    parser.add_argument("--weights", help="folder of weights instead of the shipped ones")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/faces.json"))
    args = parser.parse_args()
    changes: dict[str, Any] = {s: getattr(args, s) for s in ("matcher", "confidence", "sampler") if getattr(args, s)}
    if args.weights:
        changes["weights"] = args.weights
    rows = compose(changes)
    perceptual = VGG16Distance()
    results: dict[str, Any] = {
        "command": f"python -m benchmarks.faces --pairs {args.pairs}", "pairs": args.pairs, "size": args.size,
        "changes": {k: str(v) for k, v in changes.items()}, "perceptual": perceptual.name, **machine(),
        "splits": {},
    }  # fmt: skip
    for split in args.splits:
        results["splits"][split] = measure(rows, split, args.pairs, args.size, perceptual)
        print(f"\n{split}: {args.pairs} pairs, {args.size} px\n{table(results['splits'][split])}")
    write_json(args.out, results)
    print(f"\nperceptual distance: {perceptual.name}\nwritten to {args.out}")


def compose(changes: dict[str, Any]) -> dict[str, Picture]:
    """The rows of the table by name."""
    best = build("midm-faces", **changes)
    published = build("midm-faces-paper", **changes)

    def loop(pipe: Pipeline, **fields: Any) -> Picture:
        return lambda pairs, indices: translate(pipe.replace(**fields), pairs, indices)

    return {
        "exemplar copied": lambda pairs, indices: {"image": pairs.exemplar},
        "autoencoder, of the exact answer": lambda pairs, indices: {"image": reconstruct(best, pairs)},
        "first warp decoded": lambda pairs, indices: first_warp(best, pairs),
        "first warp, plain diffusion": loop(published, rematch=(), edit="context"),
        "midm-faces": loop(best),
        "midm-faces, re-matching": loop(best, rematch=(0,)),
        "midm-faces, re-matching and blending": loop(best, rematch=(0,), edit="blend"),
        "midm-faces-paper": loop(published),
        "midm-faces-paper, no re-matching": loop(published, rematch=()),
    }


def reconstruct(pipe: Pipeline, pairs: Pairs) -> Tensor:
    """The exact answer through the autoencoder: no result can be better."""
    return pipe.autoencoder.decode(pipe.autoencoder.encode(pairs.answer))


def first_warp(pipe: Pipeline, pairs: Pairs) -> dict[str, Any]:
    """The exemplar's latent under the first match, decoded."""
    moment = next(pipe.replace(rematch=()).trajectory(conditions(pipe.condition, pairs), pairs.exemplar))
    return {"image": pipe.autoencoder.decode(moment.warp)}


def translate(pipe: Pipeline, pairs: Pairs, indices: range) -> dict[str, Any]:
    """The whole loop; the match and confidence are those in force at its end."""
    *_, moment = pipe.trajectory(conditions(pipe.condition, pairs), pairs.exemplar, generator=generators(SEED, indices))
    return {"image": pipe.autoencoder.decode(moment.step.x0), "match": moment.match, "confidence": moment.confidence}


@torch.inference_mode()
def measure(
    rows: dict[str, Picture], split: str, count: int, size: int, perceptual: VGG16Distance
) -> dict[str, dict[str, float]]:
    """Every row's figures on one split."""
    collected: dict[str, dict[str, list[Tensor]]] = {name: {} for name in rows}
    seconds = dict.fromkeys(rows, 0.0)
    for start in tqdm(range(0, count, BATCH), desc=split, unit_scale=BATCH, unit="pair"):
        indices = range(start, min(start + BATCH, count))
        pairs = draw_pairs(split, indices, size)
        distance = perceptual.to(pairs.answer, pairs.head)
        for name, row in rows.items():
            began = time.perf_counter()
            output = row(pairs, indices)
            seconds[name] += time.perf_counter() - began
            figures = pictures(output["image"], pairs)
            figures["perceptual"] = distance(output["image"])
            if "match" in output:
                figures |= matches(output["match"], output["confidence"], pairs)
            for figure, value in figures.items():
                collected[name].setdefault(figure, []).append(value)
    first = torch.cat(collected["first warp decoded"]["PSNR"])
    summary = {}
    for name, pieces in collected.items():
        whole = {figure: torch.cat(values) for figure, values in pieces.items()}
        confidence, right = whole.pop("_confidence", None), whole.pop("_right", None)
        summary[name] = {figure: values.nanmean().item() for figure, values in whole.items()}
        summary[name]["better than first warp"] = (whole["PSNR"] > first).float().mean().item()
        if confidence is not None and right is not None:
            summary[name]["AUROC"] = auroc(confidence, right.bool())
        summary[name]["ms a pair"] = 1000 * seconds[name] / count
    return summary


if __name__ == "__main__":
    main()
