"""Folders of diffusers, and the hub: the same networks, their traps avoided."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DModel, VQModel
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import load_file, save_file

from midms import build, cli
from midms.checkpoints.convert import convert, find
from midms.core.tensors import CheckpointError


@pytest.fixture
def diffusers_folder(tmp_path: Path) -> tuple[Path, Any, Any]:
    """A small latent diffusion as diffusers saves it, its scaling factor left to diffusers' wrong default."""
    torch.manual_seed(0)
    kinds = ("DownBlock2D", "AttnDownBlock2D"), ("AttnUpBlock2D", "UpBlock2D")
    unet = UNet2DModel(
        in_channels=3,
        out_channels=3,
        block_out_channels=(32, 64),
        down_block_types=kinds[0],
        up_block_types=kinds[1],
        layers_per_block=1,
        attention_head_dim=16,
    )
    vq = VQModel(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(32, 32, 64),
        latent_channels=3,
        num_vq_embeddings=16,
    )
    assert vq.config.scaling_factor == 0.18215
    vq.quantize.embedding.weight.data.normal_()
    unet.save_pretrained(tmp_path / "unet")
    vq.save_pretrained(tmp_path / "vqvae")
    DDIMScheduler(beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear").save_pretrained(
        tmp_path / "scheduler"
    )
    return tmp_path, unet.eval(), vq.eval()


def same(pipe: Any, unet: Any, vq: Any) -> None:
    """A run's networks give what diffusers' give; latents are not scaled."""
    image, x = torch.rand(1, 3, 32, 48), torch.randn(1, 3, 8, 12)
    with torch.no_grad():
        latent = vq.encode(image).latents
        torch.testing.assert_close(pipe.autoencoder.encode(image), latent)
        torch.testing.assert_close(pipe.autoencoder.decode(latent), vq.decode(latent).sample)
        for level in pipe.sampler.levels[:2]:
            eps = (x - level.alpha * pipe.denoiser(x, level, None)) / level.sigma
            torch.testing.assert_close(eps, unet(x, level.timestep).sample, rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore:midm-celeba. random weights in features")
def test_a_folder_of_diffusers(diffusers_folder: tuple[Path, Any, Any], unchecked: None) -> None:
    folder, unet, vq = diffusers_folder
    same(build("midm-celeba", weights=folder), unet, vq)
    assert cli.main(["convert", str(folder), "--out", str(folder / "out")]) == 0
    same(build("midm-celeba", weights=folder / "out"), unet, vq)
    for name, value in (("config", folder / "ldm.yaml"), ("trainable", True)):
        with pytest.raises(CheckpointError, match=f"^{name}: changes nothing of a folder of diffusers, as "):
            convert(folder, **{name: value})


@pytest.mark.filterwarnings("ignore:midm-celeba. random weights in features")
def test_a_folder_of_an_older_diffusers(diffusers_folder: tuple[Path, Any, Any], unchecked: None) -> None:
    """Pickled, and attention under its older names."""
    folder, unet, vq = diffusers_folder
    older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for place, model in (("unet", unet), ("vqvae", vq)):
        state = {}
        for name, value in model.state_dict().items():
            for new, old in older.items():
                name = name.replace(f".{new}.", f".{old}.")
            state[name] = value
        torch.save(state, folder / place / "diffusion_pytorch_model.bin")
        (folder / place / "diffusion_pytorch_model.safetensors").unlink()
    same(build("midm-celeba", weights=folder), unet, vq)


def test_a_kl_of_diffusers_keeps_its_scaling_factor(diffusers_folder: tuple[Path, Any, Any]) -> None:
    folder = diffusers_folder[0]
    for file in (folder / "vqvae").iterdir():
        file.unlink()
    (folder / "vqvae").rmdir()
    AutoencoderKL(block_out_channels=(32,), latent_channels=3, scaling_factor=0.3).save_pretrained(folder / "vae")
    source = convert(folder)
    assert source.parts["autoencoder"].name == "kl" and source.parts["autoencoder"].arguments["scale"] == 0.3
    assert source.state("autoencoder")


NAME = "diffusion_pytorch_model"


def as_bin(folder: Path) -> None:
    state = load_file(folder / f"{NAME}.safetensors")
    (folder / f"{NAME}.safetensors").unlink()
    torch.save(state, folder / f"{NAME}.bin")


def in_shards(folder: Path, kind: str = "safetensors", variant: str = "", old: bool = False) -> None:
    """Two files and their index, named as diffusers does or did."""
    state = load_file(folder / f"{NAME}.safetensors")
    (folder / f"{NAME}.safetensors").unlink()
    place = f"-0000%d-of-00002{variant}" if old else f"{variant}-0000%d-of-00002"
    where = {name: f"{NAME}{place % (1 + i % 2)}.{kind}" for i, name in enumerate(state)}
    for file in set(where.values()):
        part = {name: value for name, value in state.items() if where[name] == file}
        save_file(part, folder / file) if kind == "safetensors" else torch.save(part, folder / file)
    (folder / f"{NAME}.{kind}.index{variant}.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))


def as_variant(folder: Path, kind: str = "safetensors") -> None:
    (folder / f"{NAME}.safetensors").rename(folder / f"{NAME}.fp16.safetensors")
    if kind == "bin":
        state = load_file(folder / f"{NAME}.fp16.safetensors")
        (folder / f"{NAME}.fp16.safetensors").unlink()
        torch.save(state, folder / f"{NAME}.fp16.bin")


def beside_others(folder: Path) -> None:
    """Files that are not needed where there are safetensors in full."""
    for file in (f"{NAME}.bin", f"{NAME}.fp16.safetensors", f"{NAME}.non_ema.bin", "model.onnx", "flax_model.msgpack"):
        (folder / file).write_bytes(b"not for us")


ON_THE_HUB: dict[str, tuple[Callable[[Path], None], int]] = {
    "in full": (beside_others, 1),
    "in shards": (in_shards, 1),
    "pickles": (as_bin, 2),
    "pickles in shards": (partial(in_shards, kind="bin"), 2),
    "half precision": (as_variant, 3),
    "half precision in shards": (partial(in_shards, variant=".fp16"), 3),
    "half precision in shards, older names": (partial(in_shards, variant=".fp16", old=True), 3),
    "half precision in pickles": (partial(as_variant, kind="bin"), 4),
}


@pytest.mark.parametrize(("laid_out", "rounds"), ON_THE_HUB.values(), ids=ON_THE_HUB)
def test_a_hub_id_fetches_what_its_weights_are_in(
    laid_out: Callable[[Path], None],
    rounds: int,
    diffusers_folder: tuple[Path, Any, Any],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stand-in for the hub takes from a folder what the patterns allow, as the hub's own client does."""
    hub, unet, vq = diffusers_folder
    cache = tmp_path_factory.mktemp("cache")
    asked = []

    def download(name: str, allow_patterns: list[str]) -> str:
        asked.append(name)
        files = [str(file.relative_to(hub)) for file in hub.rglob("*") if file.is_file()]
        for file in filter_repo_objects(files, allow_patterns=allow_patterns):
            (cache / file).parent.mkdir(exist_ok=True)
            shutil.copy(hub / file, cache / file)
        return str(cache)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    laid_out(hub / "unet")
    (hub / "text_encoder").mkdir()
    (hub / "text_encoder" / f"{NAME}.safetensors").write_bytes(b"not for us")
    source = find("CompVis/ldm-celebahq-256")
    assert source is not None and asked == rounds * ["CompVis/ldm-celebahq-256"]
    for slot, network in (("denoiser", unet), ("autoencoder", vq)):
        state = source.state(slot)
        assert all(torch.equal(state[f"network.{name}"], value) for name, value in network.state_dict().items())
    assert not [file for file in cache.rglob("*") if file.is_file() and file.read_bytes() == b"not for us"]


@pytest.mark.filterwarnings("ignore:midm-celeba. random weights in features")
def test_a_hub_id_is_built(
    diffusers_folder: tuple[Path, Any, Any], monkeypatch: pytest.MonkeyPatch, unchecked: None
) -> None:
    folder, unet, vq = diffusers_folder
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, allow_patterns: str(folder))
    same(build("midm-celeba", weights="CompVis/ldm-celebahq-256"), unet, vq)


def test_a_hub_that_cannot_be_reached_says_which_folder_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def download(name: str, allow_patterns: list[str]) -> str:
        raise ConnectionError("no route\nto host, " + "however long " * 30 + "one waits. Please check your connection.")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    expected = (
        r"CompVis/ldm-celebahq-256: is no folder here, and "
        r"cannot be had from the hub \(no route to host, (however long ){30}one waits\.\); "
        r"a local copy of its folder would do, one that midms wrote, "
        r"or with unet/ or transformer/, vqvae/ or vae/, and scheduler/ in it; "
        r"of one that takes prompts text_encoder/ and tokenizer/ too"
    )
    with pytest.raises(CheckpointError, match=expected):
        find("CompVis/ldm-celebahq-256")
    with pytest.raises(CheckpointError, match="there is no folder /no/such"):
        find("/no/such")


def test_a_folder_that_does_not_say_enough(diffusers_folder: tuple[Path, Any, Any], tmp_path: Path) -> None:
    folder = diffusers_folder[0]
    file = folder / "unet" / "config.json"
    file.write_text(file.read_text().replace("block_out_channels", "block_widths"))
    with pytest.raises(CheckpointError, match=r"'block_widths' is no setting of UNet2DModel that is known here"):
        convert(folder)
    file.write_text(file.read_text().replace('"freq_shift": 0', '"freq_shift": 1'))
    with pytest.raises(CheckpointError, match="freq_shift is 1, supported: 0"):
        convert(folder)


def test_a_tensor_that_the_networks_lack_is_not_dropped(diffusers_folder: tuple[Path, Any, Any]) -> None:
    """As of a network for classes whose configuration lost that it is one."""
    for place, slot in (("unet", "denoiser"), ("vqvae", "autoencoder")):
        file = diffusers_folder[0] / place / "diffusion_pytorch_model.safetensors"
        save_file({**load_file(file), "class_embedding.weight": torch.randn(5, 8)}, file)
        with pytest.raises(CheckpointError, match=r"unexpected class_embedding\.weight"):
            convert(diffusers_folder[0]).state(slot)
