"""Every sampler: laws, diffusers' own scheduler on the same network and noise, the order it claims on a Gaussian."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import math
import statistics
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from sampling import betas, exact, network, normals, order, trajectory
from torch import Tensor

from midms import build
from midms.core.types import Level, Step
from midms.diffusion import SAMPLERS, solvers
from midms.diffusion.levels import alpha_sigma
from midms.diffusion.solvers.brownian_bridge import brownian_bridge
from midms.diffusion.solvers.flow_euler import flow_euler
from midms.diffusion.solvers.unipc import UniPC

SHAPE = (2, 5, 3, 7)
TIMESTEPS = (801, 601, 401, 201)
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")  # of diffusers, which mixes in numpy
EXACT = {"rtol": 3e-5, "atol": 3e-5}
every_sampler = pytest.mark.parametrize("name", list(SAMPLERS))


def make(name: str, timesteps: tuple[int, ...] = TIMESTEPS, schedule: str = "ldm-celeba", **options: Any) -> Any:
    if "schedule" in inspect.signature(SAMPLERS[name]).parameters:
        options["schedule"] = schedule
    return SAMPLERS.create(name, timesteps=timesteps, **options)


def code(path: Path) -> int:
    """Lines of code of a file, imports among them: without docstrings, comments and blank lines."""
    tree = ast.parse(path.read_text())
    left = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, node.end_lineno + 1)
    }
    lines = [line.strip() for i, line in enumerate(path.read_text().splitlines(), 1) if i not in left]
    return sum(bool(line) and not line.startswith("#") for line in lines)


def test_a_solver_is_little_more_than_its_formulas() -> None:
    lines = {path.name: code(path) for path in Path(solvers.__path__[0]).glob("*.py") if path.name != "__init__.py"}
    assert len(lines) > 10 and max(lines.values()) <= 45, lines
    assert statistics.median(lines.values()) <= 30, lines


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - {"flow-euler", "brownian-bridge"}))
def test_levels_are_told_apart_from_the_settings_of_a_solver(name: str) -> None:
    sampler = SAMPLERS.create(name, timesteps=(249, 187), schedule="ldm-celeba", start=311)
    assert sampler == dataclasses.replace(SAMPLERS.create(name, timesteps=(900,)), levels=sampler.levels)
    start, x0 = alpha_sigma("ldm-celeba", 311), normal(0)
    assert sampler.levels.timesteps == (249, 187) and sampler.levels.schedule == "ldm-celeba"
    torch.testing.assert_close(sampler.levels.add_noise(x0, torch.ones), start[0] * x0 + start[1])


def guess(x: Tensor, level: Level) -> Tensor:
    """Any function will do as a predictor of x0."""
    return torch.tanh(1.3 * x - level.timestep / 700) + 0.2 * x.roll(1, -1)


def normal(index: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(index), dtype=dtype)


@every_sampler
def test_levels_lose_noise_and_start_from_the_latent(name: str) -> None:
    sampler = make(name)
    assert [level.index for level in sampler.levels] == [0, 1, 2, 3]
    assert all(a.sigma > b.sigma and a.alpha < b.alpha for a, b in itertools.pairwise(sampler.levels))
    x0, draw, first = normal(0), normal(1), sampler.levels[0]
    started = sampler.levels.add_noise(x0, lambda shape: draw)
    torch.testing.assert_close(started, x0 if name == "brownian-bridge" else first.alpha * x0 + first.sigma * draw)


@every_sampler
def test_a_step_explains_x_and_nothing_is_stored(name: str) -> None:
    """alpha * x0 + sigma * eps is x; a predictor-corrector explains the x it corrected. Twice gives the same."""
    sampler, draws = make(name), normals(2)
    drawn = [draws(SHAPE).double() for _ in range(4)]
    x, step = normal(0), None
    for level in sampler.levels:
        if step is not None:
            x = sampler.advance(step, level, lambda shape, level=level: drawn[level.index])
            assert torch.equal(x, sampler.advance(step, level, lambda shape, level=level: drawn[level.index]))
        following = sampler.predict(guess, x, level, step)
        if not isinstance(sampler, UniPC):
            torch.testing.assert_close(level.alpha * following.x0 + level.sigma * following.eps, x)
        again = sampler.predict(guess, x, level, step)
        assert torch.equal(again.x0, following.x0) and torch.equal(again.eps, following.eps)
        step = following


@every_sampler
def test_an_edited_x0_is_where_a_sampler_goes(name: str) -> None:
    """Whatever the network says: overwrite x0 each time, and x at the cleanest level is that, nearly."""
    sampler, wish = make(name, (801, 601, 401, 201, 1)), normal(3)
    x, step = normal(0), None
    for level in sampler.levels:
        x = x if step is None else sampler.advance(step, level, normals(level.index))
        step = dataclasses.replace(sampler.predict(guess, x, level, step), x0=wish)
    assert (x - wish).abs().mean() < 0.2


@every_sampler
def test_gradients_flow_from_level_to_level(name: str) -> None:
    x = normal(0).requires_grad_()
    sampler = make(name)
    first = sampler.predict(guess, x, sampler.levels[0], None)
    second = sampler.predict(guess, sampler.advance(first, sampler.levels[1], normals(1)), sampler.levels[1], first)
    (gradient,) = torch.autograd.grad(second.x0.square().sum(), x)
    assert gradient.isfinite().all() and gradient.abs().sum() > 0


@every_sampler
def test_every_sampler_runs_in_the_faces_model(name: str) -> None:
    pipe = build("midm-faces", sampler=name, rematch=(0,), edit="blend")
    image = pipe(torch.rand(1, 2, 32, 48), torch.rand(1, 3, 48, 32) * 2 - 1, generator=torch.Generator().manual_seed(0))
    assert image.shape == (1, 3, 32, 48) and image.isfinite().all()


def theirs(kind: str, **options: Any) -> Any:
    scheduler = getattr(diffusers, kind)(trained_betas=betas("ldm-celeba"), **options)
    if "timesteps" in inspect.signature(scheduler.set_timesteps).parameters:
        scheduler.set_timesteps(timesteps=list(TIMESTEPS))
    else:
        scheduler.set_timesteps(len(TIMESTEPS))
        a = torch.from_numpy(np.cumprod(1 - np.array(betas("ldm-celeba"))))[list(TIMESTEPS)].float()
        scheduler.timesteps = torch.tensor(TIMESTEPS, dtype=scheduler.timesteps.dtype)
        scheduler.sigmas = torch.cat([((1 - a) / a).sqrt(), torch.zeros(1)])
    return scheduler


PEERS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "euler": ("EulerDiscreteScheduler", {}, True),
    "euler-ancestral": ("EulerAncestralDiscreteScheduler", {}, True),
    "dpmpp-2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}, False),
    "dpmpp-2m-sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, False),
    "unipc": ("UniPCMultistepScheduler", {"solver_type": "bh2", "solver_order": 2}, False),
    "lcm": ("LCMScheduler", {"original_inference_steps": 50, "clip_sample": False}, False),
}
"""Ours, theirs, its settings, and whether it works with x / alpha."""


@pytest.mark.parametrize("name", PEERS)
def test_samplers_take_the_steps_of_diffusers(name: str) -> None:
    kind, options, relative = PEERS[name]
    scheduler, x = theirs(kind, **options), normal(1).float()
    found = trajectory(make(name), x, normals(2))
    random = torch.Generator().manual_seed(2)
    takes = "generator" in inspect.signature(scheduler.step).parameters
    for timestep, level, (ours, _) in zip(scheduler.timesteps, make(name).levels, found, strict=True):
        torch.testing.assert_close(ours, x, **EXACT)
        scaled = x / level.alpha if relative else x
        scaled = scheduler.step(
            network(x, level.timestep), timestep, scaled, **({"generator": random} if takes else {})
        ).prev_sample
        if level.index < 3:
            x = scaled * make(name).levels[level.index + 1].alpha if relative else scaled


def test_heun_takes_the_steps_of_diffusers() -> None:
    scheduler, sampler = theirs("HeunDiscreteScheduler"), make("heun")
    z = normal(1).float() / sampler.levels[0].alpha
    seen, timesteps = [z * sampler.levels[0].alpha], iter(scheduler.timesteps)
    for here, there in itertools.pairwise(sampler.levels):
        for level in (here, there):
            z = scheduler.step(network(z * level.alpha, level.timestep), next(timesteps), z).prev_sample
        seen.append(z * there.alpha)
    found = [x for x, _ in trajectory(sampler, normal(1).float(), normals(0))]
    torch.testing.assert_close(found, seen, **EXACT)


def test_plms_takes_the_steps_of_diffusers() -> None:
    timesteps = tuple(range(801, 0, -100))
    scheduler = diffusers.PNDMScheduler(trained_betas=betas("ldm-celeba"), skip_prk_steps=True, steps_offset=1)
    scheduler.set_timesteps(10)
    scheduler.timesteps = torch.tensor([801, 701, *timesteps[1:]])  # the second twice, as theirs has it from 901 on
    x = normal(1).float()
    seen = [x]
    for timestep in scheduler.timesteps.tolist():
        x = scheduler.step(network(x, timestep), timestep, x).prev_sample
        seen.append(x)
    found = [x for x, _ in trajectory(make("plms", timesteps), normal(1).float(), normals(0))]
    torch.testing.assert_close(found, [seen[0], *seen[2 : 2 + len(found) - 1]], **EXACT)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_euler_takes_the_steps_of_diffusers(shift: float) -> None:
    scheduler, sampler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift), flow_euler(TIMESTEPS, shift)
    scheduler.set_timesteps(sigmas=[t / 1000 for t in TIMESTEPS])
    torch.testing.assert_close(torch.tensor([level.sigma for level in sampler.levels]), scheduler.sigmas[:-1])

    def velocity(x: Tensor, level: Level) -> Tensor:
        return x - level.sigma * network(x, level.timestep)

    x, step = normal(1).float(), None
    ours = x
    for level, timestep in zip(sampler.levels, scheduler.timesteps, strict=True):
        ours = ours if step is None else sampler.advance(step, level, normals(0))
        torch.testing.assert_close(ours, x, rtol=0, atol=1e-6)
        step = sampler.predict(velocity, ours, level, step)
        x = scheduler.step(network(x, level.timestep), timestep, x).prev_sample


def test_a_bridge_is_drawn_from_its_distribution_given_x_x0_and_the_end() -> None:
    """x_s and x_t of the process are jointly Gaussian given x0 and y: conditioned by the textbook's formula."""
    sampler = brownian_bridge((800, 500, 300), spread=0.7)
    x0, y, x = 1.3, -0.4, 0.9
    first, here, to = sampler.levels
    delta = [2 * 0.7 * level.alpha * level.sigma for level in (first, here, to)]
    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    step = Step(here, x0 * one, (x - here.alpha * x0) / here.sigma * one, (y * one,))
    # the transition of BBDM from s to t keeps (1 - m_t) / (1 - m_s) of what x_s is off its mean: its covariance
    cov = here.alpha / to.alpha * delta[2]
    mean = to.alpha * x0 + to.sigma * y + cov / delta[1] * (x - here.alpha * x0 - here.sigma * y)
    deviation = math.sqrt(delta[2] - cov**2 / delta[1])
    assert sampler.advance(step, to, torch.zeros).item() == pytest.approx(mean)
    assert sampler.advance(step, to, torch.ones).item() == pytest.approx(mean + deviation)
    pinned = Step(first, x0 * one, y * one, (y * one,))
    assert sampler.advance(pinned, here, torch.ones).item() == pytest.approx(
        here.alpha * x0 + here.sigma * y + math.sqrt(delta[1])
    )


CLAIMS = {"ddim": 1, "euler": 1, "flow-euler": 1, "plms": 2, "heun": 2, "dpmpp-2m": 2, "unipc": 3}
"""Order of convergence to the probability flow; that of UniPC-2 is 3 (arXiv:2302.04867, cor. 3.2)."""


@pytest.mark.parametrize("name", CLAIMS)
def test_deterministic_samplers_converge_with_the_order_they_claim(name: str) -> None:
    errors = []
    for stride in (40, 20, 10, 5):
        sampler = make(name, tuple(range(900, 99, -stride)), "cosine")
        x, step = torch.ones(1, 1, 1, 1, dtype=torch.float64), None
        for level in sampler.levels:
            x = x if step is None else sampler.advance(step, level, torch.zeros)
            step = sampler.predict(exact, x, level, step)
        start, end = (math.hypot(level.alpha * 0.3, level.sigma) for level in (sampler.levels[0], level))
        errors.append(abs(x.item() - end / start))
    assert order(errors)[-1] > CLAIMS[name] - 0.2 and order(errors)[-1] < CLAIMS[name] + 0.5
    assert errors[-1] < 0.01


STOCHASTIC = {"ddpm": 1, "euler-ancestral": 1, "dpmpp-2m-sde": 2}
"""Order of convergence of the variance."""


@pytest.mark.parametrize("name", STOCHASTIC)
def test_stochastic_samplers_converge_to_the_variance(name: str) -> None:
    """Linear in x and in each draw: the variance is the sum of squares of its responses to each alone."""
    errors = []
    for stride in (80, 40, 20, 10):
        sampler = make(name, tuple(range(900, 99, -stride)), "cosine")
        count = len(sampler.levels)
        x, step = torch.zeros(count, 1, 1, 1, dtype=torch.float64), None  # a sample for each draw that is not zero
        x[0] = math.hypot(sampler.levels[0].alpha * 0.3, sampler.levels[0].sigma)
        for level in sampler.levels:
            alone = torch.eye(count, dtype=torch.float64)[level.index].view(count, 1, 1, 1)
            x = x if step is None else sampler.advance(step, level, lambda shape, alone=alone: alone)
            step = sampler.predict(exact, x, level, step)
        errors.append(abs(x.square().sum().item() - ((level.alpha * 0.3) ** 2 + level.sigma**2)))
    assert order(errors)[-1] > STOCHASTIC[name] - 0.2 and order(errors)[-1] < STOCHASTIC[name] + 0.5
    assert errors[-1] < 0.01
