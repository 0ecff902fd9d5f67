"""Features of the composition's own denoiser: what its blocks give, and what a match finds in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusion_families import FLUX, SD3, SDXL, UNET, WIDTH
from torch import Tensor, nn

from midms import Spec, build, create
from midms.compose.compose import BuildError
from midms.core.hooks import calls_of
from midms.core.types import Context
from midms.diffusion.levels import noise_levels
from midms.features.diffusion import DiffusionFeatures
from midms.features.fusion import FusionFeatures
from midms.features.labelled import LabelledFeatures

SIDE, LATENT = 16, torch.zeros(1, 4, 4, 4)
KINDS: dict[str, tuple[str, dict[str, Any], int]] = {
    "unet": ("unet-condition", {"config": UNET | {"cross_attention_dim": WIDTH}, "tokens": 5}, 0),
    "sdxl": ("unet-condition", {"config": UNET | SDXL, "tokens": 5}, 0),
    "sd3": ("sd3", {"config": SD3, "tokens": 5}, 1),
    "flux": ("flux", {"config": FLUX, "tokens": 5}, 2),
}
"""Denoiser, settings, and a block in the middle."""


def made(kind: str) -> Any:
    """A denoiser of random weights, with a random prompt, to which all places are alike."""
    torch.manual_seed(0)
    name, settings, _ = KINDS[kind]
    denoiser = create("denoiser", name, **settings).eval().requires_grad_(False)
    for kept in denoiser.prompts.buffers():
        kept.normal_()
    for module in denoiser.modules():
        if isinstance(module, nn.Conv2d):
            module.padding_mode = "circular"
    if kind == "sd3":
        denoiser.network.pos_embed.pos_embed.zero_()
    if kind == "flux":
        denoiser.network.pos_embed = Nowhere()
    return denoiser


class Nowhere(nn.Module):
    """Turns by no angle, wherever a token is."""

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones(len(ids), 16), torch.zeros(len(ids), 16)


@pytest.mark.parametrize("kind", KINDS)
def test_features_of_a_moved_latent_are_the_moved_features(kind: str) -> None:
    """So that a match finds every cell again, and the warp is what was moved."""
    denoiser, block = made(kind), KINDS[kind][2]
    x = torch.randn(1, denoiser.channels, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    (here,) = denoiser.activations(x, 261, (block,))
    (there,) = denoiser.activations(x.roll((4, 6), (2, 3)), 261, (block,))
    cells = SIDE // here.shape[-1]
    moved = here.roll((4 // cells, 6 // cells), (2, 3))
    torch.testing.assert_close(there, moved, rtol=0, atol=2e-6 * float(here.abs().max()))
    assert not torch.allclose(there, here, atol=1e-2)
    match = create("matcher", "nearest")(there, here)
    values, wanted = (F.pixel_unshuffle(one, cells) for one in (x, x.roll((4, 6), (2, 3))))
    assert torch.equal(match.apply(values), wanted)


class Encoding:
    """An autoencoder whose latent is the picture's upper left cell of eight by eight, as far as it has channels."""

    stride = 8

    def encode(self, image: Tensor) -> Tensor:
        return torch.cat([image, image[:, :1]], 1)[..., ::8, ::8]

    def decode(self, latent: Tensor) -> Tensor:
        return latent[:, :3].repeat_interleave(8, 2).repeat_interleave(8, 3)


def found_again(kind: str, sigma: float, draws: int) -> float:
    """The share of the network's cells of a moved latent that a match finds, each picture having noise of its own."""
    denoiser, blank = made(kind), torch.zeros(1, 3, 8 * SIDE, 8 * SIDE)
    block = KINDS[kind][2]
    features = DiffusionFeatures("denoiser", blocks=(block,), draws=draws, sigma=sigma).lend(denoiser, Encoding())
    latent = torch.randn(1, denoiser.channels, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    query = features.rematch_query(latent.roll((4, 6), (2, 3)), features.condition(blank))
    key = features.exemplar(latent, blank).rematch
    assert query.shape[-2:] == key.shape[-2:] == (SIDE, SIDE)
    best = create("matcher", "nearest")(*(F.avg_pool2d(one, 2) for one in (query, key))).argmax()[0, 0]
    places = torch.arange((SIDE // 2) ** 2).view(SIDE // 2, SIDE // 2)
    return (best == places.roll((2, 3), (0, 1))).float().mean().item()


@pytest.mark.parametrize("kind", KINDS)
def test_a_match_finds_where_a_latent_moved_the_better_the_more_draws(kind: str) -> None:
    assert found_again(kind, 0.3, 8) == 1
    alone, together = found_again(kind, 0.587, 1), found_again(kind, 0.587, 8)
    assert alone < 0.6 and together > 0.8


@pytest.mark.parametrize("kind", ["sd3", "flux"])
@torch.no_grad()
def test_where_tokens_have_no_place_those_in_another_order_give_the_same_in_that_order(kind: str) -> None:
    """What a block gives, which a match finds again, and what the whole network predicts."""
    denoiser = made(kind)
    denoiser.guidance, level = 1.0, noise_levels((500,), "flow:3.0")[0]
    x = torch.randn(1, denoiser.channels, 8, 8, generator=torch.Generator().manual_seed(1))
    order = torch.randperm(16, generator=torch.Generator().manual_seed(2))

    def ordered(tokens: Tensor) -> Tensor:
        return tokens.flatten(2)[..., order].view_as(tokens)

    other = F.pixel_shuffle(ordered(F.pixel_unshuffle(x, 2)), 2)
    (here,), (there,) = (denoiser.activations(one, 500, (KINDS[kind][2],)) for one in (x, other))
    torch.testing.assert_close(there, ordered(here), rtol=0, atol=1e-6 * float(here.abs().max()))
    assert torch.equal(create("matcher", "nearest")(there, here).argmax().flatten(), order)
    context = Context(x, x.new_zeros(1, 3, 64, 64), x.new_zeros(1, 1, 8, 8))
    first, second = (F.pixel_unshuffle(denoiser(one, level, context), 2) for one in (x, other))
    torch.testing.assert_close(second, ordered(first), rtol=0, atol=2e-6)


@pytest.mark.parametrize(("kind", "block"), [("sd3", 0), ("sd3", 1), ("sd3", 2), ("flux", 1), ("flux", 3)])
def test_transformers_give_what_their_normalisation_gives(kind: str, block: int) -> None:
    """(1 + scale) LN(x) + shift, of tokens whose dropped channels are 0 (DiTF, arXiv:2505.18584)."""
    denoiser = made(kind)
    network, x = denoiser.network, torch.randn(2, denoiser.channels, 6, 4, generator=torch.Generator().manual_seed(1))
    blocks = [*network.transformer_blocks, *getattr(network, "single_transformer_blocks", ())]
    norm = getattr(blocks[block], "norm1", None) or blocks[block].norm
    seen: list[tuple[Tensor, Tensor]] = []

    def note(_: nn.Module, given: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        seen.append((given[0] if given else named["hidden_states"], named["emb"]))

    hook = norm.register_forward_pre_hook(note, with_kwargs=True)
    plain = denoiser.activations(x, 261, (block,))[0]
    dropped = denoiser.activations(x, 261, (block,), (3, 17))[0]
    hook.remove()
    for found, channels in ((plain, []), (dropped, [3, 17])):
        tokens, emb = seen.pop(0)
        tokens = tokens.clone()
        tokens[..., channels] = 0
        shift, scale = F.linear(F.silu(emb), norm.linear.weight, norm.linear.bias).split(tokens.shape[-1], 1)[:2]
        expected = F.layer_norm(tokens, tokens.shape[-1:], eps=1e-6) * (1 + scale[:, None]) + shift[:, None]
        grid = expected[:, -6:].transpose(1, 2).unflatten(2, (3, 2))
        torch.testing.assert_close(found, grid, rtol=0, atol=2e-6)
    assert not torch.allclose(plain, dropped, atol=1e-3)


def test_upward_blocks_of_a_unet_are_means_over_draws_of_noise() -> None:
    denoiser = made("unet")
    latent = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    features = DiffusionFeatures("denoiser", blocks=(1, 0), draws=3).lend(denoiser, Encoding())
    numbers, rows = torch.Generator().manual_seed(0), list[Tensor]()
    hooks = [b.register_forward_hook(lambda _, __, out: rows.append(out)) for b in denoiser.network.up_blocks]
    for _ in range(3):
        noisy = (1 - 0.587**2) ** 0.5 * latent + 0.587 * torch.randn(1, 4, 8, 8, generator=numbers)
        denoiser.network(noisy, 261, denoiser.prompts.tokens[1:])
    for hook in hooks:
        hook.remove()
    large = [F.interpolate(one, (8, 8), mode="bilinear", align_corners=False) for one in rows]
    maps = [sum(large[block::2]) / 3 for block in (1, 0)]
    centred = [F.normalize(one - one.mean((2, 3), keepdim=True), dim=1) for one in maps]
    found = features.rematch_query(latent, features.condition(torch.zeros(1, 3, 64, 64)))
    torch.testing.assert_close(found, F.normalize(torch.cat(centred, 1), dim=1), rtol=1e-4, atol=1e-5)


def test_a_pass_ends_where_nothing_more_is_seen() -> None:
    denoiser, asked = made("flux"), []
    last = denoiser.network.proj_out.register_forward_hook(lambda *_: asked.append(1))
    denoiser.activations(torch.randn(1, 4, 4, 4), 261, (1, 0))
    assert not asked and not any(module._forward_hooks for module in denoiser.network.transformer_blocks.modules())
    last.remove()
    with pytest.raises(ValueError, match="the network did not call its Linear"):
        calls_of([nn.Linear(1, 1)], lambda: denoiser)


def counted(module: nn.Module) -> list[int]:
    """Batches that a network is called with, from now on."""
    calls: list[int] = []
    module.register_forward_pre_hook(
        lambda _, given, named: calls.append(len((*given, *named.values())[0])), with_kwargs=True
    )
    return calls


def test_the_exemplars_features_are_made_once() -> None:
    """A photo is its own condition: it is encoded and noised once, however often it is matched again."""
    denoiser = made("unet")
    pipe = build(
        "midm-faces",
        condition="photo",
        features=Spec("diffusion", network="denoiser", blocks=(0,), draws=2),
        denoiser=denoiser,
        autoencoder=Encoding(),
        confidence="always",
        sampler=Spec("ddim", timesteps=(600, 400, 200), schedule="scaled-linear"),
        rematch=(1, 2),
        edit="blend",
    )
    calls = counted(denoiser.network)
    pictures = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    result = pipe(pictures[0], 2 * pictures[1] - 1, generator=torch.Generator().manual_seed(0))
    assert result.isfinite().all()
    assert calls == 2 * [1] + 2 * [1] + [2] + [2] + 2 * [1] + [2] + 2 * [1], (
        "condition, exemplar, three levels, two matches"
    )


def test_another_denoiser_is_lent_where_it_is_exchanged() -> None:
    first, second = made("unet"), made("sdxl")
    pipe = build(
        "midm-faces",
        condition="photo",
        features=Spec("fusion", extractors=(Spec("diffusion", network="denoiser", blocks=(0,), draws=1),)),
        denoiser=first,
        autoencoder=Encoding(),
        confidence="always",
    )
    other = pipe.replace(denoiser=second)
    calls = counted(first.network), counted(second.network)
    other.features.condition(torch.rand(1, 3, 32, 32))
    assert calls == ([], [1])
    pipe.features.condition(torch.rand(1, 3, 32, 32))
    assert calls == ([1], [1]) and not pipe.features.state_dict()


def test_own_portraits_hand_out_activations_too() -> None:
    pipe = build("midm-faces-paper", features=Spec("diffusion", network="denoiser", blocks=(0, 2), draws=1))
    condition = torch.rand(1, 2, 64, 48, generator=torch.Generator().manual_seed(1))
    found = pipe.features.condition(condition).initial
    assert found.shape[-2:] == (16, 12) and found.isfinite().all() and found.std() > 0.01


@pytest.mark.parametrize(
    "ask, complaint",
    [
        (lambda f: f.condition(torch.zeros(1, 3, 16, 16)), "these features are in no composition"),
        (lambda f: f.lend(nn.Identity(), None), "Identity hands out no activations"),
        (
            lambda f: f.lend(made("unet"), Encoding()).exemplar(LATENT, torch.zeros(1, 3, 32, 32)),
            r"0 to 1, got \(7,\)",
        ),
        (lambda f: made("unet").activations(LATENT, 1, (0,), (3,)), "dropped is .3,., expected none"),
        (lambda f: made("flux").activations(LATENT, 1, (0,), (3, 32)), r"dropped must be .* 0 to 31, got \(3, 32\)"),
        (lambda f: made("sd3").activations(LATENT, 1, (0,), (-1,)), r"dropped must be .* 0 to 31, got \(-1,\)"),
    ],
)
def test_what_cannot_be_had_is_said(ask: Callable[[DiffusionFeatures], object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ask(DiffusionFeatures("denoiser", blocks=(7,)))


def test_build_says_that_a_denoiser_hands_out_none() -> None:
    with pytest.raises(BuildError, match="features: network is 'denoiser', and Bridge hands out no activations"):
        build("midm-faces", features=Spec("diffusion", network="denoiser"))


def test_features_made_of_others_lend_too() -> None:
    inner = DiffusionFeatures("denoiser", blocks=(0,), draws=1)
    for outer in (FusionFeatures([inner]), LabelledFeatures(inner)):
        lent = outer.lend(made("unet"), Encoding())
        assert lent.condition(torch.rand(1, 3, 32, 32)).initial.shape[-2:] == (4, 4)
        with pytest.raises(ValueError, match="in no composition"):
            outer.condition(torch.rand(1, 3, 32, 32))
