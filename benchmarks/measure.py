"""Time, memory and inputs of a measurement."""

from __future__ import annotations

import ctypes
import gc
import re
import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

MIB = 1 << 20


class Inputs(NamedTuple):
    """What a match starts from: features as they come, not yet of unit length, and the exemplar's values."""

    q: Float[Tensor, "b d h w"]
    k: Float[Tensor, "b d H W"]
    values: Float[Tensor, "b c H W"]


def inputs(
    features: str, side: int, batch: int = 1, width: int = 256, values: int = 20, seed: int = 0, device: str = "cpu"
) -> Inputs:
    """Features of a square grid, and smooth values: 4 of a latent, the rest one-hot labels.

    Args:
        features: "random" directions, or "smooth" ones that vary slowly over the grid and are displaced by a few cells.
        side: of the grid.
        batch: how many matches.
        width: of the features.
        values: how many values, more than 4.
        seed: of everything.
        device: where they are.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(channels: int, cells: int) -> Tensor:
        return torch.randn(batch, channels, cells, cells, generator=generator)

    if features == "random":
        q, k = noise(width, side), noise(width, side)
    else:
        coarse = F.interpolate(noise(width, max(side // 4, 2)), (side, side), mode="bicubic")
        q, k = coarse + 0.1 * noise(width, side), coarse.roll(side // 12, -1) + 0.1 * noise(width, side)
    fields = F.interpolate(noise(values, max(side // 8, 2)), (side, side), mode="bicubic")
    labels = F.one_hot(fields[:, 4:].argmax(1), values - 4).permute(0, 3, 1, 2)
    return Inputs(q.to(device), k.to(device), torch.cat([fields[:, :4], labels.to(fields)], 1).to(device))


def seconds(run: Callable[[], object], budget: float = 5.0, most: int = 20) -> float:
    """On a CPU, the median of as many runs as the budget allows, at least one; the caller has warmed up."""
    times: list[float] = []
    while not times or (len(times) < most and sum(times) + times[-1] < budget):
        times.append(_seconds(run))
    return statistics.median(times)


def one_run(run: Callable[[], object], device: str) -> tuple[int, float]:
    """Bytes at its peak beyond those held before it, of the process on a CPU, of the allocator on a GPU; seconds."""
    gc.collect()
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        took = _seconds(run, device)
        return torch.cuda.max_memory_allocated() - before, took
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before = resident("VmRSS")
    took = _seconds(run)
    return resident("VmHWM") - before, took


def _seconds(run: Callable[[], object], device: str = "cpu") -> float:
    start = time.perf_counter()
    run()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def resident(kind: str) -> int:
    """Bytes of memory of this process, VmRSS now or VmHWM at the peak."""
    found = re.search(rf"{kind}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def versions(*packages: str) -> dict[str, str]:
    """Of those that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
