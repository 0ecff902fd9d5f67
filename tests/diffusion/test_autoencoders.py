"""Autoencoders: what goes through the latent, and how it is scaled."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from midms.core.protocols import Autoencoder
from midms.diffusion import AUTOENCODERS
from midms.diffusion.autoencoders.folded import Folded
from midms.diffusion.autoencoders.patchified import Patchified
from midms.diffusion.autoencoders.vq import VQ

SMALL: list[tuple[str, dict[str, Any]]] = [
    ("patchified", {"channels": 5, "stride": 2, "widths": (8, 16)}),
    ("patchified", {"channels": 6, "stride": 4, "widths": (16, 8)}),
    ("patchified", {"channels": 7, "stride": 8, "widths": (16, 8)}),
    ("vq", {"channels": 4, "widths": (8, 8, 16), "layers": 1, "codes": 16, "norm_groups": 4}),
    ("vq", {"channels": 3, "widths": (8, 16), "layers": 1, "codes": 16, "norm_groups": 4}),
]


def stir(module: torch.nn.Module, seed: int = 0) -> None:
    """Zero-initialised convolutions hide errors."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)


@pytest.fixture
def pictures() -> Tensor:
    return torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(5)) * 2 - 1


@pytest.mark.parametrize("name, sizes", SMALL)
def test_any_picture_whose_sides_divide(name: str, sizes: dict[str, Any], pictures: Tensor) -> None:
    model = AUTOENCODERS.create(name, **sizes).eval()
    stir(model)
    assert isinstance(model, Autoencoder)
    latent = model.encode(pictures)
    assert latent.shape == (2, sizes["channels"], 24 // model.stride, 40 // model.stride)
    assert model.channels == sizes["channels"]
    output = model.decode(latent)
    assert output.shape == pictures.shape
    alone = model.decode(model.encode(pictures[1:]))
    torch.testing.assert_close(output[1:], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name, sizes", SMALL)
def test_every_parameter_learns(name: str, sizes: dict[str, Any], pictures: Tensor) -> None:
    model = AUTOENCODERS.create(name, **sizes)
    stir(model)
    F.mse_loss(model.decode(model.encode(pictures)), pictures).backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert still == [name for name, _ in model.named_parameters() if name.endswith("embedding.weight")]


def test_folded_pictures_come_back_to_the_bit(pictures: Tensor) -> None:
    model = AUTOENCODERS.create("folded", stride=8)
    assert isinstance(model, Autoencoder) and model.channels == 192
    latent = model.encode(pictures)
    assert latent.shape == (2, 192, 3, 5) and torch.equal(model.decode(latent), pictures)
    assert torch.equal(latent[1, 64:128, 2, 4], pictures[1, 1, 16:24, 32:40].flatten())
    with pytest.raises(ValueError, match="stride must be"):
        Folded(9)


@pytest.mark.parametrize("patch", [2, 4])
def test_patchified_begins_as_its_convolutions_alone(patch: int, pictures: Tensor) -> None:
    model = Patchified(channels=5, stride=2 * patch, widths=(8, 16)).double()
    e, d, silu = model.encoder, model.decoder, F.silu
    image = pictures.double()
    blocks = image.unfold(2, patch, patch).unfold(3, patch, patch)  # b c h w patch patch
    folded = blocks.permute(0, 1, 4, 5, 2, 3).flatten(1, 3)
    fine = F.conv2d(folded, e[1].weight, e[1].bias, padding=1)
    coarse = F.conv2d(fine, e[3].weight, e[3].bias, stride=2, padding=1)
    latent = F.conv2d(silu(coarse), e[7].weight, e[7].bias, padding=1)
    torch.testing.assert_close(model.encode(image), latent)
    wide = F.conv2d(F.conv2d(latent, d[0].weight, d[0].bias, padding=1), d[4].weight, d[4].bias, padding=1)
    out = F.conv2d(silu(F.pixel_shuffle(wide, 2)), d[9].weight, d[9].bias, padding=1)
    torch.testing.assert_close(model.decode(latent), F.pixel_shuffle(out, patch))


def test_standardised_latents_have_unit_statistics_and_the_same_picture(pictures: Tensor) -> None:
    model = Patchified(channels=5, widths=(8, 16)).double()
    stir(model)
    image = pictures.double()
    before = model.decode(model.encode(image))
    for seen in (image.roll(7, -1) ** 3, image):  # statistics of statistics
        latent = model.encode(seen)
        model.standardise(latent.mean((0, 2, 3)), latent.std((0, 2, 3)))
        latent = model.encode(seen)
        torch.testing.assert_close(latent.mean((0, 2, 3)), torch.zeros(5, dtype=torch.float64), rtol=0, atol=1e-9)
        torch.testing.assert_close(latent.std((0, 2, 3)), torch.ones(5, dtype=torch.float64))
        torch.testing.assert_close(model.decode(model.encode(image)), before)
    copy = Patchified(channels=5, widths=(8, 16)).double()
    copy.load_state_dict(model.state_dict())
    torch.testing.assert_close(copy.encode(image), latent)


def test_patchified_learns_a_picture(pictures: Tensor) -> None:
    torch.manual_seed(0)
    model = Patchified(channels=8, widths=(16, 16))
    smooth = F.interpolate(pictures[..., :4, :4], (16, 16), mode="bicubic")
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(80):
        loss = F.l1_loss(model.decode(model.encode(smooth)), smooth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_patchified_says_which_strides_it_has() -> None:
    with pytest.raises(ValueError, match="stride must be 2, 4 or 8, got 16"):
        Patchified(stride=16)


@pytest.fixture
def quantised() -> VQ:
    model = VQ(channels=4, widths=(8, 8), layers=1, codes=32, norm_groups=4).eval()
    model.network.quantize.embedding.weight.data.normal_(generator=torch.Generator().manual_seed(2))
    return model


def test_vq_decodes_the_nearest_code_of_each_cell(quantised: VQ) -> None:
    latent = torch.randn(2, 4, 6, 10, generator=torch.Generator().manual_seed(3))
    codes = quantised.network.quantize.embedding.weight.detach()
    cells = latent.movedim(1, -1).double()
    nearest = (cells[..., None, :] - codes.double()).square().sum(-1).argmin(-1)
    snapped = codes[nearest].movedim(-1, 1)
    network = quantised.network
    with torch.no_grad():
        expected = network.decoder(network.post_quant_conv(snapped))
        torch.testing.assert_close(quantised.decode(latent), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(quantised.decode(snapped), expected, rtol=1e-4, atol=1e-5)


def test_vq_encodes_without_quantising_or_scaling(quantised: VQ, pictures: Tensor) -> None:
    network = quantised.network
    with torch.no_grad():
        latent = quantised.encode(pictures)
        torch.testing.assert_close(latent, network.quant_conv(network.encoder(pictures)))
    assert network.config["scaling_factor"] == 1
    codes = quantised.network.quantize.embedding.weight
    assert (latent.movedim(1, -1)[..., None, :] - codes).norm(dim=-1).amin() > 1e-3


def test_gradients_pass_the_quantiser_unchanged(quantised: VQ) -> None:
    codes = quantised.network.quantize.embedding.weight.detach()
    latent = (codes[:6].T.reshape(1, 4, 2, 3) + 0.01).requires_grad_()
    snapped = codes[:6].T.reshape(1, 4, 2, 3).clone().requires_grad_()
    network = quantised.network
    (through,) = torch.autograd.grad(quantised.decode(latent).square().sum(), latent)
    (straight,) = torch.autograd.grad(network.decoder(network.post_quant_conv(snapped)).square().sum(), snapped)
    torch.testing.assert_close(through, straight, rtol=1e-3, atol=1e-5)


def test_vq_is_that_of_latent_diffusion_by_default() -> None:
    with torch.device("meta"):
        model = VQ()
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == 55.3
    assert (model.channels, model.stride) == (3, 4)


def test_vq_names_widths_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match=r"multiples of norm_groups=32, got \(48, 64\)"):
        VQ(widths=(48, 64))


@torch.no_grad()
def test_tiles_of_large_pictures_overlap_and_small_pictures_are_left() -> None:
    torch.manual_seed(0)
    one = AUTOENCODERS.create("kl", channels=4, widths=(4, 4, 4, 8), layers=1, norm_groups=2).eval()
    small, large = torch.randn(1, 4, 8, 8), torch.randn(1, 4, 8, 80)
    before, whole = one.decode(small), one.decode(large)
    one.tile()
    decoded: list[int] = []
    one.network.decoder.register_forward_pre_hook(lambda _, given: decoded.append(given[0].shape[-1]))
    torch.testing.assert_close(one.decode(small), before)
    tiled = one.decode(large)
    assert decoded == [8, 64, 32] and tiled.shape == whole.shape
    assert (tiled - whole).std() < 0.5 * whole.std()
