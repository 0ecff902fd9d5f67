"""What the benchmark says in docs/lineart.md, and its pictures: the five best and the five worst of each kind.

    python -m benchmarks.lineart.page --facesjs FOLDER

Reads `benchmarks/results/lineart.json`, `lineart-series.json` and `lineart-misses.json`; writes `docs/lineart.png`,
`docs/lineart-best.png`, `docs/lineart-worst.png` and what is between the page's marks.
Emoji are not shown, for their licence is another.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from benchmarks.lineart.cases import Case, facesjs, portraits, shapes
from benchmarks.lineart.ways import composite, moments, result
from benchmarks.results import RESULTS, table
from midms.core.files import atomic_write
from midms.images import save_images, to_pil
from midms.images.figure import Sheet
from midms.pipeline.demo import demo
from midms.pipeline.pipeline import Pipeline
from midms.pipeline.pretrained import load

DOCS = Path(__file__).parents[2] / "docs"
_SIDE = 192
NAMES = {
    "facesjs": "Held-out faces of facesjs, in held-out colours",
    "portraits": "Portraits in line art, flat or cel-shaded",
    "shapes": "Held-out figures of random shapes",
    "openmoji": "OpenMoji's skin tones, never trained on",
}


def main() -> None:
    """Write the figures and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="midm-lineart", help="a preset or folder (default %(default)s)")
    parser.add_argument("--facesjs", type=Path, metavar="FOLDER", required=True, help="the unpacked npm package")
    args = parser.parse_args()
    names = "lineart", "lineart-series", "lineart-misses"
    results, series, misses = (json.loads((RESULTS / f"{name}.json").read_text()) for name in names)
    page = (DOCS / "lineart.md").read_text()
    marks = r"(<!-- figures: begin -->\n).*?(<!-- figures: end -->)"
    written = re.sub(marks, lambda found: found[1] + figures(results, series, misses) + found[2], page, flags=re.DOTALL)
    with atomic_write(DOCS / "lineart.md") as part:
        part.write_text(written)
    pipe = load(args.preset)
    with tempfile.TemporaryDirectory() as folder, Image.open(demo(pipe, Path(folder), 3, 0)) as shown:
        save_images({DOCS / "lineart.png": shown.copy()})
    for which in ("best", "worst"):
        rows = []
        for kind, make in (("facesjs", facesjs(args.facesjs)), ("portraits", portraits), ("shapes", shapes)):
            if kind not in results["kinds"]:
                continue
            numbers = results["kinds"][kind][which]
            cases = [*make(pipe.condition, pipe.size, 1 + max(numbers))]
            rows += [panels(pipe, cases[number], number) for number in numbers]
        sheet = Sheet([[*row.values()] for row in rows], [*rows[0]], _SIDE)
        save_images({DOCS / f"lineart-{which}.png": sheet.image})


def figures(results: dict[str, Any], series: dict[str, Any], misses: dict[str, Any]) -> str:
    """Tables, in Markdown."""
    kinds, anchors, versions = results["kinds"], results["anchors"], results["versions"]
    parts = [
        "Shares of pixels within 0.1 of the range of the right colour in each channel: of all, and of those that show"
        " the plain colour of a slot which the reference shows. Regions are right if their median colour is. A way that"
        " is finished has the drawing at four times the size.",
    ]
    for kind, found in kinds.items():
        gain = found["gain of matching again by the first warp"]
        by_third = ", ".join(f"{name} third {100 * value:+.1f}" for name, value in gain.items())
        parts += [
            f"### {NAMES.get(kind, kind)}",
            f"{found['cases']} pairs.",
            table(found["rows"]),
            "Matching again three times changes the share of right pixels, by how right the first warp was, by"
            f" {by_third} points.",
        ]
    parts += [
        "### Anchors",
        f"Of {anchors['wrong regions']} wrong regions of facesjs whose colour the reference shows, one anchor repairs"
        f" {100 * anchors['repaired']:.0f} %; outside of them at most {anchors['most that changes outside, of 255']} of"
        f" 255 changes. Of {anchors['colour not in the reference']} more the reference does not show the colour.",
        f"`{results['command']}`, {results['date'][:10]}, {results['hardware']}, torch {versions['torch']}, seed 0.",
        "### A series",
        f"Of {series['series']} characters in {series['drawings']} drawings each, coloured from one reference: the"
        " share of series in which a slot's colour differs by at most 0.02 of the range, of drawings in which it is"
        " farther than that from the one in most, and of drawings in which it is right.",
        table(_by_slot(series["rows"])),
        _pixels(series["rows"]),
        f"`{series['command']}`, {series['date'][:10]}.",
        "### What is missed",
        f"Of {misses['pairs']} faces of facesjs: what the reference shows little of, and what is small in the drawing.",
        table(misses["slots"]),
        table(misses["regions"]),
        f"`{misses['command']}`, {misses['date'][:10]}.",
    ]
    return "\n\n".join(parts) + "\n"


def _by_slot(rows: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """A row for each slot."""
    found: dict[str, dict[str, float]] = {}
    for way, row in rows.items():
        for figure, value in row.items():
            for name in ("series of one colour", "drawings of another", "right"):
                if figure.endswith(name):
                    slot = figure.removesuffix(name).rstrip(", ")
                    found.setdefault(slot, {})[f"{name}, {way}"] = value
    del found["pixels"]
    return found


def _pixels(rows: dict[str, dict[str, float]]) -> str:
    """What the whole of a series gains, and takes."""
    alone, together = rows["one by one"], rows["as a series"]
    return (
        f"Of all pixels {alone['pixels right']:.4f} are right where drawings are finished one by one, and"
        f" {together['pixels right']:.4f} where the series decides, which takes"
        f" {together['CPU ms a drawing'] / alone['CPU ms a drawing']:.2f} times as long."
    )


@torch.inference_mode()
def panels(pipe: Pipeline, case: Case, number: int) -> dict[str, Image.Image]:
    """A case, and how it was coloured."""
    some, indices = [case], range(number, number + 1)
    made = result(pipe, some, indices)
    shown: dict[str, Tensor] = {
        "drawing": case.drawing,
        "reference": case.reference,
        "first warp": pipe.autoencoder.decode(next(moments(pipe, some, indices)).warp),
        "result": made,
        "finished": composite(made, case).image,
        "answer": case.answer,
    }
    return {title: to_pil(picture) for title, picture in shown.items()}


if __name__ == "__main__":
    main()
