"""What the released check trusts, and what the published one does, where the exact match is known; without weights.

    python -m benchmarks.released.checks

Writes `benchmarks/results/checks.json`, `docs/checks.png` and `docs/checks.md`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from benchmarks.results import RESULTS, machine, table, write_json
from midms.confidence.cycle import Cycle
from midms.confidence.cycle_released import CycleReleased
from midms.core.files import atomic_write
from midms.core.protocols import Match
from midms.core.types import cells
from midms.images import save_images, to_pil
from midms.images.figure import Sheet, colour_map, note
from midms.matching.matchers.correlation import Correlation

ROOT = Path(__file__).parents[2]
SIDE, CHANNELS = 64, 64
SHOWN = 112
"""Pixels a side of a picture in the sheet."""
CHECKS: dict[str, Cycle | CycleReleased] = {
    "cycle": Cycle(),
    "cycle, radius 0.25": Cycle(radius=0.25),
    "cycle-released": CycleReleased(),
}
"""The second has the released radius: 0.5 half widths are 0.25 widths."""

Confidences = dict[str, dict[str, Float[Tensor, "1 1 h w"]]]

TEXT = """# The forward-backward check, and the released one

Written by `python -m benchmarks.released.checks`; do not edit.

A match leads from each cell of the condition to a place in the exemplar, and back. The article trusts a cell whose way
there and back ends within a radius of where it began: the backward flow is read where the forward flow arrives. That is
`cycle`. The released code reads the forward flow there once more, and the backward flow nowhere: it asks whether two
steps of the same map come home. That is `cycle-released`, which `midm-celeba` has because the released numbers come of
it; `build("midm-celeba", confidence="cycle")` has that of the article.

Where neighbouring cells move alike, two steps are twice the displacement. So the released check is a prior on
displacement: with its radius of 0.5 half widths it refuses whatever moved by more than about an eighth of the width,
however consistent. Where the flow at the arrival points back, as in a mirror image, the two cancel and any distance
passes."""


def main() -> None:
    """Measure, write the results file, the figure and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    found = matches(SIDE, args.seed)
    given = confidences(found)
    result = {"command": f"python -m benchmarks.released.checks --seed {args.seed}", "seed": args.seed}
    result |= {"side": SIDE, "channels": CHANNELS, "rows": shares(given), **machine()}
    write_json(RESULTS / "checks.json", result)
    save_images({ROOT / "docs" / "checks.png": sheet(found, given)})
    with atomic_write(ROOT / "docs" / "checks.md") as part:
        part.write_text(page(result))
    print(table(result["rows"]))


def matches(side: int, seed: int) -> dict[str, Match]:
    """Each case by name: random features of unit length, moved, matched to themselves by correlation.

    What a shift pushes out at the right comes in at the left, so that every cell has its counterpart.
    """
    generator = torch.Generator().manual_seed(seed)
    query, stranger = F.normalize(torch.randn(2, CHANNELS, side, side, generator=generator), dim=1).split(1)

    def shift(by: int) -> tuple[str, Tensor]:
        return f"shift by {by} of {side}", query.roll(by, -1)

    eighth = side // 8
    keys = dict([("identity", query), shift(eighth - 1), shift(eighth)])
    keys |= {"mirror image": query.flip(-1), "unrelated features": stranger}
    return {name: Correlation()(query, key) for name, key in keys.items()}


def confidences(found: dict[str, Match]) -> Confidences:
    """The confidence of each check in each match, by case and check."""
    return {case: {name: check(match) for name, check in CHECKS.items()} for case, match in found.items()}


def shares(given: Confidences) -> dict[str, dict[str, float]]:
    """Share of cells that each check trusts, a row a case."""
    return {case: {name: weight.mean().item() for name, weight in row.items()} for case, row in given.items()}


def sheet(found: dict[str, Match], given: Confidences) -> Image.Image:
    """A row a case: the exemplar with a colour for each place, the same warped to the condition, what is trusted."""
    rows = []
    for case, match in found.items():
        colours = places(*match.transpose().grid)
        masks = (colour_map(weight[0, 0]) for weight in given[case].values())
        pictures = (to_pil(colours), to_pil(match.apply(colours)), *masks)
        rows.append([note(case, SHOWN), *(enlarged(picture) for picture in pictures)])
    return Sheet(rows, ["", "exemplar", "warped", *CHECKS], SHOWN).image


def enlarged(picture: Image.Image) -> Image.Image:
    """With cells that stay square."""
    return picture.resize((picture.width * SHOWN // picture.height, SHOWN), Image.Resampling.NEAREST)


def places(h: int, w: int) -> Float[Tensor, "1 3 h w"]:
    """Colours in [-1, 1]: red from left to right, green from top to bottom, blue against both."""
    x, y = cells(h, w, torch.zeros(())).div(torch.tensor([w - 1, h - 1]).view(1, 2, 1, 1)).unbind(1)
    return 2 * torch.stack([x, y, 1 - (x + y) / 2], 1) - 1


def page(result: dict[str, Any]) -> str:
    """The whole page, in Markdown."""
    rows, side = result["rows"], result["side"]
    near, far = (name for name in rows if name.startswith("shift"))
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())

    def percent(case: str, check: str) -> str:
        return f"{100 * rows[case][check]:.0f} %"

    strangers = ", ".join(f"`{name}` {percent('unrelated features', name)}" for name in CHECKS)
    return "\n\n".join(
        [
            TEXT,
            "![case, exemplar, warped to the condition, what each check trusts](checks.png)",
            f"Share of cells trusted (yellow in the figure), of {side} x {side} with random features of "
            f"{result['channels']} channels, matched by `correlation`. A radius of 0.25 widths is the released "
            "one. In every case but the last each cell has one "
            "counterpart and the match finds it, so all should be trusted; in the last, none.",
            table(rows),
            f"- The {near} cells: `cycle` trusts {percent(near, 'cycle')}, `cycle-released` "
            f"{percent(near, 'cycle-released')}; it refuses those that a step sends round the border.\n"
            f"- The {far} cells: `cycle` trusts {percent(far, 'cycle')}, `cycle-released` "
            f"{percent(far, 'cycle-released')}.\n"
            f"- Unrelated features: {strangers}. Cells that are each other's nearest by chance do come back, so no "
            "forward-backward check refuses them. Two steps of a random map seldom end nearby, and the released check "
            "wants 3 cells of a block of 4.",
            f"`{result['command']}`, {result['date'][:10]}, {result['hardware']}, {versions}.\n",
        ]
    )


if __name__ == "__main__":
    main()
