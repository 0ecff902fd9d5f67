"""Runs whose networks compute in another precision: they can be called, and the picture is that of float32 but for
rounding."""

from __future__ import annotations

import copy
import functools
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw
from small_features import FEATURES
from small_presets import RELEASED, TEXT_TO_IMAGE, small
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

import midms
from midms import build, cli
from midms.compose.presets import PRESETS
from midms.core.types import Context, Level
from midms.diffusion.denoisers.network import Network
from midms.diffusion.denoisers.prediction import PREDICTIONS
from midms.loop import Moment
from midms.pipeline.pipeline import Pipeline

HALVES = (torch.float16, torch.bfloat16)
MEASURED = {
    "midm-faces": (71.0, 49.6),
    "midm-faces-paper": (79.5, 45.7),
    "midm-celeba": (60.8, 43.3),
    "midm-deepfashion": (53.1, 42.3),
    "midm-church": (53.6, 35.4),
    "sd-crossattn": (48.7, 28.9),  # whose inversion iterates
}
"""PSNR in dB of a picture against that of float32, with networks in float16 and in bfloat16."""
LEAST = tuple(map(min, zip(*(MEASURED[preset] for preset in RELEASED), strict=True)))
"""What is asked of a preset that nobody has measured."""
MARGIN = 6.0
"""By how many dB another machine may round worse."""


@functools.cache
def made(preset: str) -> Pipeline:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of weights as constructed
        again = {"rematch": (1,)} if preset in ("sd-warp", "sd-crossattn") else {}
        return build(preset, **(small(preset) if preset in (*RELEASED, *TEXT_TO_IMAGE) else {}), **again)


def given(pipe: Pipeline, batch: int = 1, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    """A condition, an exemplar of another size, and its condition: smooth, as pictures are."""
    numbers, maps = torch.Generator().manual_seed(3), pipe.condition.channels

    def smooth(channels: int, height: int, width: int) -> Tensor:
        coarse = torch.rand(batch, channels, height // 16, width // 16, generator=numbers)
        return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1).to(dtype)

    return smooth(maps, 64, 96), 2 * smooth(3, 96, 64) - 1, smooth(maps, 96, 64)


@torch.no_grad()
def picture(pipe: Pipeline, pictures: tuple[Tensor, ...]) -> Tensor:
    numbers = torch.Generator().manual_seed(1)
    return pipe(*pictures, generator=lambda shape: torch.randn(shape, generator=numbers))


@functools.cache
def expected(preset: str) -> Tensor:
    """In float32 throughout."""
    return picture(made(preset), given(made(preset)))


def psnr(found: Tensor, expected: Tensor) -> float:
    """Of pictures in [-1, 1], in dB."""
    return float(10 * torch.log10(4 / (found.double() - expected.double()).square().mean()))


@pytest.mark.filterwarnings("ignore:the inversion is not exact")  # over few levels
@pytest.mark.parametrize("dtype", HALVES, ids=["float16", "bfloat16"])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_run_in_half_precision_gives_the_same_picture(preset: str, dtype: torch.dtype) -> None:
    low = copy.deepcopy(made(preset)).to(dtype)
    assert {p.dtype for module in low.modules() for p in module.parameters()} == {dtype}
    found = picture(low, given(low))
    assert found.dtype == torch.float32
    assert psnr(found, expected(preset)) > MEASURED.get(preset, LEAST)[HALVES.index(dtype)] - MARGIN


@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("inputs", [*HALVES, torch.float64], ids=str)
def test_any_precision_of_weights_goes_with_any_of_pictures(weights: torch.dtype, inputs: torch.dtype) -> None:
    low = copy.deepcopy(made("midm-faces")).to(weights)
    found = picture(low, given(low, dtype=inputs))
    assert found.dtype == inputs
    assert psnr(found, expected("midm-faces")) > 40


@pytest.mark.parametrize("batch", [1, 16])
def test_a_batch_in_half_precision(batch: int) -> None:
    pipe, low = made("midm-faces"), copy.deepcopy(made("midm-faces")).to(torch.bfloat16)
    pictures = tuple(x[..., :32, :32] for x in given(pipe, batch))
    assert psnr(picture(low, pictures), picture(pipe, pictures)) > 40


@torch.no_grad()
def test_all_but_networks_is_in_float32() -> None:
    """Levels, the sampler's steps, matching and confidence."""
    low = copy.deepcopy(made("midm-celeba")).to(torch.bfloat16)
    inside = []
    for module in (low.denoiser.network, low.features.iter_enc, low.autoencoder.network.encoder):  # type: ignore[union-attr]
        module.register_forward_pre_hook(lambda _, inputs: inside.append(inputs[0].dtype))
    moments: list[Moment] = list(low.trajectory(*given(low, dtype=torch.bfloat16)))
    assert set(inside) == {torch.bfloat16} and len(inside) == 24 + 2 + 1
    for moment in moments:
        numbers = (moment.step.x0, moment.step.eps, moment.warp, moment.confidence, moment.match.query)  # type: ignore[attr-defined]
        assert {x.dtype for x in numbers} == {torch.float32}


@torch.no_grad()
@pytest.mark.parametrize("name", FEATURES)
def test_features_answer_in_the_precision_they_are_asked_in(name: str) -> None:
    torch.manual_seed(0)
    part = midms.create("features", name, **FEATURES[name]).eval()
    condition, latent = torch.rand(1, 2, 32, 48), torch.randn(1, 8, 8, 12)

    def answers() -> list[Tensor]:
        query, key = part.condition(condition), part.exemplar(latent, condition)
        return [query.initial, key.initial, key.rematch, part.rematch_query(latent, query)]

    before = answers()
    part.to(torch.bfloat16)
    for found, precise in zip(answers(), before, strict=True):
        assert found.dtype == torch.float32
        cosine = torch.nn.functional.cosine_similarity(found, precise)
        assert cosine.mean() > 0.99
    assert set(FEATURES) == set(midms.available("features"))


@torch.no_grad()
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_denoisers_answer_in_the_precision_they_are_asked_in(prediction: str) -> None:
    torch.manual_seed(0)
    sizes = {"channels": 4, "widths": (16, 32), "attention": (False, True), "head_dim": 8, "norm_groups": 8}
    part = midms.create("denoiser", "unconditional", **sizes, prediction=prediction).eval()
    x, level = torch.randn(1, 4, 8, 12), Level(0, 3, 0.999, 0.0447)
    ones = torch.ones_like(x[:, :1])
    before = part(x, level, Context(x, ones, ones))
    found = part.to(torch.bfloat16)(x, level, Context(x, ones, ones))
    assert found.dtype == torch.float32
    scale = {"x0": 1, "difference": 1}.get(prediction, level.sigma)  # x itself, nearly clean, is not rounded
    assert (found - before).abs().max() < 0.02 * scale * (1 + before.abs().max())


@torch.no_grad()
def test_codes_are_chosen_in_float32() -> None:
    vq = midms.create("autoencoder", "vq", channels=3, widths=(16, 16, 16), layers=1, codes=4096, norm_groups=8)
    vq.to(torch.bfloat16)
    chosen = []
    vq.network.quantize.register_forward_hook(lambda _, __, output: chosen.append(output[2][2]))
    latent = 2e-4 * torch.randn(1, 3, 8, 8)
    assert vq.decode(latent).dtype == torch.float32
    codebook = vq.network.quantize.embedding.weight.double()
    nearest = torch.cdist(latent[0].flatten(1).T.double(), codebook).argmin(1)
    assert torch.equal(chosen[0].flatten(), nearest)


@pytest.mark.parametrize("dtype", HALVES, ids=["float16", "bfloat16"])
def test_a_network_of_ones_own_in_half_precision(dtype: torch.dtype) -> None:
    seen = []

    class Mine(torch.nn.Conv2d):
        def forward(self, x: Tensor, timestep: Tensor, context: Context) -> Tensor:
            seen.extend([x.dtype, context.warp.dtype, context.condition.dtype, context.confidence.dtype])
            return super().forward(x)

    pipe = made("midm-faces").replace(denoiser=Network(Mine(8, 8, 1).to(dtype), conditional=True))
    assert picture(pipe, given(pipe)).dtype == torch.float32
    assert set(seen) == {dtype}


def test_gradients_reach_weights_in_half_precision() -> None:
    low = copy.deepcopy(made("midm-faces")).to(torch.bfloat16)
    *_, last = low.trajectory(*given(low))
    last.step.x0.square().mean().backward()
    for part in ("denoiser", "features", "autoencoder"):
        gradients = [p.grad for p in getattr(low, part).parameters() if p.grad is not None]
        assert gradients and all(g.dtype == torch.bfloat16 and g.isfinite().all() for g in gradients), part


def test_pictures_reach_networks_unrounded(monkeypatch: pytest.MonkeyPatch) -> None:
    low: Any = copy.deepcopy(made("midm-faces")).to(torch.bfloat16)
    encode, seen = low.autoencoder.encode, []
    monkeypatch.setattr(low.autoencoder, "encode", lambda image: seen.append(image) or encode(image))
    photo = Image.effect_noise((64, 64), 90).convert("RGB")
    low.translate(photo, photo, seed=0)
    assert torch.allclose((seen[0] + 1) * 127.5, pil_to_tensor(photo)[None].float(), atol=1e-3)


def test_a_half_precision_folder_translates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy.deepcopy(made("midm-faces")).to(torch.float16).save_pretrained(tmp_path / "half")
    sheet, photo = Image.new("L", (80, 64), 255), Image.effect_noise((64, 64), 90).convert("RGB")
    ImageDraw.Draw(sheet).ellipse((16, 8, 60, 56), outline=0, width=2)
    sheet.save(tmp_path / "sketch.png")
    photo.save(tmp_path / "photo.png")
    image = midms.from_pretrained(tmp_path / "half").translate(sheet, photo, seed=0).image
    usual = made("midm-faces").translate(sheet, photo, seed=0).image
    assert psnr(*(pil_to_tensor(x) / 127.5 for x in (image, usual))) > 45
    files = {"--condition": "sketch.png", "--exemplar": "photo.png", "--out": "out.png", "--preset": "half"}
    assert cli.main(["translate", *(word for key, name in files.items() for word in (key, str(tmp_path / name)))]) == 0
    assert pil_to_tensor(Image.open(tmp_path / "out.png")).equal(pil_to_tensor(image))
