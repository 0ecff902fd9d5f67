"""A series of drawings of one character, coloured from one reference: do the colours stay the same?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.lineart.cases import PLAIN, SCALE
from benchmarks.lineart.ways import SEED
from midms import create
from midms.data.lineart.faces import random_palette
from midms.images.reading import read_image
from midms.pipeline.pipeline import Pipeline

DRAWINGS = 24
_FEWEST = 40
"""Pixels of a slot from which a drawing counts for it."""


@torch.inference_mode()
def measure_series(pipe: Pipeline, folder: Path) -> dict[str, float]:
    """How much each slot's colour differs over 24 drawings of one character; the share within 0.02 of the middle one.

    The reference is the character once more: with other eyes, brows and mouth, elsewhere in the picture.

    Args:
        pipe: with the finisher `composite`.
        folder: the unpacked package.
    """
    dataset = create("dataset", "facesjs", path=folder, size=pipe.size, condition=pipe.condition, split="test")
    dataset = replace(dataset, character="a character")
    large = replace(dataset, size=SCALE * dataset.size)
    reference = large.layers(len(dataset) - 1).coloured(random_palette("a character"))
    seen: dict[str, list[torch.Tensor]] = {}
    for index in tqdm(range(DRAWINGS), desc="series", unit="drawing"):
        coloured = pipe.translate(dataset.drawing(index, SCALE * pipe.size), reference, seed=SEED)
        small = torch.nn.functional.avg_pool2d(read_image(coloured.image), SCALE)
        for slot, mask in dataset.masks(index).items():
            if (plain := mask[0, 0] > PLAIN).sum() >= _FEWEST:
                seen.setdefault(slot, []).append(small[0][:, plain].median(1).values)
    stacked = {slot: torch.stack(colours) for slot, colours in seen.items()}
    differ = {slot: (x.amax(0) - x.amin(0)).max().item() / 2 for slot, x in stacked.items()}
    middle = {slot: (x - x.median(0).values).abs().amax(1) / 2 for slot, x in stacked.items()}
    return differ | {f"{slot}, within 0.02": (far <= 0.02).float().mean().item() for slot, far in middle.items()}
