"""Starts: inversions that lead back, and noise that does."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from tiny_denoisers import LEVELS, context, denoiser, latents
from torch import Tensor

from midms import create
from midms.core.protocols import Sampler
from midms.core.types import Level
from midms.loop.starts import NoNoise, started

TIMES = {
    "unet-condition": (361, 281, 201, 121, 41),
    "sdxl": (361, 281, 201, 121, 41),
    "sd3": (901, 701, 501, 301, 101),
    "flux": (1000, 701, 501, 301, 101),
}


def made(family: str, name: str = "ddim", **options: float) -> tuple[Sampler, Callable[[Tensor, Level], Tensor]]:
    """A sampler on a family's schedule, and the network as it calls it."""
    model = denoiser(family)
    return create("sampler", name, timesteps=TIMES[family], schedule=LEVELS[family], **options), lambda x, level: model(
        x, level, context(x)
    )


@torch.no_grad()
def run(sampler: Sampler, denoise: Callable[[Tensor, Level], Tensor], x: Tensor, draw: Callable[..., Tensor]) -> Tensor:
    step = None
    for level in sampler.levels:
        x = x if step is None else sampler.advance(step, level, draw)
        step = sampler.predict(denoise, x, level, step)
    assert step is not None
    return step.x0


def normals(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=GENERATOR.manual_seed(GENERATOR.initial_seed() + 1), dtype=torch.float64)


GENERATOR = torch.Generator()


@pytest.mark.parametrize("family", LEVELS)
@torch.no_grad()
def test_an_inversion_leads_back(family: str) -> None:
    """Of DDIM, and of the flow: from its end the sampler comes to the picture again."""
    sampler, denoise = made(family)
    z, other = latents(5), latents(6, grid=(6, 10))
    start = started("invert", sampler, 0 * z, [z, other], denoise, torch.randn)
    torch.testing.assert_close(run(sampler, denoise, start.x, torch.randn), z, rtol=0, atol=2e-5)
    first = sampler.levels[0]
    assert torch.equal(start.at(first)[0], start.x) and start.at(first)[1].shape == other.shape
    again = sampler.predict(denoise, start.at(sampler.levels[2])[1], sampler.levels[2], None)
    following = sampler.advance(again, sampler.levels[3], torch.randn)
    torch.testing.assert_close(following, start.at(sampler.levels[3])[1], rtol=0, atol=2e-5)


@pytest.mark.parametrize("family", LEVELS)
@torch.no_grad()
def test_the_noise_of_an_edit_friendly_start_leads_to_the_picture(family: str) -> None:
    """Its latents are the picture noised, each with a draw of its own, but for the last."""
    sampler, denoise = made(family, eta=1.0)
    z, drawn = latents(5), []

    def draw(shape: tuple[int, ...]) -> Tensor:
        drawn.append(normals(shape))
        return drawn[-1]

    start = started("edit-friendly", sampler, 0 * z, [z], denoise, draw)
    for level, noise in zip(sampler.levels[:-1], drawn, strict=True):
        torch.testing.assert_close(start.at(level)[0], level.alpha * z + level.sigma * noise)
    torch.testing.assert_close(run(sampler, denoise, start.x, start.draw), z, rtol=0, atol=2e-5)
    assert len(drawn) == 4
    assert start.draw((1,)).shape == (1,), "after that, noise is drawn as ever"


def test_a_sampler_that_draws_nothing_cannot_be_led() -> None:
    sampler, denoise = made("unet-condition")
    with pytest.raises(NoNoise, match=r"edit-friendly: DDIM draws no noise after level 0, expected .* ddim\(eta=1\)"):
        started("edit-friendly", sampler, latents(0), [latents(0)], denoise, torch.randn)


def test_other_starts_draw_references_anew_at_each_level() -> None:
    sampler, denoise = made("unet-condition")
    warp, z, draws = latents(1), latents(2), iter(latents(3, 8).split(1))
    renoised = started("renoise", sampler, warp, [z], denoise, lambda shape: next(draws))
    assert torch.equal(renoised.x, latents(3, 8)[:1])
    for level, noise in zip(sampler.levels[:2], latents(3, 8)[1:3].split(1), strict=True):
        torch.testing.assert_close(renoised.at(level)[0], level.alpha * z + level.sigma * noise)
    draws = iter(latents(3, 8).split(1))
    first, noise = sampler.levels[0], latents(3, 8)[:1]
    started_from_warp = started("noise", sampler, warp, [], denoise, lambda shape: next(draws))
    torch.testing.assert_close(started_from_warp.x, first.alpha * warp + first.sigma * noise)
    assert started_from_warp.at(first) == []


@torch.no_grad()
def test_an_inversion_that_does_not_arrive_says_by_how_much() -> None:
    """One step from noise to the picture, under guidance: what is said is how far off that step ends."""
    model = denoiser("unet-condition", 9.0)
    sampler = create("sampler", "ddim", timesteps=(981, 881), schedule="scaled-linear")
    z, said = latents(5), r"not exact: a step misses the latent .* by more than (\S+) of it"

    def denoise(x: Tensor, level: Level) -> Tensor:
        return model(x, level, context(x))

    start = started("invert", sampler, 0 * z, [z], denoise, torch.randn)
    off = z - denoise(start.at(sampler.levels[1])[0], sampler.levels[1])
    (warning,) = start.warnings
    share = float(re.search(said, warning)[1])
    assert share <= (off.square().mean() / z.square().mean()).sqrt().item() < 10 * share
