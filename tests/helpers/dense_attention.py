"""Attention with its matrix written out, as it is injected into in the articles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import apply_rotary_emb
from tiny_denoisers import context, denoiser, level
from torch import Tensor

from midms import create
from midms.core.injection import References
from midms.loop.layers import MatchingOfLayers
from midms.loop.policy import Policy

EXACT = {"rtol": 1e-9, "atol": 1e-9}
UP = {"layers": ("up_blocks.0",), "first": 0.0}
CTRLX: dict[str, Any] = {
    "appearance_layers": ("down_blocks.1", "up_blocks.0"),
    "structure_layers": ("up_blocks.0.attentions.1",),
    "structure_results": ("up_blocks.0.resnets.0",),
}


def weights(q: Tensor, k: Tensor, contrast: float) -> Tensor:
    """A softmax's matrix, each weight as much further from the mean of its row, cut to [0, 1]."""
    matrix = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
    mean = matrix.mean(-1, keepdim=True)
    return ((matrix - mean) * contrast + mean).clip(0, 1) if contrast != 1 else matrix


class Dense:
    """Self-attention of a U-Net with its matrix written out, which a function may change row by row of the batch."""

    def __init__(self, change: Any) -> None:
        self.change = change

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Any = None, **more: Any
    ) -> Tensor:
        seen = hidden_states if encoder_hidden_states is None else encoder_hidden_states

        def heads(x: Tensor) -> Tensor:
            return x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        if encoder_hidden_states is None:
            found = self.change(attn, hidden_states, heads)
        else:
            q, k, v = heads(attn.to_q(hidden_states)), heads(attn.to_k(seen)), heads(attn.to_v(seen))
            found = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v
        return attn.to_out[0](found.transpose(1, 2).flatten(2))


class DenseGraft:
    """Attention to picture and prompt of a transformer, the second picture's trusted tokens beside the first one's own.

    A cosine above 0.05, and a way back that ends within a quarter of the width.
    """

    def __init__(self, text: int, grid: tuple[int, int], first: bool) -> None:
        self.text, self.grid, self.first = text, grid, first
        self.counts: list[int] = []

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Any = None,
        attention_mask: Any = None,
        image_rotary_emb: Any = None,
    ) -> Any:
        def project(x: Tensor, *names: str) -> list[Tensor]:
            made = [getattr(attn, name)(x).unflatten(-1, (attn.heads, -1)).transpose(1, 2) for name in names]
            return made

        q, k, v = project(hidden_states, "to_q", "to_k", "to_v")
        q, k = attn.norm_q(q), attn.norm_k(k)
        both = encoder_hidden_states is not None
        if both:
            more = project(encoder_hidden_states, "add_q_proj", "add_k_proj", "add_v_proj")
            more = [attn.norm_added_q(more[0]), attn.norm_added_k(more[1]), more[2]]
            pairs = zip((q, k, v), more, strict=True)
            q, k, v = (torch.cat([a, b] if self.first else [b, a], 2) for a, b in pairs)
        count = self.grid[0] * self.grid[1]
        mine = slice(0, count) if self.first else slice(self.text, None)
        features = hidden_states if both else hidden_states[:, mine]
        cosine = F.normalize(features[1], dim=-1) @ F.normalize(features[0], dim=-1).mT
        there, back = cosine.argmax(1), cosine.argmax(0)
        x, y = (back[there] % self.grid[1], back[there] // self.grid[1])
        own = torch.arange(count)
        away = ((x - own % self.grid[1]) ** 2 + (y - own // self.grid[1]) ** 2).sqrt() / max(self.grid)
        kept = torch.nonzero((cosine.amax(1) >= 0.05) & (away < 0.25))[:, 0]
        self.counts.append(len(kept))
        grafted, value = k[1][:, mine][:, kept], v[1][:, mine][:, kept]
        if image_rotary_emb is not None:
            belongs = [one[mine][there[kept]] for one in image_rotary_emb]
            grafted = apply_rotary_emb(grafted[None], belongs)[0]
            q, k = (apply_rotary_emb(one, image_rotary_emb) for one in (q, k))
        found = [
            weights(q[0], torch.cat([k[0], grafted], 1), 1.0) @ torch.cat([v[0], value], 1),
            weights(q[1], k[1], 1.0) @ v[1],
        ]
        output = torch.stack(found).transpose(1, 2).flatten(2)
        if not both:
            return output
        picture, prompt = output[:, mine], output[:, count:] if self.first else output[:, : self.text]
        out = getattr(attn, "to_add_out", None)
        return attn.to_out[0](picture), out(prompt) if out is not None else prompt


@torch.no_grad()
def injected(
    name: str,
    family: str,
    x: Tensor,
    exemplar: Tensor | list[Tensor],
    condition: Tensor | None = None,
    step: int = 1,
    scale: float = 1.0,
    policy: Policy | None = None,
    draw: Callable[..., Tensor] = torch.randn,
    steps: int = 10,
    **settings: Any,
) -> Tensor:
    """x0 with an injection of one exemplar, or of several."""
    part = create("injection", name, **settings)
    model = denoiser(family, scale)
    part.check(model)
    exemplars = exemplar if isinstance(exemplar, list) else [exemplar]
    seen = References(exemplars, x if condition is None else condition, step, steps, draw)
    return part(model, x, level(family), context(x), seen, MatchingOfLayers(policy or Policy()))


@torch.no_grad()
def plain(family: str, x: Tensor, guidance: float = 1.0) -> Tensor:
    return denoiser(family, guidance)(x, level(family), context(x))


@torch.no_grad()
def dense(
    x: Tensor,
    others: list[Tensor],
    guidance: float,
    change: Callable[..., Tensor],
    layers: tuple[str, ...],
    model: Any = None,
) -> Tensor:
    """x0 of one batch: the picture under the negative prompt, under the positive one, then the others under that.

    Args:
        x: noisy latent.
        others: as noisy.
        guidance: from the one to the other.
        change: attention of one layer, from it, its tokens, and a function that parts heads.
        layers: which are changed.
        model: a denoiser; None for the usual one.
    """
    model = denoiser("unet-condition", guidance) if model is None else model
    at, network, prompts = level("unet-condition"), model.network, model.prompts.tokens.double()

    def own(attn: Any, hidden: Tensor, heads: Any) -> Tensor:
        q, k, v = (heads(project(hidden)) for project in (attn.to_q, attn.to_k, attn.to_v))
        return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v

    processors = {
        name: Dense(change if any(name.startswith(f"{one}.") for one in layers) else own)
        for name in network.attn_processors
    }
    network.set_attn_processor(processors)
    texts = torch.cat([prompts[:1], *[prompts[1:]] * (1 + len(others))])
    output = network(torch.cat([x, x, *others]), at.timestep, texts).sample
    eps = output[:1] + guidance * (output[1:2] - output[:1])
    return (x - at.sigma * eps) / at.alpha


def dense_ctrlx(
    x: Tensor, exemplar: Tensor, structure: Tensor, guidance: float, appearance: bool = True, structured: bool = True
) -> Tensor:
    """x0 with Ctrl-X in the layers of `CTRLX` (arXiv:2406.07540, sec. 4).

    Args:
        x: noisy latent.
        exemplar: as noisy.
        structure: as noisy.
        guidance: from the negative prompt to the positive one.
        appearance: whether mean and deviation are the exemplar's.
        structured: whether results, queries and keys are the structure's.
    """

    def norm(hidden: Tensor) -> Tensor:
        return (hidden - hidden.mean(1, keepdim=True)) / hidden.std(1, keepdim=True)

    def change(attn: Any, hidden: Tensor, heads: Any) -> Tensor:
        shaped = structured and attn is last
        if appearance:
            q, k = heads(attn.to_q(norm(hidden))), heads(attn.to_k(norm(hidden)))
            coupling = weights(q[3 if shaped else 1], k[2], 1.0)
            value = heads(hidden)[2]
            mean = coupling @ value
            deviation = (coupling @ value**2 - mean**2).clamp(min=0).sqrt()
            hidden = hidden.clone()
            hidden[1] = (deviation * heads(norm(hidden))[1] + mean).transpose(0, 1).flatten(1)
        q, k, v = (heads(project(hidden)) for project in (attn.to_q, attn.to_k, attn.to_v))
        if shaped:
            q[1], k[1] = q[3], k[3]
        return weights(q, k, 1.0) @ v

    model = denoiser("unet-condition", guidance)
    last = model.network.up_blocks[0].attentions[1].transformer_blocks[0].attn1
    if structured:
        model.network.up_blocks[0].resnets[0].register_forward_hook(
            lambda module, given, output: torch.cat([output[:1], output[3:], output[2:]])
        )
    return dense(x, [exemplar, structure], guidance, change, CTRLX["appearance_layers"], model)
