"""The page and the README's table about faces, written from the results files that the benchmarks left.

    python -m benchmarks.faces.page

Reads `benchmarks/results/faces*.json`, `matching_losses.json` and how `midm-faces-128` was trained; writes
`docs/faces.md`, `docs/faces.png` and what stands between the README's marks.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.results import RESULTS, table
from midms import build
from midms.checkpoints.folder import read_folder
from midms.compose.recipe import SHIPPED
from midms.core.files import atomic_write
from midms.images import save_images
from midms.pipeline.demo import demo

ROOT = Path(__file__).parents[2]
BRIEF = ("PSNR", "SSIM", "perceptual", "better than first warp")
PLAIN = ("exemplar copied", "first warp decoded", "first warp, plain diffusion", "midm-faces", "midm-faces-paper")
HARDER = "large gaps in pose, and drawings with other pens and hands than in training"

Rows = dict[str, dict[str, float]]


def main() -> None:
    """Write all of it."""
    results = {path.stem.removeprefix("faces").strip("-"): _read(path) for path in sorted(RESULTS.glob("faces*.json"))}
    losses = _read(RESULTS / "matching_losses.json")
    (ROOT / "docs").mkdir(exist_ok=True)
    _write(ROOT / "docs" / "faces.md", page(results, losses))
    with tempfile.TemporaryDirectory() as folder, Image.open(demo(build("midm-faces"), Path(folder), 4, 0)) as sheet:
        save_images({ROOT / "docs" / "faces.png": sheet.copy()})
    marks = r"(<!-- faces: begin -->\n).*?(<!-- faces: end -->)"
    readme = (ROOT / "README.md").read_text()
    _write(
        ROOT / "README.md", re.sub(marks, lambda found: found[1] + brief(results[""]) + found[2], readme, flags=re.S)
    )


def page(results: dict[str, dict[str, Any]], losses: dict[str, Any]) -> str:
    """The whole page, in Markdown."""
    main, splits = results[""], results[""]["splits"]
    parts = [
        "# Faces: what each part gives",
        "Written by `python -m benchmarks.faces.page` from the files in `benchmarks/results`; do not edit.",
        "A sketch of one portrait and a picture of the same person in another pose go in; the exact answer is known, "
        f"and so is where each of its pixels is in the exemplar. Means over {main['pairs']} pairs of {main['size']} x "
        f"{main['size']} pixels, inside the head of the answer. PCK: share of visible pixels matched to within "
        "that part of the width. AUROC: how often a right match is trusted more than a wrong one. The perceptual "
        f"distance is on features of {main['perceptual']}. The hard split has {HARDER}.",
        "![sketch, strokes as read, exemplar, first warp, result, confidence, exact answer](faces.png)",
        _origin(main),
        "## In short",
        *(_verdict(name, splits[name], results["always"]["splits"][name]) for name in splits),
    ]
    for name, rows in splits.items():
        parts += [f"## The {name} split", table(rows)]
    parts += ["## What re-matching gave", *(_rematching(name, rows) for name, rows in splits.items())]
    parts += ["## What confidence gave"]
    parts += [
        _changed(name, rows, results["always"]["splits"][name], "all trusted alike") for name, rows in splits.items()
    ]
    parts += ["## Optimal transport instead of correlation"]
    parts += [
        _changed(name, rows, results["optimal-transport"]["splits"][name], "optimal transport, nothing trained again")
        for name, rows in splits.items()
    ]
    parts += [
        "## What each loss of the matching stage gave",
        f"The same {losses['steps']} steps of batch {losses['batch']} from the same start, with different terms; "
        f"the match is measured on held-out faces. {_origin(losses)}",
        table(losses["rows"]),
        *_larger(results["128"]),
    ]
    return "\n\n".join(parts) + "\n"


def brief(main: dict[str, Any]) -> str:
    """The README's table."""
    rows = {name: {figure: main["splits"]["test"][name][figure] for figure in BRIEF} for name in PLAIN}
    best, first = (rows[name]["PSNR"] for name in ("midm-faces", "first warp decoded"))
    match = main["splits"]["test"]["midm-faces"]
    return (
        f"{table(rows)}\n\nMeans over {main['pairs']} faces never trained on, against the exact answer: "
        f"{best - first:+.1f} dB over decoding the first warp. {100 * match['PCK@0.05']:.0f} % of the visible pixels "
        f"are matched to within a twentieth of the width; in {100 * match['AUROC']:.0f} % of cases a right match is "
        f"trusted more than a wrong one. All figures, and what each part gives: [docs/faces.md](docs/faces.md).\n"
    )


def _verdict(split: str, rows: Rows, trusted_alike: Rows) -> str:
    def gain(after: str, before: str, others: Rows = rows) -> str:
        difference = rows[after]["PSNR"] - others[before]["PSNR"]
        return f"{'gains' if difference > 0 else 'costs'} {abs(difference):.2f} dB"

    return (
        f"On the {split} split `midm-faces` {gain('midm-faces', 'first warp decoded')} over its first warp. "
        f"Re-matching {gain('midm-faces, re-matching', 'midm-faces')} in it, "
        f"{gain('midm-faces, re-matching and blending', 'midm-faces')} where the new warp also overwrites x0, and "
        f"{gain('midm-faces-paper', 'midm-faces-paper, no re-matching')} in the published loop. "
        f"Its confidence {gain('midm-faces', 'midm-faces', trusted_alike)} over trusting every cell alike, and in the "
        f"published loop {gain('midm-faces-paper', 'midm-faces-paper', trusted_alike)}. "
        f"Right matches are told from wrong ones with an AUROC of {rows['midm-faces']['AUROC']:.2f}."
    )


def _rematching(split: str, rows: Rows) -> str:
    compared = (
        ("midm-faces", "midm-faces, re-matching"),
        ("midm-faces", "midm-faces, re-matching and blending"),
        ("midm-faces-paper, no re-matching", "midm-faces-paper"),
    )
    return "\n".join(f"- {after}, {split}: {_difference(rows[before], rows[after])}." for before, after in compared)


def _changed(split: str, rows: Rows, others: Rows, what: str) -> str:
    names = ("midm-faces", "midm-faces-paper")
    return "\n".join(f"- `{name}`, {split}, {what}: {_difference(rows[name], others[name])}." for name in names)


def _larger(results: dict[str, Any]) -> list[str]:
    made = read_folder(SHIPPED / "midm-faces-128").recipe.made
    spent = ", ".join(f"{stage} {record['minutes']:.0f}" for stage, record in made.items())
    parts = [
        "## At 128 pixels",
        "`midm-faces-128` has the parts of `midm-faces`, on grids of the same size. It began as `midm-faces`, grown so "
        f"that it gave the same pictures doubled, and was trained on, in minutes of one core: {spent}; on portraits "
        "whose heads are scaled from .5 to 1.2 and moved by up to a quarter of the width, before empty and cluttered "
        "backdrops, more of them with glasses, drawn with pens of many widths.",
        "```\npython -m benchmarks.faces.grown --out runs/grown\nmidms train --data \"portraits(variety='wide', "
        'styles=2000)" --preset midm-faces-128 --init runs/grown --out runs/faces-128\n```',
        "To go on with a stage, give the shipped folder: `--stage diffusion --init "
        "midms/checkpoints/weights/midm-faces-128 --out runs/on`.",
        f"Both models on the same {results['pairs']} pairs, compared at 64 pixels, to which results of the larger are "
        "averaged, and at 128, to which those of the smaller are interpolated; moved is the test split with such "
        f"heads. `{results['command']}`. {_origin(results)}",
        *(_at_both_sizes(split, sizes) for split, sizes in results["splits"].items()),
        "![sketch, exemplar, both models, exact answer: three of each split](faces-128.png)",
    ]
    for split, sizes in results["splits"].items():
        parts += [f"The {split} split, {size}:\n\n{table(rows)}" for size, rows in sizes.items()]
    return parts


def _at_both_sizes(split: str, sizes: dict[str, Rows]) -> str:
    compared = []
    for size, rows in sizes.items():
        a, b = rows["midm-faces"], rows["midm-faces-128"]
        compared.append(
            f"at {size} PSNR {a['PSNR']:.2f} to {b['PSNR']:.2f} dB ({b['PSNR'] - a['PSNR']:+.2f}), perceptual "
            f"{a['perceptual']:.4f} to {b['perceptual']:.4f} ({b['perceptual'] - a['perceptual']:+.4f})"
        )
    return f"- {split}: {'; '.join(compared)}."


def _difference(before: dict[str, float], after: dict[str, float]) -> str:
    figures = (("PSNR", " dB", 2), ("SSIM", "", 3), ("perceptual", "", 4), ("PCK@0.05", "", 3), ("AUROC", "", 3))
    return ", ".join(
        f"{name} {before[name]:.{digits}f} to {after[name]:.{digits}f}{of} ({after[name] - before[name]:+.{digits}f})"
        for name, of, digits in figures
    )


def _origin(results: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    return f"Made on {results['date'][:10]}, {results['hardware']}, {versions}."


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as part:
        part.write_text(text)


if __name__ == "__main__":
    main()
