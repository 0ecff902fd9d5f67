"""One anchor on each wrong region: does it become right, and does anything else change?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor
from tqdm import tqdm

from benchmarks.lineart.cases import SCALE, Case
from benchmarks.lineart.regions import is_right, regions_of
from benchmarks.lineart.ways import SEED
from midms.images.reading import read_image
from midms.pipeline.pipeline import Pipeline

_NEAR = 0.1
"""How far a reference's colour may be from the right one, to be pointed at."""
_FEWEST = 0.0005
"""Share of a reference that has the right colour, from which it shows it."""


@torch.inference_mode()
def measure_anchors(pipe: Pipeline, cases: Sequence[Case], most: int) -> dict[str, float]:
    """Wrong regions whose colour the reference shows, the share that one anchor repairs, and what changes outside.

    Args:
        pipe: with the finisher `composite`.
        cases: drawings.
        most: wrong regions that are tried.
    """
    repaired: list[bool] = []
    not_shown, changed = 0, 0
    for case in tqdm(cases, desc="anchors", unit="drawing"):
        plain = pipe.translate(case.drawing, case.reference, seed=SEED)
        before = read_image(plain.image)
        for area in regions_of(case):
            if len(repaired) >= most or is_right(_small(before), area):
                continue
            shown = (case.reference[0] - area.colour[:, None, None]).abs().amax(0) < _NEAR
            if shown.float().mean() < _FEWEST:
                not_shown += 1
                continue
            here = [SCALE * x + SCALE / 2 for x in _inmost(area.pixels)]
            hinted = pipe.translate(
                case.drawing, case.reference, seed=SEED, anchors=[{"here": here, "there": _inmost(shown)}]
            )
            after = read_image(hinted.image)
            repaired.append(is_right(_small(after), area))
            assert plain.finished is not None and plain.finished.regions is not None
            regions = plain.finished.regions[0]
            outside = regions != regions[int(here[1]), int(here[0])]
            changed = max(changed, round(255 / 2 * (after - before)[0][:, outside].abs().max().item()))
    return {
        "wrong regions": len(repaired),
        "repaired": sum(repaired) / max(len(repaired), 1),
        "colour not in the reference": not_shown,
        "most that changes outside, of 255": changed,
    }


def _small(picture: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(picture, SCALE)


def _inmost(mask: Bool[Tensor, "y x"]) -> tuple[int, int]:
    """(x, y) of the pixel that is farthest from the border of a mask."""
    import cv2

    padded = np.pad(mask.numpy().view(np.uint8), 1)
    away = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = np.unravel_index(away.argmax(), away.shape)
    return int(x), int(y)
