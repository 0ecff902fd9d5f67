"""Feature extractors: laws that all obey, the released numbers for MIDMs', and what is particular to each."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.training_parity.rule import singular, weight
from midms import Spec, create
from midms.core.types import Features
from midms.features.midm import MidmFeatures, Spade
from midms.features.pyramid import PyramidFeatures
from midms.features.timm_backbone import TimmFeatures
from midms.testing import FeatureLaws

SIZES: dict[str, dict[str, Any]] = {
    "midm": {
        "condition_channels": 2,
        "latent_channels": 5,
        "width": 12,
        "widths": (6, 8, 16),
        "hidden": 8,
        "blocks": 1,
    },
    "pyramid": {"condition_channels": 2, "latent_channels": 5, "width": 12, "widths": (16, 16, 24)},
    "timm": {"backbone": "test_resnet.r160_in1k", "depths": (1, 2)},
    "vgg": {"layers": ("relu2_2",)},
    "diffusion": {"latent_channels": 5, "draws": 2},
    "fusion": {"extractors": (Spec("timm", backbone="test_resnet.r160_in1k"), Spec("diffusion", latent_channels=5))},
}
TRAINED = ["midm", "pyramid"]


class Largest(TorchDispatchMode):
    """The most numbers that an operation gave."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, operation: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        results = operation(*given, **(named or {}))
        for result in results if isinstance(results, tuple | list) else [results]:
            self.numbers = max(self.numbers, result.numel() if isinstance(result, Tensor) else 0)
        return results


def test_attention_on_a_large_grid_has_no_matrix_of_all_pairs() -> None:
    """Twice the side is four times the memory, not sixteen."""
    model, sizes = made("pyramid"), []
    for side in (32, 64):
        with torch.no_grad(), Largest() as largest:
            model.exemplar(torch.randn(1, 5, side, side), torch.zeros(1, 2, 4 * side, 4 * side))
        sizes.append(largest.numbers)
    assert sizes[1] <= 4 * sizes[0] and sizes[1] < (32 * 32) ** 2


def made(name: str) -> Any:
    torch.manual_seed(0)
    model = create("features", name, **SIZES[name]).eval()
    if name in TRAINED:  # zero-initialised blocks hide errors
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn(parameter.shape)
    return model


def scene(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Condition, exemplar's latent and condition on another grid, x0; batch 2, not square, odd."""
    generator = torch.Generator().manual_seed(seed)
    condition = torch.rand(2, 2, 20, 36, generator=generator)
    latent, own = torch.randn(2, 5, 6, 7, generator=generator), torch.rand(2, 2, 24, 28, generator=generator)
    return condition, latent, own, torch.randn(2, 5, 5, 9, generator=generator)


for name in SIZES:
    laws = {"make": functools.cache(functools.partial(made, name))}
    globals()[f"Test_{name}"] = type(f"Test_{name}", (FeatureLaws,), laws)


class TestLabelled(FeatureLaws):
    make = functools.cache(functools.partial(create, "features", "labelled"))
    latent_channels = 8
    labels = 1


@pytest.mark.parametrize("name", TRAINED)
def test_every_parameter_learns(name: str) -> None:
    model = made(name).train()
    condition, latent, own, x0 = scene()
    query, key = model.condition(condition), model.exemplar(latent, own)
    total = torch.zeros(())
    for features in (query.initial, key.initial, key.rematch, model.rematch_query(x0, query)):
        total = total + (features * torch.randn(features.shape)).sum()
    total.backward()
    gradients = {n: 0.0 if p.grad is None else p.grad.norm().item() for n, p in model.named_parameters()}
    still = {n for n, size in gradients.items() if size < 1e-5 * max(gradients.values())}
    assert still <= {"layer.0.conv1.bias", "layer.0.conv2.bias"}  # instance normalisation takes these out


@pytest.mark.parametrize("name", TRAINED)
def test_a_rematch_query_looks_at_x0_and_at_the_condition(name: str) -> None:
    model = made(name)
    condition, _, _, x0 = scene()
    query, other = model.condition(condition), model.condition(1 - condition)
    seen = model.rematch_query(x0, query)
    assert (seen - model.rematch_query(x0 + 0.5 * x0.roll(1, -1), query)).abs().amax() > 1e-2
    assert (seen - model.rematch_query(x0, other)).abs().amax() > 1e-2


@pytest.fixture(scope="module")
def golden() -> tuple[dict[str, Tensor], str]:
    with safe_open(Path(__file__).parents[1] / "golden" / "features.safetensors", framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()["salt"]  # noqa: SIM118


@pytest.fixture(scope="module")
def released(golden: tuple[dict[str, Tensor], str]) -> MidmFeatures:
    """Full size, weights by the rule under their released names."""
    salt, model = golden[1], MidmFeatures().eval()
    state = model.state_dict()
    for name, value in state.items():
        prefix, spectral, _ = name.partition("parametrizations.weight.")
        if spectral and name.endswith("original"):
            matrix = weight(salt, prefix + "weight_orig", tuple(value.shape))
            u, v = singular(salt, prefix + "weight_u", matrix)
            for key, array in (("original", matrix), ("0._u", u), ("0._v", v)):
                state[prefix + spectral + key] = torch.from_numpy(array)
        elif not spectral:
            state[name] = torch.from_numpy(weight(salt, name, tuple(value.shape)))
    model.load_state_dict(state)
    return model


def test_midm_has_the_published_size(released: MidmFeatures) -> None:
    assert round(sum(p.numel() for p in released.parameters()) / 1e6, 1) == 24.9


@torch.no_grad()
def test_midm_agrees_with_the_released_code(released: MidmFeatures, golden: tuple[dict[str, Tensor], str]) -> None:
    expected = golden[0]
    inside: dict[str, Tensor] = {}
    for name in ("seg_enc", "real_enc", "theta", "phi"):
        released.get_submodule(name).register_forward_hook(
            lambda m, i, output, name=name: inside.update({name: output})
        )
    condition, own = (
        expected[name].float().div(255).repeat_interleave(4, -1).repeat_interleave(4, -2)
        for name in ("condition", "exemplar_condition")
    )
    query, key = released.condition(condition), released.exemplar(expected["latent"], own)
    again = released.rematch_query(expected["x0"], query)
    for name, found in (inside | {"again": key.rematch, "iterate": again}).items():
        sample = found.flatten()[expected[f"{name}/index"].long()]
        assert (sample - expected[name]).abs().amax() <= 10 * expected[f"{name}/floor"], name
    for name, here, there in (("first", query.initial, key.initial), ("again", again, key.rematch)):
        correlation = torch.einsum("dn,dm->nm", here[0].flatten(1), there[0].flatten(1)).clamp(min=0)
        # released features are divided by their length plus 1e-5, once they have length one
        off = correlation.amax(1) / (1 + 1e-5) ** 2 - expected[f"{name}/similarity"]
        assert off.abs().amax() <= 10 * expected[f"{name}/similarity/floor"], name


def test_spade_normalises_each_cell_over_channels_by_the_unbiased_variance() -> None:
    spade = Spade(6, 3, 4).double()
    for layer in (spade.mlp_gamma, spade.mlp_beta):
        nn.init.zeros_(layer.weight)
    nn.init.constant_(spade.mlp_gamma.bias, 1.0)
    nn.init.constant_(spade.mlp_beta.bias, 0.5)
    x = torch.randn(2, 6, 4, 3, dtype=torch.float64)
    deviation = (x.var(1, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(
        spade(x, torch.rand(2, 3, 4, 3).double()), 2 * (x - x.mean(1, keepdim=True)) / deviation + 0.5
    )


def test_spectral_norm_can_be_left_out() -> None:
    torch.manual_seed(0)
    options = SIZES["midm"]
    plain = MidmFeatures(**options, spectral=False)
    normalised = MidmFeatures(**options, spectral=True).eval()
    assert "seg_enc.layer1.0.weight" in plain.state_dict()
    assert plain.seg_enc.layer1[0].weight.shape == normalised.seg_enc.layer1[0].weight.shape
    for _ in range(200):  # few would do but where the two largest singular values are close
        normalised.train().seg_enc.layer2[0](torch.randn(1, 6, 4, 4))
    matrix = normalised.eval().seg_enc.layer2[0].weight.flatten(1)
    assert torch.linalg.matrix_norm(matrix, 2).item() == pytest.approx(1, abs=1e-3)


def test_pyramid_tells_places_apart_by_where_they_are() -> None:
    model = made("pyramid")
    blank = model.condition(torch.zeros(1, 2, 32, 48)).initial[0].flatten(1)
    nearest = (blank.T @ blank - 2 * torch.eye(blank.shape[1])).amax()
    assert nearest < 1 - 1e-6


def test_pyramid_folds_the_condition_for_re_matching() -> None:
    condition = torch.rand(1, 2, 8, 12)
    again = PyramidFeatures(**SIZES["pyramid"]).condition(condition).rematch
    assert again.shape == (1, 32, 2, 3)
    for y, x in ((0, 0), (1, 2)):
        patch = condition[0, :, 4 * y : 4 * y + 4, 4 * x : 4 * x + 4]
        torch.testing.assert_close(again[0, :, y, x], patch.flatten())


def test_pyramid_learns_a_shift() -> None:
    torch.manual_seed(0)
    model = PyramidFeatures(condition_channels=1, latent_channels=3, width=16, widths=(16, 16, 16))
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    hits = []
    for _ in range(60):
        maps = F.interpolate(torch.rand(8, 1, 6, 6), (24, 24), mode="bicubic")
        latent = torch.randn(8, 3, 6, 6)
        query = model.condition(maps).initial.flatten(2)
        key = model.exemplar(latent, maps).initial.flatten(2)
        scores = 20 * query.mT @ key
        truth = torch.arange(36).expand(8, -1)
        loss = F.cross_entropy(scores.transpose(1, 2), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        hits.append((scores.argmax(-1) == truth).float().mean().item())
    assert hits[-1] > 0.5 > 0.2 > hits[0]


def test_timm_finds_a_moved_drawing() -> None:
    torch.manual_seed(0)
    model = TimmFeatures("test_resnet.r160_in1k", depths=(0, 1), magnify=2)
    drawing = torch.rand(1, 1, 64, 64)
    left, right = (F.pad(drawing, (32 + shift, 32 - shift, 32, 32)) for shift in (0, 16))
    query, key = model.condition(left).initial[0], model.condition(right).initial[0]
    here = query[:, 10:22, 10:22]
    found = torch.einsum("dhw,dn->hwn", here, key.flatten(1)).argmax(-1)
    y, x = torch.meshgrid(torch.arange(10, 22), torch.arange(14, 26), indexing="ij")
    assert (found == 32 * y + x).float().mean() > 0.9


def test_timm_cannot_look_at_latents_and_says_so_by_what_it_returns() -> None:
    model = made("timm")
    condition, latent, own, x0 = scene()
    query = model.condition(condition)
    assert torch.equal(model.rematch_query(x0, query), query.initial)
    assert torch.equal(model.exemplar(latent, own).initial, model.exemplar(latent + 1, own).initial)


def test_timm_describes_cells_by_what_sets_them_apart() -> None:
    features = made("timm").condition(torch.rand(1, 2, 64, 64)).initial
    assert features.mean((-2, -1)).norm() < 0.2


def test_timm_is_frozen() -> None:
    model = made("timm").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.condition(scene()[0])
    assert not model.training and not any(p.requires_grad for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    "backbone, channels",
    [("test_mambaout", (16, 32)), ("test_vit", (64, 64)), ("test_efficientnet", (16, 24))],
    ids=["channels last", "pictures of one size", "mobile"],
)
def test_timm_backbones_of_every_kind(backbone: str, channels: tuple[int, int]) -> None:
    model = TimmFeatures(backbone, depths=(0, 1))
    assert tuple(model.network.feature_info.channels()) == channels
    features: Features = model.condition(torch.rand(1, 2, 20, 36))
    assert features.initial.shape == (1, sum(channels), 5, 9)
    parts = features.initial.split(channels, dim=1)
    assert all(part.norm(dim=1).amin() > 0.05 for part in parts)


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({"backbone": "resnet19"}, "timm knows no backbone 'resnet19'. Near: resnet"),
        ({"backbone": "test_resnet", "depths": (0, 9)}, r"depths of 'test_resnet' do not include all of \(0, 9\)"),
    ],
)
def test_timm_says_what_it_lacks(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        TimmFeatures(**options)


def test_timm_weights_that_cannot_be_had_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*arguments: Any, **options: Any) -> None:
        raise FileNotFoundError("no network")

    monkeypatch.setattr("midms.features.timm_backbone.timm.create_model", offline)
    with pytest.raises(OSError, match="weights of 'resnet18'; pretrained=False has random ones: no network"):
        TimmFeatures("resnet18", pretrained=True)
