"""Denoisers of text-to-image models: diffusers' own pipelines, whole, on the same noise, when nothing is edited."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from diffusion_families import FAMILIES, FLUX, SD3, UNET, saved
from torch import Tensor

from midms.checkpoints.convert import find
from midms.compose.catalog import create
from midms.core.injection import References
from midms.core.protocols import Autoencoder, Denoiser
from midms.core.tensors import load_state
from midms.core.types import Context, Prompt, Step
from midms.diffusion.levels import noise_levels
from midms.diffusion.solvers.steps import ddim_step
from midms.loop.layers import MatchingOfLayers
from midms.loop.policy import Policy

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
"""Of diffusers' schedulers, by a numpy that is newer than they are."""
PROMPT, NEGATIVE = "a cat, sitting", "a blur"
STEPS, GRID = 2, (8, 12)
FLOWS = ("sd3", "flux")
CLOSE = {"rtol": 1e-4, "atol": 5e-5}
"""What rounding makes of the steps, of which the first magnifies errors up to 14 times."""


@dataclass(frozen=True)
class Case:
    """A pipeline of diffusers, and what is read of its folder here."""

    family: str
    folder: Path
    theirs: Any
    denoiser: Any
    autoencoder: Any
    schedule: Any


def read(folder: Path, prompt: Prompt) -> tuple[Any, Any, Any]:
    """Denoiser, autoencoder and schedule."""
    found, parts = find(folder, prompt), []
    for slot in ("denoiser", "autoencoder"):
        spec = found.parts[slot]
        part = create(slot, spec.name, **spec.arguments).eval()
        load_state(part, found.state(slot), slot)
        parts.append(part)
    return *parts, found.recipe.schedule


@pytest.fixture(scope="module", params=FAMILIES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp(request.param) / "pipeline"
    theirs = saved(request.param, folder)
    return Case(request.param, folder, theirs, *read(folder, prompt_for(request.param)))


def prompt_for(family: str) -> Prompt:
    """FLUX.1 is made for no negative prompt."""
    return Prompt(PROMPT, "" if family == "flux" else NEGATIVE)


def noise(case: Case) -> Tensor:
    return torch.randn(1, case.denoiser.channels, *GRID, generator=torch.Generator().manual_seed(3))


def expected(case: Case, prompt: Prompt, kind: str = "latent", **more: Any) -> Tensor:
    """What diffusers' pipeline makes of the noise: the latent [1 c h w], or the picture "pt" in [0, 1]."""
    (height, width), x = (8 * side for side in GRID), noise(case)
    if case.family == "flux":
        x = case.theirs._pack_latents(x, *x.shape)
    if case.family in FLOWS:
        more |= {"sigmas": [1 - i / STEPS for i in range(STEPS)]}
    if prompt.negative:
        more["negative_prompt"] = prompt.negative
    size = {"height": height, "width": width, "num_inference_steps": STEPS}
    found: Tensor = case.theirs(prompt.text, latents=x, output_type=kind, **size, **more).images
    packed = kind == "latent" and case.family == "flux"
    return case.theirs._unpack_latents(found, height, width, 8) if packed else found


def schedule(case: Case) -> Any:
    """The checkpoint's; where the shift follows from a picture's size, that of this one."""
    tokens = GRID[0] * GRID[1] // 4
    return f"flow:{math.exp(calculate_shift(tokens))!r}" if case.family == "flux" else case.schedule


def timesteps(case: Case) -> tuple[int, ...]:
    if case.family in FLOWS:
        return (1000, 500)
    case.theirs.scheduler.set_timesteps(STEPS)
    return tuple(map(int, case.theirs.scheduler.timesteps))


@torch.no_grad()
def ours(case: Case, denoiser: Any = None) -> Step:
    """The last step of the loop's own way from noise to x0, with nothing edited."""
    model = case.denoiser if denoiser is None else denoiser
    sampler = create("sampler", "euler", timesteps=timesteps(case), schedule=schedule(case))
    x, step = noise(case), None
    for level in sampler.levels:
        x = x if step is None else sampler.advance(step, level, torch.randn)
        step = sampler.predict(lambda x, level: model(x, level, CONTEXT), x, level, step)
    assert step is not None
    return step


CONTEXT = Context(torch.zeros(1, 4, *GRID), torch.zeros(1, 1, 64, 96), torch.zeros(1, 1, *GRID))
"""What no text-to-image model looks at."""


def test_with_nothing_edited_it_is_diffusers_pipeline(case: Case) -> None:
    assert isinstance(case.denoiser, Denoiser) and isinstance(case.autoencoder, Autoencoder)
    picture, step = expected(case, prompt_for(case.family), "pt"), ours(case)
    torch.testing.assert_close(step.x0, expected(case, prompt_for(case.family)), **CLOSE)
    with torch.no_grad():
        torch.testing.assert_close((case.autoencoder.decode(step.x0) / 2 + 0.5).clamp(0, 1), picture, **CLOSE)
    assert picture.std() > 0.05


INJECTIONS: dict[str, Any] = {
    "cross-attention": {"layers": ("up_blocks.0",), "first": 0.0},
    "ctrlx": {
        "appearance_layers": ("down_blocks.1", "up_blocks.0"),
        "structure_layers": ("up_blocks.0",),
        "structure_results": ("up_blocks.0.resnets.0",),
        "structure": 0.0,
    },
    "graft": {},
}


@pytest.mark.parametrize("name", INJECTIONS)
def test_with_an_injection_of_no_strength_it_is_diffusers_pipeline(case: Case, name: str) -> None:
    blocks = ("transformer_blocks",) if case.family in FLOWS else ("up_blocks.0",)
    if case.family in FLOWS and name != "graft":
        layers = ("layers",) if name == "cross-attention" else ("appearance_layers", "structure_layers")
        with pytest.raises(ValueError, match="is to picture and prompt at once; take graft"):
            create("injection", name, **dict.fromkeys(layers, blocks)).check(case.denoiser)
        return
    part = create("injection", name, **INJECTIONS[name] or {"layers": blocks})
    part.check(case.denoiser)
    others = References([noise(case)[..., :10] / 2], noise(case) / 3, 0, STEPS, torch.randn)

    def run(style: float) -> Tensor:
        matching = MatchingOfLayers(Policy(style=style))
        return ours(case, lambda x, level, context: part(case.denoiser, x, level, context, others, matching)).x0

    torch.testing.assert_close(run(0.0), expected(case, prompt_for(case.family)), **CLOSE)
    assert not torch.allclose(run(1.0), run(0.0), atol=1e-3)


def test_with_nothing_said_and_another_guidance_it_is_too(case: Case) -> None:
    """Where no negative prompt is given, SDXL's is of zeros and others' is empty."""
    denoiser = read(case.folder, Prompt(guidance=2.5))[0]
    torch.testing.assert_close(ours(case, denoiser).x0, expected(case, Prompt(), guidance_scale=2.5), **CLOSE)
    assert not torch.allclose(ours(case).x0, ours(case, denoiser).x0, atol=1e-2)


def test_a_guidance_of_one_asks_once(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """And FLUX.1 can be guided by two prompts, as others are."""
    scale = 2.0 if case.family == "flux" else 1.0
    monkeypatch.setattr(case.denoiser, "guidance", scale)
    prompt, more = Prompt(PROMPT, NEGATIVE), {"guidance_scale": 1.0}
    if case.family == "flux":
        negative = read(case.folder, Prompt(NEGATIVE))[0].prompts
        for kept, other in zip(case.denoiser.prompts.buffers(), negative.buffers(), strict=True):
            kept[0] = other[1]
        more = {"true_cfg_scale": scale}
    batches = []
    hook = case.denoiser.network.register_forward_pre_hook(
        lambda _, given, named: batches.append(len((*given, *named.values())[0])), with_kwargs=True
    )
    found = ours(case).x0
    hook.remove()
    assert batches == STEPS * [2 if case.family == "flux" else 1]
    torch.testing.assert_close(found, expected(case, prompt, **more), **CLOSE)


def test_encoding_is_scaled_as_the_checkpoint_says(case: Case) -> None:
    picture = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1)) * 2 - 1
    vae, said = case.theirs.vae, case.theirs.vae.config
    with torch.no_grad():
        mean = vae.encode(picture).latent_dist.mean
        expected = (mean - (said.shift_factor or 0)) * said.scaling_factor
        torch.testing.assert_close(case.autoencoder.encode(picture), expected, rtol=1e-5, atol=1e-5)


def test_the_schedule_is_the_checkpoints(case: Case) -> None:
    own = {"sd3": "flow:3.0", "flux": f"flow:{math.exp(calculate_shift(4096))!r}"}
    assert case.schedule == own.get(case.family, "scaled-linear")
    assert getattr(case.denoiser, "prediction", "") == {"sd2": "v", "sd3": "flow", "flux": "flow"}.get(
        case.family, "eps"
    )


@torch.no_grad()
def test_any_grid_each_picture_as_if_alone(case: Case) -> None:
    level = noise_levels((500,), case.schedule)[0]
    x = torch.randn(2, case.denoiser.channels, 5, 7, generator=torch.Generator().manual_seed(2))
    both = case.denoiser(x, level, CONTEXT)
    assert both.shape == x.shape and both.isfinite().all()
    torch.testing.assert_close(both[1:], case.denoiser(x[1:], level, CONTEXT), rtol=1e-4, atol=1e-4)
    if case.family in FLOWS:
        padded = torch.from_numpy(np.pad(x.numpy(), ((0, 0), (0, 0), (0, 1), (0, 1)), mode="edge"))
        torch.testing.assert_close(case.denoiser(padded, level, CONTEXT)[..., :5, :7], both, rtol=1e-5, atol=1e-5)


def test_a_scheduler_that_stops_short_is_one_step_further(tmp_path: Path) -> None:
    """Where `set_alpha_to_one` is False, Stable Diffusion 1 and 2 leave noise in their latent; x0 is kept here."""
    theirs = saved("sd1", tmp_path / "pipeline")
    theirs.scheduler = type(theirs.scheduler).from_config(theirs.scheduler.config, set_alpha_to_one=False)
    case = Case("sd1", tmp_path, theirs, *read(tmp_path / "pipeline", prompt_for("sd1")))
    step, clean = ours(case), noise_levels((0,), "scaled-linear")[0]
    torch.testing.assert_close(
        ddim_step(step.x, step.x0, step.level, clean), expected(case, prompt_for("sd1")), **CLOSE
    )


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_levels_of_a_flow_are_those_of_diffusers(shift: float) -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(sigmas=[1.0, 0.6, 0.2])
    levels = noise_levels((1000, 600, 200), f"flow:{shift}", start=800)
    found = torch.tensor([(level.timestep, level.sigma, 1 - level.alpha) for level in levels])
    sigmas = scheduler.sigmas[:-1]
    torch.testing.assert_close(found, torch.stack([scheduler.timesteps, sigmas, sigmas], 1))
    assert levels.start is not None and levels.start.sigma == pytest.approx(0.8 * shift / (1 + (shift - 1) * 0.8))
    again = create(
        "sampler", "diffusers:FlowMatchEulerDiscreteScheduler", timesteps=(1000, 600), schedule=f"flow:{shift}"
    )
    assert [level.sigma for level in again.levels] == pytest.approx([level.sigma for level in levels[:2]])


@pytest.mark.parametrize(
    "schedule, timesteps, complaint",
    [
        ("flow:fast", (500,), "must be followed by its shift, as in 'flow:3.0', got 'flow:fast'"),
        ("flow:0", (500,), "shift must be positive, got 0"),
        ("flow:1", (500, 0), "timesteps of a flow are 1 to 1000, got 0"),
        ("flow", (500,), "schedule must be one of cosine, .* got 'flow'"),
    ],
)
def test_a_flow_says_what_is_wrong(schedule: str, timesteps: tuple[int, ...], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        noise_levels(timesteps, schedule)


@pytest.mark.parametrize(
    "name, changes, complaint",
    [
        ("unet-condition", {"prediction": "epsilon"}, "prediction must be one of"),
        ("unet-condition", {"guidance": -1.0}, "guidance must not be negative, got -1.0"),
        ("unet-condition", {"tokens": 0}, "tokens must be"),
        (
            "unet-condition",
            {"config": UNET | {"addition_embed_type": "text"}},
            "addition_embed_type is 'text', supported",
        ),
        ("unet-condition", {"config": {"in_channels": 4}}, "config lacks block_out_channels, layers_per_block"),
        ("sd3", {"config": {}}, "config lacks num_layers"),
        ("flux", {"config": {"num_layers": 2}}, "config lacks num_attention_heads.*num_single_layers"),
        ("sd3", {"config": SD3 | {"patch_size": 1}}, "patch_size is 1, supported: 2"),
        ("flux", {"config": FLUX | {"out_channels": 8}}, "in_channels and out_channels are 16 and 8"),
        ("flux", {"distilled_guidance": 1e4}, "distilled_guidance must be"),
    ],
)
def test_a_denoiser_says_what_is_wrong(name: str, changes: dict[str, Any], complaint: str) -> None:
    config = {"unet-condition": UNET, "sd3": SD3, "flux": FLUX}[name]
    with pytest.raises(ValueError, match=complaint):
        create("denoiser", name, **{"config": config} | changes)


def test_prompts_may_be_as_wide_as_t5_xxl() -> None:
    assert create("denoiser", "sd3", config=SD3 | {"joint_attention_dim": 4096}).prompts.tokens.shape == (2, 333, 4096)
