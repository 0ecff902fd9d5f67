"""Samplers and schedules: against diffusers' schedulers, and on a Gaussian where the answer is known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_edm_euler import EDMEulerScheduler
from hypothesis import given
from hypothesis import strategies as st
from sampling import SPREAD, betas, exact, network, normals, order, trajectory
from torch import Tensor

from midms.core.types import Step
from midms.diffusion import SAMPLERS
from midms.diffusion.levels import SCHEDULES, alpha_bar, alpha_sigma, noise_levels
from midms.diffusion.solvers.ddim import DDIM
from midms.diffusion.solvers.ddpm import DDPM

SHAPE = (2, 5, 3, 7)
HALF = noise_levels((700, 300))


def theirs(scheduler: Any, timesteps: tuple[int, ...], x: Tensor, **options: Any) -> list[tuple[Tensor, Tensor]]:
    seen = []
    for timestep in timesteps:
        output = scheduler.step(network(x, timestep), timestep, x, **options)
        seen.append((x, output.pred_original_sample))
        x = output.prev_sample
    return seen


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("schedule", ["cosine", "ldm-celeba"])
def test_ddim_takes_the_steps_of_diffusers(schedule: str, eta: float) -> None:
    timesteps = (801, 601, 401, 201)
    scheduler = DDIMScheduler(trained_betas=betas(schedule), clip_sample=False, steps_offset=1)
    scheduler.set_timesteps(5)
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    expected = theirs(scheduler, timesteps, x, eta=eta, generator=torch.Generator().manual_seed(2))
    found = trajectory(DDIM(noise_levels(timesteps, schedule), eta), x, normals(2))
    for ours, official in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, official, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "ldm-church"])
def test_ddpm_takes_the_steps_of_diffusers(schedule: str) -> None:
    timesteps = (900, 611, 600, 599, 47, 3)
    scheduler = DDPMScheduler(trained_betas=betas(schedule), clip_sample=False, variance_type="fixed_small")
    scheduler.set_timesteps(timesteps=list(timesteps))
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    expected = theirs(scheduler, timesteps, x, generator=torch.Generator().manual_seed(2))
    found = trajectory(DDPM(noise_levels(timesteps, schedule)), x, normals(2))
    for ours, official in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, official, rtol=2e-5, atol=1e-4)


def test_ddim_with_eta_one_is_ddpm() -> None:
    timesteps = (990, 500, 430, 20)
    x = torch.randn(SHAPE, dtype=torch.float64)
    ancestral = trajectory(DDPM(noise_levels(timesteps)), x, normals(3))
    implicit = trajectory(DDIM(noise_levels(timesteps), eta=1.0), x, normals(3))
    torch.testing.assert_close(implicit, ancestral, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("sampler", [DDIM(HALF), DDPM(HALF), DDIM(HALF, eta=0.5)], ids=repr)
def test_advance_starts_from_an_edited_x0_and_keeps_eps(sampler: Any) -> None:
    level, to = sampler.levels
    x0, eps = torch.randn(2, *SHAPE, dtype=torch.float64)
    mean = sampler.advance(Step(level, x0, eps), to, torch.zeros)
    moved = sampler.advance(Step(level, x0 + 1, eps), to, torch.zeros)
    torch.testing.assert_close(moved - mean, torch.full_like(x0, to.alpha), rtol=1e-10, atol=1e-10)


def falling(stride: int) -> tuple[int, ...]:
    return tuple(range(900, 99, -stride))


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_deterministic_ddim_converges_to_the_probability_flow_with_order_one(schedule: str) -> None:
    errors = []
    for stride in (80, 40, 20, 10, 5):
        sampler = DDIM(noise_levels(falling(stride), schedule))
        x, step = torch.ones(1, 1, 1, 1, dtype=torch.float64), None
        for level in sampler.levels:
            x = x if step is None else sampler.advance(step, level, torch.zeros)
            step = sampler.predict(exact, x, level, step)
        start, end = (math.hypot(level.alpha * SPREAD, level.sigma) for level in (sampler.levels[0], level))
        errors.append(abs(x.item() - end / start))
    assert order(errors)[1:] == pytest.approx([1.0] * 3, abs=0.12)
    assert errors[-1] < 0.01


@pytest.mark.parametrize("name, options", [("ddpm", {}), ("ddim", {"eta": 1.0}), ("ddim", {"eta": 0.5})])
def test_stochastic_samplers_converge_to_the_variance_with_order_one(name: str, options: dict[str, float]) -> None:
    errors = []
    for stride in (80, 40, 20, 10, 5):
        sampler = SAMPLERS.create(name, timesteps=falling(stride), **options)
        first, *rest = sampler.levels
        variance, here = (first.alpha * SPREAD) ** 2 + first.sigma**2, first
        one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
        for to in rest:
            moved = sampler.advance(sampler.predict(exact, one, here, None), to, torch.zeros).item()
            drawn = sampler.advance(Step(here, 0 * one, 0 * one), to, torch.ones).item()
            variance, here = moved**2 * variance + drawn**2, to
        errors.append(abs(variance - ((here.alpha * SPREAD) ** 2 + here.sigma**2)))
    assert order(errors)[1:] == pytest.approx([1.0] * 3, abs=0.12)
    assert errors[-1] < 0.01


def test_schedules_are_those_of_diffusers() -> None:
    bounds = {"linear": (0.0001, 0.02), "scaled-linear": (0.00085, 0.012)}
    for name, (start, end) in bounds.items():
        official = DDIMScheduler(beta_start=start, beta_end=end, beta_schedule=name.replace("-", "_"))
        torch.testing.assert_close(alpha_bar(name).float(), official.alphas_cumprod, rtol=2e-5, atol=1e-7)


def test_karras_levels_are_those_of_diffusers() -> None:
    edm = EDMEulerScheduler(sigma_min=0.002, sigma_max=80, rho=7, sigma_schedule="karras")
    edm.set_timesteps(1000)
    sigmas = (1 / alpha_bar("karras") - 1).sqrt().float()
    torch.testing.assert_close(sigmas.flip(0), edm.sigmas[:-1], rtol=1e-4, atol=1e-6)


@given(st.sampled_from(SCHEDULES), st.integers(0, 998))
def test_alpha_falls_and_power_is_kept(schedule: str, timestep: int) -> None:
    alpha, sigma = alpha_sigma(schedule, timestep)
    assert alpha**2 + sigma**2 == pytest.approx(1)
    assert 0 < alpha_sigma(schedule, timestep + 1)[0] < alpha < 1


def test_cosine_schedule_is_a_quarter_turn() -> None:
    for timestep in (0, 250, 999):
        alpha, sigma = alpha_sigma("cosine", timestep)
        assert math.atan2(sigma, alpha) == pytest.approx(math.pi / 2 * (timestep + 0.5) / 1000)


def test_levels_are_numbered_from_the_noisiest() -> None:
    made = noise_levels((700, 350))
    assert [(level.index, level.timestep) for level in made] == [(0, 700), (1, 350)]
    assert made[0].sigma > made[1].sigma


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        ({"timesteps": (100, 200)}, r"must fall .* got \(100, 200\)"),
        ({"timesteps": (100, 100)}, "must fall"),
        ({"timesteps": ()}, "must fall"),
        ({"timesteps": (1000, 1)}, "0 to 999, got 1000"),
        ({"timesteps": (9, -1)}, "0 to 999, got -1"),
        ({"timesteps": (9, 1), "schedule": "cosin"}, "one of cosine, linear, .* got 'cosin'"),
        ({"timesteps": (9, 1), "eta": 1.5}, "eta must be between 0 and 1, got 1.5"),
    ],
)
def test_a_sampler_says_what_is_wrong(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        SAMPLERS.create("ddim", **arguments)
