"""MIDMs' losses against recorded numbers, closed forms and NumPy."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from torchvision.models.vgg import cfgs, make_layers

from midms.features.vgg_network import VGG, TrunkError
from midms.matching.matchers.correlation import Correlation
from midms.training.losses import contextual
from midms.training.losses.contextual import contextual_loss, contextual_losses
from midms.training.losses.midm import domain_loss, round_trip, segmentation_loss
from midms.training.losses.perceptual import LAYERS, activations, feature_loss, load_trunk, perceptual_loss

CONTEXTUAL = load_file(Path(__file__).parents[1] / "golden" / "contextual.safetensors")


@pytest.mark.parametrize("case", ["cx_mid", "cx_far"])
def test_contextual_loss_is_the_released_one(case: str) -> None:
    x, y, loss, gradient = (CONTEXTUAL[f"{case}/{name}"] for name in ("x", "y", "loss", "grad_x"))
    x.requires_grad_()
    found = contextual_loss(x, y)
    (slope,) = torch.autograd.grad(found, x)
    torch.testing.assert_close(found[None], loss, rtol=1e-5, atol=0)
    assert (slope - gradient).norm() < 1e-4 * gradient.norm()


def test_contextual_loss_in_slices_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = torch.Generator().manual_seed(0)
    y = torch.randn(2, 5, 4, 3, generator=numbers, dtype=torch.float64)
    x = (y.roll(1, -1) + 0.3 * torch.randn(y.shape, generator=numbers, dtype=torch.float64)).requires_grad_()
    whole = contextual_loss(x, y)
    (expected,) = torch.autograd.grad(whole, x)
    monkeypatch.setattr(contextual, "_ENTRIES", 60)  # 5 rows of 12, 5, 2
    sliced = contextual_loss(x, y)
    (found,) = torch.autograd.grad(sliced, x)
    torch.testing.assert_close((sliced, found), (whole, expected), rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(contextual_loss, (x, y))


def test_contextual_loss_of_nothing_alike_is_0() -> None:
    """In two features that are centred there are two directions: every cell is as like one half as the others are."""
    x, y = (torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(i), requires_grad=True) for i in (0, 1))
    loss = contextual_loss(x, y)
    (gradient,) = torch.autograd.grad(loss, x)
    assert loss == 0 and (gradient == 0).all()


def test_contextual_losses_are_weighted_and_pooled() -> None:
    numbers = torch.Generator().manual_seed(0)
    seen = {
        name: torch.randn(1, 6, side, side, generator=numbers)
        for name, side in zip(LAYERS, (32, 16, 8, 4, 2), strict=True)
    }
    style = {name: x + 0.1 * torch.randn(x.shape, generator=numbers) for name, x in seen.items()}
    found = contextual_losses(seen, style)
    torch.testing.assert_close(found["relu5_2"], 8 * contextual_loss(seen["relu5_2"], style["relu5_2"]))
    pooled = [F.interpolate(one["relu2_2"], scale_factor=1 / 4, mode="area") for one in (seen, style)]
    torch.testing.assert_close(found["relu2_2"], contextual_loss(*pooled))


def test_domain_loss_by_numpy() -> None:
    condition, target, exemplar = (np.random.default_rng(i).normal(size=(2, 4, 3, 5)) for i in range(3))
    a, b, weight = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (condition, target, exemplar))
    expected = np.abs(a - b).mean() + np.abs(weight * a - weight * b).mean()
    assert domain_loss(*map(torch.from_numpy, (condition, target, exemplar))).item() == pytest.approx(expected)


def test_a_permutation_goes_forth_and_back() -> None:
    """Features that are one-hot match each cell to one other: nothing is lost on the way."""
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    query = torch.eye(12)[None].unflatten(2, (3, 4))
    match = Correlation(temperature=0.005, floor=0.0)(query, query.flatten(2)[:, :, order].unflatten(2, (3, 4)))
    latent = torch.randn(1, 3, 3, 4, generator=torch.Generator().manual_seed(1))
    assert round_trip(match, match.apply(latent), latent) < 1e-6
    collapsed = Correlation(temperature=0.005)(query[..., :1, :1].expand_as(query), query)
    expected = (latent - latent[..., :1, :1]).abs().mean()
    torch.testing.assert_close(
        round_trip(collapsed, collapsed.apply(latent), latent)[None], expected[None], rtol=0.2, atol=0
    )


def test_segmentation_loss_by_hand() -> None:
    target = torch.tensor([[0, 1, 1], [2, 3, 3]])
    exemplar = torch.tensor([[1, 1, 0], [2, 2, 2]])  # no 3
    one_hot = [F.one_hot(x, 4).movedim(-1, 0)[None].float() for x in (target, exemplar)]
    shares = torch.full((1, 4, 2, 3), 0.25)
    shares[0, :, 0, 1] = torch.tensor([0.0, 1.0, 0.0, 0.0])
    counted = [1.0, 0.25, 0.25]  # cells of labels 1, 1 and 2
    expected = -np.log(counted).sum() / (3 + 1e-5)
    assert segmentation_loss(shares, *one_hot).item() == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def vgg19() -> dict[str, Tensor]:
    """The convolutions as torchvision has them."""
    return {f"features.{name}": value for name, value in make_layers(cfgs["E"]).state_dict().items()}


def test_trunks_come_from_torchvision_and_from_cocosnet(vgg19: dict[str, Tensor], tmp_path: Path) -> None:
    layers = iter(VGG(19).names)
    names = {name.split(".")[1]: "" for name in vgg19}
    names = {number: f"conv{next(layers)}" for number in names}
    own = {f"{names[name.split('.')[1]]}.{name.rpartition('.')[2]}": value for name, value in vgg19.items()}
    torch.save(vgg19 | {"classifier.0.weight": torch.zeros(2, 3)}, tmp_path / "vgg19-dcbb9e9d.pth")
    torch.save(own, tmp_path / "vgg19_conv.pth")
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    for file, caffe in (("vgg19-dcbb9e9d.pth", False), ("vgg19_conv.pth", True)):
        trunk, record = load_trunk(tmp_path / file)
        assert (trunk.depth, trunk.caffe) == (19, caffe) and file in record
        expected = VGG(19, caffe)
        for layer, weight, bias in zip(expected.convolutions, *[iter(vgg19.values())] * 2, strict=True):
            layer.weight.data.copy_(weight), layer.bias.data.copy_(bias)  # type: ignore[union-attr, operator]
        seen, wanted = activations(trunk, picture), activations(expected, picture)
        assert all(torch.equal(seen[name], wanted[name]) for name in LAYERS)
        assert perceptual_loss(seen, wanted) == 0 == feature_loss(seen, wanted)
        less = {name: x - 1 for name, x in wanted.items()}
        assert feature_loss(seen, less).item() == pytest.approx(1 + 1 / 4 + 1 / 8 + 1 / 16 + 1 / 32, rel=1e-4)


def test_no_trunk_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"conv1_1.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "short.pth")
    (tmp_path / "text.pth").write_text("weights")
    for name, said in (("short.pth", "16 of VGG19, found 1"), ("text.pth", "text.pth"), ("none.pth", "none.pth")):
        with pytest.raises(TrunkError, match=said):
            load_trunk(tmp_path / name)
    assert load_trunk()[0].depth == 16
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TrunkError, match=r"perc, feat and ctx .* vgg19_conv.pth"):
        load_trunk()
