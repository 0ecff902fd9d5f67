"""Injections into a U-Net without transformers, whose attention layers take maps and have norms of their own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from dense_attention import Dense, weights
from tiny_denoisers import context, latents
from torch import Tensor

from midms import create
from midms.core.injection import References
from midms.core.types import Level
from midms.diffusion.levels import noise_levels
from midms.loop.layers import MatchingOfLayers
from midms.loop.policy import Policy

LEVEL: Level = noise_levels((300,), "cosine")[0]
LAYERS = ("up_blocks.0",)


def network() -> Any:
    torch.manual_seed(1)
    sizes = {"channels": 4, "widths": (16, 16), "attention": (False, True), "head_dim": 8, "norm_groups": 4}
    return create("denoiser", "unconditional", **sizes).double().eval().requires_grad_(False)


def injected(name: str, x: Tensor, exemplar: Tensor, **settings: Any) -> Tensor:
    part, model = create("injection", name, **settings), network()
    part.check(model)
    seen = References([exemplar], x, 1, 10, torch.randn)
    return part(model, x, LEVEL, context(x), seen, MatchingOfLayers(Policy()))


class DenseOnMaps(Dense):
    """The same after a norm, beside what it was given."""

    def __call__(self, attn: Any, hidden_states: Tensor, *given: Any, **more: Any) -> Tensor:
        tokens = attn.group_norm(hidden_states.flatten(2)).mT
        return super().__call__(attn, tokens).mT.reshape(hidden_states.shape) + hidden_states


def dense(x: Tensor, exemplar: Tensor, change: Any) -> Tensor:
    """x0 of the first of a batch, the exemplar being the second."""
    model = network()

    def own(attn: Any, hidden: Tensor, heads: Any) -> Tensor:
        q, k, v = (heads(project(hidden)) for project in (attn.to_q, attn.to_k, attn.to_v))
        return weights(q, k, 1.0) @ v

    names = [name for name, module in model.network.named_modules() if type(module).__name__ == "Attention"]
    for name in names:
        changed = any(name.startswith(f"{one}.") for one in LAYERS)
        model.network.get_submodule(name).set_processor(DenseOnMaps(change if changed else own))
    assert sum(name.startswith("up_blocks.0.") for name in names) == 2
    return model(torch.cat([x, exemplar]), LEVEL, context(x))[:1]


def test_cross_attention_takes_the_exemplars_keys_and_values() -> None:
    x, exemplar = latents(0), latents(1)

    def change(attn: Any, hidden: Tensor, heads: Any) -> Tensor:
        q, k, v = (heads(project(hidden)) for project in (attn.to_q, attn.to_k, attn.to_v))
        return torch.stack([weights(q[0], k[1], 1.0) @ v[1], weights(q[1], k[1], 1.0) @ v[1]])

    settings = {"layers": LAYERS, "first": 0.0, "structure_every": 0, "contrast": 1}
    found = injected("cross-attention", x, exemplar, **settings)
    torch.testing.assert_close(found, dense(x, exemplar, change), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        injected("cross-attention", x, x, **settings), network()(x, LEVEL, context(x)), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("size", [(8, 8), (6, 8)])
def test_ctrlx_changes_what_a_layer_makes_of_a_map_and_not_what_it_adds_to(size: tuple[int, int]) -> None:
    x, exemplar = latents(0, grid=size), latents(1, grid=size)

    def norm(hidden: Tensor) -> Tensor:
        return (hidden - hidden.mean(1, keepdim=True)) / hidden.std(1, keepdim=True)

    def change(attn: Any, hidden: Tensor, heads: Any) -> Tensor:
        q, k = heads(attn.to_q(norm(hidden))), heads(attn.to_k(norm(hidden)))
        coupling, value = weights(q[0], k[1], 1.0), heads(hidden)[1]
        mean = coupling @ value
        deviation = (coupling @ value**2 - mean**2).clamp(min=0).sqrt()
        moved = (deviation * heads(norm(hidden))[0] + mean).transpose(0, 1).flatten(1)
        hidden = torch.stack([moved, hidden[1]])
        q, k, v = (heads(project(hidden)) for project in (attn.to_q, attn.to_k, attn.to_v))
        return weights(q, k, 1.0) @ v

    settings = {"appearance_layers": LAYERS, "structure_layers": LAYERS, "structure_results": (), "structure": 0.0}
    found = injected("ctrlx", x, exemplar, **settings)
    torch.testing.assert_close(found, dense(x, exemplar, change), rtol=1e-9, atol=1e-9)
    assert (found - network()(x, LEVEL, context(x))).abs().max() > 0.01


def test_graft_takes_nothing_of_what_is_not_trusted() -> None:
    x, exemplar = latents(0), latents(1)
    none = {"confidence": lambda match: match.similarity()[:, :1] * 0, "dropout": 0.0, "layers": LAYERS}
    plain = network()(x, LEVEL, context(x))
    some = injected("graft", x, exemplar, dropout=0.0, layers=LAYERS, confidence="always")
    assert (some - plain).abs().max() > 0.01
    torch.testing.assert_close(injected("graft", x, exemplar, **none), plain, rtol=1e-9, atol=1e-9)
