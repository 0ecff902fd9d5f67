"""Single files of text-to-image models: what is in them is what diffusers' folder of the same model has."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusion3Pipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusion_families import FAMILIES, WIDTH, pipeline, saved
from published_files import State, published, write
from torch import Tensor

from midms.checkpoints.convert import find
from midms.checkpoints.convert.single_file import SingleFile
from midms.core.tensors import CheckpointError
from midms.core.types import Prompt

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")  # of diffusers, which mixes in numpy

PROMPT = Prompt("a cat", "a blur")
SIZE = {"height": 64, "width": 64, "num_inference_steps": 2, "output_type": "latent"}
THEIRS = {
    "sd1": StableDiffusionPipeline,
    "sd2": StableDiffusionPipeline,
    "sdxl": StableDiffusionXLPipeline,
    "sd3": StableDiffusion3Pipeline,
}
"""Of FLUX.1 diffusers' reader takes the published size alone."""


@pytest.fixture(scope="module", params=FAMILIES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Any]:
    folder = tmp_path_factory.mktemp(request.param) / "pipeline"
    return request.param, folder, saved(request.param, folder)


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("sd1") / "pipeline"
    return folder, saved("sd1", folder)


def prompt_for(family: str) -> Prompt:
    return Prompt("a cat") if family == "flux" else PROMPT


def states(where: Path, prompt: Prompt = PROMPT) -> dict[str, Tensor]:
    found = find(where, prompt)
    return {f"{slot}.{name}": value for slot in found.parts for name, value in found.state(slot).items()}


def bare(folder: Path, to: Path, kept: tuple[str, ...] = ()) -> Path:
    """The folder without weights but for some parts."""
    shutil.copytree(folder, to)
    for file in [*to.rglob("*.safetensors")]:
        if file.parent.name not in kept:
            file.unlink()
    return to


def test_a_single_file_of_each_family_is_its_folder(model: tuple[str, Path, Any], tmp_path: Path) -> None:
    family, folder, theirs = model
    kept = ("vae", "text_encoder", "text_encoder_2") if family == "flux" else ()
    beside = bare(folder, tmp_path / "beside", kept)
    file = write(published(family, theirs), beside / "model.safetensors")
    expected, found = states(folder, prompt_for(family)), states(file, prompt_for(family))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0, msg=name)
    if family in THEIRS:  # that such a file is what others mean by one
        # of several encoders it tells which is which by their widths, and these are of one
        more = {name: one for name, one in theirs.components.items() if name.startswith("text_encoder")}
        more = {} if len(more) == 1 else more
        read = THEIRS[family].from_single_file(str(file), config=str(beside), local_files_only=True, **more)
        read.set_progress_bar_config(disable=True)
        one, other = (
            pipe("a cat", generator=torch.Generator().manual_seed(0), **SIZE).images for pipe in (theirs, read)
        )
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)


def test_the_first_encoder_of_stable_diffusion_3_may_project_nothing(tmp_path: Path) -> None:
    theirs = saved("sd3", tmp_path / "sd3")
    state = published("sd3", theirs)
    del state["text_encoders.clip_l.transformer.text_projection.weight"]
    found = SingleFile(write(state, tmp_path / "sd3.safetensors"))
    wanted = theirs.text_encoder.state_dict()
    made = found.encoder("text_encoder", wanted)
    assert made is not None and made.keys() == wanted.keys()
    assert torch.equal(made["text_projection.weight"], torch.eye(WIDTH))


def test_what_a_file_lacks_is_taken_from_the_folder(sd1: tuple[Path, Any], tmp_path: Path) -> None:
    whole = published("sd1", sd1[1])
    beside = bare(sd1[0], tmp_path / "beside", ("vae", "text_encoder"))
    network = {name: value + 1 for name, value in whole.items() if name.startswith("model.")}
    found, own = states(write(network, beside / "unet.safetensors")), states(sd1[0])
    for name, value in own.items():
        changed = name.startswith("denoiser.network.")
        assert torch.equal(found[name], value + 1 if changed else value), name
    (beside / "vae" / "diffusion_pytorch_model.safetensors").unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match=r"vae/diffusion_pytorch_model.safetensors: "):
        states(beside / "unet.safetensors")


def test_half_precision_and_a_checkpoint_of_training(model: tuple[str, Path, Any], tmp_path: Path) -> None:
    family, folder, theirs = model
    kept = ("vae", "text_encoder", "text_encoder_2") if family == "flux" else ()
    beside, whole = bare(folder, tmp_path / "beside", kept), published(family, theirs)
    own, prompt = states(folder, prompt_for(family)), prompt_for(family)
    half = states(write({name: value.half() for name, value in whole.items()}, beside / "half.safetensors"), prompt)
    for name, value in own.items():
        torch.testing.assert_close(half[name].to(value.dtype), value, rtol=1e-2, atol=1e-2)
    torch.save({"state_dict": whole, "global_step": 3}, beside / "whole.ckpt")
    found = states(beside / "whole.ckpt", prompt)
    assert all(torch.equal(found[name], value) for name, value in own.items())


def lacking(state: State) -> State:
    return {name: value for name, value in state.items() if "input_blocks.1." not in name}


def test_what_is_wrong_is_said(sd1: tuple[Path, Any], tmp_path: Path) -> None:
    beside, whole = bare(sd1[0], tmp_path / "beside"), published("sd1", sd1[1])
    file = beside / "model.safetensors"

    def said(state: State, complaint: str, where: Path = file) -> None:
        with pytest.raises(CheckpointError, match=complaint) as caught:
            states(write(state, where))
        assert "\n" not in str(caught.value)

    said(lacking(whole), "not the networks of the configurations beside it, unet-condition: missing model.diffusion")
    said(whole | {"model.diffusion_model.more": torch.ones(1)}, "unexpected model.diffusion_model.more")
    no_words = {name: value for name, value in whole.items() if not name.startswith("cond_stage_model")}
    said(no_words, "text_encoder/model.safetensors: ")
    short = {name: value for name, value in whole.items() if not name.endswith("mlp.fc1.weight")}
    said(short, "model.safetensors: does not fit CLIPTextModel: missing ")
    said(whole, "model.safetensors: is a file; .* beside its configurations in folders", tmp_path / "model.safetensors")


OTHERS = {"sd1": "sd3", "sd2": "sdxl", "sdxl": "sd1", "sd3": "flux", "flux": "sdxl"}


def test_a_file_of_another_family_is_refused(model: tuple[str, Path, Any], tmp_path: Path) -> None:
    family, folder, _ = model
    other = pipeline(OTHERS[family], tmp_path / "tokens")
    beside = bare(folder, tmp_path / "beside", ("vae", "text_encoder", "text_encoder_2", "text_encoder_3"))
    with pytest.raises(CheckpointError, match=r"model.safetensors: not the networks of the configurations beside"):
        states(write(published(OTHERS[family], other), beside / "model.safetensors"), prompt_for(family))
