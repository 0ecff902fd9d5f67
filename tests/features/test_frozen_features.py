"""Extractors with networks of others: VGG from any file of weights, a U-Net of diffusers, and several side by side."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import vgg16, vgg19

from midms import Spec, build
from midms.compose.compose import BuildError
from midms.features.diffusion import DiffusionFeatures
from midms.features.fusion import FusionFeatures
from midms.features.pyramid import PyramidFeatures
from midms.features.vgg import VggFeatures
from midms.features.vgg_network import TrunkError, from_file, from_hed, from_state


@pytest.mark.parametrize("official", [vgg16, vgg19])
def test_vgg_is_torchvisions(official: type, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = official(weights=None).features.eval()
    state = {f"features.{name}": value for name, value in network.state_dict().items()}
    torch.save(state, tmp_path / "vgg.pth")
    trunk, picture = from_file(tmp_path / "vgg.pth"), torch.rand(1, 3, 33, 48) * 2 - 1
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x = ((picture + 1) / 2 - mean) / std
    expected, rectified = [], 0
    with torch.no_grad():
        for layer in network:
            x = layer(x)
            rectified += isinstance(layer, nn.ReLU)
            if isinstance(layer, nn.ReLU) and rectified in (2, 10):
                expected.append(x)
    names = {16: ("relu1_2", "relu4_3"), 19: ("relu1_2", "relu4_2")}[trunk.depth]
    torch.testing.assert_close(trunk(picture, names), expected)


def test_vgg_of_caffe_sees_blue_first() -> None:
    """Weights by layer, as CoCosNet's file names them; numbers in BGR less the mean."""
    state = {}
    for block, (count, width) in enumerate(zip((2, 2, 4, 4, 4), (64, 128, 256, 512, 512), strict=True), 1):
        for place in range(1, count + 1):
            inputs = 3 if (block, place) == (1, 1) else width if place > 1 else width // (2 if block < 5 else 1)
            state[f"conv{block}_{place}.weight"] = 0.01 * torch.randn(width, inputs, 3, 3)
            state[f"conv{block}_{place}.bias"] = torch.zeros(width)
    picture = torch.rand(1, 3, 8, 8) * 2 - 1
    x = (picture.flip(1) + 1) * 127.5 - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    expected = F.relu(F.conv2d(x, state["conv1_1.weight"], padding=1))
    torch.testing.assert_close(from_state(state)(picture, ["relu1_1"])[0], expected)


def test_files_that_are_no_vgg_are_named(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (print, ("run",))

    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil(), protocol=2))
    save_file({"conv.weight": torch.zeros(3, 3, 3, 3)}, tmp_path / "other.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"12345678")
    wrong = {
        "missing.pth": "no such file",
        "evil.pth": "not a file of weights",
        "cut.safetensors": "not a file of weights",
        "other.safetensors": "expected the 13 convolutions of VGG16 or the 16 of VGG19, found 1",
    }
    for name, message in wrong.items():
        with pytest.raises(TrunkError, match=f"{name}: {message}"):
            VggFeatures(weights=tmp_path / name)
    with pytest.raises(ValueError, match="VGG16 has no layer relu4_4; it has relu1_1"):
        VggFeatures(layers=("relu4_4",))


def moved(size: int = 64, shift: int = 8) -> tuple[Tensor, Tensor]:
    """A drawing, and the same moved to the right."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    drawings = []
    for left in (0, shift):
        ring = (((x - 26 - left).square() + (y - 30).square()).sqrt() - 12).abs() < 1.5
        drawings.append((ring | ((x - 20 - left).abs() + (y - 48).abs() < 4)).float()[None, None].repeat(1, 2, 1, 1))
    return drawings[0], drawings[1]


def test_hed_finds_a_moved_drawing() -> None:
    features = VggFeatures(weights="hed", stride=4)
    assert features.trunk.depth == 16 and from_hed().caffe
    here, there = moved()
    query, key = features.condition(here).initial, features.exemplar(torch.zeros(1, 8, 16, 16), there).initial
    best = torch.einsum("bdi,bdj->bij", query.flatten(2), key.flatten(2)).argmax(-1).view(16, 16)
    drawn = F.max_pool2d(here[:, :1], 4)[0, 0] > 0
    columns = (best % 16 - torch.arange(16))[drawn].float()
    assert (columns - 2).abs().median() == 0, "two cells to the right"


def test_diffusion_features_find_a_moved_latent() -> None:
    torch.manual_seed(0)
    features = DiffusionFeatures(latent_channels=4, sigma=0.1, blocks=(1,))
    latent = torch.randn(1, 4, 12, 14)
    rolled = latent.roll(3, -1)
    key = features.exemplar(latent, torch.zeros(1, 2, 48, 56)).rematch
    query = features.rematch_query(rolled, features.condition(torch.zeros(1, 2, 48, 56)))
    best = torch.einsum("bdi,bdj->bij", query.flatten(2), key.flatten(2)).argmax(-1).view(12, 14)
    inner = (best % 14 - torch.arange(14))[2:-2, 5:-2]
    assert (inner == -3).float().mean() > 0.7
    assert not any(p.requires_grad for p in features.parameters()) and not features.train().training
    assert not any(block._forward_hooks for block in features.network.up_blocks)


def test_diffusion_features_read_a_folder_of_diffusers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = DiffusionFeatures(latent_channels=4)
    made.network.save_pretrained(tmp_path)
    read, z, c = DiffusionFeatures(str(tmp_path)), torch.randn(1, 4, 8, 8), torch.rand(1, 1, 32, 32)
    torch.testing.assert_close(read.exemplar(z, c).rematch, made.exemplar(z, c).rematch)
    with pytest.raises(ValueError, match=r"blocks must be out of 0 to 1, got \(2,\)"):
        DiffusionFeatures(blocks=(2,))


def test_networks_that_are_none_for_the_diffusion_features_are_refused(tmp_path: Path) -> None:
    conditional = UNet2DConditionModel(
        block_out_channels=(8, 8), down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
        layers_per_block=1, norm_num_groups=4, cross_attention_dim=8,
    )  # fmt: skip
    for network, why in (
        (conditional, "a UNet2DModel of diffusers or a folder of one, got UNet2DConditionModel"),
        (UNet2DConditionModel, "a UNet2DModel of diffusers or a folder of one, got UNet2DConditionModel"),
        (str(tmp_path / "none"), f"a folder of a UNet2DModel, {tmp_path}/none/config.json: No such file or directory"),
    ):
        with pytest.raises(BuildError, match=f"features: network must be {re.escape(why)}$"):
            build("midm-faces", features=Spec("diffusion", network=network))
    (tmp_path / "config.json").write_text("{}")  # and no weights
    with pytest.raises(BuildError, match=r"features: .*diffusion_pytorch_model"):
        build("midm-faces", features=Spec("diffusion", network=str(tmp_path)))


def test_fusions_cosine_is_the_weighted_mean_of_cosines() -> None:
    torch.manual_seed(0)
    pyramid, diffusion = PyramidFeatures(latent_channels=8), DiffusionFeatures(latent_channels=8)
    fused = FusionFeatures([pyramid, diffusion], weights=(3.0, 1.0))
    assert (fused.condition_channels, fused.latent_channels, fused.stride) == (2, 8, 4)
    condition, own, latent, x0 = (torch.rand(1, k, s, s) for k, s in ((2, 32), (2, 48), (8, 12), (8, 8)))

    def cosines(one: object) -> list[Tensor]:
        query, key = one.condition(condition), one.exemplar(latent, own)
        pairs = ((query.initial, key.initial), (one.rematch_query(x0, query), key.rematch))
        return [torch.einsum("bdi,bdj->bij", q.flatten(2), k.flatten(2)) for q, k in pairs]

    for both, a, b in zip(cosines(fused), cosines(pyramid), cosines(diffusion), strict=True):
        torch.testing.assert_close(both, 0.75 * a + 0.25 * b)
    with pytest.raises(ValueError, match="extractors disagree on stride: 4, 8"):
        FusionFeatures([pyramid, DiffusionFeatures(stride=8)])


@pytest.mark.filterwarnings("ignore:midm-faces")
@pytest.mark.parametrize("features", ["vgg", "diffusion", Spec("fusion", extractors=("pyramid", "diffusion"))], ids=str)
def test_frozen_features_run_in_the_faces_model(features: object) -> None:
    pipe = build("midm-faces", features=features, rematch=(0,), edit="blend")
    assert pipe(torch.rand(1, 2, 32, 48), torch.rand(1, 3, 48, 32) * 2 - 1).isfinite().all()
