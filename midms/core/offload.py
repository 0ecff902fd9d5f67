"""Where networks compute: weights may wait in the memory of the machine until they are needed on a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

OFFLOADS = ("model", "sequential")
"""Ways of offloading, as diffusers' `enable_model_cpu_offload` and `enable_sequential_cpu_offload` have them: a network
comes to the GPU when it is called and goes when another one is; or each of its layers does, by itself."""


def device_of(network: nn.Module) -> torch.device:
    """Where a network computes, wherever its weights wait; the CPU for one without weights."""
    for module in network.modules():
        device = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
        if device is not None:
            return torch.device(device)
    first = next(iter([*network.parameters(), *network.buffers()]), None)
    return torch.device("cpu") if first is None else first.device


def offload(parts: Sequence[nn.Module], how: str, device: str | torch.device) -> None:
    """Let networks inside of parts wait in the memory of the machine, by accelerate's hooks.

    What of a part is outside of its `network`, such as embedded prompts, is small and stays on the device.

    Args:
        parts: are changed.
        how: one of `OFFLOADS`.
        device: on which they compute.

    Raises:
        ValueError: there is no such way.
    """
    if how not in OFFLOADS:
        raise ValueError(f"how must be one of {', '.join(OFFLOADS)}, got {how!r}")
    from accelerate import cpu_offload, cpu_offload_with_hook

    device = torch.device(device)
    hooks: list[Any] = []
    for part in parts:
        network = getattr(part, "network", None)
        if not isinstance(network, nn.Module):
            part.to(device)
            continue
        for other in part.children():
            other.to("cpu" if other is network else device)
        if how == "sequential":
            cpu_offload(network, device, offload_buffers=bool(network._parameters))
        else:
            hooks.append(cpu_offload_with_hook(network, device, hooks[-1] if hooks else None)[1])
    if len(hooks) > 1:
        hooks[0].hook.prev_module_hook = hooks[-1]  # round and round, for the loop begins and ends with the autoencoder
