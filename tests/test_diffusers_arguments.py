"""What users of diffusers hand to a pipeline: taken as there, or refused in one sentence that says what to do."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxTransformer2DModel,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
)
from diffusers.callbacks import SDCFGCutoffCallback
from diffusion_families import saved
from sample_pictures import photo
from torch import Tensor

from midms import create
from midms.core.tensors import CheckpointError
from midms.core.types import Prompt
from midms.diffusers import MIDMsPipeline

CALM = {
    "rematch": (1,),
    "confidence": "always",
    "matcher": "correlation(temperature=0.1)",
    "features": "diffusion(network=denoiser, blocks=(0,), draws=1)",
    "size": 64,
}
USUAL = ("StableDiffusionImg2ImgPipeline", "StableDiffusionXLImg2ImgPipeline", "StableDiffusion3Img2ImgPipeline")
MORE = ("FluxImg2ImgPipeline", "StableDiffusionControlNetPipeline", "StableDiffusionInpaintPipeline")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sd1") / "pipeline"
    saved("sd1", folder)
    return folder


def read(folder: Path, **more: Any) -> MIDMsPipeline:
    pipe = MIDMsPipeline.from_pretrained(folder, local_files_only=True, **{"slots": CALM} | more)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def pipe(folder: Path) -> MIDMsPipeline:
    return read(folder)


def called(pipe: MIDMsPipeline, **more: Any) -> Tensor:
    """The last x0 of a run from the same noise, whatever else is asked."""
    usual = {"image": photo(64, 64), "exemplar": photo(64, 90), "num_inference_steps": 2, "output_type": "latent"}
    return pipe(**usual | {"generator": torch.Generator().manual_seed(1)} | more).images


def test_what_diffusers_takes_for_the_same_is_the_same(pipe: MIDMsPipeline) -> None:
    expected, cat = called(pipe), called(pipe, prompt="a cat", negative_prompt="a dog")
    assert torch.equal(called(pipe, prompt=None, negative_prompt=None, strength=None, latents=None), expected)
    assert torch.equal(called(pipe, num_images_per_prompt=1, callback_on_step_end_tensor_inputs=None), expected)
    assert torch.equal(called(pipe, prompt=["a cat"], negative_prompt=["a dog"]), cat)
    assert not torch.equal(cat, expected)
    assert torch.equal(called(pipe, generator=[torch.Generator().manual_seed(1)]), expected)
    plain = np.array(photo(64, 64))
    channels_first = torch.from_numpy(plain).permute(2, 0, 1) / 255
    for same in ([photo(64, 64)], plain, plain[None], plain / 255, channels_first, channels_first[None]):
        torch.testing.assert_close(called(pipe, image=same), expected, rtol=0, atol=1e-5)
    unguided = called(pipe, prompt="a cat", guidance_scale=1)
    assert torch.equal(called(pipe, prompt="a cat", guidance_scale=0.0), unguided), "none up to 1, as diffusers has it"


REFUSED: dict[str, tuple[Mapping[str, Any], str]] = {
    "prompts": ({"prompt": ["a", "b"]}, r"prompt: has 2, expected one text: call once for each"),
    "no prompt": ({"prompt": []}, "prompt: has 0, expected one text"),
    "a number": ({"negative_prompt": 3}, "negative_prompt: expected a text, got int"),
    "pictures": ({"image": [photo(64, 64)] * 2}, "image: has 2, expected one picture: call once for each"),
    "batch": ({"image": torch.rand(2, 3, 64, 64)}, "image: has 2, expected one picture"),
    "latent": ({"image": torch.rand(1, 4, 8, 8)}, "image: a tensor of four channels is a latent in diffusers"),
    "nothing": ({"image": None}, "image: expected a path, a PIL image, an array or a tensor, got NoneType"),
    "half a step": ({"num_inference_steps": 2.5}, "num_inference_steps must be a whole number from 1 to 781, got 2.5"),
    "text": ({"num_inference_steps": "3"}, "num_inference_steps must be a whole number from 1 to 781, got '3'"),
    "truth": ({"num_inference_steps": True}, "num_inference_steps must be .*, got True"),
    "no step": ({"num_inference_steps": 0}, "num_inference_steps must be .*, got 0"),
    "too many": ({"num_inference_steps": 1000}, "num_inference_steps must be .*, got 1000"),
    "guidance in words": ({"guidance_scale": "7"}, "guidance_scale must be a number, got '7'"),
    "no number": ({"guidance_scale": float("nan")}, "guidance_scale must be a finite number from 0 to 1000, got nan"),
    "negative": ({"guidance_scale": -1}, "guidance_scale must not be negative, got -1"),
    "idle": ({"guidance_scale": 1, "negative_prompt": "x"}, "negative_prompt: changes nothing of .* a guidance above"),
    "generators": ({"generator": [torch.Generator()] * 2}, "generator has 2, expected one for each of 1 pictures"),
    "output": ({"output_type": "PIL"}, "output_type must be one of pil, np, pt, latent, got 'PIL'"),
    "callback": ({"callback_on_step_end": "print"}, "callback_on_step_end: expected a function, got 'print'"),
    "shape": (
        {"callback_on_step_end": lambda *given: {"latents": torch.zeros(1, 4, 3, 3)}},
        r"callback_on_step_end: gives a tensor \[1, 4, 3, 3\] for latents, expected a tensor \[1, 4, 8, 8\]",
    ),
    "bare": ({"callback_on_step_end": lambda *given: given[3]["latents"]}, "callback_on_step_end: gives a Tensor, exp"),
    "more": ({"callback_on_step_end": lambda *given: {"prompt_embeds": 1}}, "callback_on_step_end: gives 'prompt_emb"),
    "infinite": (
        {"callback_on_step_end": lambda *given: {"latents": given[3]["latents"] / 0}},
        "callback_on_step_end: gives latents that are not finite",
    ),
    "their callback": (
        {"callback_on_step_end": SDCFGCutoffCallback(0.4)},
        r"\['latents'\], but found \['prompt_emb",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_said_in_a_sentence(unchecked: None, pipe: MIDMsPipeline, case: str) -> None:
    given, why = REFUSED[case]
    with pytest.raises(ValueError, match=why):
        called(pipe, **given)


@pytest.mark.parametrize("kind", [*USUAL, *MORE])
def test_every_argument_of_the_usual_pipelines_is_taken_or_told_what_to_use(pipe: MIDMsPipeline, kind: str) -> None:
    known = inspect.signature(MIDMsPipeline.__call__).parameters
    others = [name for name in inspect.signature(getattr(diffusers, kind).__call__).parameters if name not in known]
    others = [name for name in others if name != "kwargs"]
    assert "strength" in others or "latents" in others
    for name in others:
        with pytest.raises(TypeError, match=f"^{name}: no argument of MIDMsPipeline: [a-z].{{10}}"):
            called(pipe, **{name: 2})
    with pytest.raises(TypeError, match=r"shorter side, of the longer where the weights know square pictures alone$"):
        called(pipe, height=64)
    with pytest.raises(TypeError, match=r"no argument of MIDMsPipeline is called 'promt'\. Did you mean 'prompt'"):
        called(pipe, promt="a cat")
    with pytest.raises(TypeError, match=r"^style: is chosen when a pipeline is made, .*slots=\{'style': ...\}\)"):
        called(pipe, style=0.5)


def test_a_callback_may_give_nothing_back(pipe: MIDMsPipeline) -> None:
    seen: list[int] = []
    found = called(pipe, callback_on_step_end=lambda owner, step, *rest: seen.append(owner.num_timesteps))
    assert torch.equal(found, called(pipe)) and seen == [2, 2]


def test_presets_and_slots_are_judged_when_a_pipeline_is_made(unchecked: None, pipe: MIDMsPipeline) -> None:
    for given, why in (
        ({"preset": "sd-wrap"}, "no preset for models of diffusers is called 'sd-wrap'. Did you mean 'sd-warp'"),
        ({"preset": "midm-faces"}, "no preset for models of diffusers is called 'midm-faces'"),
        ({"slots": "matcher=nearest"}, "slots: expected parts and settings by name, such as .*, got 'matcher=nearest'"),
        ({"slots": {"match": "nearest"}}, "slots: no slot or setting is called 'match'. Did you mean 'rematch', 'mat"),
        ({"slots": {"autoencoder": "kl"}}, "slots: autoencoder is a component of the pipeline"),
        ({"slots": {"matcher": create("matcher", "nearest")}}, "slots: matcher is a ready Nearest, expected a part"),
        ({"slots": {"matcher": "nearest(("}}, r"cannot read 'nearest\(\('"),
        ({"scheduler": 3}, "scheduler: expected one of diffusers, got int"),
        ({"trained_with": "ddim"}, "trained_with: expected the settings of a scheduler by name, got 'ddim'"),
    ):
        with pytest.raises(ValueError, match=why):
            MIDMsPipeline(**pipe.components | given)
    steps = MIDMsPipeline(**pipe.components, slots=CALM | {"sampler": "ddim(timesteps=(781, 1))"})
    with pytest.raises(ValueError, match="num_inference_steps: slots has a sampler, with timesteps of its own"):
        steps.midm("", 3)
    own = MIDMsPipeline(**pipe.components, slots=CALM | {"sampler": "diffusers:EulerDiscreteScheduler(steps=4)"})
    with pytest.raises(ValueError, match="num_inference_steps: slots has a sampler, with timesteps of its own"):
        own.midm("", 3)
    steps.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    with pytest.warns(UserWarning, match="scheduler: DPMSolverMultistepScheduler changes nothing, for slots has a"):
        assert steps.midm().sampler.levels.timesteps == (781, 1)


def test_pipelines_of_diffusers_become_ours_and_ours_theirs(folder: Path, pipe: MIDMsPipeline) -> None:
    theirs = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    expected = called(pipe)
    for made in (MIDMsPipeline(**theirs.components, slots=CALM), MIDMsPipeline.from_pipe(theirs, slots=CALM)):
        made.set_progress_bar_config(disable=True)
        assert made.unet is theirs.unet and torch.equal(called(made), expected)
    back = StableDiffusionImg2ImgPipeline.from_pipe(made)
    assert back.unet is theirs.unet and MIDMsPipeline.from_pipe(back).config.slots["size"] == 64
    again = MIDMsPipeline.from_pipe(pipe, slots=CALM | {"sampler": "ddim(timesteps=(501, 1))"})
    assert again.midm().sampler.levels.timesteps == (501, 1) and again.config.trained_with == pipe.config.trained_with
    transformer = FluxTransformer2DModel(num_layers=0, num_single_layers=0, num_attention_heads=1)
    with pytest.raises(CheckpointError, match="unet, transformer: expected one of them, got both"):
        MIDMsPipeline(**theirs.components | {"transformer": transformer}).midm()
    with pytest.warns(UserWarning, match="safety_checker: is kept for other pipelines and not run"):
        MIDMsPipeline(**theirs.components | {"safety_checker": torch.nn.Identity()})


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of diffusers, with numpy
def test_the_schedule_is_the_networks_whatever_scheduler_is_handed_in(folder: Path, pipe: MIDMsPipeline) -> None:
    stranger = DPMSolverMultistepScheduler(prediction_type="v_prediction")  # with the betas of another training, too
    other = read(folder, scheduler=stranger)
    assert other.config.trained_with == pipe.config.trained_with
    with pytest.warns(UserWarning, match="beta_start 0.0001, the network's 0.00085.* 'v_prediction', the network's"):
        made = other.midm()
    assert type(made.sampler.scheduler) is DPMSolverMultistepScheduler
    assert made.sampler.levels.schedule == "scaled-linear" and made.denoiser.prediction == "eps"
    trained = read(
        folder, scheduler=stranger, trained_with={"_class_name": "DDIMScheduler", "prediction_type": "v_prediction"}
    )
    assert trained.midm().denoiser.prediction == "v"
    network = type(pipe.unet).from_config(dict(pipe.unet.config) | {"_name_or_path": ""})
    with pytest.warns(UserWarning, match="trained_with: nothing says .*, that of scheduler, DDIMScheduler, is taken"):
        MIDMsPipeline(**pipe.components | {"unet": network})


def test_ddim_is_the_presets_own_sampler_and_flows_are_none_for_a_diffusion(pipe: MIDMsPipeline) -> None:
    other = MIDMsPipeline.from_pipe(pipe)
    other.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    assert other.midm(Prompt(), 2).sampler == pipe.midm(Prompt(), 2).sampler
    other.scheduler = FlowMatchEulerDiscreteScheduler()
    with pytest.raises(
        CheckpointError, match=r"FlowMatchEuler.* walks levels of a rectified flow, expected those of a diff"
    ):
        other.midm()


def test_a_shift_of_a_flow_is_that_of_the_scheduler_in_place(tmp_path: Path) -> None:
    saved("sd3", tmp_path / "pipeline")
    pipe = read(tmp_path / "pipeline")
    assert pipe.config.trained_with["shift"] == 3.0
    pipe.register_to_config(slots={})
    pipe.scheduler = FlowMatchEulerDiscreteScheduler.from_config(pipe.scheduler.config, shift=5.0)
    features = {"features": "diffusion(network=denoiser, blocks=(1,), draws=1)"}
    shifted = MIDMsPipeline.from_pipe(pipe, slots=features).midm(Prompt(), 3).sampler.levels
    assert shifted.schedule == "flow:5.0"
    sigma = 0.781
    assert shifted[0].sigma == pytest.approx(5 * sigma / (1 + 4 * sigma))
