"""Folders of text-to-image models: how their weights may lie there, and what is refused."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusion_families import FAMILIES, saved
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import load_file, save_file
from torch import Tensor

from midms import build
from midms.checkpoints.convert import find
from midms.compose.compose import BuildError
from midms.core.errors import IdlePrompt
from midms.core.tensors import CheckpointError
from midms.core.types import Prompt

PROMPT = Prompt("a cat", "a blur")
ENCODER, NETWORK = "model", "diffusion_pytorch_model"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of every family."""
    folders = {family: tmp_path_factory.mktemp(family) / "pipeline" for family in FAMILIES}
    for family, folder in folders.items():
        saved(family, folder)
    return folders


@pytest.fixture
def sd1(pristine: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine["sd1"], tmp_path / "sd1"))


@pytest.fixture
def sd3(pristine: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine["sd3"], tmp_path / "sd3"))


def state(folder: Path, prompt: Prompt = PROMPT) -> dict[str, Tensor]:
    found = find(folder, prompt)
    assert found.state("autoencoder")
    return found.state("denoiser")


def as_half(folder: Path, stem: str) -> None:
    weights = {name: value.half() for name, value in load_file(folder / f"{stem}.safetensors").items()}
    (folder / f"{stem}.safetensors").unlink()
    save_file(weights, folder / f"{stem}.fp16.safetensors")


def in_two(folder: Path, stem: str) -> None:
    weights = load_file(folder / f"{stem}.safetensors")
    (folder / f"{stem}.safetensors").unlink()
    where = {name: f"{stem}-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(weights)}
    for file in set(where.values()):
        save_file({name: value for name, value in weights.items() if where[name] == file}, folder / file)
    index = {"metadata": {}, "weight_map": where}
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index))


def pickled(folder: Path, stem: str) -> None:
    weights = load_file(folder / f"{stem}.safetensors")
    (folder / f"{stem}.safetensors").unlink()
    torch.save(weights, folder / ("pytorch_model.bin" if stem == ENCODER else f"{stem}.bin"))


ENCODERS = {"sdxl": ("text_encoder_2",), "sd3": ("text_encoder_2", "text_encoder_3"), "flux": ("text_encoder_2",)}
"""Beside the first."""


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("lay_out", "close"), [(as_half, 1e-2), (in_two, 0.0), (pickled, 0.0)])
def test_weights_in_half_precision_in_shards_or_pickled(
    lay_out: Any, close: float, family: str, pristine: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(pristine[family], tmp_path / family))
    prompt = Prompt("a cat") if family == "flux" else PROMPT
    whole = state(folder, prompt)
    network = "transformer" if family in ("sd3", "flux") else "unet"
    for part, stem in ((network, NETWORK), ("vae", NETWORK)):
        lay_out(folder / part, stem)
    for part in ("text_encoder", *ENCODERS.get(family, ())):
        lay_out(folder / part, ENCODER)
    found = state(folder, prompt)
    assert found.keys() == whole.keys()
    for name, value in found.items():
        torch.testing.assert_close(value.to(whole[name].dtype), whole[name], rtol=close, atol=close)


LACKING = [
    (family, part)
    for family in FAMILIES
    for part in ("text_encoder", "tokenizer", *(name for name in ENCODERS.get(family, ()) if not name.endswith("_3")))
]


@pytest.mark.parametrize(("family", "part"), LACKING)
def test_an_encoder_that_is_missing_is_named(family: str, part: str, pristine: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(pristine[family], tmp_path / family))
    shutil.rmtree(folder / part)
    with pytest.raises(CheckpointError, match=rf"has no {part}/, expected that of the whole pipeline"):
        state(folder, Prompt("a cat"))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_of_another_family_is_refused(family: str, pristine: dict[str, Path], tmp_path: Path) -> None:
    """Its configuration says what it is; its weights are not those of another configuration."""
    folder = Path(shutil.copytree(pristine[family], tmp_path / family))
    other = {"sd1": "sdxl", "sd2": "sdxl", "sdxl": "sd1", "sd3": "flux", "flux": "sd3"}[family]
    part = "transformer" if family in ("sd3", "flux") else "unet"
    shutil.copy(pristine[other] / part / f"{NETWORK}.safetensors", folder / part)
    with pytest.raises(CheckpointError, match=r"not the networks of .*config.json: "):
        state(folder, Prompt("a cat"))
    rewritten(folder / part / "config.json", _class_name="PixArtTransformer2DModel")
    with pytest.raises(CheckpointError, match="is for 'PixArtTransformer2DModel', supported: UNet2DModel, "):
        state(folder, Prompt("a cat"))


def test_a_pickle_runs_nothing(sd1: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (sd1 / "ran",))

    for part, name in (("unet", f"{NETWORK}.bin"), ("text_encoder", "pytorch_model.bin")):
        (safe,) = (sd1 / part).glob("*.safetensors")
        safe.rename(safe.with_suffix(".kept"))
        (sd1 / part / name).write_bytes(pickle.dumps({"weight": Evil()}, protocol=2))
        with pytest.raises(CheckpointError, match=rf"{name}: "):
            state(sd1)
        safe.with_suffix(".kept").rename(safe)
    assert not (sd1 / "ran").exists()


def test_a_third_encoder_may_be_left_out(sd3: Path) -> None:
    """As diffusers does without T5: its tokens are zeros."""
    for folder in ("text_encoder_3", "tokenizer_3"):
        shutil.rmtree(sd3 / folder)
    tokens = state(sd3)["prompts.tokens"]
    assert tokens.shape == (2, 77 + 256, 64) and tokens[:, :77].std() > 0.1 and not tokens[:, 77:].any()


def rewritten(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def with_more(file: Path) -> None:
    save_file({"more": torch.ones(1)} | load_file(file), file)


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "another network": (
        lambda f: rewritten(f / "unet/config.json", _class_name="UNetMotionModel"),
        "is for 'UNetMotionModel', supported: UNet2DModel, UNet2DConditionModel",
    ),
    "an unknown setting": (
        lambda f: rewritten(f / "unet/config.json", new=1),
        "'new' is no setting of UNet2DCondition",
    ),
    "a picture beside the prompt": (
        lambda f: rewritten(f / "unet/config.json", encoder_hid_dim_type="image_proj"),
        "encoder_hid_dim_type is 'image_proj', supported: None",
    ),
    "inpainting": (lambda f: rewritten(f / "unet/config.json", in_channels=9), "out_channels is 4, expected those of"),
    "another prediction": (
        lambda f: rewritten(f / "scheduler/scheduler_config.json", prediction_type="flow"),
        "prediction_type: ",
    ),
    "another encoder": (
        lambda f: rewritten(f / "text_encoder/config.json", architectures=["Qwen3Model"]),
        "text_encoder/config.json: expected the settings of a CLIPTextModel",
    ),
    "an encoder of another size": (
        lambda f: rewritten(f / "text_encoder/config.json", intermediate_size=2**14),
        "model.safetensors: does not fit CLIPTextModel: .*expected",
    ),
    "a broken tokenizer": (
        lambda f: [file.write_text("{") for file in (f / "tokenizer").iterdir()],
        "tokenizer: no tokenizer can be made of it",
    ),
    "tensors left over": (
        lambda f: save_file(
            {"more": torch.ones(1)} | load_file(f / f"unet/{NETWORK}.safetensors"), f / f"unet/{NETWORK}.safetensors"
        ),
        "not the networks of .*unexpected more",
    ),
}


@pytest.mark.parametrize(("change", "complaint"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(change: Callable[[Path], object], complaint: str, sd1: Path) -> None:
    change(sd1)
    with pytest.raises(CheckpointError, match=complaint) as caught:
        state(sd1)
    assert "\n" not in str(caught.value)


def test_without_transformers_the_extra_is_named(sd1: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    with pytest.raises(CheckpointError, match=r"embedded by transformers: pip install 'midms\[diffusion\]'"):
        find(sd1)


def test_a_flow_of_another_kind_is_refused(sd3: Path) -> None:
    file = sd3 / "scheduler" / "scheduler_config.json"
    rewritten(file, use_karras_sigmas=True)
    with pytest.raises(CheckpointError, match="use_karras_sigmas is True, supported: False"):
        find(sd3)
    rewritten(file, use_karras_sigmas=False, use_dynamic_shifting=True, max_shift=1e29)
    with pytest.raises(CheckpointError, match=r"max_shift: must be less than or equal to 10, got 1e\+29"):
        find(sd3)
    rewritten(file, max_shift=1.15, max_image_seq_len=256)
    with pytest.raises(CheckpointError, match="max_image_seq_len is 256, expected more than base_image_seq_len, 256"):
        find(sd3)
    rewritten(file, _class_name="DDIMScheduler")
    with pytest.raises(CheckpointError, match="is for 'DDIMScheduler', supported: FlowMatchEulerDiscreteScheduler"):
        find(sd3)


@pytest.mark.parametrize(
    ("file", "key", "odd", "complaint"),
    [
        ("transformer", "sample_size", [64, 64], r"sample_size: expected a whole number, got \[64, 64\]"),
        ("transformer", "qk_norm", 1.5, r"qk_norm: expected str \| None, got 1.5"),
        (
            "transformer",
            "dual_attention_layers",
            [0, "x"],
            r"dual_attention_layers: expected tuple\[int, \.\.\.\], got",
        ),
        (
            "text_encoder",
            "num_attention_heads",
            -1,
            "text_encoder/config.json: no settings|text_encoder: no prompt can",
        ),
        ("text_encoder", "layer_norm_eps", None, "text_encoder/config.json: no settings|text_encoder: no prompt can"),
        ("text_encoder_3", "model_type", [1], "text_encoder_3/config.json: no settings of a T5EncoderModel"),
    ],
)
def test_settings_of_another_type_are_told_by_name(file: str, key: str, odd: Any, complaint: str, sd3: Path) -> None:
    rewritten(sd3 / file / "config.json", **{key: odd})
    with pytest.raises(CheckpointError, match=complaint):
        find(sd3).state("denoiser")


def test_a_prompt_that_changes_nothing_is_refused(pristine: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(IdlePrompt, match=r"^negative_prompt: changes nothing of .*; expected a guidance above 1"):
        find(pristine["sd1"], Prompt("a cat", "a blur", guidance=1.0))
    with pytest.raises(BuildError, match=r"^build.*: negative_prompt: .*, which was distilled to do without"):
        build("flux-graft", weights=pristine["flux"], prompt=PROMPT)


def test_the_hub_hands_out_encoders_and_tokenizers_too(
    sd3: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in the first form that it is there in, and nothing else."""
    for name in ("flax_model.msgpack", "text_encoder/model.fp16.safetensors", "safety_checker/model.safetensors"):
        (sd3 / name).parent.mkdir(exist_ok=True)
        (sd3 / name).write_bytes(b"not for us")
    as_half(sd3 / "text_encoder_3", ENCODER)
    expected, cache = state(sd3), tmp_path / "cache"

    def download(name: str, allow_patterns: list[str]) -> str:
        files = [str(file.relative_to(sd3)) for file in sd3.rglob("*") if file.is_file()]
        for file in filter_repo_objects(files, allow_patterns=allow_patterns):
            (cache / file).parent.mkdir(exist_ok=True, parents=True)
            shutil.copy(sd3 / file, cache / file)
        return str(cache)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    found = find("stabilityai/stable-diffusion-3", PROMPT).state("denoiser")
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert not [file for file in cache.rglob("*") if file.is_file() and file.read_bytes() == b"not for us"]
