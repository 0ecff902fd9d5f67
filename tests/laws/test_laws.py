"""The laws over every kind of part but matchers and features, which have theirs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import made_data
import made_drawings
import torch
import torch.nn.functional as F
from torch import Tensor

from midms.compose.catalog import KINDS
from midms.conditions.sketch import Sketch
from midms.core.signatures import parameters
from midms.evaluation.metrics.extractors import Extractor
from midms.testing import ConditionLaws, ConfidenceLaws, DatasetLaws, FinisherLaws, MetricLaws, SamplerLaws

SAMPLERS = [*KINDS["sampler"], "diffusers:DDIMScheduler"]
READS = {"mass": "unbalanced-transport", "semantic": "semantic"}
"""Confidences that read the matches of one matcher alone."""


def labels(height: int, width: int) -> Tensor:
    """Two label maps as grey pictures: two areas of the first labels."""
    grey = torch.full((2, 3, height, width), 1.0)
    grey[0, :, height // 3 :], grey[1, :, :, width // 3 :] = 2, 2
    return grey / 127.5 - 1


NO_PHOTO = {"test_the_map_of_a_photo_lies_on_it": "a photo has no labels"}
NOT_FROM_PICTURES = {name: "it reads keypoints alone" for name in vars(ConditionLaws) if name.startswith("test_")}
CONDITIONS: dict[str, dict[str, Any]] = {
    "ade20k-segmentation": {"example": labels, "exceptions": NO_PHOTO},
    "celebahq-edge": {"example": labels, "exceptions": NO_PHOTO},
    "deepfashion-pose": {"exceptions": NOT_FROM_PICTURES},
}
UNLIKE = {
    "brownian-bridge": {
        "test_it_starts_at_the_first_level_or_before": "it starts at the warp itself, without noise",
        "test_the_noise_that_is_left_is_that_of_the_level": "what is left is the warp, and the noise of the bridge",
    },
    "unipc": {"test_a_step_explains_x": "its steps explain the x that they have corrected"},
}
QUARTERS = Extractor("means of quarters", lambda pictures: F.adaptive_avg_pool2d(pictures, 2).flatten(1))
METRICS: dict[str, dict[str, Any]] = {
    "frechet-distance": {"extractor": QUARTERS},
    "kernel-distance": {"extractor": QUARTERS},
    "precision-recall": {"extractor": QUARTERS, "neighbours": 1},
    "swd": {"size": 32},
}
PERFECT, SIDES = "test_perfect_results_have_the_ideal_figure", "test_the_two_sides_can_change_places"
UNEQUAL = {SIDES: "a match and what it should be are of two kinds"}
MISSED: dict[str, dict[str, str]] = {
    "kernel-distance": {PERFECT: "it is unbiased: of the same pictures it is a little below zero"},
    "precision-recall": {SIDES: "the precision of one side is the recall of the other"},
    "copied-content": {PERFECT: "a result that is its exemplar is copied from it"},
    "diversity": {PERFECT: "the greater the better, and the same results have none"},
    **dict.fromkeys(("cycle", "epe", "pck"), UNEQUAL),
}


def dataset(name: str) -> Callable[[], Any]:
    """Makes the data set of pictures that were drawn for it, if it needs any."""

    def make() -> Any:
        own: dict[str, Any] = {}
        if "condition" in parameters(KINDS["dataset"][name]).parameters:
            own["condition"] = Sketch()
        for made in (made_data, made_drawings):
            if name in made.CONDITIONS:
                own = {"path": made.made(name), "condition": made.CONDITIONS[name]()}
        return KINDS["dataset"].create(name, **own, split="validation", size=64)

    return make


for name in KINDS["confidence"]:
    matcher = functools.partial(KINDS["matcher"].create, READS.get(name, "correlation"))
    made = {"make": functools.partial(KINDS["confidence"].create, name), "matcher": matcher}
    globals()[f"Test_confidence_{name}"] = type(f"Test_confidence_{name}", (ConfidenceLaws,), made)
for name in SAMPLERS:
    times = {"steps": 4} if ":" in name else {"timesteps": (801, 500, 311, 120)}
    made = {"make": functools.partial(KINDS["sampler"].create, name, **times)}
    made["exceptions"] = UNLIKE.get(name, {})
    globals()[f"Test_sampler_{name}"] = type(f"Test_sampler_{name}", (SamplerLaws,), made)
for name in KINDS["condition"]:
    made = {"make": functools.partial(KINDS["condition"].create, name), **CONDITIONS.get(name, {})}
    globals()[f"Test_condition_{name}"] = type(f"Test_condition_{name}", (ConditionLaws,), made)
for name in KINDS["finisher"]:
    made = {"make": functools.partial(KINDS["finisher"].create, name)}
    globals()[f"Test_finisher_{name}"] = type(f"Test_finisher_{name}", (FinisherLaws,), made)
for name in KINDS["dataset"]:
    made = {"make": functools.cache(dataset(name))}
    globals()[f"Test_dataset_{name}"] = type(f"Test_dataset_{name}", (DatasetLaws,), made)

for name in KINDS["metric"]:
    made = {"make": functools.partial(KINDS["metric"].create, name, **METRICS.get(name, {}))}
    made["exceptions"] = MISSED.get(name, {})
    globals()[f"Test_metric_{name}"] = type(f"Test_metric_{name}", (MetricLaws,), made)


class TestDatasetPortraitsAsLineArt(DatasetLaws):
    make = staticmethod(
        functools.partial(KINDS["dataset"].create, "portraits", condition=Sketch(), rendering="lineart", size=64)
    )
