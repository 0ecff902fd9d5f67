"""How well `midm-lineart` tells a picture that is unlike those it was trained on, as the reference and as the drawing.

    python -m benchmarks.lineart.domain --facesjs package --openmoji openmoji/package

A Gaussian of `midms.pipeline.out_of_domain` is fitted to pairs of the data set `lineart`, drawn by random hands as in
training and drawn neatly; too far is what two in a thousand of such pairs are. Photos, text, noise and textures are to
be told. Other things than faces in flat colours, such as animals and houses, may well be coloured, and how many of
these something is said of is counted apart. Writes `usual.safetensors` beside the shipped weights,
`benchmarks/results/domain-lineart.json`, and what `docs/lineart.md` says of it.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.faces.out_of_domain import KEPT_BACK, KINDS, make
from benchmarks.lineart.cases import openmoji
from benchmarks.results import RESULTS, between, command, machine, write_json
from benchmarks.usual import Summaries, fit, flagged, keep, photographs, share, summarised
from midms import build, create
from midms.data.pair import Pair
from midms.images import read_image
from midms.images.finishers.composite import Composite
from midms.pipeline.out_of_domain import Usual, drawing_summary

NAME, SEED = "midm-lineart", 0
PAIRS = {"train": 500, "validation": 200, "test": 300}
FIRST = 3000
"""Pair of the test split, and seed of strangers, from which they are taken: none before were looked at."""
USUAL = 0.998
"""Share of usual pairs that are not too far."""
UNLIKE = ("text", "noise", "texture")
"""Kinds that are to be told, beside photographs."""
SIDES = {"picture": "the reference", "drawing": "the drawing"}
SHIPPED_ASPECTS = ("picture",)
"""Aspects that are shipped."""
pipe = build(NAME)


def main() -> None:
    """Measure all of it and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facesjs", type=Path, required=True, help="the unpacked npm package facesjs")
    parser.add_argument("--openmoji", type=Path, required=True, help="the unpacked npm package openmoji")
    parser.add_argument("--strangers", type=int, default=30, help="of each kind (default %(default)s)")
    args = parser.parse_args()
    pairs = {split: some_pairs(args.facesjs, split, count) for split, count in PAIRS.items()}
    emoji, (unlike, others) = some_emoji(args.openmoji, 100), strangers(args.strangers)
    results: dict[str, Any] = {"command": command("lineart.domain"), "seed": SEED, "pairs": PAIRS}
    results |= machine() | {"strangers": args.strangers, "judged by": {}}
    known = {aspect: gaussian(aspect, pairs) for aspect in SIDES}
    for aspect, side in SIDES.items():
        one = {aspect: known[aspect]}
        results["judged by"][side] = {
            "threshold": one[aspect].most,
            "false alarms": share(torch.cat([flagged(one, some) for some in pairs["test"].values()])),
            "said of emoji": share(flagged(one, emoji)),
            **counted("misses", {kind: ~flagged(one, some) for kind, some in unlike.items()}),
            **counted("said of other things", {kind: flagged(one, some) for kind, some in others.items()}),
        }
    results["photographs"] = without_lines(args.strangers)
    keep(NAME, {aspect: known[aspect] for aspect in SHIPPED_ASPECTS})
    write_json(RESULTS / "domain-lineart.json", results)
    between(Path(__file__).parents[2] / "docs" / "lineart.md", "domain", page(results))
    print(page(results))


def some_pairs(folder: Path, split: str, count: int) -> dict[str, Summaries]:
    """What is judged of pairs of the data set, by random hands as in training, and drawn neatly."""
    dataset = create("dataset", "lineart", path=folder, size=pipe.size, condition=pipe.condition, split=split)
    numbers = range(FIRST if split == "test" else 0, (FIRST if split == "test" else 0) + count)
    drawn = (dataset.draw(n % len(dataset), torch.Generator().manual_seed(n)) for n in numbers)
    return {"by hands": of_pairs(drawn), "neatly": of_pairs(dataset[n % len(dataset)] for n in numbers)}


@torch.inference_mode()
def of_pairs(pairs: Iterable[Pair]) -> Summaries:
    """What is judged of pairs."""
    found = [summarised(pipe, [], [pair.exemplar]) | drawing_summary(pipe.features, pair.condition) for pair in pairs]
    return {aspect: torch.cat([one[aspect] for one in found]) for aspect in SIDES}


def some_emoji(folder: Path, count: int) -> Summaries:
    """What is judged of emoji, which were never trained on and can be coloured all the same."""
    cases = [*openmoji(folder)(pipe.condition, pipe.size, count)][:count]
    return of_pairs(Pair(case.condition, case.reference, case.answer) for case in cases)


def strangers(count: int) -> tuple[dict[str, Summaries], dict[str, Summaries]]:
    """Kinds of pictures that are unlike, and of other things in flat colours, as drawings and as references."""
    found = {}
    for kind in (*KINDS, *KEPT_BACK):
        both = [make(kind, seed) for seed in range(FIRST, FIRST + count)]
        found[kind] = summarised(pipe, *([read_image(one[side]) for one in both] for side in (0, 1)))
    unlike = {kind: found.pop(kind) for kind in UNLIKE}
    if photos := photographs(count):
        unlike["photograph"] = summarised(pipe, photos, photos)
    return unlike, found


def gaussian(aspect: str, pairs: Mapping[str, Mapping[str, Summaries]]) -> Usual:
    """Of pairs of the training split; of these and the validation split's all but a few are not too far."""
    trained, validation = (
        torch.cat([one[aspect] for one in pairs[split].values()]) for split in ("train", "validation")
    )
    found = fit(trained)
    return dataclasses.replace(found, most=found.distance(torch.cat([trained, validation])).quantile(USUAL).item())


def counted(title: str, kinds: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """The share of each kind, and the mean of all."""
    shares = {kind: share(some) for kind, some in kinds.items()}
    return {title: sum(shares.values()) / len(shares), f"{title}, by kind": shares}


def without_lines(count: int) -> dict[str, float]:
    """Of photographs as drawings, the share in which `composite` finds no lines on even paper, and says so."""
    photos, grey = photographs(count), torch.zeros(1, 3, pipe.size, pipe.size)
    said = [bool(Composite()(grey, photo, [], lambda box: None).warnings) for photo in photos]
    return {"number": len(photos), "warned of": sum(said) / max(len(said), 1)}


def page(found: Mapping[str, Any]) -> str:
    """What the page says of it, in Markdown."""
    reference, drawing = (found["judged by"][side] for side in SIDES.values())
    pairs, photos = found["pairs"], found["photographs"]

    def percent(share: float, digits: int = 0) -> str:
        return f"{100 * share:.{digits}f} %"

    kinds = ", ".join(f"{kind} {percent(missed)}" for kind, missed in reference["misses, by kind"].items())
    return (
        f"A reference that is unlike those that it was trained on is warned of: the mean of its features is more than "
        f"{reference['threshold']:.2f} standard deviations from that of {2 * pairs['train']} pairs, farther than two "
        f"in a thousand of these and of {2 * pairs['validation']} others. False alarms: "
        f"{percent(reference['false alarms'], 1)} of {2 * pairs['test']} held-out pairs, "
        f"{percent(reference['said of emoji'])} of OpenMoji's. Misses: {percent(reference['misses'], 1)} of "
        f"{found['strangers']} pictures of each kind ({kinds}). Other things than faces in flat colours, "
        f"animals, plants, houses, are like its figures of shapes, "
        f"and something is said of {percent(reference['said of other things'])}.\n\n"
        f"Drawings are not judged. The same way something would be said of {percent(drawing['false alarms'], 1)} of "
        f"held-out pairs, {percent(drawing['said of emoji'])} of OpenMoji's and "
        f"{percent(drawing['said of other things'])} of drawings of other things, whose lines can be coloured, and "
        f"misses be {percent(drawing['misses'], 1)}. Of a photo as the drawing `composite` warns where it finds no "
        f"lines on even paper, which is so in {percent(photos['warned of'])} of {photos['number']} photographs.\n\n"
        f"`{found['command']}`, {found['date'][:10]}, {found['hardware']}, torch {found['versions']['torch']}, seed "
        f"{found['seed']}.\n"
    )


if __name__ == "__main__":
    main()
