"""Series of drawings of one character, coloured from one reference: do the colours stay the same, and right?

    python -m benchmarks.lineart.characters --facesjs FOLDER

The reference is the character once more: with other eyes, brows and mouth, elsewhere in the picture. Drawings, parts
and palettes are held out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from benchmarks.lineart.cases import FACESJS_SLOTS, PLAIN, SCALE
from benchmarks.lineart.regions import TENTH
from benchmarks.lineart.ways import SEED
from benchmarks.results import RESULTS, command, machine, table, write_json
from midms import create
from midms.data.lineart.faces import COLOUR_SLOTS, random_palette
from midms.data.lineart.facesjs import DrawnFaces
from midms.images.reading import read_image
from midms.pipeline.inputs import read_inputs
from midms.pipeline.pipeline import Pipeline
from midms.pipeline.pretrained import load
from midms.pipeline.series import in_series

DRAWINGS = 24
_FEWEST = 40
"""Pixels of a slot from which a drawing counts for it."""
_SAME = 0.02
"""How far colours differ that are the same, of the range."""
NAMES = dict(zip(COLOUR_SLOTS, (FACESJS_SLOTS.get(slot, slot) for slot in COLOUR_SLOTS), strict=True))


def main() -> None:
    """Measure; write the results file and print the table after each series."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="midm-lineart", help="a preset or folder (default %(default)s)")
    parser.add_argument("--facesjs", type=Path, metavar="FOLDER", required=True, help="the unpacked npm package")
    parser.add_argument("--series", type=int, default=8, help="characters (default %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS / "lineart-series.json", help="results file")
    args = parser.parse_args()
    pipe = load(args.preset)
    faces = create("dataset", "facesjs", path=args.facesjs, size=pipe.size, condition=pipe.condition, split="test")
    found: dict[str, list[dict[str, float]]] = {}
    for number in range(args.series):
        character = replace(faces, character=f"character {number}")
        for way, figures in measure_series(pipe, character, random_palette(character.character)).items():
            found.setdefault(way, []).append(figures)
        results = {
            "command": command("lineart.characters"), "series": number + 1, "drawings": DRAWINGS, **machine(),
            "rows": {way: _together(all_series) for way, all_series in found.items()}, "each": found,
        }  # fmt: skip
        write_json(args.out, results)
        print(f"{table(results['rows'])}\n\n{number + 1} of {args.series} written to {args.out}", flush=True)


@torch.inference_mode()
def measure_series(pipe: Pipeline, faces: DrawnFaces, palette: Float[Tensor, "6 3"]) -> dict[str, dict[str, float]]:
    """What became of each slot where drawings are finished one by one, and where the series decides.

    Args:
        pipe: with the finisher `composite`.
        faces: of one character.
        palette: its colours, in [0, 1].
    """
    large = replace(faces, size=SCALE * faces.size)
    reference = large.layers(len(faces) - 1).coloured(palette)
    drawings = [faces.drawing(index, large.size) for index in range(DRAWINGS)]
    answers = [faces.layers(index).coloured(palette) for index in range(DRAWINGS)]
    masks = [faces.masks(index) for index in range(DRAWINGS)]
    found = {}
    for way in ("one by one", "as a series"):
        began = time.process_time()
        method = pipe
        if way == "as a series":
            inputs = (read_inputs(pipe, drawing, reference) for drawing in drawings)
            method = in_series(pipe, ((one, torch.Generator().manual_seed(SEED)) for one in inputs))
        pictures = [
            read_image(method.translate(drawing, reference, seed=SEED).image)
            for drawing in tqdm(drawings, f"{faces.character}, {way}", unit="drawing")
        ]
        spent = time.process_time() - began
        small = [torch.nn.functional.avg_pool2d(picture, SCALE)[0] for picture in pictures]
        right = [((x - y).abs().amax(0) < TENTH).float().mean() for x, (y,) in zip(small, answers, strict=True)]
        found[way] = _by_slot(small, masks, palette) | {
            "pixels right": torch.stack(right).mean().item(),
            "CPU ms a drawing": 1000 * spent / DRAWINGS,
        }
    return found


def _by_slot(
    pictures: Sequence[Float[Tensor, "3 y x"]],
    masks: Sequence[Mapping[str, Float[Tensor, "1 1 y x"]]],
    palette: Float[Tensor, "6 3"],
) -> dict[str, float]:
    """How far a slot's colour differs over the drawings, in how many it is another than in most, and is right."""
    found: dict[str, float] = {}
    for slot, wanted in zip(COLOUR_SLOTS, 2 * palette - 1, strict=True):
        seen = [
            picture[:, plain].median(1).values
            for picture, own in zip(pictures, masks, strict=True)
            if slot in own and (plain := own[slot][0, 0] > PLAIN).sum() >= _FEWEST
        ]
        if not seen:
            continue
        colours = torch.stack(seen)
        away = (colours - colours.median(0).values).abs().amax(1) / 2
        found[f"{NAMES[slot]} differs"] = (colours.amax(0) - colours.amin(0)).max().item() / 2
        found[f"{NAMES[slot]}, drawings"] = len(seen)
        found[f"{NAMES[slot]}, others"] = int((away > _SAME).sum())
        found[f"{NAMES[slot]} right"] = ((colours - wanted).abs().amax(1) < TENTH).float().mean().item()
    return found


def _together(series: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of all series: those that have a slot in one colour, the drawings in which it is another, and is right."""
    row: dict[str, float] = {}
    for slot in NAMES.values():
        having = [one for one in series if f"{slot} differs" in one]
        if not having:
            continue
        same = sum(one[f"{slot} differs"] <= _SAME for one in having)
        drawings = sum(one[f"{slot}, drawings"] for one in having)
        row[f"{slot}, series of one colour"] = same / len(having)
        row[f"{slot}, drawings of another"] = sum(one[f"{slot}, others"] for one in having) / drawings
        row[f"{slot} right"] = sum(one[f"{slot} right"] * one[f"{slot}, drawings"] for one in having) / drawings
    for figure in ("pixels right", "CPU ms a drawing"):
        row[figure] = sum(one[figure] for one in series) / len(series)
    return row


if __name__ == "__main__":
    main()
