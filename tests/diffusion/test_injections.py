"""Injections: against implementations from the articles with every matrix written out, and their laws."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from dense_attention import CTRLX, EXACT, UP, DenseGraft, dense, dense_ctrlx, injected, plain, weights
from tiny_denoisers import context, denoiser, latents, level
from torch import Tensor
from torch.overrides import TorchFunctionMode

from midms import Spec, create
from midms.core.injection import References
from midms.core.types import cells
from midms.diffusion.injections.cross_attention import CrossAttention
from midms.loop.layers import MatchingOfLayers
from midms.loop.policy import Policy

BLOCKS = {"layers": ("transformer_blocks", "single_transformer_blocks")}


@pytest.mark.parametrize(("contrast", "step"), [(1.0, 1), (1.67, 1), (1.67, 5)])
def test_cross_attention_is_the_articles(contrast: float, step: int) -> None:
    """Queries of the picture with the exemplar's keys and values; at every fifth step with the structure's."""
    x, exemplar, structure = latents(0), latents(1), latents(2)

    def change(attn: Any, hidden: Tensor, heads: Any) -> Tensor:
        q, k, v = (heads(project(hidden)) for project in (attn.to_q, attn.to_k, attn.to_v))
        source = 3 if step == 5 else 2
        other = weights(q[1], k[source], contrast) @ v[source]
        own = weights(q, k, 1.0) @ v
        return torch.stack([own[0], other, own[2], own[3]])

    expected = dense(x, [exemplar, structure], 3.0, change, ("up_blocks.0",))
    given = {"contrast": contrast, "guidance": (3.0, 3.0), **UP}
    found = injected("cross-attention", "unet-condition", x, exemplar, structure, step, scale=9.0, **given)
    torch.testing.assert_close(found, expected, **EXACT)
    assert (found - plain("unet-condition", x, 3.0)).abs().max() > 0.01


def test_any_matcher_and_any_confidence_take_part() -> None:
    """A softmax of cosines, trusted where it comes back within a radius; elsewhere the layer is as it was."""
    x, exemplar, radius = latents(0), latents(1), 0.3
    places = cells(4, 4, x)[0].flatten(1).mT

    def change(attn: Any, hidden: Tensor, heads: Any) -> Tensor:
        q, k, v = (heads(project(hidden)) for project in (attn.to_q, attn.to_k, attn.to_v))
        own = weights(q, k, 1.0) @ v
        logits = F.normalize(q[1], dim=-1) @ F.normalize(k[2], dim=-1).mT / 0.1
        there, back = logits.softmax(-1) @ places, logits.mT.softmax(-1) @ places
        flow, returned = there - places, (back - places).unflatten(1, (4, 4)).movedim(-1, 1)
        ends = there / 4 * 2 + 0.25 - 1
        sampled = F.grid_sample(returned, ends[:, :, None], align_corners=False, padding_mode="border")
        error = (flow + sampled[..., 0].mT).norm(dim=-1, keepdim=True) / 4
        found = torch.where(error < radius, logits.softmax(-1) @ v[2], own[1])
        trusted.append((error < radius).double().mean().item())
        return torch.stack([own[0], found, own[2]])

    trusted: list[float] = []
    expected = dense(x, [exemplar], 2.0, change, ("up_blocks.0",))
    assert 0 < sum(trusted) / len(trusted) < 1
    parts = {"matcher": Spec("correlation", temperature=0.1), "confidence": Spec("cycle", radius=radius)}
    found = injected("cross-attention", "unet-condition", x, exemplar, scale=2.0, contrast=1, **parts, **UP)
    torch.testing.assert_close(found, expected, **EXACT)


def test_ctrlx_is_the_articles() -> None:
    x, exemplar, structure = latents(0), latents(1), latents(2)
    expected = dense_ctrlx(x, exemplar, structure, 5.0)
    found = injected("ctrlx", "unet-condition", x, exemplar, structure, scale=5.0, **CTRLX)
    torch.testing.assert_close(found, expected, **EXACT)


@pytest.mark.parametrize("family", ["flux", "sd3"])
def test_graft_is_the_articles(family: str) -> None:
    """Keys that are turned for the places where they belong, from keys that were not turned at all."""
    x, exemplar = latents(0, grid=(8, 12)), latents(0, grid=(8, 12)).roll(2, 3) + 3 * latents(1, grid=(8, 12))
    model = denoiser(family)
    reference = DenseGraft(5, (4, 6), family == "sd3")
    for name, module in model.network.named_modules():
        if type(module).__name__ in ("Attention", "FluxAttention") and not name.endswith("attn2"):
            module.processor = reference
    with torch.no_grad():
        expected = model(torch.cat([x, exemplar]), level(family), context(x))[:1]
    trusted = Spec("product", of=(Spec("similarity", floor=0.05), Spec("cycle", radius=0.25)))
    layers = BLOCKS if family == "flux" else {"layers": ("transformer_blocks",)}
    found = injected("graft", family, x, exemplar, confidence=trusted, dropout=0.0, **layers)
    assert 0 < min(reference.counts) < 24, "some are trusted, and some not"
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)  # diffusers turns keys in float32
    assert (found - plain(family, x)).abs().max() > 1e-3


SWAPS: list[tuple[str, dict[str, Any]]] = [
    ("cross-attention", {"contrast": 1.0, **UP}),
    ("graft", {"confidence": "always", "dropout": 0.0, "layers": ("up_blocks.0",)}),
]


@pytest.mark.parametrize("family", ["unet-condition", "sdxl"])
@pytest.mark.parametrize(("name", "settings"), SWAPS)
def test_of_an_exemplar_that_is_the_picture_nothing_comes(name: str, settings: dict[str, Any], family: str) -> None:
    """Nor of one that is the picture moved: convolutions go round, and attention has no places."""
    x, unchanged = latents(0), plain(family, latents(0), 3.0)
    for exemplar in (x, x.roll((2, 4), (2, 3))):
        torch.testing.assert_close(injected(name, family, x, exemplar, scale=3.0, **settings), unchanged, **EXACT)
    assert (injected(name, family, x, latents(1), scale=3.0, **settings) - unchanged).abs().max() > 0.01
    if name == "cross-attention":
        sharper = injected(name, family, x, x, scale=3.0, **settings | {"contrast": 1.67})
        assert (sharper - unchanged).abs().max() > 1e-3


STILL: list[tuple[str, str, dict[str, Any]]] = [
    ("cross-attention", "unet-condition", UP),
    ("ctrlx", "unet-condition", CTRLX | {"structure": 0.0}),
    ("graft", "unet-condition", {"layers": ("up_blocks.0",)}),
    ("graft", "flux", BLOCKS),
    ("graft", "sd3", {"layers": ("transformer_blocks",)}),
]


@pytest.mark.parametrize(("name", "family", "settings"), STILL)
def test_where_style_is_0_nothing_is_injected(name: str, family: str, settings: dict[str, Any]) -> None:
    x = latents(0)
    found = injected(name, family, x, latents(1, grid=(6, 10)), scale=2.0, policy=Policy(style=0.0), **settings)
    torch.testing.assert_close(found, plain(family, x, 2.0), **EXACT)
    full = injected(name, family, x, latents(1, grid=(6, 10)), scale=2.0, policy=Policy(style=1.0), **settings)
    assert (full - found).abs().max() > 1e-4


@torch.no_grad()
def test_each_picture_of_a_batch_as_if_alone_and_the_better_of_two_exemplars() -> None:
    model, x, other = denoiser("unet-condition", 2.0), latents(0, 2), latents(1, 2)
    part = create("injection", "cross-attention", confidence="peak", contrast=1.0, **UP)
    at, regions = level("unet-condition"), [torch.zeros(2, 1, 64, 64), torch.ones(2, 1, 64, 64)]

    def run(x: Tensor, exemplars: list[Tensor], regions: Any = None) -> Tensor:
        seen = References(exemplars, x, 1, 10, torch.randn)
        return part(model, x, at, context(x), seen, MatchingOfLayers(Policy(), regions))

    both = run(x, [other])
    torch.testing.assert_close(both[1:], run(x[1:], [other[1:]]), **EXACT)
    torch.testing.assert_close(run(x, [latents(2, 2, (6, 6)), other], regions), both, **EXACT)


def test_tokens_are_left_out_by_chance_with_the_probability_that_is_asked() -> None:
    """0.4 times sigma: as many as that, whatever the noise is drawn from."""
    counts: list[float] = []

    class Counted(MatchingOfLayers):
        def places(self, *given: Any) -> Any:
            places, trusted = super().places(*given)
            return places, torch.ones_like(trusted)

    class Masks(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            mask = (kwargs or {}).get("attn_mask")
            if func is F.scaled_dot_product_attention and mask is not None:
                counts.append(mask.isinf().double().sum().item() / 144)
            return func(*args, **(kwargs or {}))

    model, x = denoiser("flux"), latents(0, grid=(24, 24))
    part = create("injection", "graft", confidence="always", dropout=0.4, layers=("transformer_blocks.0",))
    seen = References([latents(1, grid=(24, 24))], x, 1, 10, torch.randn)
    torch.manual_seed(0)
    with Masks(), torch.no_grad():
        part(model, x, level("flux", 900), context(x), seen, Counted(Policy()))
    sigma = level("flux", 900).sigma
    assert counts[0] == pytest.approx(0.4 * sigma, abs=4 * (0.4 * 0.6 / 144) ** 0.5)


def test_what_cannot_be_injected_into_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Bridge has no layers to inject into; a model of diffusers has"):
        create("injection", "graft").check(create("denoiser", "bridge"))
    with pytest.raises(ValueError, match=r"layers: the network has no .*'up_blocks.9', but in down_blocks.1"):
        create("injection", "cross-attention", layers=("up_blocks.9",)).check(denoiser("unet-condition"))
    with pytest.raises(ValueError, match=r"^layers: the network has no .*'transformer_blocks', but in") as refused:
        create("injection", "graft").check(denoiser("unet-condition"))
    advice = re.search(r"such as layers=\('([\w.]+)',\)", str(refused.value))
    assert advice
    create("injection", "graft", layers=(advice[1],)).check(denoiser("unet-condition"))
    with pytest.raises(ValueError, match="attention of Flux is to picture and prompt at once; take graft"):
        create("injection", "cross-attention", layers=("transformer_blocks",)).check(denoiser("flux"))
    with pytest.raises(ValueError, match=r"structure_results: the network has no mid_block.nothing"):
        create("injection", "ctrlx", **CTRLX | {"structure_results": ("mid_block.nothing",)}).check(
            denoiser("unet-condition")
        )
    with pytest.raises(TypeError, match=r"layers: expected tuple\[str, ...\], got 'up_blocks'"):
        create("injection", "cross-attention", layers="up_blocks")
    with pytest.raises(ValueError, match=r"matcher must be an object, got 'attention'"):
        CrossAttention()
