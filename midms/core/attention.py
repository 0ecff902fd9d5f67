"""Attention layers inside a network of diffusers: what they are given and weigh, seen and changed in a pass.

Nothing of the network is replaced: hooks see what a layer is given, and the call of PyTorch's
`scaled_dot_product_attention` inside of it is answered by somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_KINDS = ("Attention", "FluxAttention")
"""Classes of diffusers' attention layers."""
_TO_A_PROMPT = ".attn2"
"""How the names of those end that attend to a prompt alone, or, in Stable Diffusion 3.5, to the picture once more."""

_MANY = 12
"""Blocks that are named one by one before their lists are, as of a transformer's dozens."""


@dataclass(frozen=True)
class Attention:
    """What the softmax of an attention layer is to weigh.

    Attributes:
        query: of all tokens, as they go into the inner product.
        key: the same; of a prompt's tokens where it is attended to.
        value: as keys.
        rotary: cosines and sines [n d] by which query and key were turned for their places; None where they were not.
    """

    query: Float[Tensor, "b heads n d"]
    key: Float[Tensor, "b heads m d"]
    value: Float[Tensor, "b heads m d"]
    rotary: tuple[Tensor, Tensor] | None = None

    def attended(self) -> Float[Tensor, "b heads n d"]:
        """What the layer itself would make of it."""
        return F.scaled_dot_product_attention(self.query, self.key, self.value)


class Visitor:
    """Sees attention layers in a pass, and changes nothing; those who do inherit it."""

    def given(self, layer: str, module: Any, hidden: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """What a layer is given, after its own norm: tokens of the picture, and of the prompt in one stream."""
        return hidden

    def attend(self, layer: str, attention: Attention) -> Float[Tensor, "b heads n d"] | None:
        """What the softmax gives; None for what it would give by itself."""
        return None

    def result(self, module: str, output: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """What one of the other modules gives that are looked at."""
        return output


def self_attention(network: nn.Module, within: Sequence[str], argument: str = "layers") -> list[str]:
    """The names of a network's self-attention layers in some of its blocks, in their order.

    Args:
        network: of diffusers.
        within: what their names begin with, such as "up_blocks.1".
        argument: that says so, for the message.

    Raises:
        ValueError: there is none in one of these blocks.
    """
    known = [
        name
        for name, module in network.named_modules()
        if type(module).__name__ in _KINDS and not name.endswith(_TO_A_PROMPT)
    ]
    if idle := [block for block in within if not any(_is_in(name, block) for name in known)]:
        blocks = sorted({".".join(name.split(".")[:2]) for name in known})
        blocks = blocks if len(blocks) <= _MANY else sorted({name.split(".")[0] for name in known})
        raise ValueError(
            f"{argument}: the network has no self-attention in {', '.join(map(repr, idle))}, but in"
            f" {', '.join(blocks)}; give some of these, such as {argument}=({blocks[-1]!r},)"
        )
    return [name for name in known if any(_is_in(name, block) for block in within)]


def _is_in(name: str, block: str) -> bool:
    return f"{name}.".startswith(f"{block}.")


@contextmanager
def visited(
    network: nn.Module, visitor: Visitor, layers: Collection[str], results: Collection[str] = ()
) -> Iterator[None]:
    """For as long as it lasts, passes of a network are seen and changed by a visitor.

    Args:
        network: of diffusers.
        visitor: asked in each pass.
        layers: names of attention layers.
        results: names of modules whose result it is asked about.

    Raises:
        ValueError: a layer does not attend by `scaled_dot_product_attention`.
    """
    modules = dict(network.named_modules())
    asking = _Asking(visitor)
    hooks: list[Any] = []
    for name in layers:
        enter, leave = partial(asking.enter, name), partial(asking.leave, name)
        hooks.append(modules[name].register_forward_pre_hook(enter, with_kwargs=True))
        hooks.append(modules[name].register_forward_hook(leave))
        if (norm := _norm_of(modules[name])) is not None:
            hooks.append(norm.register_forward_hook(partial(asking.normalized, name, modules[name])))
    for name in results:
        hooks.append(modules[name].register_forward_hook(_changed(visitor, name)))
    try:
        with asking:
            yield
    finally:
        for hook in hooks:
            hook.remove()


def _norm_of(layer: Any) -> Any:
    """The norm inside of a layer, as those have it that are in no transformer."""
    return getattr(layer, "group_norm", None)


def _changed(visitor: Visitor, name: str) -> Callable[..., Tensor]:
    return lambda module, given, output: visitor.result(name, output)


class _Asking(TorchFunctionMode):
    """Answers the call of attention inside of the layer that a pass is in."""

    def __init__(self, visitor: Visitor) -> None:
        super().__init__()
        self.visitor = visitor
        self.inside: tuple[str, Any] | None = None

    def enter(self, name: str, module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        self.inside = name, named.get("image_rotary_emb")
        if _norm_of(module) is not None:
            return None
        if given:
            return (self.visitor.given(name, module, given[0]), *given[1:]), named
        hidden = self.visitor.given(name, module, named["hidden_states"])
        return given, named | {"hidden_states": hidden}

    def normalized(self, name: str, layer: Any, norm: Any, given: Any, output: Float[Tensor, "b d n"]) -> Tensor:
        return self.visitor.given(name, layer, output.mT).mT

    def leave(self, name: str, module: Any, given: Any, output: Any) -> None:
        if self.inside is not None:
            raise ValueError(f"{name} attends by its own means, expected by PyTorch's scaled_dot_product_attention")

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        if func is F.scaled_dot_product_attention and self.inside is not None:
            (name, rotary), self.inside = self.inside, None
            query, key, value = (*args, *(named[one] for one in ("query", "key", "value")[len(args) :]))[:3]
            answer = self.visitor.attend(name, Attention(query, key, value, rotary))
            if answer is not None:
                return answer
        return func(*args, **named)
