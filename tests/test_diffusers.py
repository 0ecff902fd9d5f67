"""midms as a pipeline of diffusers: what a pipeline there must do, and our own pipeline's pictures."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, DPMSolverMultistepScheduler, HeunDiscreteScheduler, StableDiffusionPipeline
from diffusers.image_processor import VaeImageProcessor
from diffusion_families import FAMILIES, saved
from PIL import Image
from sample_pictures import photo
from torch import Tensor

from midms import build
from midms.checkpoints.convert import find
from midms.compose.spec import parse_value
from midms.core.tensors import CheckpointError
from midms.core.types import Prompt
from midms.diffusers import MIDMsPipeline
from midms.pipeline.result import Translation

EXAMPLE = Path(__file__).parents[1] / "examples" / "diffusers"
CALM = {"rematch": (1,), "confidence": "always", "matcher": "correlation(temperature=0.1)", "size": 64}
BLOCKS = {"sd3": 1, "flux": 2}
WORDS: dict[str, Any] = {"prompt": "a cat", "num_inference_steps": 3}


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("sd1") / "pipeline"
    return folder, saved("sd1", folder)


def slots(family: str = "sd1") -> dict[str, Any]:
    return CALM | {"features": f"diffusion(network=denoiser, blocks=({BLOCKS.get(family, 0)},), draws=1)"}


def read(folder: Path, **more: Any) -> MIDMsPipeline:
    pipe = MIDMsPipeline.from_pretrained(folder, local_files_only=True, slots=slots(), **more)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def pictures() -> tuple[Any, Any]:
    return photo(80, 64), photo(64, 90)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def latent(found: Translation) -> Tensor:
    return found.stages.latents[-1]  # type: ignore[attr-defined]


@pytest.mark.parametrize("family", FAMILIES)
def test_components_of_every_family_give_our_pipelines_picture(family: str, tmp_path: Path) -> None:
    saved(family, tmp_path / "pipeline")
    pipe = MIDMsPipeline.from_pretrained(tmp_path / "pipeline", local_files_only=True, slots=slots(family))
    pipe.set_progress_bar_config(disable=True)
    own = {name: parse_value(one) if isinstance(one, str) else one for name, one in slots(family).items()}
    own["sampler"] = parse_value("ddim(timesteps=(781, 391, 1))")
    ours = build("sd-warp", weights=tmp_path / "pipeline", prompt="a cat", **own)
    found = pipe(*pictures(), **WORDS, generator=seeded())
    expected = ours.translate(*pictures(), generator=seeded())
    torch.testing.assert_close(latent(found.translation), latent(expected), rtol=0, atol=2e-6)  # by how memory lies
    assert np.abs(np.asarray(found.images[0], float) - np.asarray(expected.image, float)).max() <= 1
    assert pipe.midm(Prompt()).autoencoder.network is pipe.vae, "no weight is there twice"


def test_every_output_type_is_as_diffusers_makes_it(sd1: tuple[Path, Any]) -> None:
    pipe = read(sd1[0])
    found = {kind: pipe(*pictures(), **WORDS, generator=seeded(), output_type=kind) for kind in ("pil", "np", "pt")}
    (x0,) = pipe(*pictures(), **WORDS, generator=seeded(), output_type="latent", return_dict=False)
    with torch.no_grad():
        decoded = pipe.vae.decode(x0 / pipe.vae.config.scaling_factor).sample
    decoded = found["pil"].translation.frames[0].crop(decoded)
    process = VaeImageProcessor().postprocess
    assert torch.equal(found["pt"].images, process(decoded, output_type="pt"))
    assert np.array_equal(found["np"].images, process(decoded, output_type="np"))
    assert np.array_equal(found["pil"].images[0], process(decoded, output_type="pil")[0])
    with pytest.raises(ValueError, match="output_type must be one of pil, np, pt, latent, got 'jpg'"):
        pipe(*pictures(), output_type="jpg")


def test_it_is_saved_and_read_both_ways(sd1: tuple[Path, Any], tmp_path: Path) -> None:
    folder, theirs = sd1
    pipe = read(folder, preset="sd-warp")
    pipe.save_pretrained(tmp_path / "saved")
    again = MIDMsPipeline.from_pretrained(tmp_path / "saved", local_files_only=True)
    again.set_progress_bar_config(disable=True)
    assert again.config.slots == {**slots(), "rematch": [1]} and again.config.preset == "sd-warp"
    first, second = (one(*pictures(), **WORDS, generator=seeded()).translation for one in (pipe, again))
    assert torch.equal(latent(first), latent(second))
    plain = StableDiffusionPipeline.from_pretrained(tmp_path / "saved", local_files_only=True)
    plain.set_progress_bar_config(disable=True)
    size = {"height": 64, "width": 64, "num_inference_steps": 2, "output_type": "latent"}
    one, other = (pipe("a cat", generator=seeded(), **size).images for pipe in (theirs, plain))
    assert torch.equal(one, other)
    names = ("vae", "scheduler", "unet", "text_encoder", "tokenizer")
    moved = MIDMsPipeline(**{name: plain.components[name] for name in names}, slots=slots())
    assert torch.equal(latent(moved(*pictures(), **WORDS, generator=seeded()).translation), latent(first))


def test_a_saved_translation_is_made_again_by_its_script(sd1: tuple[Path, Any], tmp_path: Path) -> None:
    read(sd1[0])(*pictures(), **WORDS, generator=seeded()).translation.save(tmp_path / "result")
    runpy.run_path(str(tmp_path / "result" / "reproduce.py"))
    again, before = (np.asarray(Image.open(tmp_path / "result" / name), float) for name in ("again.png", "result.png"))
    assert np.abs(again - before).max() <= 1


def test_diffusers_takes_it_as_a_custom_pipeline(
    sd1: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffusers.utils.dynamic_modules_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    pipe = DiffusionPipeline.from_pretrained(
        sd1[0], custom_pipeline=str(EXAMPLE), trust_remote_code=True, local_files_only=True, slots=slots()
    )
    pipe.set_progress_bar_config(disable=True)
    assert type(pipe) is MIDMsPipeline
    expected = latent(read(sd1[0])(*pictures(), **WORDS, generator=seeded()).translation)
    assert torch.equal(latent(pipe(*pictures(), **WORDS, generator=seeded()).translation), expected)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of diffusers, with numpy
def test_another_scheduler_is_the_sampler(sd1: tuple[Path, Any], tmp_path: Path) -> None:
    pipe = read(sd1[0])
    assert type(pipe.midm(Prompt()).sampler).__name__ == "DDIM"
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, use_karras_sigmas=False)
    pipe.save_pretrained(tmp_path / "saved")
    assert find(tmp_path / "saved").recipe.schedule == "scaled-linear", "what another scheduler left in it is ignored"
    for one in (pipe, MIDMsPipeline.from_pretrained(tmp_path / "saved", local_files_only=True)):
        one.set_progress_bar_config(disable=True)
        sampler = one.midm(Prompt(), 4).sampler
        assert isinstance(sampler.scheduler, DPMSolverMultistepScheduler)
        assert sampler.levels.timesteps == (781, 521, 261, 1) and sampler.levels.schedule == "scaled-linear"
        assert one(*pictures(), **WORDS, generator=seeded()).images[0].size == (64, 51)
    pipe.scheduler = HeunDiscreteScheduler.from_config(pipe.scheduler.config)
    assert isinstance(pipe.midm(Prompt(), 4).sampler.scheduler, HeunDiscreteScheduler)


def test_a_callback_sees_and_changes_latents(sd1: tuple[Path, Any]) -> None:
    pipe, seen = read(sd1[0]), []

    def record(owner: Any, step: int, timestep: float, given: dict[str, Tensor]) -> dict[str, Tensor]:
        assert owner is pipe
        seen.append((step, timestep, given["latents"]))
        return given

    found = pipe(*pictures(), **WORDS, generator=seeded(), callback_on_step_end=record).translation
    assert [(step, timestep) for step, timestep, _ in seen] == [(0, 781), (1, 391), (2, 1)]
    assert torch.equal(seen[-1][2], latent(found)), "what it gives back unchanged changes nothing"
    assert torch.equal(latent(pipe(*pictures(), **WORDS, generator=seeded()).translation), latent(found))

    def changed(last: int) -> Tensor:
        def zero(owner: Any, step: int, timestep: float, given: dict[str, Tensor]) -> dict[str, Tensor]:
            return {"latents": torch.zeros_like(given["latents"])} if step == last else {}

        return latent(pipe(*pictures(), **WORDS, generator=seeded(), callback_on_step_end=zero).translation)

    assert not changed(2).any()
    assert changed(0).any() and not torch.equal(changed(0), latent(found))

    def stop(owner: Any, step: int, timestep: float, given: dict[str, Tensor]) -> dict[str, Tensor]:
        owner._interrupt = step == 1
        return given

    cut = pipe(*pictures(), **WORDS, generator=seeded(), callback_on_step_end=stop)
    assert len(cut.translation.stages) == 2 < len(found.stages) and cut.images[0].size == (64, 51)
    with pytest.raises(ValueError, match=r"has to be in \['latents'\], but found \['noise'\]"):
        pipe(*pictures(), callback_on_step_end=record, callback_on_step_end_tensor_inputs=["noise"])


def test_an_inversion_is_no_step(sd1: tuple[Path, Any]) -> None:
    pipe = read(sd1[0])
    pipe.register_to_config(slots={**slots(), "start": "edit-friendly", "sampler": "ddim(timesteps=(781, 1), eta=1.0)"})
    seen: list[int] = []
    pipe(*pictures(), prompt="", callback_on_step_end=lambda owner, step, timestep, given: seen.append(step) or given)
    assert seen == [0, 1]


def test_what_is_missing_is_said(sd1: tuple[Path, Any]) -> None:
    pipe = read(sd1[0], text_encoder=None)
    with pytest.raises(CheckpointError, match="MIDMsPipeline: has no text_encoder, expected those of the whole pipe"):
        pipe(*pictures())
    pipe = read(sd1[0], unet=None)
    with pytest.raises(CheckpointError, match="unet, transformer: expected one of them, got none"):
        pipe(*pictures())
