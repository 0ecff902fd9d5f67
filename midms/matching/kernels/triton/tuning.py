"""Tiles found by trying, where one asks for it: MIDMS_AUTOTUNE=1. The shipped table needs no trying."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace

import torch
import triton
from triton.errors import TritonError

from midms.matching.kernels.triton.configs import Tile

_FOUND: dict[Hashable, Tile] = {}


def tuned(key: Hashable, tile: Tile, device: torch.device, run: Callable[[Tile], object]) -> Tile:
    """The tile as it is, or where tuning is on the quickest of those like it, tried once for each key in a process.

    Args:
        key: what decides how quick a tile is.
        tile: the shipped one.
        device: where it runs.
        run: the launch with a tile.
    """
    if os.environ.get("MIDMS_AUTOTUNE") != "1":
        return tile
    if (key, tile) not in _FOUND:
        _FOUND[key, tile] = min(alike(tile), key=lambda other: seconds(other, device, run))
    return _FOUND[key, tile]


def alike(tile: Tile) -> Iterator[Tile]:
    """Itself, then with another pipeline, and with half or twice the rows or columns."""
    yield tile
    yield replace(tile, stages=tile.stages + 1)
    if tile.stages > 1:
        yield replace(tile, stages=tile.stages - 1)
    if tile.rows > 16:
        yield replace(tile, rows=tile.rows // 2, warps=max(4, tile.warps // 2))
    if tile.columns > 16:
        yield replace(tile, columns=tile.columns // 2)
    yield replace(tile, columns=tile.columns * 2)
    yield replace(tile, rows=tile.rows * 2, warps=min(8, tile.warps * 2))


def seconds(tile: Tile, device: torch.device, run: Callable[[Tile], object]) -> float:
    """How long a launch takes; endless if it does not fit."""
    try:
        if device.type == "cuda":
            return float(triton.testing.do_bench(lambda: run(tile), return_mode="median")) / 1000
        begin = time.perf_counter()
        run(tile)
        return time.perf_counter() - begin
    except TritonError:
        return float("inf")
