"""Ways to colour drawings: those that need no model, and a pipeline with and without its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.lineart.cases import SCALE, Case
from midms import create
from midms.core.types import Finished
from midms.images import resize
from midms.pipeline.pipeline import Pipeline

SEED = 0
Pictures = Float[Tensor, "b 3 y x"]
Way = Callable[[Sequence[Case], range], Pictures]
"""From cases and their numbers, which noise follows from, to pictures of the answers' size."""
LEVELS = (800, 600, 450, 300)
"""Timesteps of a sampler with room for three rounds of matching again."""


def plain_ways() -> dict[str, Way]:
    """Without a model."""
    return {
        "reference copied": lambda cases, indices: torch.cat([_small_reference(case) for case in cases]),
        "histograms matched": lambda cases, indices: _each(cases, _histograms),
        "AdaIN in Lab": lambda cases, indices: _each(cases, _adain),
    }


def ways_of(pipe: Pipeline) -> dict[str, Way]:
    """Of a pipeline: its first warp, its result, finished, matched again, and without confidence."""
    longer = pipe.replace(sampler=create("sampler", "ddim", timesteps=LEVELS, schedule=pipe.recipe.schedule))
    always = pipe.replace(confidence=create("confidence", "always"))
    ways: dict[str, Way] = {
        "first warp": lambda cases, indices: pipe.autoencoder.decode(next(moments(pipe, cases, indices)).warp),
        "result": lambda cases, indices: result(pipe, cases, indices),
        "finished": lambda cases, indices: finished(pipe, cases, indices),
        "finished, without confidence": lambda cases, indices: finished(always, cases, indices),
    }
    for rounds in range(len(LEVELS)):
        again = longer.replace(rematch=tuple(range(rounds)))
        ways[f"{len(LEVELS)} levels, matched again {rounds} times"] = lambda cases, indices, again=again: finished(
            again, cases, indices
        )  # type: ignore[misc]
    return ways


def moments(pipe: Pipeline, cases: Sequence[Case], indices: range) -> Any:
    """The loop over a batch."""
    noise = [torch.Generator().manual_seed(SEED + index) for index in indices]
    maps = torch.cat([case.condition for case in cases])
    references = torch.cat([_small_reference(case) for case in cases])
    return pipe.trajectory(maps, references, None, generator=noise)


def result(pipe: Pipeline, cases: Sequence[Case], indices: range) -> Pictures:
    """As the pipeline leaves it, without a finisher."""
    *_, last = moments(pipe, cases, indices)
    return pipe.autoencoder.decode(last.step.x0).clamp(-1, 1)


def finished(pipe: Pipeline, cases: Sequence[Case], indices: range) -> Pictures:
    """With the drawing at its own resolution, brought back to the answer's."""
    pictures = result(pipe, cases, indices).split(1)
    whole = [composite(picture, case).image for picture, case in zip(pictures, cases, strict=True)]
    return torch.nn.functional.avg_pool2d(torch.cat(whole), SCALE)


def composite(picture: Float[Tensor, "1 3 y x"], case: Case) -> Finished:
    """A result finished with the drawing of its case."""
    return create("finisher", "composite")(picture, case.drawing, [case.reference], lambda box: None)


def _small_reference(case: Case) -> Float[Tensor, "1 3 y x"]:
    """Its reference, of the answer's size."""
    return resize(case.reference, (case.answer.shape[-2], case.answer.shape[-1])).clamp(-1, 1)


def _each(cases: Sequence[Case], colour: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Pictures:
    """Drawings of the answer's size, each with its reference; pixels [y x 3] in [0, 1]."""
    made = []
    for case in cases:
        size = (case.answer.shape[-2], case.answer.shape[-1])
        drawing, reference = (
            ((x[0].permute(1, 2, 0) + 1) / 2).double().numpy() for x in (resize(case.drawing, size), case.reference)
        )
        made.append(torch.from_numpy(colour(drawing, reference)).float().permute(2, 0, 1)[None] * 2 - 1)
    return torch.cat(made).clamp(-1, 1)


def _histograms(drawing: np.ndarray, reference: np.ndarray) -> np.ndarray:
    from skimage.exposure import match_histograms

    return match_histograms(drawing, reference, channel_axis=-1)  # type: ignore[no-any-return]


def _adain(drawing: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Mean and deviation of each channel of Lab (Huang and Belongie 2017, arXiv:1703.06868; Reinhard et al. 2001)."""
    from skimage.color import lab2rgb, rgb2lab

    own, other = rgb2lab(drawing), rgb2lab(reference)
    centred = (own - own.mean((0, 1))) / (own.std((0, 1)) + 1e-6)
    return lab2rgb(centred * other.std((0, 1)) + other.mean((0, 1)))  # type: ignore[no-any-return]
