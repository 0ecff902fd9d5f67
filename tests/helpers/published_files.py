"""Networks of diffusers under the names and in the layout in which whoever trained such models published them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

State = dict[str, Tensor]
RESIDUAL = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0"}
RESIDUAL |= {"conv2": "out_layers.3", "conv_shortcut": "skip_connection"}


def under(prefix: str, module: nn.Module, renamed: dict[str, str] | None = None) -> State:
    """The weights of a module, the first part of each name exchanged."""
    found = {}
    for name, value in module.state_dict().items():
        first, _, rest = name.partition(".")
        found[f"{prefix}.{(renamed or {}).get(first, first)}.{rest}".rstrip(".")] = value
    return found


def unet(net: Any) -> State:
    """CompVis' U-Net."""
    found = under("time_embed", net.time_embedding, {"linear_1": "0", "linear_2": "2"})
    if getattr(net, "add_embedding", None) is not None:
        found |= under("label_emb.0", net.add_embedding, {"linear_1": "0", "linear_2": "2"})
    found |= under("input_blocks.0.0", net.conv_in) | under("out.0", net.conv_norm_out) | under("out.2", net.conv_out)
    at = 1
    for block in net.down_blocks:
        for number, residual in enumerate(block.resnets):
            found |= under(f"input_blocks.{at}.0", residual, RESIDUAL)
            if hasattr(block, "attentions"):
                found |= under(f"input_blocks.{at}.1", block.attentions[number])
            at += 1
        for down in block.downsamplers or ():
            found |= under(f"input_blocks.{at}.0.op", down.conv)
            at += 1
    for place, module in ((0, net.mid_block.resnets[0]), (2, net.mid_block.resnets[1])):
        found |= under(f"middle_block.{place}", module, RESIDUAL)
    found |= under("middle_block.1", net.mid_block.attentions[0])
    at = 0
    for block in net.up_blocks:
        for number, residual in enumerate(block.resnets):
            found |= under(f"output_blocks.{at}.0", residual, RESIDUAL)
            inner = 1
            if hasattr(block, "attentions"):
                found |= under(f"output_blocks.{at}.1", block.attentions[number])
                inner = 2
            if number == len(block.resnets) - 1:
                for up in block.upsamplers or ():
                    found |= under(f"output_blocks.{at}.{inner}.conv", up.conv)
            at += 1
    return found


def vae(net: Any) -> State:
    """CompVis' autoencoder."""
    found: State = {}
    shortcut = {"conv_shortcut": "nin_shortcut"}
    for side in ("encoder", "decoder"):
        half = getattr(net, side)
        found |= under(f"{side}.conv_in", half.conv_in) | under(f"{side}.norm_out", half.conv_norm_out)
        found |= under(f"{side}.conv_out", half.conv_out)
        for number, residual in enumerate(half.mid_block.resnets):
            found |= under(f"{side}.mid.block_{number + 1}", residual, shortcut)
        for name, value in half.mid_block.attentions[0].state_dict().items():
            theirs = name.replace("group_norm", "norm").replace("to_out.0", "proj_out").removeprefix("to_")
            matrix = value.ndim == 2  # which is a convolution there
            found[f"{side}.mid.attn_1.{theirs}"] = value[:, :, None, None] if matrix else value
    for level, block in enumerate(net.encoder.down_blocks):
        for number, residual in enumerate(block.resnets):
            found |= under(f"encoder.down.{level}.block.{number}", residual, shortcut)
        for down in block.downsamplers or ():
            found |= under(f"encoder.down.{level}.downsample.conv", down.conv)
    for level, block in enumerate(reversed(net.decoder.up_blocks)):
        for number, residual in enumerate(block.resnets):
            found |= under(f"decoder.up.{level}.block.{number}", residual, shortcut)
        for up in block.upsamplers or ():
            found |= under(f"decoder.up.{level}.upsample.conv", up.conv)
    for name in ("quant_conv", "post_quant_conv"):
        if getattr(net, name) is not None:
            found |= under(name, getattr(net, name))
    return found


def clip(model: Any) -> State:
    """As transformers had CLIP before its names became shorter."""
    names = {name: name.removeprefix("text_model.") for name in model.state_dict()}
    return {
        bare if bare.startswith("text_projection") else f"text_model.{bare}": model.state_dict()[name]
        for name, bare in names.items()
    }


def open_clip(model: Any) -> State:
    """OpenCLIP's transformer."""
    own = {name.removeprefix("text_model."): value for name, value in model.state_dict().items()}
    found = {
        "token_embedding.weight": own["embeddings.token_embedding.weight"],
        "positional_embedding": own["embeddings.position_embedding.weight"],
        "ln_final.weight": own["final_layer_norm.weight"],
        "ln_final.bias": own["final_layer_norm.bias"],
    }
    if "text_projection.weight" in own:
        found["text_projection"] = own["text_projection.weight"].T
    for number in range(model.config.num_hidden_layers):
        ours, theirs = f"encoder.layers.{number}.", f"transformer.resblocks.{number}."
        for kind in ("weight", "bias"):
            rows = [own[f"{ours}self_attn.{letter}_proj.{kind}"] for letter in "qkv"]
            found[f"{theirs}attn.in_proj_{kind}"] = torch.cat(rows)
            found[f"{theirs}attn.out_proj.{kind}"] = own[f"{ours}self_attn.out_proj.{kind}"]
            for one, other in (("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("mlp.fc1", "mlp.c_fc")):
                found[f"{theirs}{other}.{kind}"] = own[f"{ours}{one}.{kind}"]
            found[f"{theirs}mlp.c_proj.{kind}"] = own[f"{ours}mlp.fc2.{kind}"]
    return found


def turned(linear: nn.Linear) -> State:
    """Shift before scale."""
    return {name: torch.cat([*value.chunk(2)][::-1]) for name, value in linear.state_dict().items()}


def stream(attention: Any, into: tuple[str, str, str]) -> State:
    """Queries, keys and values of one stream as one matrix, by the names of the three in diffusers."""
    parts = [getattr(attention, name) for name in into]
    return {f"qkv.{kind}": torch.cat([getattr(part, kind) for part in parts]) for kind in ("weight", "bias")}


OWN, WORDS = ("to_q", "to_k", "to_v"), ("add_q_proj", "add_k_proj", "add_v_proj")


def sd3(net: Any) -> State:
    """Stability's MMDiT."""
    found = {"pos_embed": net.pos_embed.pos_embed} | under("x_embedder.proj", net.pos_embed.proj)
    times = net.time_text_embed
    layers = {"linear_1": "0", "linear_2": "2"}
    found |= under("t_embedder.mlp", times.timestep_embedder, layers)
    found |= under("y_embedder.mlp", times.text_embedder, layers)
    found |= under("context_embedder", net.context_embedder) | under("final_layer.linear", net.proj_out)
    final = turned(net.norm_out.linear)
    found |= {f"final_layer.adaLN_modulation.1.{name}": value for name, value in final.items()}
    for number, block in enumerate(net.transformer_blocks):
        own, words = f"joint_blocks.{number}.x_block", f"joint_blocks.{number}.context_block"
        attention, last = block.attn, block.context_pre_only
        for place, into, norm in ((own, OWN, "norm_{}"), (words, WORDS, "norm_added_{}")):
            found |= {f"{place}.attn.{name}": value for name, value in stream(attention, into).items()}
            found |= {f"{place}.attn.ln_{one}.weight": getattr(attention, norm.format(one)).weight for one in "qk"}
        if block.use_dual_attention:
            found |= {f"{own}.attn2.{name}": value for name, value in stream(block.attn2, OWN).items()}
            found |= {f"{own}.attn2.ln_{one}.weight": getattr(block.attn2, f"norm_{one}").weight for one in "qk"}
            found |= under(f"{own}.attn2.proj", block.attn2.to_out[0])
        found |= under(f"{own}.attn.proj", attention.to_out[0]) | under(f"{own}.mlp.fc1", block.ff.net[0].proj)
        found |= under(f"{own}.mlp.fc2", block.ff.net[2]) | under(f"{own}.adaLN_modulation.1", block.norm1.linear)
        modulation = turned(block.norm1_context.linear) if last else block.norm1_context.linear.state_dict()
        found |= {f"{words}.adaLN_modulation.1.{name}": value for name, value in modulation.items()}
        if not last:
            found |= under(f"{words}.attn.proj", attention.to_add_out)
            found |= under(f"{words}.mlp.fc1", block.ff_context.net[0].proj)
            found |= under(f"{words}.mlp.fc2", block.ff_context.net[2])
    return found


def flux(net: Any) -> State:
    """Black Forest Labs' Flux."""
    layers = {"linear_1": "in_layer", "linear_2": "out_layer"}
    times = net.time_text_embed
    found = under("time_in", times.timestep_embedder, layers) | under("vector_in", times.text_embedder, layers)
    found |= under("guidance_in", times.guidance_embedder, layers) | under("txt_in", net.context_embedder)
    found |= under("img_in", net.x_embedder) | under("final_layer.linear", net.proj_out)
    final = turned(net.norm_out.linear)
    found |= {f"final_layer.adaLN_modulation.1.{name}": value for name, value in final.items()}
    for number, block in enumerate(net.transformer_blocks):
        for place, into, norms, out, mlp, norm in (
            ("img", OWN, ("norm_q", "norm_k"), block.attn.to_out[0], block.ff, block.norm1),
            (
                "txt",
                WORDS,
                ("norm_added_q", "norm_added_k"),
                block.attn.to_add_out,
                block.ff_context,
                block.norm1_context,
            ),
        ):
            at = f"double_blocks.{number}.{place}"
            found |= {f"{at}_attn.{name}": value for name, value in stream(block.attn, into).items()}
            for kind, name in zip(("query", "key"), norms, strict=True):
                found[f"{at}_attn.norm.{kind}_norm.scale"] = getattr(block.attn, name).weight
            found |= under(f"{at}_attn.proj", out) | under(f"{at}_mod.lin", norm.linear)
            found |= under(f"{at}_mlp.0", mlp.net[0].proj) | under(f"{at}_mlp.2", mlp.net[2])
    for number, block in enumerate(net.single_transformer_blocks):
        at = f"single_blocks.{number}"
        parts = [*(getattr(block.attn, name) for name in OWN), block.proj_mlp]
        for kind in ("weight", "bias"):
            found[f"{at}.linear1.{kind}"] = torch.cat([getattr(part, kind) for part in parts])
        for kind, name in (("query", "norm_q"), ("key", "norm_k")):
            found[f"{at}.norm.{kind}_norm.scale"] = getattr(block.attn, name).weight
        found |= under(f"{at}.linear2", block.proj_out) | under(f"{at}.modulation.lin", block.norm.linear)
    return found


def published(family: str, pipe: Any) -> State:
    """A whole pipeline as a single file has it: all that is in the published one of its family.

    Args:
        family: one of `diffusion_families.FAMILIES`.
        pipe: the pipeline.
    """
    if family == "flux":
        return flux(pipe.transformer)
    network = sd3(pipe.transformer) if family == "sd3" else unet(pipe.unet)
    encoders = {
        "sd1": [("cond_stage_model.transformer.", clip, "text_encoder")],
        "sd2": [("cond_stage_model.model.", open_clip, "text_encoder")],
        "sdxl": [
            ("conditioner.embedders.0.transformer.", clip, "text_encoder"),
            ("conditioner.embedders.1.model.", open_clip, "text_encoder_2"),
        ],
        "sd3": [
            ("text_encoders.clip_l.transformer.", clip, "text_encoder"),
            ("text_encoders.clip_g.transformer.", clip, "text_encoder_2"),
            ("text_encoders.t5xxl.transformer.", lambda model: dict(model.state_dict()), "text_encoder_3"),
        ],
    }[family]
    found = {f"model.diffusion_model.{name}": value for name, value in network.items()}
    found |= {f"first_stage_model.{name}": value for name, value in vae(pipe.vae).items()}
    for prefix, named, part in encoders:
        found |= {prefix + name: value for name, value in named(getattr(pipe, part)).items()}
    return found


def write(state: State, path: Path) -> Path:
    """As safetensors, without tensors that share memory."""
    save_file({name: value.detach().clone().contiguous() for name, value in state.items()}, path)
    return path
