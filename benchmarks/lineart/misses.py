"""Why flat areas of facesjs have a wrong colour: by how much the reference shows of it, and what came instead.

    python -m benchmarks.lineart.misses --facesjs FOLDER --pairs 200

Writes `benchmarks/results/lineart-misses.json`; `benchmarks.lineart.page` brings it to docs/lineart.md.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm import tqdm

from benchmarks.lineart.cases import FACESJS_SLOTS, PLAIN, Case, facesjs
from benchmarks.lineart.regions import TENTH, is_right, regions_of
from benchmarks.lineart.ways import finished
from benchmarks.results import RESULTS, command, machine, table, write_json
from midms import create
from midms.pipeline.pipeline import Pipeline
from midms.pipeline.pretrained import load

SHOWN = {"under 2 %": 0.02, "2 to 5 %": 0.05, "over 5 %": 1.0}
"""Names of how much of the reference a slot has, and up to which share."""
LARGE = {"under 1 %": 0.01, "1 to 5 %": 0.05, "over 5 %": 1.0}
"""Names of how much of the picture a region has, likewise."""


def main() -> None:
    """Measure, write the results file, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="midm-lineart", help="a preset or folder (default %(default)s)")
    parser.add_argument("--facesjs", type=Path, metavar="FOLDER", required=True, help="the unpacked npm package")
    parser.add_argument("--pairs", type=int, default=100, help="how many (default %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS / "lineart-misses.json", help="results file")
    args = parser.parse_args()
    pipe = load(args.preset)
    slots, regions = measure(pipe, args.facesjs, args.pairs)
    write_json(args.out, {
        "command": command("lineart.misses"), "pairs": args.pairs, "size": pipe.size, **machine(),
        "slots": slots, "regions": regions,
    })  # fmt: skip
    print(f"{table(slots)}\n\n{table(regions)}\n\nwritten to {args.out}")


@torch.inference_mode()
def measure(
    pipe: Pipeline, folder: Path, count: int
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Rows of slots, and of regions by their size."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    areas: dict[str, list[bool]] = defaultdict(list)
    cases = facesjs(folder)(pipe.condition, pipe.size, count)
    dataset = create("dataset", "facesjs", path=folder, size=pipe.size, condition=pipe.condition, split="test")
    for number, case in enumerate(tqdm(cases, total=count, unit="pair", disable=None)):
        picture = finished(pipe, [case], range(number, number + 1)).clamp(-1, 1)
        for area in regions_of(case):
            areas[_named(area.pixels.float().mean().item(), LARGE)].append(is_right(picture, area))
        shown = dataset.masks((number + 1) % len(dataset))
        for (slot, figure), value in slot_figures(picture, case, dataset.masks(number), shown):
            found[slot, figure].append(value)
    slots: dict[str, dict[str, float]] = defaultdict(dict)
    for (slot, figure), values in sorted(found.items()):
        slots[slot] |= {figure: sum(values) / len(values), "pairs": len(values)}
    rows = {name: {"right": sum(right) / len(right), "number": len(right)} for name in LARGE if (right := areas[name])}
    return dict(slots), rows


def slot_figures(
    picture: Float[Tensor, "1 3 y x"],
    case: Case,
    own: Mapping[str, Float[Tensor, "1 1 y x"]],
    shown: Mapping[str, Float[Tensor, "1 1 y x"]],
) -> Iterator[tuple[tuple[str, str], float]]:
    """Of each slot of a pair the share that is right, and of garments the share in the colour of any of them.

    Args:
        picture: what was made.
        case: from which reference.
        own: slots of the answer.
        shown: slots of the reference, from whose pixels its colours are taken.

    Yields:
        Names of row and figure, and the figure.
    """
    size = (case.answer.shape[-2], case.answer.shape[-1])
    reference = torch.nn.functional.interpolate(case.reference, size, mode="area")
    clear = {slot: mask[0, 0] > PLAIN for slot, mask in shown.items()}
    colours = {slot: reference[0][:, pixels].median(1).values for slot, pixels in clear.items() if pixels.any()}
    for slot, pixels in ((slot, mask[0, 0] > PLAIN) for slot, mask in own.items()):
        if slot not in colours or not pixels.any():
            continue
        name = f"{FACESJS_SLOTS.get(slot, slot)}, {_named(shown[slot].mean().item(), SHOWN)} of the reference"
        yield (name, "right"), _near(picture, pixels, colours[slot]).float().mean().item()
        if slot in FACESJS_SLOTS:
            worn = [_near(picture, pixels, colours[one]) for one in FACESJS_SLOTS if one in colours]
            yield (name, "in a colour of its clothes"), torch.stack(worn).any(0).float().mean().item()


def _near(picture: Float[Tensor, "1 3 y x"], pixels: Bool[Tensor, "y x"], colour: Float[Tensor, "3"]) -> Tensor:
    return (picture[0][:, pixels] - colour[:, None]).abs().amax(0) < TENTH


def _named(share: float, limits: Mapping[str, float]) -> str:
    return next(name for name, limit in limits.items() if share <= limit)


if __name__ == "__main__":
    main()
