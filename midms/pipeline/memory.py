"""How much memory a translation will take, found out before it is made."""

from __future__ import annotations

import contextlib
import weakref
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from midms.core.types import Context
from midms.pipeline.pipeline import Pipeline

_LAYOUTS = 1.75
"""What convolutions on a CPU take, which lay their operands out anew, over what tensors do: 1.72 to 1.89 were measured
with the decoder of `midm-celeba` at 256 to 128 pixels."""
_SLICES = 2**24
"""Bytes of the slices in which a match is computed."""


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that are alive, and keeps the most that ever were."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage()) not in self.known:
                self.known[storage] = None
                self.now += storage.nbytes()
                weakref.finalize(storage, self._gone, storage.nbytes())
        self.most = max(self.most, self.now)
        return found

    def _gone(self, size: int) -> None:
        self.now -= size


@torch.no_grad()
def translation_memory(pipe: Pipeline, size: int, batch: int = 1) -> int | None:
    """Bytes that translating square pictures will take beside the weights, or None where a part does not tell.

    Parts are run on tensors of shapes alone, in the order of the loop, and what is alive is counted.

    Args:
        pipe: whose weights are loaded already.
        size: pixels a side.
        batch: how many are computed at once.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode  # 0.3 s

    live, k = LiveBytes(), pipe.condition.channels
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), live:
            picture, condition = torch.zeros(batch, 3, size, size), torch.zeros(batch, k, size, size)
            latent = pipe.autoencoder.encode(picture)
            query, key = pipe.features.condition(condition), pipe.features.exemplar(latent, condition)
            x0 = pipe.denoiser(latent, pipe.sampler.levels[0], Context(latent, condition, latent[:, :1]))
            again = pipe.features.rematch_query(x0, query)
            image = pipe.autoencoder.decode(x0)
            del key, again, image
    except RuntimeError:  # a part reads numbers
        return None
    return round(_LAYOUTS * live.most) + _SLICES


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free on a device, where the system tells."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    return None
