"""What is usual for a preset's weights, and how well what is strange is told from it.

Shared by `benchmarks/faces/domain.py` and `benchmarks/lineart/domain.py`; the Gaussians are those of
`midms.pipeline.out_of_domain`.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from midms.checkpoints.folder import USUAL_PICTURES, read_folder, write_folder
from midms.compose.recipe import SHIPPED
from midms.images import PictureError, read_image, resize
from midms.pipeline.out_of_domain import Usual, drawing_summary, picture_summary
from midms.pipeline.pipeline import Pipeline

PHOTOGRAPHS = (
    "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "moon", "motorcycle_left", "page", "rocket",
)  # fmt: skip
Summaries = dict[str, Tensor]
"""What is judged of pictures, by aspect."""


@torch.inference_mode()
def summarised(pipe: Pipeline, drawings: Iterable[Tensor], pictures: Iterable[Tensor]) -> Summaries:
    """What is judged of each; a drawing without strokes, which is refused anyway, counts as infinitely far."""
    size, found = (pipe.size, pipe.size), dict[str, list[Tensor]]()
    for drawing in drawings:
        try:
            one = drawing_summary(pipe.features, pipe.condition.drawing(drawing, size))
        except (PictureError, ValueError):
            one = {"drawing": torch.full((1, 64), torch.inf)}
        found.setdefault("drawing", []).append(one["drawing"])
    for picture in pictures:
        small = resize(picture, size)
        latent = pipe.autoencoder.encode(small)
        for aspect, value in picture_summary(pipe.features, latent, pipe.condition.photo(small)).items():
            found.setdefault(aspect, []).append(value)
    return {aspect: torch.cat(values) for aspect, values in found.items()}


def fit(trained: Tensor) -> Usual:
    """The Gaussian of summaries of what was trained on; nothing is too far yet."""
    precise = trained.double()
    return Usual(precise.mean(0).float(), torch.linalg.inv(torch.cov(precise.T)).float(), math.inf)


def flagged(known: Mapping[str, Usual], summaries: Summaries) -> Tensor:
    """Which of them something is said of."""
    said = [~(known[aspect].distance(summaries[aspect]) <= known[aspect].most) for aspect in known.keys() & summaries]
    return torch.stack(said).any(0)


def share(of: Tensor) -> float:
    """Of those that are."""
    return of.float().mean().item()


def photographs(count: int) -> Sequence[Tensor]:
    """Square parts of photographs without faces, scikit-image's; none where it is not installed."""
    try:
        import skimage
    except ImportError:
        return []
    chance, folder = random.Random(0), Path(skimage.__file__).parent / "data"
    whole_pictures, found = [read_image(next(folder.glob(f"{name}.*"))) for name in PHOTOGRAPHS], []
    for i in range(count):
        image = whole_pictures[i % len(whole_pictures)]
        height, width = image.shape[-2:]
        side = round(min(height, width) * chance.uniform(0.5, 1))
        top, left = chance.randint(0, height - side), chance.randint(0, width - side)
        found.append(resize(image[..., top : top + side, left : left + side], (128, 128)))
    return found


def keep(preset: str, known: Mapping[str, Usual]) -> None:
    """Write the Gaussians beside the shipped weights."""
    numbers = {
        f"{aspect}.{part}": torch.as_tensor(getattr(one, part))
        for aspect, one in known.items()
        for part in ("mean", "precision", "most")
    }
    recipe = read_folder(SHIPPED / preset).recipe
    domain = dataclasses.replace(recipe.domain, usual=preset)
    weights = {**recipe.weights, USUAL_PICTURES: f"{USUAL_PICTURES}.safetensors"}
    recipe = dataclasses.replace(recipe, weights=weights, domain=domain)
    write_folder(SHIPPED / preset, "train", recipe, {USUAL_PICTURES: numbers})
