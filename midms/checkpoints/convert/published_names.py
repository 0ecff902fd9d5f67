"""What parameters of text-to-image models are called in single files, as whoever trained them published them.

As `names`: from our name to theirs. The U-Nets and autoencoders of Stable Diffusion are CompVis'.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from midms.checkpoints.convert.names import Origin

_STREAMS = {
    "x_block": ("to_{}", "norm_{}", "to_out.0"),
    "context_block": ("add_{}_proj", "norm_added_{}", "to_add_out"),
}
"""Of a block of two streams in Stable Diffusion 3: projections, their norms, and the way out."""
_EMBEDDERS = {"linear_1": "0", "linear_2": "2"}
_FLUX_PARTS = {"linear_1": "in_layer", "linear_2": "out_layer"}
_FLUX_OUTER = {
    "context_embedder": "txt_in",
    "x_embedder": "img_in",
    "proj_out": "final_layer.linear",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
    **{
        f"time_text_embed.{ours}_embedder.{layer}": f"{theirs}_in.{inner}"
        for ours, theirs in (("timestep", "time"), ("text", "vector"), ("guidance", "guidance"))
        for layer, inner in _FLUX_PARTS.items()
    },
}
_SD3_OUTER = {
    "pos_embed.proj": "x_embedder.proj",
    "context_embedder": "context_embedder",
    "proj_out": "final_layer.linear",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
    **{
        f"time_text_embed.{ours}_embedder.{layer}": f"{theirs}_embedder.mlp.{inner}"
        for ours, theirs in (("timestep", "t"), ("text", "y"))
        for layer, inner in _EMBEDDERS.items()
    },
}
_OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def sd3(names: Iterable[str]) -> dict[str, Origin]:
    """Origins in Stability's `MMDiT` of the parameters of diffusers' `SD3Transformer2DModel`.

    Shift comes before scale there where a stream ends: at the output, and in the last block for the prompt.
    """
    names = [*names]
    going_on = {name.split(".")[1] for name in names if ".to_add_out." in name}
    found = {}
    for name in names:
        stem, _, kind = name.rpartition(".")
        if name == "pos_embed.pos_embed":
            found[name] = Origin("pos_embed")
        elif stem in _SD3_OUTER:
            found[name] = Origin(f"{_SD3_OUTER[stem]}.{kind}", _swapped if stem == "norm_out.linear" else Origin.take)
        else:
            _, block, *inside = stem.split(".")
            found[name] = _sd3_block(f"joint_blocks.{block}", ".".join(inside), kind, block not in going_on)
    return found


def _sd3_block(block: str, inside: str, kind: str, last: bool) -> Origin:
    if inside in ("norm1.linear", "norm1_context.linear"):
        stream = "context_block" if "context" in inside else "x_block"
        swap = last and stream == "context_block"
        return Origin(f"{block}.{stream}.adaLN_modulation.1.{kind}", _swapped if swap else Origin.take)
    if inside.startswith("ff"):
        stream = "context_block" if inside.startswith("ff_context") else "x_block"
        return Origin(f"{block}.{stream}.mlp.{'fc1' if inside.endswith('proj') else 'fc2'}.{kind}")
    attention, _, inner = inside.partition(".")
    for stream, (projection, norm, out) in _STREAMS.items():
        if inner == out:
            return Origin(f"{block}.{stream}.{attention}.proj.{kind}")
        for i, letter in enumerate("qkv"):
            if inner == projection.format(letter):
                return Origin(f"{block}.{stream}.{attention}.qkv.{kind}", _rows(i, 3))
            if inner == norm.format(letter):
                return Origin(f"{block}.{stream}.{attention}.ln_{letter}.{kind}")
    return Origin(f"{block}.{inside}.{kind}")


def flux(names: Iterable[str]) -> dict[str, Origin]:
    """Origins in Black Forest Labs' `Flux` of the parameters of diffusers' `FluxTransformer2DModel`."""
    found = {}
    for name in names:
        stem, _, kind = name.rpartition(".")
        if stem in _FLUX_OUTER:
            found[name] = Origin(f"{_FLUX_OUTER[stem]}.{kind}", _swapped if stem == "norm_out.linear" else Origin.take)
            continue
        blocks, number, *inside = stem.split(".")
        block, inner = f"{'single' if 'single' in blocks else 'double'}_blocks.{number}", ".".join(inside)
        found[name] = _flux_single(block, inner, kind) if "single" in blocks else _flux_double(block, inner, kind)
    return found


def _flux_single(block: str, inside: str, kind: str) -> Origin:
    if inside == "norm.linear":
        return Origin(f"{block}.modulation.lin.{kind}")
    if inside in ("attn.norm_q", "attn.norm_k"):
        return Origin(f"{block}.norm.{'query' if inside.endswith('q') else 'key'}_norm.scale")
    if inside == "proj_out":
        return Origin(f"{block}.linear2.{kind}")
    # queries, keys and values, each as wide as the block, then the hidden layer of its perceptron, which is the rest
    if inside == "proj_mlp":
        return Origin(f"{block}.linear1.{kind}", lambda tensor: tensor[3 * len(tensor) // _FLUX_ROWS :])
    part = "qkv".index(inside[-1])
    return Origin(
        f"{block}.linear1.{kind}",
        lambda tensor: tensor[part * len(tensor) // _FLUX_ROWS : (part + 1) * len(tensor) // _FLUX_ROWS],
    )


_FLUX_ROWS = 7
"""Three for attention, four for the perceptron."""


def _flux_double(block: str, inside: str, kind: str) -> Origin:
    if inside in ("norm1.linear", "norm1_context.linear"):
        return Origin(f"{block}.{'txt' if 'context' in inside else 'img'}_mod.lin.{kind}")
    if inside.startswith("ff"):
        stream = "txt" if inside.startswith("ff_context") else "img"
        return Origin(f"{block}.{stream}_mlp.{'0' if inside.endswith('proj') else '2'}.{kind}")
    inner = inside.removeprefix("attn.")
    for stream, (projection, norm, out) in zip(("img", "txt"), _STREAMS.values(), strict=True):
        if inner == out:
            return Origin(f"{block}.{stream}_attn.proj.{kind}")
        for i, letter in enumerate("qkv"):
            if inner == projection.format(letter):
                return Origin(f"{block}.{stream}_attn.qkv.{kind}", _rows(i, 3))
            if inner == norm.format(letter):
                return Origin(f"{block}.{stream}_attn.norm.{'query' if letter == 'q' else 'key'}_norm.scale")
    return Origin(f"{block}.{inside}.{kind}")


def clip(names: Iterable[str]) -> dict[str, Origin]:
    """Origins of the parameters of transformers' text encoders where they are as in transformers."""
    names = [*names]
    inner = any(".layers." in name for name in names)  # CLIP's, which some versions of transformers call otherwise
    return {
        name: Origin(f"text_model.{name}" if inner and not name.startswith(("text_model.", "text_proj")) else name)
        for name in names
    }


def open_clip(names: Iterable[str]) -> dict[str, Origin]:
    """Origins in OpenCLIP of the parameters of transformers' `CLIPTextModel`, and of that with a projection."""
    return {name: _open_clip(name.removeprefix("text_model.")) for name in names}


def _open_clip(name: str) -> Origin:
    outer = {
        "embeddings.token_embedding.weight": "token_embedding.weight",
        "embeddings.position_embedding.weight": "positional_embedding",
        "final_layer_norm.weight": "ln_final.weight",
        "final_layer_norm.bias": "ln_final.bias",
    }
    if name in outer:
        return Origin(outer[name])
    if name == "text_projection.weight":
        return Origin("text_projection", lambda tensor: tensor.T.contiguous())
    found = re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", name)
    if found is None:
        return Origin(name)
    block = f"transformer.resblocks.{found[1]}"
    if projection := re.fullmatch(r"self_attn\.([qkv])_proj", found[2]):
        return Origin(f"{block}.attn.in_proj_{found[3]}", _rows("qkv".index(projection[1]), 3))
    return Origin(f"{block}.{_OPEN_CLIP.get(found[2], found[2])}.{found[3]}")


WITHOUT_PROJECTION = "text_encoders.clip_l.transformer."
"""What the names begin with of an encoder whose projection, where it is not there, changes nothing."""
ENCODER_PLACES: Mapping[str, tuple[tuple[str, Callable[[Iterable[str]], dict[str, Origin]]], ...]] = {
    "text_encoder": (
        ("cond_stage_model.transformer.", clip),
        ("cond_stage_model.model.", open_clip),
        ("conditioner.embedders.0.transformer.", clip),
        (WITHOUT_PROJECTION, clip),
    ),
    "text_encoder_2": (
        ("conditioner.embedders.1.model.", open_clip),
        ("text_encoders.clip_g.transformer.", clip),
    ),
    "text_encoder_3": (("text_encoders.t5xxl.transformer.", clip),),
}
"""What the names of text encoders begin with in single files, and what they are called after that."""


def _rows(part: int, parts: int) -> Callable[[Tensor], Tensor]:
    """One of so many equal blocks of rows."""

    def take(tensor: Tensor) -> Tensor:
        rows = len(tensor) // parts
        return tensor[part * rows : (part + 1) * rows]

    return take


def _swapped(tensor: Tensor) -> Tensor:
    """Scale, then shift, where theirs are the other way round."""
    return torch.cat([*reversed(tensor.chunk(2))])
