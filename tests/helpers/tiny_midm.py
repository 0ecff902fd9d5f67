"""MIDMs' networks at tiny widths, pairs for them, and their stages trained by one process or by several.

python tests/helpers/tiny_midm.py FOLDER       # under torchrun: leaves what each process has in FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from midms.compose.catalog import create
from midms.compose.presets import PRESETS
from midms.data.pair import Pair
from midms.diffusion.autoencoders.vq import VQ
from midms.diffusion.denoisers.unconditional import Unconditional
from midms.features import vgg_network
from midms.features.midm import MidmFeatures
from midms.features.vgg_network import VGG
from midms.loop import Policy
from midms.pipeline.pipeline import Pipeline
from midms.training.broken import Broken
from midms.training.data import TrainingData
from midms.training.progress import Progress
from midms.training.stages import STAGES
from midms.training.stages.midm import MidmStage
from midms.training.trainer import Engine, accelerator, begin, fit

STEPS, BATCH, PAIRS = 5, 4, 10


class Maps:
    """A condition whose maps are given."""

    channels = 3

    def drawing(self, picture: Tensor, size: tuple[int, int]) -> Tensor:
        raise NotImplementedError

    def photo(self, image: Tensor) -> Tensor:
        raise NotImplementedError


def pipe() -> Pipeline:
    torch.manual_seed(0)
    made = Pipeline(
        condition=Maps(),
        features=MidmFeatures(3, 3, 4, width=16, widths=(8, 16, 16), hidden=8, blocks=1),
        matcher=create("matcher", "correlation", temperature=0.05, floor=0.0),
        confidence=create("confidence", "cycle-released"),
        denoiser=Unconditional(3, (8, 16), (False, True), 1, head_dim=8, norm_groups=4),
        sampler=create("sampler", "ddim", timesteps=(249, 187, 125, 63), schedule="ldm-celeba", start=311),
        autoencoder=VQ(3, (8, 8, 8), 1, codes=16, norm_groups=4),
        refiner=create("sampler", "ddim", timesteps=(96, 1), schedule="ldm-celeba", start=101),
        policy=Policy((0, 1)),
        size=32,
    )
    nn.init.normal_(made.denoiser.network.conv_out.weight, std=0.1)  # type: ignore[attr-defined]
    return made


def pair(count: int = 2) -> Pair:
    numbers = torch.Generator().manual_seed(1)
    condition, own = torch.rand(2, count, 3, 32, 32, generator=numbers)
    exemplar, target = torch.rand(2, count, 3, 32, 32, generator=numbers) * 2 - 1
    return Pair(condition, exemplar, target, own)


def trunk() -> VGG:
    """VGG16 in an eighth of its widths."""
    torch.manual_seed(2)
    with patch.object(vgg_network, "WIDTHS", tuple(width // 8 for width in vgg_network.WIDTHS)):
        return VGG(16)


def stage(vgg: VGG | None, name: str, weights: dict[str, float] | None = None, **options: Any) -> MidmStage:
    """A stage with the released weights, or with these alone."""
    (given,) = (spec.arguments for spec in PRESETS["midm-celeba"].training if spec.name == name)
    made: MidmStage = STAGES.create(
        name, pipe=pipe(), weights=given["weights"] if weights is None else weights, vgg19=vgg, **options
    )
    return made


class Pairs:
    """Pairs of noise in float64, so that what several processes round otherwise stays far below what they learn."""

    def __init__(self, count: int) -> None:
        self.whole = pair(count)

    def __len__(self) -> int:
        return len(self.whole.target)

    def __getitem__(self, index: int) -> Pair:
        given = {name: value for name, value in vars(self.whole).items() if value is not None}
        return Pair(**{name: value[index : index + 1].double() for name, value in given.items()})


def trained(folder: Path, name: str) -> tuple[MidmStage, Progress]:
    """A stage of MIDMs with all its terms but the contextual one, which is a mean over each process's share."""
    one = stage(trunk(), name, terms={"ctx": 0.0}, steps=STEPS, batch=BATCH, learning_rate=0.03).double()
    made = Engine(accelerator(cpu=True))
    progress = begin(one, folder / name, name, {"steps": STEPS, "seed": 3}, made)
    fit(one, progress, TrainingData(Pairs(PAIRS), Pairs(2), 3, 0, Broken(0)), made)
    return one, progress


def weights(one: MidmStage) -> dict[str, list[float]]:
    """All numbers that a stage leaves, those of spectral norms among them, by part."""
    return {
        slot: torch.cat([value.flatten() for value in part.state_dict().values()]).tolist()
        for slot, part in one.products().items()
    }


def leave(folder: Path) -> None:
    """What this process has after each stage."""
    rank, found = accelerator(cpu=True).process_index, {}
    for name in ("warmup", "joint"):
        one, progress = trained(folder, name)
        found[name] = {"weights": weights(one), "losses": progress.losses}
    (folder / f"midm-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    leave(Path(sys.argv[1]))
