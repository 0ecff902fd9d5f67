"""Denoisers: x0 whatever the network predicts, on any grid; and diffusers' classes at a fraction of their import."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from midms import build
from midms.core.protocols import Denoiser
from midms.core.types import Context, Level
from midms.diffusion import DENOISERS
from midms.diffusion.denoisers import unconditional
from midms.diffusion.denoisers.bridge import Bridge
from midms.diffusion.denoisers.network import Network
from midms.diffusion.denoisers.prediction import PREDICTIONS
from midms.diffusion.denoisers.unconditional import Unconditional
from midms.diffusion.levels import noise_levels

SMALL: dict[str, Any] = {"channels": 5, "widths": (8, 16), "attention": (False, True), "head_dim": 8, "norm_groups": 4}
BRIDGE = SMALL | {"condition_channels": 3, "stride": 2}
HIGH, LOW = noise_levels((800, 200))


def stir(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return module


def scene(h: int, w: int, batch: int = 2) -> tuple[Tensor, Context]:
    generator = torch.Generator().manual_seed(7)
    x, warp = torch.randn(2, batch, 5, h, w, generator=generator)
    condition = torch.rand(batch, 3, 2 * h, 2 * w, generator=generator)
    return x, Context(warp, condition, torch.rand(batch, 1, h, w, generator=generator))


def made(name: str, **options: Any) -> Any:
    return stir(DENOISERS.create(name, **(BRIDGE if name == "bridge" else SMALL), **options)).eval()


@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
@pytest.mark.parametrize("level", [HIGH, LOW], ids=["noisy", "clean"])
def test_a_perfect_network_gives_the_true_x0(prediction: str, level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    truth, eps = torch.randn(2, 3, 5, 4, 6, dtype=torch.float64)
    x = level.alpha * truth + level.sigma * eps
    said = {"eps": eps, "v": level.alpha * eps - level.sigma * truth, "x0": truth}[prediction]
    monkeypatch.setattr(unconditional, "run_unet", lambda network, x, timestep: said)
    model = Unconditional(**SMALL, prediction=prediction)
    context = Context(x, torch.zeros(3, 1, 8, 12), torch.zeros(3, 1, 4, 6))
    torch.testing.assert_close(model(x, level, context), truth)


@pytest.mark.parametrize("name", ["unconditional", "bridge"])
@pytest.mark.parametrize("grid", [(8, 8), (6, 10), (5, 7), (3, 2)])
def test_any_grid_and_batch(name: str, grid: tuple[int, int]) -> None:
    model = made(name)
    assert isinstance(model, Denoiser)
    x, context = scene(*grid)
    with torch.no_grad():
        both = model(x, HIGH, context)
        one = model(x[1:], HIGH, Context(context.warp[1:], context.condition[1:], context.confidence[1:]))
    assert both.shape == x.shape and torch.isfinite(both).all()
    torch.testing.assert_close(both[1:], one, rtol=1e-4, atol=1e-4)


def test_grids_that_do_not_divide_are_continued_at_their_edges() -> None:
    model = made("unconditional", prediction="x0")
    x, context = scene(5, 7)
    padded = torch.from_numpy(np.pad(x.numpy(), ((0, 0), (0, 0), (0, 1), (0, 1)), mode="edge"))
    with torch.no_grad():
        expected = model.network(padded, torch.full((2,), HIGH.timestep)).sample[..., :5, :7]
        torch.testing.assert_close(model(x, HIGH, context), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["unconditional", "bridge"])
def test_each_sample_may_have_a_level_of_its_own(name: str) -> None:
    model = made(name)
    x, context = scene(6, 4)
    column = [torch.tensor([getattr(level, what) for level in (HIGH, LOW)]) for what in ("timestep", "alpha", "sigma")]
    with torch.no_grad():
        mixed = model.denoise(x, column[0], column[1].view(-1, 1, 1, 1), column[2].view(-1, 1, 1, 1), context)
        whole = [model(x, level, context) for level in (HIGH, LOW)]
    torch.testing.assert_close(mixed, torch.stack([whole[0][0], whole[1][1]]), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(whole[0], whole[1], atol=1e-2)


def test_the_unconditional_network_sees_the_latent_alone() -> None:
    model = made("unconditional")
    x, context = scene(4, 6)
    with torch.no_grad():
        other = model(x, LOW, Context(context.warp + 1, 1 - context.condition, 1 - context.confidence))
        torch.testing.assert_close(model(x, LOW, context), other, rtol=0, atol=0)


def test_the_bridge_begins_at_the_warp() -> None:
    x, context = scene(5, 6)
    assert torch.equal(Bridge(**BRIDGE)(x, HIGH, context), context.warp)


def test_the_bridge_is_the_warp_plus_a_network_that_sees_everything() -> None:
    model = made("bridge")
    x, context = scene(6, 4)
    blocks = context.condition.unfold(2, 2, 2).unfold(3, 2, 2)  # b k h w 2 2
    folded = blocks.permute(0, 1, 4, 5, 2, 3).flatten(1, 3)
    seen = torch.cat([x, context.warp, folded, context.confidence], 1)
    with torch.no_grad():
        expected = context.warp + model.network(seen, torch.full((2,), LOW.timestep)).sample
        torch.testing.assert_close(model(x, LOW, context), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["unconditional", "bridge"])
def test_every_parameter_learns(name: str) -> None:
    model = made(name)
    x, context = scene(6, 6)
    model(x, HIGH, context).square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize(
    "changes, complaint",
    [
        ({"prediction": "epsilon"}, "one of eps, v, x0, flow, difference, got 'epsilon'"),
        ({"attention": (True,)}, r"each of the 2 widths, got \(True,\)"),
        ({"norm_groups": 16}, r"multiples of norm_groups=16, got \(8, 16\)"),
        ({"head_dim": 12}, r"multiples of head_dim=12, got \(8, 16\)"),
    ],
)
def test_a_denoiser_says_what_is_wrong(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Unconditional(**(SMALL | changes))


IMPORT = """
import sys, torch
from midms import build
from midms.diffusion.denoisers.bridge import Bridge
from midms.diffusion.denoisers.unet import UNet2DModel
from midms.diffusion.autoencoders.vq import VQ, VQModel
from midms.core.types import Context, Level
x = torch.randn(1, 8, 8, 8)
Bridge().eval()(x, Level(0, 500, 0.7, 0.7), Context(x, torch.rand(1, 2, 32, 32), torch.rand(1, 1, 8, 8)))
autoencoder = VQ(widths=(8, 8), codes=4, norm_groups=4)
autoencoder.decode(autoencoder.encode(torch.rand(1, 3, 8, 8)))
condition, exemplar = torch.rand(1, 2, 64, 64), torch.rand(1, 3, 64, 64)
build("midm-faces")(condition, exemplar, condition)
ours = UNet2DModel, VQModel
heavy = [name for name in ("torch._dynamo", "scipy.stats", "diffusers.loaders") if name in sys.modules]
assert not heavy, heavy
import diffusers, diffusers.models.unets.unet_2d, torch._dynamo
from diffusers.models.unets import UNet2DConditionModel
assert ours == (diffusers.UNet2DModel, diffusers.VQModel)
assert diffusers.models.unets.unet_2d.UNet2DModel is ours[0]
assert diffusers.models.unets.UNet2DConditionModel is diffusers.UNet2DConditionModel is UNet2DConditionModel
try:
    diffusers.models.unets.nonsense
except AttributeError as error:
    print(error)
"""


def test_lean_import_gives_diffusers_own_classes_and_leaves_diffusers_whole() -> None:
    result = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "has no attribute 'nonsense'" in result.stdout


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_network_of_ones_own_gives_x0_whatever_it_predicts(prediction: str) -> None:
    x0, eps, level = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5), Level(0, 300, 0.6, 0.7)
    x = level.alpha * x0 + level.sigma * eps
    says = {
        "eps": eps, "x0": x0, "v": level.alpha * eps - level.sigma * x0, "flow": eps - x0, "difference": x - x0,
    }[prediction]  # fmt: skip
    if prediction == "v":  # defined where alpha and sigma keep the power
        level = Level(0, 300, 0.6, 0.8)
        x = 0.6 * x0 + 0.8 * eps
        says = 0.6 * eps - 0.8 * x0
    result = []

    def network(x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        result.append(timesteps)
        return says

    context = Context(x, torch.zeros(2, 1, 8, 10), torch.ones(2, 1, 4, 5))
    torch.testing.assert_close(Network(network, prediction)(x, level, context), x0)
    assert result[0].tolist() == [300, 300]


def test_a_network_of_ones_own_in_a_composition() -> None:
    class Mine(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: torch.Tensor, timesteps: torch.Tensor, context: Context) -> torch.Tensor:
            return self.layer(context.warp) + timesteps.view(-1, 1, 1, 1) / 1000

    pictures = torch.rand(1, 2, 32, 32), torch.rand(1, 3, 32, 32)
    pipe = build("midm-faces", denoiser=Network(Mine(), "x0", conditional=True))
    assert sum(p.numel() for p in pipe.denoiser.parameters()) == 8 * 8 * 9 + 8
    assert pipe(*pictures).isfinite().all()
    with pytest.raises(ValueError, match=r"network gave \(1, 8\) for \(1, 8, 8, 8\), expected the same"):
        build("midm-faces", denoiser=Network(lambda x, t: x.mean((2, 3))))(
            torch.rand(1, 2, 32, 32), torch.rand(1, 3, 32, 32)
        )
