"""Checkpoints of others: what becomes of them, and what is said of those that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from checkpoints_of_others import GOLDEN, LDM, compvis
from diffusers import AutoencoderKL
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.training_parity.rule import fill, noise
from midms import build, cli
from midms.checkpoints.convert import convert
from midms.checkpoints.convert.sizes import read_sizes
from midms.compose.catalog import create
from midms.compose.presets import PRESETS
from midms.compose.spec import Spec
from midms.core.tensors import CheckpointError, read_weights
from midms.diffusion.levels import alpha_bar

CHURCH = """
model:
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    linear_start: 0.0015
    linear_end: 0.0155
    scale_by_std: true
    cond_stage_config: __is_unconditional__
    unet_config:
      params: {in_channels: 4, out_channels: 4, model_channels: 192, attention_resolutions: [1, 2, 4, 8],
        num_res_blocks: 2, channel_mult: [1, 2, 2, 4, 4], num_heads: 8, use_scale_shift_norm: true,
        resblock_updown: true}
    first_stage_config:
      target: ldm.models.autoencoder.AutoencoderKL
      params:
        embed_dim: 4
        ddconfig: {double_z: true, z_channels: 4, in_channels: 3, out_ch: 3, ch: 128, ch_mult: [1, 2, 4, 4],
          num_res_blocks: 2, attn_resolutions: []}
"""
"""The settings of LSUN churches' latent diffusion."""


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """A small latent diffusion of CompVis."""
    return compvis("any")


@pytest.fixture
def checkpoint(state: dict[str, Tensor], tmp_path: Path) -> Path:
    torch.save({"state_dict": state, "epoch": 3, "global_step": 10}, tmp_path / "model.ckpt")
    return tmp_path / "model.ckpt"


def test_compvis_alone_is_denoiser_and_autoencoder(
    checkpoint: Path, state: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = checkpoint.parent / "out"
    assert cli.main(["convert", str(checkpoint), "--config", str(LDM), "--out", str(folder)]) == 0
    result = capsys.readouterr().out
    assert "denoiser: unconditional" in result and "autoencoder: vq" in result and "latents are not scaled" in result
    assert "running averages of the weights, left out: 370, such as model_ema." in result
    report = (folder / "report.txt").read_text().splitlines()
    assert "model_ema.diffusion_modelout2bias" in report and "betas" in report
    assert not (set(report) & set(read_weights(folder / "denoiser.safetensors")))
    with pytest.warns(UserWarning, match=r"midm-celeba: random weights in features: .*out has none, `midms convert"):
        pipe: Any = build("midm-celeba", weights=folder)
    codebook = pipe.autoencoder.network.quantize.embedding.weight
    assert torch.equal(codebook, state["first_stage_model.quantize.embedding.weight"])
    assert pipe.sampler.levels.schedule == pipe.refiner.levels.schedule == "ldm-celeba"


@torch.no_grad()
def test_attention_takes_queries_keys_and_values_head_by_head(checkpoint: Path, state: dict[str, Tensor]) -> None:
    source = convert(checkpoint, LDM)
    denoiser = create("denoiser", source.parts["denoiser"].name, **source.parts["denoiser"].arguments)
    denoiser.load_state_dict(source.state("denoiser"))
    attention = denoiser.network.down_blocks[1].attentions[0].eval()
    theirs = {n: state[f"model.diffusion_model.input_blocks.4.1.{n}"].double() for n in names_of_attention()}
    x = torch.randn(1, 64, 3, 5)
    seen = torch.nn.functional.group_norm(x.double(), 32, theirs["norm.weight"], theirs["norm.bias"], 1e-5).flatten(2)[
        0
    ]
    rows = theirs["qkv.weight"][:, :, 0] @ seen + theirs["qkv.bias"][:, None]
    heads = []
    for head in rows.split(3 * 32):  # one head's queries, keys, values, then the next one's
        q, k, v = head.split(32)
        heads.append(v @ torch.softmax(q.T @ k / 32**0.5, -1).T)
    expected = theirs["proj_out.weight"][:, :, 0] @ torch.cat(heads) + theirs["proj_out.bias"][:, None]
    torch.testing.assert_close(attention(x).double() - x, expected.view(1, 64, 3, 5), rtol=1e-4, atol=1e-5)


def names_of_attention() -> list[str]:
    return [f"{layer}.{kind}" for layer in ("norm", "qkv", "proj_out") for kind in ("weight", "bias")]


def kl_state() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A first stage of the kind KL under CompVis' names, and what diffusers makes of it."""
    model = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(32, 64),
        layers_per_block=1,
        latent_channels=4,
    )
    from midms.checkpoints.convert.names import first_stage

    own = model.state_dict()
    theirs = {origin.name: own[name] for name, origin in first_stage(own, 2).items()}
    return theirs, dict(model.config) | {"own": own}


def test_first_stages_are_renamed_as_diffusers_renames_them(state: dict[str, Tensor]) -> None:
    theirs, config = kl_state()
    renamed = convert_ldm_vae_checkpoint({f"first_stage_model.{n}": v for n, v in theirs.items()}, config)
    assert renamed.keys() == config["own"].keys()
    for name, value in config["own"].items():
        assert torch.equal(renamed[name].flatten(), value.flatten()), name


def test_the_sizes_of_the_presets_are_those_of_the_configurations(tmp_path: Path) -> None:
    (tmp_path / "church.yaml").write_text(CHURCH)
    church, slots = read_sizes(tmp_path / "church.yaml"), PRESETS["midm-church"].slots
    assert church.denoiser == slots["denoiser"] and church.schedule == "ldm-church"
    assert Spec("kl", **church.autoencoder.arguments, scale=1.0) == slots["autoencoder"]
    small = yaml.safe_load(LDM.read_text())
    params = small["model"]["params"]
    params["unet_config"]["params"]["model_channels"] = 224
    params["first_stage_config"]["params"]["n_embed"] = 8192
    params["first_stage_config"]["params"]["ddconfig"]["ch"] = 128
    (tmp_path / "celeba.yaml").write_text(yaml.safe_dump(small))
    celeba, slots = read_sizes(tmp_path / "celeba.yaml"), PRESETS["midm-celeba"].slots
    assert (celeba.denoiser, celeba.autoencoder) == (slots["denoiser"], slots["autoencoder"])


MILLIONS = {
    "midm-celeba": {"denoiser": 274.06, "autoencoder": 55.32, "features": 24.9},
    "midm-church": {"denoiser": 294.97, "autoencoder": 83.65},
}


@pytest.mark.parametrize("preset", MILLIONS)
def test_released_presets_have_their_released_size(preset: str) -> None:
    alpha_bar(PRESETS[preset].slots["sampler"].arguments["schedule"])  # has numbers, unlike what is made below
    with (
        torch.device("meta"),
        pytest.warns(UserWarning, match=f"{preset}: random weights in .*: none are shipped, `mid"),
    ):
        pipe = build(preset)
    for slot, millions in MILLIONS[preset].items():
        count = sum(parameter.numel() for parameter in getattr(pipe, slot).parameters())
        assert count / 1e6 == pytest.approx(millions, abs=0.05 if slot == "features" else 0.005)
        assert f"({count:,} parameters)" in repr(pipe)
    assert "note: random weights in" in repr(pipe)


def test_the_released_schedule_has_seventeen_timesteps() -> None:
    slots = PRESETS["midm-celeba"].slots
    grid = list(range(0, 1000, 1000 // 16))  # as CompVis makes it, then one is added
    assert len(grid) == 17
    assert slots["sampler"].arguments["timesteps"] == tuple(grid[i] + 1 for i in (4, 3, 2, 1)) == (249, 187, 125, 63)
    assert slots["sampler"].arguments["start"] == grid[5] + 1 == 311
    last = slots["refiner"].arguments
    assert last["timesteps"] == tuple(t + 1 for t in range(0, 1000, 5))[19::-1] and last["start"] == 101
    assert create("sampler", "ddim", **slots["refiner"].arguments).eta == 1


def with_scale(state: dict[str, Tensor], value: float) -> dict[str, Tensor]:
    return state | {"scale_factor": torch.tensor(value)}


def test_scales_of_latents(state: dict[str, Tensor], tmp_path: Path) -> None:
    """A VQ has none; a KL's is in the checkpoint, for the latent diffusion alone."""
    torch.save(with_scale(state, 0.5), tmp_path / "vq.ckpt")
    with pytest.raises(CheckpointError, match=r"latents are scaled by 0\.5, which a first stage of the kind vq"):
        convert(tmp_path / "vq.ckpt", LDM)
    config = yaml.safe_load(LDM.read_text())
    params = config["model"]["params"]
    params["scale_by_std"] = True
    params["first_stage_config"] = yaml.safe_load(CHURCH)["model"]["params"]["first_stage_config"]
    params["first_stage_config"]["params"]["ddconfig"] |= {"ch": 32, "ch_mult": [1, 2], "num_res_blocks": 1}
    (tmp_path / "kl.yaml").write_text(yaml.safe_dump(config))
    kl = {n: v for n, v in state.items() if not n.startswith("first_stage_model.")}
    kl |= {f"first_stage_model.{n}": v for n, v in kl_state()[0].items()}
    torch.save(kl, tmp_path / "kl.ckpt")
    with pytest.raises(CheckpointError, match="scale_by_std is set, but scale_factor is missing"):
        convert(tmp_path / "kl.ckpt", tmp_path / "kl.yaml")
    torch.save(with_scale(kl, 0.25), tmp_path / "kl.ckpt")
    source = convert(tmp_path / "kl.ckpt", tmp_path / "kl.yaml")
    scaled = create("autoencoder", "kl", **source.parts["autoencoder"].arguments).eval()
    plain = create("autoencoder", "kl", **(source.parts["autoencoder"].arguments | {"scale": 1.0})).eval()
    for model in (scaled, plain):
        model.load_state_dict(source.state("autoencoder"))
    image = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        torch.testing.assert_close(scaled.encode(image), 0.25 * plain.encode(image))
        torch.testing.assert_close(scaled.decode(scaled.encode(image)), plain.decode(plain.encode(image)))


def test_averages_and_buffers_are_left_out_by_what_they_are(state: dict[str, Tensor], tmp_path: Path) -> None:
    averages = {"model_ema.decay": torch.tensor(0.9), "first_stage_model.model_ema.conv": torch.zeros(3)}
    buffers = {"logvar": torch.zeros(1000), "lvlb_weights": torch.zeros(1000)}
    torch.save({"state_dict": state | averages | buffers}, tmp_path / "x.ckpt")
    report = convert(tmp_path / "x.ckpt", LDM).report
    assert {*averages} <= {*report["running averages of the weights, left out"]}
    assert {*buffers} <= {*report["the posterior's buffers, left out"]} and "unexpected, left out" not in report


@torch.no_grad()
def test_spectral_norms_are_divided_out_or_kept_to_train_on(state: dict[str, Tensor], tmp_path: Path) -> None:
    sizes = {"condition_channels": 6, "latent_channels": 3, "width": 8, "widths": (4, 8, 8), "hidden": 4}
    network = create("features", "midm", **sizes).train()
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    for _ in range(3):
        network.condition(torch.rand(1, 6, 32, 32))
    older = {"parametrizations.weight.original": "weight_orig"}
    older |= {f"parametrizations.weight.0._{n}": f"weight_{n}" for n in "uv"}
    own = {f"diff_model.{n}": v for n, v in state.items()}
    for name, value in network.state_dict().items():
        for new, old in older.items():
            name = name.replace(new, old)
        own[name] = value
    torch.save({"state_dict": own}, tmp_path / "midms.pth")
    made: dict[bool, Any] = {}
    for trainable in (False, True):
        source = convert(tmp_path / "midms.pth", LDM, trainable=trainable)
        made[trainable] = create("features", "midm", **source.parts["features"].arguments).eval()
        made[trainable].load_state_dict(source.state("features"))
    condition, x0 = torch.rand(2, 6, 32, 32), torch.randn(2, 3, 8, 8)
    expected = network.eval().condition(condition)
    for model in made.values():
        found = model.condition(condition)
        torch.testing.assert_close(found.initial, expected.initial)
        torch.testing.assert_close(model.rematch_query(x0, found), network.rematch_query(x0, expected))
    assert not [name for name in made[False].state_dict() if "parametrizations" in name]
    assert sum(p.numel() for p in made[True].parameters()) == sum(p.numel() for p in made[False].parameters())
    vectors = {n: v.clone() for n, v in made[True].state_dict().items() if n.endswith("_u")}
    made[True].train().condition(condition)
    assert vectors and all(not torch.equal(made[True].state_dict()[n], v) for n, v in vectors.items() if "seg_enc" in n)


@torch.no_grad()
def test_churches_agree_with_compvis(tmp_path: Path) -> None:
    """Blocks that resample, scaled and shifted by the timestep; as many heads at every level; a KL with a scale."""
    shapes = {name: tuple(shape) for name, shape in json.loads((GOLDEN / "church.json").read_text()).items()}
    own = {name: torch.from_numpy(array) for name, array in fill("church", shapes).items()}
    torch.save({"state_dict": own | {"scale_factor": torch.tensor(0.25)}}, tmp_path / "model.ckpt")
    source = convert(tmp_path / "model.ckpt", GOLDEN / "church.yaml")
    result = {"latents are scaled by 0.25", "the latents' scale, left out", "weights are those under state_dict"}
    assert set(source.report) == result
    made: dict[str, Any] = {}
    for slot, spec in source.parts.items():
        made[slot] = create(slot, spec.name, **spec.arguments).eval()
        made[slot].load_state_dict(source.state(slot))
    expected = load_file(GOLDEN / "church.safetensors")
    x, image = (torch.from_numpy(noise("church", *what)) for what in (("x", (2, 4, 12, 8)), ("image", (1, 3, 16, 24))))
    eps = made["denoiser"].network(x, torch.tensor([3, 400])).sample
    latent = made["autoencoder"].encode(image.clamp(-1, 1))
    decoded = made["autoencoder"].decode(latent)
    for found, name in ((eps, "eps"), (latent / 0.25, "latent"), (decoded, "decoded")):
        torch.testing.assert_close(found, expected[name], rtol=0, atol=3e-5)
