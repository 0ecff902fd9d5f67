"""IP-Adapter: the exemplar as a few more words of the prompt. Nothing is matched; a baseline for what is."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from midms.core import limits
from midms.core.attention import Attention, Visitor, visited
from midms.core.injection import LayerMatching, References
from midms.core.precision import rounded
from midms.core.tensors import read_weights
from midms.core.types import Context, Level
from midms.diffusion.injections.common import check_share

_MEAN, _DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of colours in [0, 1], which CLIP was trained with."""


class IPAdapter(nn.Module):
    """IP-Adapter (Ye et al. 2023, arXiv:2308.06721) for the U-Nets of Stable Diffusion and SDXL, as diffusers has it.

    CLIP's embedding of the exemplar becomes tokens, to which layers that attend to the prompt attend too, by keys and
    values of their own. The negative prompt gets those of an embedding of zeros. Several exemplars stand side by side;
    masks of exemplars and regions say nothing here.

    To choose as the baseline that matches nothing.

    Args:
        file: weights, `.safetensors` with image_proj.* and ip_adapter.*, of the plain kind, such as
            `ip-adapter_sd15.safetensors`.
        encoder: a `CLIPVisionModelWithProjection` of transformers, or a folder of one.
        scale: how much of what the tokens give is added.
        first: share of the levels that are left alone before.
        last: share after which they are left alone again.

    Raises:
        ValueError: the file has other weights, there is no encoder, or an argument is not as it should be.
        CheckpointError: the file cannot be read.
    """

    own_weights = True
    """They are where the adapter is from, and not among those of a composition."""

    def __init__(self, file: Any, encoder: Any, scale: float = 1.0, first: float = 0.0, last: float = 1.0) -> None:
        super().__init__()
        check_share(first=first, last=last)
        limits.number(0, 100, False, scale=scale)
        self.scale, self.first, self.last = scale, first, last
        state = read_weights(Path(file))
        projection = {name.removeprefix("image_proj."): value for name, value in state.items() if "image_proj." in name}
        pairs = sorted({int(name.split(".")[1]) for name in state if name.startswith("ip_adapter.")})
        expected = {"proj.weight", "proj.bias", "norm.weight", "norm.bias"}
        if projection.keys() != expected or not pairs:
            raise ValueError(
                f"file: {file} has no image_proj.proj, image_proj.norm and ip_adapter.*, expected those alone"
            )
        self.proj, self.norm = _linear(projection, "proj"), nn.LayerNorm(len(projection["norm.weight"]))
        self.norm.load_state_dict({kind: projection[f"norm.{kind}"] for kind in ("weight", "bias")})
        kinds = ("to_k_ip", "to_v_ip")
        self.keys, self.values = (
            nn.ModuleList(_linear(state, f"ip_adapter.{pair}.{kind}") for pair in pairs) for kind in kinds
        )
        self.network = _encoder(encoder)
        self.requires_grad_(False).eval()

    def check(self, denoiser: Any) -> None:
        """Find out whether the network has layers for these keys and values.

        Raises:
            ValueError: it has not.
        """
        if type(getattr(denoiser, "network", None)).__name__ != "UNet2DConditionModel":
            raise ValueError(
                f"{type(denoiser).__name__} takes no IP-Adapter, the U-Net of Stable Diffusion or SDXL does"
            )
        modules = dict(denoiser.network.named_modules())
        theirs = [tuple(modules[name].to_k.weight.shape) for name in _layers(denoiser)]
        ours = [tuple(weight.shape) for weight in self.keys.parameters()]
        if theirs != ours:
            raise ValueError(
                f"the adapter has keys for {len(ours)} layers and the network {len(theirs)}, or of other widths"
            )

    def forward(
        self,
        denoiser: Any,
        x: Float[Tensor, "b c h w"],
        level: Level,
        context: Context,
        references: References,
        matching: LayerMatching,
    ) -> Float[Tensor, "b c h w"]:
        """x0 of a noisy latent, as the denoiser predicts it with the exemplar's tokens."""
        scale = self.scale * references.share
        if not (scale and self.first <= references.done < self.last):
            return denoiser(x, level, context)  # type: ignore[no-any-return]
        embeds = [self.embedded(picture) for picture in references.pictures]
        tokens = torch.cat([self.tokens(one) for one in embeds], 1)
        none = torch.cat([self.tokens(torch.zeros_like(one)) for one in embeds], 1)
        layers = _layers(denoiser)
        visitor = _Adapting(
            dict(zip(layers, zip(self.keys, self.values, strict=True), strict=True)), none, tokens, scale
        )
        with visited(denoiser.network, visitor, layers):
            return denoiser(x, level, context)  # type: ignore[no-any-return]

    def embedded(self, picture: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b d"]:
        """CLIP's embedding of pictures in [-1, 1]."""
        pixels = clip_pixels(picture, int(self.network.config.image_size))
        found: Tensor = self.network(rounded(pixels, self.network)).image_embeds
        return found

    def tokens(self, embeds: Float[Tensor, "b d"]) -> Float[Tensor, "b n c"]:
        """The words that an embedding is to the network."""
        wide = self.proj(embeds.to(self.proj.weight))
        found: Tensor = self.norm(wide.unflatten(-1, (-1, self.norm.weight.shape[0])))
        return found


class _Adapting(Visitor):
    """One pass: layers that attend to the prompt attend to the exemplar's tokens too."""

    def __init__(
        self, layers: Mapping[str, tuple[nn.Module, nn.Module]], none: Tensor, tokens: Tensor, scale: float
    ) -> None:
        self.layers, self.none, self.tokens, self.scale = layers, none, tokens, scale

    def attend(self, layer: str, attention: Attention) -> Float[Tensor, "b heads n d"]:
        """What the softmax over the prompt gives, and that over the tokens."""
        batch, heads = attention.query.shape[:2]
        tokens = self.tokens if batch == len(self.tokens) else torch.cat([self.none, self.tokens])
        key, value = (
            rearrange(project(tokens), "b n (k d) -> b k n d", k=heads).to(attention.query)
            for project in self.layers[layer]
        )
        return attention.attended() + self.scale * F.scaled_dot_product_attention(attention.query, key, value)


def clip_pixels(picture: Float[Tensor, "b 3 Y X"], side: int) -> Float[Tensor, "b 3 y x"]:
    """A picture in [-1, 1] as CLIP sees it: its middle, the shorter side brought to so many pixels."""
    height, width = picture.shape[-2:]
    size = tuple(max(side, side * one // min(height, width)) for one in (height, width))
    shown = F.interpolate(picture / 2 + 0.5, size, mode="bicubic", antialias=True).clamp(0, 1)
    top, left = ((one - side) // 2 for one in size)
    mean, deviation = (shown.new_tensor(one)[:, None, None] for one in (_MEAN, _DEVIATION))
    return (shown[..., top : top + side, left : left + side] - mean) / deviation


def _layers(denoiser: Any) -> Sequence[str]:
    """The layers that attend to the prompt, in the order in which diffusers counts them."""
    modules = denoiser.network.named_modules()
    return [name for name, module in modules if type(module).__name__ == "Attention" and name.endswith(".attn2")]


def _linear(state: Mapping[str, Tensor], name: str) -> nn.Linear:
    """A layer of these weights, with a bias where there is one."""
    weight, bias = state[f"{name}.weight"], state.get(f"{name}.bias")
    made = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    made.load_state_dict({"weight": weight} | ({} if bias is None else {"bias": bias}))
    return made


def _encoder(encoder: Any) -> Any:
    """An encoder as it is given, or out of a folder."""
    kind = "CLIPVisionModelWithProjection"
    if type(encoder).__name__ == kind:
        return encoder
    if importlib.util.find_spec("transformers") is None:
        raise ValueError(f"encoder: a {kind} is transformers': pip install 'midms[diffusion]'")
    if not isinstance(encoder, str | Path) or not Path(encoder, "config.json").is_file():
        given = encoder if isinstance(encoder, str | Path) else type(encoder).__name__
        raise ValueError(f"encoder must be a {kind} or a folder of one, with config.json, got {given}")
    return getattr(importlib.import_module("transformers"), kind).from_pretrained(
        encoder, local_files_only=True, use_safetensors=True
    )
