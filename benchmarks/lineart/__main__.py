"""Line art coloured like a reference, against exact answers.

    python -m benchmarks.lineart --facesjs FOLDER --openmoji FOLDER --pairs 100
    python -m benchmarks.lineart --table FILE.csv --out mine.json

A pixel is right if each channel is within 0.1 of the range of the answer's. By slot, pixels of its plain colour count,
where the reference shows it; a region is right if its median colour is. FOLDERs are unpacked npm packages.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from benchmarks.lineart.cases import Case, Cases, facesjs, openmoji, portraits, shapes
from benchmarks.lineart.cases import table as table_of_files
from benchmarks.lineart.hints import measure_anchors
from benchmarks.lineart.regions import TENTH, regions_of, right_regions
from benchmarks.lineart.ways import Way, plain_ways, ways_of
from benchmarks.results import command, machine, table, write_json
from midms import create
from midms.pipeline.pretrained import load

BATCH, _SHOWN = 10, 5
GAIN = ("4 levels, matched again 0 times", "4 levels, matched again 3 times")


def main() -> None:
    """Measure, write the results file, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="midm-lineart", help="a preset or folder (default %(default)s)")
    parser.add_argument("--pairs", type=int, default=100, help="of each kind, at most (default %(default)s)")
    parser.add_argument("--facesjs", type=Path, metavar="FOLDER", help="measure on held-out faces of it")
    parser.add_argument("--openmoji", type=Path, metavar="FOLDER", help="measure on its emoji in five skin colourings")
    parser.add_argument(
        "--table", type=Path, metavar="FILE.csv", help="drawing, reference, answer and any slots, paths"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/lineart.json"), help="results file")
    args = parser.parse_args()
    kinds: dict[str, Cases] = {} if args.table else {"portraits": portraits, "shapes": shapes}
    for name, make in (("facesjs", facesjs), ("openmoji", openmoji), ("table", table_of_files)):
        if getattr(args, name):
            kinds[name] = make(getattr(args, name))
    pipe = load(args.preset)
    ways = plain_ways() | ways_of(pipe)
    results: dict[str, Any] = {
        "command": command("lineart"), "pairs": args.pairs, "size": pipe.size, "made": dict(pipe.recipe.made),
        **machine(), "kinds": {},
    }  # fmt: skip
    for name, cases in kinds.items():
        results["kinds"][name] = measure(ways, [*cases(pipe.condition, pipe.size, args.pairs)], name)
        print(f"\n{name}\n{table(results['kinds'][name]['rows'])}")
    finished = pipe if pipe.finisher is not None else pipe.replace(finisher=create("finisher", "composite"))
    if args.facesjs:
        drawn = [*kinds["facesjs"](pipe.condition, pipe.size, args.pairs)]
        results["anchors"] = measure_anchors(finished, drawn, args.pairs)
        print(f"\n{results['anchors']}")
    write_json(args.out, results)
    print(f"\nwritten to {args.out}")


@torch.inference_mode()
def measure(ways: Mapping[str, Way], cases: Sequence[Case], kind: str) -> dict[str, Any]:
    """A row for each way, and what matching again gains by how right the first warp was."""
    rows: dict[str, dict[str, float]] = {}
    right: dict[str, Tensor] = {}
    regions = [regions_of(case) for case in tqdm(cases, desc=f"{kind}, regions")]
    for name, way in ways.items():
        began, found = time.process_time(), []
        for start in tqdm(range(0, len(cases), BATCH), unit_scale=BATCH, unit="pair", desc=f"{kind}, {name}"):
            some = cases[start : start + BATCH]
            pictures = way(some, range(start, start + len(some))).split(1)
            found += [
                figures(picture, case) | {"regions": right_regions(picture, case, areas)}
                for picture, case, areas in zip(pictures, some, regions[start : start + BATCH], strict=True)
            ]
        rows[name] = {
            figure: sum(values) / len(values)
            for figure in dict.fromkeys(figure for one in found for figure in one)
            if (values := [one[figure] for one in found if figure in one])
        } | {"CPU ms a pair": 1000 * (time.process_time() - began) / len(cases)}
        right[name] = torch.tensor([one["pixels"] for one in found])
    order = right["finished"].argsort().tolist()
    return {
        "cases": len(cases),
        "rows": rows,
        "gain of matching again by the first warp": _gain(right),
        "best": order[: -_SHOWN - 1 : -1],
        "worst": order[:_SHOWN],
    }


def figures(picture: Tensor, case: Case) -> dict[str, float]:
    """PSNR, the share of all pixels that are right, and of each slot's."""
    off = (picture.clamp(-1, 1) - case.answer)[0]
    right = off.abs().amax(0) < TENTH
    shares = {slot: right[mask].float().mean().item() for slot, mask in case.slots.items()}
    return {"PSNR": -10 * (off / 2).square().mean().log10().item(), "pixels": right.float().mean().item(), **shares}


def _gain(right: Mapping[str, Tensor]) -> dict[str, float]:
    """By thirds of the pairs, from the worst first warps to the best: how many more pixels are right."""
    order = right["first warp"].argsort()
    gain = right[GAIN[1]] - right[GAIN[0]]
    thirds = order.tensor_split(3)
    return {name: gain[third].mean().item() for name, third in zip(("worst", "middle", "best"), thirds, strict=True)}


if __name__ == "__main__":
    main()
