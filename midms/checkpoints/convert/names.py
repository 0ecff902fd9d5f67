"""What our parts' parameters are called elsewhere, and how they are laid out there.

Each function goes from our name to theirs, so that whatever is missing or left over can be named as it is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Origin:
    """Where a parameter comes from.

    Attributes:
        name: in the checkpoint.
        take: the parameter out of that tensor, given its own shape.
    """

    name: str
    take: Callable[[Tensor], Tensor] = lambda tensor: tensor


RESIDUAL = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
OUTER = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
ATTENTION = {"group_norm": "norm", "to_out.0": "proj_out"}
QUERY_KEY_VALUE = ("to_q", "to_k", "to_v")
OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
"""diffusers' own names before its version 0.17, which files on the hub still have."""


def unet(names: Iterable[str], layers: int, heads: Callable[[int], int]) -> dict[str, Origin]:
    """Origins in CompVis' `UNetModel` of the parameters of diffusers' `UNet2DModel` and `UNet2DConditionModel`.

    CompVis has one convolution for queries, keys and values, its rows sorted by head first.

    Args:
        names: of the parameters.
        layers: residual blocks a level.
        heads: how many attention has at a width.
    """
    names = list(names)
    attending = {name.split(".")[1] for name in names if re.match(r"up_blocks\.\d+\.attentions", name)}
    found = {}
    for name in names:
        stem, _, kind = name.rpartition(".")
        if stem in OUTER:
            found[name] = Origin(f"{OUTER[stem]}.{kind}")
            continue
        block, inside = _block(stem, layers, attending)
        part = next((i for i, projection in enumerate(QUERY_KEY_VALUE) if inside == projection), None)
        if part is not None:
            found[name] = Origin(f"{block}.qkv.{kind}", _third(part, heads))
        else:
            inner = RESIDUAL.get(inside) or ATTENTION.get(inside) or inside
            found[name] = Origin(f"{block}.{inner}.{kind}", _squeezed if inside == "to_out.0" else Origin.take)
    return found


def _block(stem: str, layers: int, attending: set[str]) -> tuple[str, str]:
    """CompVis' name of the block that a parameter is in, and what is left of ours."""
    side, *rest = stem.split(".")
    if side == "mid_block":
        kind, index, *inside = rest
        return f"middle_block.{1 if kind == 'attentions' else 2 * int(index)}", ".".join(inside)
    level, kind, index, *inside = rest
    resampling = kind.endswith("samplers")
    if side == "down_blocks":
        position = 1 + int(level) * (layers + 1) + (layers if resampling else int(index))
        place = int(kind == "attentions")
    else:
        position = int(level) * (layers + 1) + (layers if resampling else int(index))
        place = 1 + (level in attending) if resampling else int(kind == "attentions")
    inner = ".".join(inside)
    if side == "down_blocks" and inner == "conv":
        inner = "op"
    return f"{'in' if side == 'down_blocks' else 'out'}put_blocks.{position}.{place}", inner


def _third(part: int, heads: Callable[[int], int]) -> Callable[[Tensor], Tensor]:
    """Queries, keys or values out of all three."""

    def take(tensor: Tensor) -> Tensor:
        width = len(tensor) // 3
        by_head = tensor.reshape(heads(width), 3, -1, *tensor.shape[1:])
        return _squeezed(by_head[:, part].reshape(width, *tensor.shape[1:]))

    return take


def _squeezed(tensor: Tensor) -> Tensor:
    """A convolution of one cell as a matrix."""
    return tensor.flatten(1) if tensor.ndim > 1 else tensor


def first_stage(names: Iterable[str], levels: int) -> dict[str, Origin]:
    """Origins in CompVis' first stages of the parameters of diffusers' `VQModel` and `AutoencoderKL`.

    Args:
        names: of the parameters.
        levels: resolutions; the decoder's are counted the other way round.
    """
    return {name: _stage_origin(name, levels) for name in names}


def _stage_origin(name: str, levels: int) -> Origin:
    theirs = re.sub(r"encoder\.down_blocks\.(\d+)\.resnets\.", r"encoder.down.\1.block.", name)
    theirs = re.sub(r"encoder\.down_blocks\.(\d+)\.downsamplers\.0\.", r"encoder.down.\1.downsample.", theirs)
    theirs = re.sub(
        r"decoder\.up_blocks\.(\d+)\.(resnets\.|upsamplers\.0\.)",
        lambda m: f"decoder.up.{levels - 1 - int(m[1])}.{'block.' if m[2] == 'resnets.' else 'upsample.'}",
        theirs,
    )
    theirs = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", theirs)
    theirs = theirs.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    if "mid_block.attentions.0" not in theirs:
        return Origin(theirs)
    theirs = theirs.replace("mid_block.attentions.0", "mid.attn_1").replace("group_norm", "norm")
    theirs = re.sub(r"to_([qkv])", r"\1", theirs).replace("to_out.0", "proj_out")
    return Origin(theirs, _squeezed)


def diffusers(names: Iterable[str], present: Iterable[str]) -> dict[str, Origin]:
    """Origins in a file of diffusers, whose attention may have the names of its older versions."""
    here = set(present)
    found = {}
    for name in names:
        old = name
        for new, was in OLD_ATTENTION.items():
            old = re.sub(rf"(attentions\.\d+)\.{re.escape(new)}\.", rf"\1.{was}.", old)
        found[name] = Origin(
            name if name in here or old not in here else old, _squeezed if old != name else Origin.take
        )
    return found


def matching(names: Iterable[str]) -> dict[str, Origin]:
    """Origins in the released MIDMs of `MidmFeatures`' parameters; spectral norm is PyTorch's older one there."""
    older = {"original": "weight_orig", "0._u": "weight_u", "0._v": "weight_v"}
    found = {}
    for name in names:
        stem, parametrized, kind = name.partition("parametrizations.weight.")
        found[name] = Origin(stem + older[kind] if parametrized else name)
    return found
