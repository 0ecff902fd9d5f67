"""Injections of two exemplars that are trusted in part, each number of the matrices written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from dense_attention import CTRLX, EXACT, UP, dense, injected, weights
from tiny_denoisers import latents, level
from torch import Tensor

from midms import Spec

SOFT = {"confidence": Spec("peak", threshold=0.1, softness=0.05)}
GUIDANCE = 2.0


def confidence(coupling: Tensor) -> Tensor:
    """How far each row is trusted, with a last dimension of 1."""
    found = torch.sigmoid((coupling.amax(-1, keepdim=True) - 0.1) / 0.05)
    assert found.std() > 0.01, "some more and some less"
    return found


def chosen(query: Tensor, keys: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The matrix to all exemplars, of which each row takes from the one that is trusted more; and how far."""
    couplings = [weights(query, key, 1.0) for key in keys]
    trusted = torch.cat([confidence(one) for one in couplings], -1)
    of = trusted.argmax(-1, keepdim=True)
    assert 0 < of.double().mean() < 1
    return torch.cat([one * (of == n) for n, one in enumerate(couplings)], -1), trusted.gather(-1, of)


@pytest.mark.parametrize("contrast", [1.0, 1.67, 20.0])
def test_cross_attention(contrast: float) -> None:
    """At a contrast of 20 weights are cut at 1 too, and several of a row."""
    x, exemplars = latents(0), [latents(1), latents(2)]
    cut = []

    def change(attn: Any, hidden: Tensor, heads: Any) -> Tensor:
        q, k, v = (heads(project(hidden)) for project in (attn.to_q, attn.to_k, attn.to_v))
        coupling, trusted = chosen(q[1], [*k[2:]])
        moved = contrast * (coupling - 1 / 32) + 1 / 32
        cut.append(((moved > 1).sum(-1) > 1).any().item())
        own = weights(q, k, 1.0) @ v
        taken = moved.clip(0, 1) @ torch.cat([*v[2:]], 1)
        return torch.stack([own[0], trusted * taken + (1 - trusted) * own[1], *own[2:]])

    expected = dense(x, exemplars, GUIDANCE, change, ("up_blocks.0",))
    given: dict[str, Any] = {"contrast": contrast, "structure_every": 0, **SOFT, **UP}
    found = injected("cross-attention", "unet-condition", x, exemplars, scale=GUIDANCE, **given)
    torch.testing.assert_close(found, expected, **EXACT)
    assert any(cut) == (contrast == 20)


def test_ctrlx() -> None:
    x, exemplars = latents(0), [latents(1), latents(2)]

    def change(attn: Any, hidden: Tensor, heads: Any) -> Tensor:
        normed = (hidden - hidden.mean(1, keepdim=True)) / hidden.std(1, keepdim=True)
        coupling, trusted = chosen(heads(attn.to_q(normed))[1], [*heads(attn.to_k(normed))[2:]])
        value = torch.cat([*heads(hidden)[2:]], 1)
        mean = coupling @ value
        deviation = (coupling @ value**2 - mean**2).clamp(min=0).sqrt()
        moved = trusted * (deviation * heads(normed)[1] + mean) + (1 - trusted) * heads(hidden)[1]
        hidden = torch.cat([hidden[:1], moved.transpose(0, 1).flatten(1)[None], hidden[2:]])
        q, k, v = (heads(project(hidden)) for project in (attn.to_q, attn.to_k, attn.to_v))
        return weights(q, k, 1.0) @ v

    expected = dense(x, exemplars, GUIDANCE, change, ("down_blocks.1", "up_blocks.0"))
    found = injected("ctrlx", "unet-condition", x, exemplars, scale=GUIDANCE, **CTRLX | {"structure": 0.0}, **SOFT)
    torch.testing.assert_close(found, expected, **EXACT)


def grafting(dropout: float, normals: list[Tensor]) -> Callable[..., Tensor]:
    """Attention with tokens of two exemplars beside the picture's own, each weighted by how far it is trusted."""
    waiting = iter(normals)

    def change(attn: Any, hidden: Tensor, heads: Any) -> Tensor:
        q, k, v = (heads(project(hidden)) for project in (attn.to_q, attn.to_k, attn.to_v))
        own = weights(q, k, 1.0) @ v
        counts = torch.ones(hidden.shape[1], dtype=torch.float64)
        for other in hidden[2:]:
            cosines = F.normalize(other, dim=-1) @ F.normalize(hidden[1], dim=-1).mT
            trusted = confidence((cosines / 0.1).softmax(-1))[:, 0]
            if dropout:
                below = torch.erf(next(waiting).flatten() / 2**0.5) / 2 + 0.5
                assert 0 < (below < dropout).double().mean() < 1
                trusted = trusted.where(below >= dropout, 0)
            counts = torch.cat([counts, trusted])
        exponentials = counts * (q[1] @ torch.cat([*k[1:]], 1).mT / q.shape[-1] ** 0.5).exp()
        grafted = exponentials / exponentials.sum(-1, keepdim=True) @ torch.cat([*v[1:]], 1)
        return torch.stack([own[0], grafted, *own[2:]])

    return change


@pytest.mark.parametrize("dropout", [0.0, 0.8])
def test_graft(dropout: float) -> None:
    """Its tokens are left out with the probability dropout times sigma; a U-Net has no places to turn them to."""
    x, exemplars, drawn = latents(0), [latents(1), latents(2)], []

    def draw(shape: tuple[int, ...]) -> Tensor:
        drawn.append(torch.randn(shape, generator=numbers, dtype=torch.float64))
        return drawn[-1]

    numbers = torch.Generator().manual_seed(7)
    given = {"matcher": Spec("correlation", temperature=0.1), "dropout": dropout, "layers": ("up_blocks.0",), **SOFT}
    found = injected("graft", "unet-condition", x, exemplars, scale=GUIDANCE, draw=draw, **given)
    assert bool(drawn) == bool(dropout)
    change = grafting(dropout * level("unet-condition").sigma, drawn)
    torch.testing.assert_close(found, dense(x, exemplars, GUIDANCE, change, ("up_blocks.0",)), **EXACT)
