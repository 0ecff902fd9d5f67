"""How a composition computes what it computes: options that change its numbers by rounding alone.

    use_attention("xformers", *pipe.modules())
    use_channels_last(*pipe.modules())
    use_compiled(*pipe.modules())

For 3 x 3 convolutions on a CPU see `midms.diffusion.winograd`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from midms.core.errors import MidmsError
from midms.diffusion.lean import load_network, unheard
from midms.registry import unknown

PROCESSORS = {"sdpa": "AttnProcessor2_0", "xformers": "XFormersAttnProcessor", "eager": "AttnProcessor"}
"""Attentions by key, and the processor of diffusers that computes each: PyTorch's fused one, which is what networks
start with, that of xformers, or products and a softmax with the whole matrix in memory."""


class Unavailable(MidmsError, RuntimeError):
    """An option that cannot be had here; the message says why."""


def use_attention(name: str, *modules: nn.Module) -> None:
    """Let the attention of U-Nets and autoencoders of diffusers be computed in another way.

    Args:
        name: a key of `PROCESSORS`.
        *modules: are changed, where they attend; their parameters and the names of these stay.

    Raises:
        Unavailable: there is no such attention, it cannot run here, or nothing given attends.
    """
    if name not in PROCESSORS:
        raise Unavailable(unknown("attention", name, PROCESSORS))
    found = inside(modules, load_network("diffusers.models.attention_processor", "Attention"))
    if name == "xformers":
        for weight in {(w.device, w.dtype): w for inner in found for w in inner.to_q.parameters()}.values():
            _try_xformers(weight)
    for inner in found:
        inner.set_processor(load_network("diffusers.models.attention_processor", PROCESSORS[name])())


def use_channels_last(*modules: nn.Module) -> None:
    """Lay weights out channels last, as U-Nets are from the start: convolutions are often quicker so.

    Raises:
        Unavailable: no networks are given.
    """
    inside(modules, nn.Module)
    for module in modules:
        nn.Module.to(module, memory_format=torch.channels_last)


def use_compiled(*modules: nn.Module, backend: str | Callable[..., Any] = "inductor") -> None:
    """Compile the networks of denoisers with `torch.compile`, in place; the first call takes a minute or so.

    Args:
        *modules: those with a network of diffusers that is called are changed.
        backend: of `torch.compile`.

    Raises:
        Unavailable: nothing given has such a network.
    """
    for inner in inside(modules, load_network("diffusers.models.unets.unet_2d", "UNet2DModel")):
        inner.compile(backend=backend)


def inside(modules: Sequence[nn.Module], kind: type) -> list[Any]:
    """What is of a kind in some networks.

    Args:
        modules: the networks.
        kind: what is looked for.

    Raises:
        Unavailable: they are no networks, or there is none in them.
    """
    strange = [type(module).__name__ for module in modules if not isinstance(module, nn.Module)]
    if strange:
        raise Unavailable(f"expected networks, got {', '.join(strange)}; those of a composition are *pipe.modules()")
    found = [inner for module in modules for inner in module.modules() if isinstance(inner, kind)]
    if not found:
        given = ", ".join(type(module).__name__ for module in modules) or "no networks"
        raise Unavailable(f"nothing to change: no {kind.__name__} of {kind.__module__.split('.')[0]} in {given}")
    return found


def _try_xformers(like: torch.Tensor) -> None:
    try:
        with unheard("xformers"):
            from xformers.ops import memory_efficient_attention
    except ImportError as error:
        raise Unavailable(f"attention 'xformers': {error}; pip install 'midms[gpu]'") from None
    token = torch.zeros(1, 8, 1, 16, device=like.device, dtype=like.dtype)
    try:
        memory_efficient_attention(token, token, token)
    except (NotImplementedError, RuntimeError, ValueError) as error:
        reasons = "; ".join(line.strip() for line in str(error).splitlines()[:12] if line.strip())
        raise Unavailable(f"attention 'xformers' has nothing for {like.dtype} on {like.device}: {reasons}") from None
