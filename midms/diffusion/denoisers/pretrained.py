"""Networks of diffusers by the settings of their checkpoints."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from typing import Any

TRANSFORMER_SIZES = ("num_layers", "num_attention_heads", "attention_head_dim", "joint_attention_dim")
"""Settings that a transformer's size follows from."""


def network_of(network: Callable[..., Any], config: Mapping[str, Any], sizes: tuple[str, ...]) -> Any:
    """A network with these settings, its weights at random.

    Args:
        network: its class.
        config: settings by the names of the class.
        sizes: those that must be there: without them the class makes the published network of billions of weights.

    Raises:
        ValueError: the settings are no mapping, or one of the sizes is missing.
    """
    if not isinstance(config, Mapping):
        raise ValueError(f"config must be the network's settings by name, got {reprlib.repr(config)}")
    if missing := [name for name in sizes if name not in config]:
        raise ValueError(f"config lacks {', '.join(missing)}, which the network's size follows from")
    return network(**config)
