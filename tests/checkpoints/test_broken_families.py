"""Folders of text-to-image models in which something is missing or another thing lies: one sentence says what."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusion_families import saved
from safetensors.torch import load_file, save_file

from midms.checkpoints.convert import find
from midms.core.tensors import CheckpointError
from midms.core.types import Prompt
from midms.diffusers import MIDMsPipeline

NETWORK = {"sd1": "unet", "sdxl": "unet", "sd3": "transformer", "flux": "transformer"}


@pytest.fixture(scope="module", params=NETWORK)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param) / "pipeline"
    saved(request.param, folder)
    return request.param, folder


@pytest.fixture(scope="module")
def sd3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sd3") / "pipeline"
    saved("sd3", folder)
    return folder


def refusal(folder: Path, prompt: str = "a cat") -> str:
    with pytest.raises(CheckpointError) as error:
        found = find(folder, Prompt(prompt))
        for slot in found.parts:
            found.state(slot)
    assert "\n" not in str(error.value)
    return str(error.value)


def changed(file: Path, **settings: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


def emptied(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def in_eight_bits(folder: Path) -> None:
    (file,) = folder.glob("*.safetensors")
    wide = load_file(file)
    save_file(
        {name: value.to(torch.float8_e4m3fn) if value.is_floating_point() else value for name, value in wide.items()},
        file,
    )


def a_pointer(folder: Path) -> None:
    (file,) = folder.glob("*.safetensors")
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3438167540\n")


BROKEN: dict[str, tuple[Callable[[Path, str], object], str]] = {
    "no network": (lambda f, net: shutil.rmtree(f / net), "has neither unet/config.json nor transformer/config.json"),
    "no settings": (lambda f, net: (f / net / "config.json").unlink(), "has neither unet/config.json nor transformer/"),
    "no class": (lambda f, net: (f / net / "config.json").write_text("{}"), "/config.json: has no _class_name, expect"),
    "no weights": (
        lambda f, net: (f / net / "diffusion_pytorch_model.safetensors").unlink(),
        "no such file of weights",
    ),
    "a pointer": (lambda f, net: a_pointer(f / net), "is a pointer of Git LFS, which `git lfs pull` replaces"),
    "eight bits": (
        lambda f, net: in_eight_bits(f / net),
        " in torch.float8_e4m3fn, which nothing here reads, expected",
    ),
    "encoder's eight": (lambda f, net: in_eight_bits(f / "text_encoder"), "text_encoder/model.safetensors: has "),
    "no autoencoder": (lambda f, net: shutil.rmtree(f / "vae"), "has neither vqvae/ nor vae/"),
    "no scheduler": (
        lambda f, net: shutil.rmtree(f / "scheduler"),
        "scheduler_config.json: no such file, expected that of",
    ),
    "no class of it": (lambda f, net: (f / "scheduler/scheduler_config.json").write_text("{}"), ": is for None, "),
    "no encoder": (
        lambda f, net: shutil.rmtree(f / "text_encoder"),
        "has no text_encoder/, expected that of the whole",
    ),
    "no tokenizer": (lambda f, net: shutil.rmtree(f / "tokenizer"), "has no tokenizer/, expected that of the whole"),
    "no words": (lambda f, net: emptied(f / "tokenizer"), "tokenizer: knows no words: tokenizer.json, or the files of"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_missing_is_named(family: tuple[str, Path], tmp_path: Path, case: str) -> None:
    name, whole = family
    folder = shutil.copytree(whole, tmp_path / "pipeline")
    spoil, why = BROKEN[case]
    spoil(folder, NETWORK[name])
    assert why in refusal(folder)


@pytest.mark.parametrize("number", ["_2", "_3"])
def test_further_encoders_come_with_their_tokenizers(sd3: Path, tmp_path: Path, number: str) -> None:
    folder = shutil.copytree(sd3, tmp_path / "pipeline")
    emptied(folder / f"tokenizer{number}")
    assert f"tokenizer{number}: knows no words" in refusal(folder)
    (folder / f"tokenizer{number}").rmdir()
    assert f"has no tokenizer{number}/, expected that of the whole pipeline" in refusal(folder)


def test_a_pipeline_of_diffusers_needs_them_too(sd3: Path) -> None:
    pipe = MIDMsPipeline.from_pretrained(sd3, local_files_only=True)
    empty = type(pipe.tokenizer_3)()
    pipe.tokenizer_3 = None
    with pytest.raises(
        CheckpointError, match="MIDMsPipeline: has no tokenizer_3, expected those of the whole pipeline"
    ):
        pipe.midm("a cat")
    pipe.tokenizer_3 = empty
    with pytest.raises(CheckpointError, match="tokenizer_3: knows no words"):
        pipe.midm("a cat")


@pytest.mark.parametrize(
    ("pipeline", "network", "vae"),
    [
        ("PixArtAlphaPipeline", "PixArtTransformer2DModel", "AutoencoderKL"),
        ("WanPipeline", "WanTransformer3DModel", "AutoencoderKLWan"),
        ("AuraFlowPipeline", "AuraFlowTransformer2DModel", "AutoencoderKL"),
        ("Flux2Pipeline", "Flux2Transformer2DModel", "AutoencoderKLFlux2"),
        ("KandinskyV22Pipeline", "UNet2DConditionModel", ""),
        ("StableCascadeDecoderPipeline", "", "AutoencoderKL"),
    ],
)
def test_another_family_is_called_by_its_name(sd3: Path, tmp_path: Path, pipeline: str, network: str, vae: str) -> None:
    folder = shutil.copytree(sd3, tmp_path / "pipeline")
    changed(folder / "model_index.json", _class_name=pipeline)
    for name, kind in (("transformer", network), ("vae", vae)):
        if kind:
            changed(folder / name / "config.json", _class_name=kind)
        else:
            shutil.rmtree(folder / name)
    said = refusal(folder)
    assert f"is a '{pipeline}', of no family that is known here: Stable Diffusion 1 and 2, SDXL, Stable" in said
    (folder / "model_index.json").unlink()
    if network and vae:
        assert network in refusal(folder), "its network's name says it as well"


def test_a_folder_beside_or_above_the_right_one_is_told_from_it(family: tuple[str, Path]) -> None:
    name, folder = family
    part = refusal(folder / NETWORK[name], "")
    assert "Model alone, expected that of the whole pipeline, which it lies in" in part
    assert "CLIPText" in refusal(folder / "text_encoder")
    assert "is no folder of diffusers, but pipeline in it is" in refusal(folder.parent)
