"""Any scheduler of diffusers by name: the steps it takes there, which can be had, and what is said of the others."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch
from sampling import betas, denoise, network, normals, trajectory
from torch import Tensor

from midms import Spec, available, build, cli
from midms.compose.compose import BuildError
from midms.diffusion import SAMPLERS
from midms.diffusion.levels import noise_levels
from midms.diffusion.solvers.dpmpp_2m import DPMPP2M
from midms.registry import BadArguments, UnknownName

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")  # of diffusers, which mixes in numpy
SHAPE = (2, 5, 3, 7)
DETERMINISTIC = (
    *("DDIM", "CogVideoXDDIM", "DEISMultistep", "DPMSolverMultistep", "DPMSolverSinglestep", "EulerDiscrete"),
    *("HeunDiscrete", "LMSDiscrete", "PNDM", "UniPCMultistep", "FlowMatchEulerDiscrete"),
)
STOCHASTIC = ("DDPM", "EulerAncestralDiscrete", "LCM", "SASolver", "TCD")
FOREIGN = {
    "EDMEuler": "takes something else than eps and x",
    "CMStochasticIterative": "takes something else than eps and x",
    "UnCLIP": "takes something else than eps and x",
    "KDPM2Discrete": "asks between its levels",
    "DDIMInverse": "has no attribute 'scale_noise'",
}
if hasattr(diffusers, "HeliosScheduler"):  # younger than the oldest diffusers that will do
    FOREIGN["Helios"] = r"it fails on its own timesteps with KeyError\(None\)"


def sampler(name: str, **options: Any) -> Any:
    return SAMPLERS.create(f"diffusers:{name}Scheduler", schedule="ldm-celeba", **options)


@pytest.mark.parametrize("name", [*DETERMINISTIC, *STOCHASTIC])
def test_steps_are_those_that_diffusers_takes(name: str) -> None:
    """Its own loop, as its documentation has it, and ours: after the last level's x, the same, draws among it."""
    flow = name.startswith("Flow")
    settings = {} if flow else {"trained_betas": betas("ldm-celeba")}
    settings |= {"clip_sample": False} if "DDIM" in name or name == "DDPM" else {}
    theirs, ours = getattr(diffusers, f"{name}Scheduler")(**settings), sampler(name, steps=6)
    theirs.set_timesteps(6)
    assert [level.timestep for level in ours.levels] == theirs.timesteps.tolist()
    x = z = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    if not flow and theirs.init_noise_sigma != 1:
        z = x / ours.levels[0].alpha
    seen, numbers = [], torch.Generator().manual_seed(0)
    for timestep in theirs.timesteps:
        seen.append(z if flow else theirs.scale_model_input(z, timestep))
        drawn = {"generator": numbers} if name in STOCHASTIC else {}
        z = theirs.step(network(seen[-1], timestep.item()), timestep, z, **drawn).prev_sample

    def guess(x: Tensor, level: Any) -> Tensor:
        return x - level.sigma * network(x, level.timestep) if flow else denoise(x, level)

    step, found, draw = None, [], normals(0)
    for level in ours.levels:
        x = x if step is None else ours.advance(step, level, draw)
        found.append(x)
        step = ours.predict(guess, x, level, step)
    torch.testing.assert_close(found, seen, rtol=1e-3, atol=1e-3 if name == "PNDM" else 2e-4)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_a_scheduler_draws_what_it_is_handed(name: str) -> None:
    ours, x = sampler(name, steps=5), torch.randn(SHAPE)
    first, same, other = (trajectory(ours, x, normals(i)) for i in (1, 1, 2))
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, same, strict=True))
    assert not torch.equal(first[-1][0], other[-1][0])


def test_an_edited_x0_enters_its_memory() -> None:
    """Edits are seen by later steps as our own multistep sampler sees them."""
    theirs, ours = (
        sampler("DPMSolverMultistep", timesteps=(801, 601, 401, 201)),
        DPMPP2M(noise_levels((801, 601, 401, 201), "ldm-celeba")),
    )
    wishes = torch.randn(4, *SHAPE)
    seen: list[list[Tensor]] = []
    for one in (theirs, ours):
        x, step, found = torch.ones(SHAPE), None, []
        for level, wish in zip(one.levels, wishes, strict=True):
            x = x if step is None else one.advance(step, level, normals(0))
            found.append(x)
            step = one.predict(denoise, x, level, step)
            step = type(step)(step.level, step.x0 + wish, step.eps, step.past)
        seen.append(found)
    torch.testing.assert_close(*seen, rtol=3e-5, atol=3e-5)


@pytest.mark.parametrize("name", FOREIGN)
def test_one_that_cannot_says_why(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}Scheduler cannot be a sampler: .*{FOREIGN[name]}"):
        sampler(name, steps=5)


def test_in_a_composition() -> None:
    pipe = build("midm-faces", sampler="diffusers:DEISMultistepScheduler")
    assert [level.timestep for level in pipe.sampler.levels] == [700, 350], "the preset's"
    image = pipe(torch.rand(1, 2, 32, 48), torch.rand(1, 3, 48, 32) * 2 - 1, generator=torch.Generator().manual_seed(0))
    assert image.shape == (1, 3, 32, 48) and image.isfinite().all()
    assert len(build("midm-faces", sampler=Spec("diffusers:DDIMScheduler", steps=4)).sampler.levels) == 4
    with pytest.raises(BuildError, match=r"walks its own timesteps; give steps=N instead of \(700, 350\)"):
        build("midm-faces", sampler="diffusers:DDIMScheduler")


def test_names_are_those_of_diffusers(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(":" in name for name in available("sampler")), "a family is not listed one by one"
    assert cli.main(["list", "sampler"]) == 0
    assert "diffusers:<Scheduler>" in capsys.readouterr().out
    assert cli.main(["show", "diffusers:UniPCMultistepScheduler"]) == 0
    assert "solver_order" in capsys.readouterr().out
    with pytest.raises(UnknownName, match=r"no scheduler of diffusers .* Did you mean 'UniPCMultistepScheduler'"):
        SAMPLERS.create("diffusers:UniPCMultistep", steps=3)
    listed = [*diffusers.schedulers.__all__, "UniPCGoneScheduler"]
    monkeypatch.setattr(diffusers.schedulers, "__all__", listed)  # it lists some that it has not, as others are missing
    with pytest.raises(UnknownName, match=r"'UniPCGoneScheduler'\. Did you mean 'UniPCMultistepScheduler'") as caught:
        SAMPLERS.create("diffusers:UniPCGoneScheduler", steps=3)
    assert str(caught.value).count("UniPCGone") == 1
    with pytest.raises(BadArguments, match="Did you mean 'solver_order'"):
        sampler("UniPCMultistep", steps=3, solverorder=2)
    with pytest.raises(UnknownName, match="diffusers:<Scheduler>"):
        SAMPLERS.create("difusers")
