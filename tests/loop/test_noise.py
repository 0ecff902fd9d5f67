"""The noise of a seed: the same in every precision, a picture's own in a batch, and a pair's own in a measurement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from standins import Looking, Pooled, ToyPipeline, pictures
from torch import Tensor

from midms import ablate, build
from midms.data.portraits.pairs import draw_pairs, generators
from midms.diffusion import SAMPLERS
from midms.diffusion.levels import noise_levels
from midms.diffusion.solvers.ddpm import DDPM
from midms.loop import Policy

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning", "ignore:.*random weights:UserWarning")
DRAWING = ("DDPM", "EulerAncestralDiscrete", "LCM", "SASolver", "TCD", "DDIM")
EVERY = [*SAMPLERS, *(f"diffusers:{name}Scheduler" for name in DRAWING)]


def sampler(name: str) -> Any:
    """At three or four levels."""
    return SAMPLERS.create(name, **({"steps": 4} if ":" in name else {"timesteps": (700, 400, 100)}))


def numbers(seeds: Sequence[int] = (5, 6)) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.mark.parametrize("changes", [{}, {"sampler": "diffusers:EulerAncestralDiscreteScheduler"}, {"sampler": "ddpm"}])
@pytest.mark.parametrize("preset", ["midm-faces", "midm-faces-paper"])
def test_a_seed_gives_the_same_picture_in_every_precision(preset: str, changes: dict[str, Any]) -> None:
    pair, found = draw_pairs("test", [0], 64), {}
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        pipe = build(preset, **changes).to(dtype)
        found[dtype] = np.asarray(pipe.translate(1 - 2 * pair.sketch[0], pair.exemplar[0], seed=0).image, dtype=float)
    off = {dtype: np.abs(image - found[torch.float32]).max() for dtype, image in found.items()}
    assert off[torch.float64] <= 1 and off[torch.bfloat16] <= 6


@pytest.mark.parametrize("name", EVERY)
def test_a_draw_does_not_depend_on_the_precision(name: str) -> None:
    pipe = ToyPipeline(sampler=sampler(name), refiner=DDPM(noise_levels((150, 50))), policy=Policy((1,)))
    double, single = (
        pipe.to(dtype)(*(x.to(dtype) for x in pictures()), generator=numbers()[0])
        for dtype in (torch.double, torch.float)
    )
    torch.testing.assert_close(single.double(), double, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", EVERY)
def test_each_picture_of_a_batch_is_the_picture_of_its_generator(name: str) -> None:
    pipe = ToyPipeline(sampler=sampler(name), refiner=DDPM(noise_levels((150, 50))), policy=Policy((1,)))
    condition, exemplar = pictures()
    both = pipe.to(torch.float64)(condition, exemplar, generator=numbers())
    for i, one in enumerate(numbers()):
        alone = pipe(condition[i : i + 1], exemplar[i : i + 1], generator=one)
        torch.testing.assert_close(both[i : i + 1], alone, rtol=0, atol=1e-9)
        listed = pipe(condition[i : i + 1], exemplar[i : i + 1], generator=(numbers()[i],))
        assert torch.equal(listed, alone), "one in a list is the same as one"
    assert not torch.allclose(both, pipe(condition, exemplar, generator=numbers((5, 7))))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("generator", "message"),
    [
        ([], "generator has 0, expected one for each of 2 pictures"),
        (numbers((1, 2, 3)), "generator has 3, expected one for each of 2 pictures"),
        ([*numbers((1,)), None], r"must be a torch.Generator, a list of them or a callable, got \[<torch.*, None\]"),
        ([0, 1], r"must be a torch.Generator, a list of them or a callable, got \[0, 1\]"),
        (np.random.default_rng(0), "must be a torch.Generator, a list of them or a callable, got Generator"),
    ],
)
def test_other_lists_are_refused_before_anything_is_computed(generator: Any, message: str) -> None:
    class Untouched(Pooled):
        def encode(self, image: Tensor) -> Tensor:
            raise AssertionError("encoded")

    with pytest.raises(ValueError, match=message):
        ToyPipeline(autoencoder=Untouched(), denoiser=Looking())(*pictures(), generator=generator)


def test_the_noise_of_a_pair_follows_from_seed_and_number() -> None:
    def noise(seed: int, indices: range) -> Tensor:
        return torch.stack([torch.randn(3, generator=one) for one in generators(seed, indices)])

    assert torch.equal(noise(0, range(20))[7:], noise(0, range(7, 20)))
    assert len({tuple(row.tolist()) for seed in (0, 1, 2) for row in noise(seed, range(50))}) == 150


def test_a_pairs_figures_do_not_depend_on_how_many_there_are(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each batch size the same to rounding, and to the value of the loop alone."""
    from midms.evaluation.ablation import run as measuring
    from midms.evaluation.metrics.faces import conditions
    from midms.evaluation.metrics.pictures import psnr

    found = []
    for pairs, batch in ((1, 20), (3, 20), (3, 2)):
        monkeypatch.setattr(measuring, "PAIRS_AT_ONCE", batch)
        out = tmp_path / f"{pairs} {batch}"
        (record,) = ablate("midm-faces-paper", {"matcher": ["preset"]}, pairs=pairs, out=out, progress=False).records
        found.append(record["each"])
    pipe, pair = build("midm-faces-paper"), draw_pairs("test", [2], 64)
    image = pipe(conditions(pipe.condition, pair), pair.exemplar, generator=generators(0, [2]))
    alone = psnr(image, pair.answer, pair.head).item()
    for figures in zip(*(one["PSNR"] for one in found), strict=False):
        assert max(figures) - min(figures) < 2e-3
    assert abs(found[1]["PSNR"][2] - alone) < 2e-3 and abs(found[2]["PSNR"][2] - alone) < 2e-3
