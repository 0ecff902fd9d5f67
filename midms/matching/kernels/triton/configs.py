"""Which tiles each kernel takes: data, found by compiling ahead of time (no spills, shared memory within the limit)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import torch

WHOLE_WIDTH = 256
"""Widest features of which a tile holds whole rows; wider ones are streamed in chunks."""

WIDEST = 512
"""Widest features that the kernels take."""

SHARED_MEMORY = {"sm_80": 163 << 10, "sm_90": 227 << 10, "sm_100": 227 << 10, "gfx942": 64 << 10}
"""Bytes that a program may have."""


try:
    SINCE_3_9 = tuple(map(int, version("triton").split(".")[:2])) >= (3, 9)
except PackageNotFoundError:
    SINCE_3_9 = False
"""Whether Triton is 3.9 or later, which keeps more in registers."""

FUSED = {"enable_fp_fusion": True}
"""Said at every launch: Triton 3.9 warns where nobody says, and 3.10 is to do without."""


@dataclass(frozen=True)
class ProductConfig:
    """How products of features and of values are computed.

    Attributes:
        operand: what both are rounded to.
        row_parts: terms that the features of the side that reads are split into.
        column_parts: of the side that is read, over which the softmax goes.
        value_parts: of values and of the weights that multiply them.
        product: how float32 is multiplied.
        tiles: the rows of `TILES` that it takes.
    """

    operand: torch.dtype
    row_parts: int = 1
    column_parts: int = 1
    value_parts: int = 1
    product: str = "ieee"
    tiles: str = "half"

    @property
    def parts(self) -> int:
        """Of the side that has more."""
        return max(self.row_parts, self.column_parts)


PRODUCTS = {
    "fp16": ProductConfig(torch.float16),
    "bf16": ProductConfig(torch.bfloat16),
    "fp16x2k": ProductConfig(torch.float16, column_parts=2, tiles="split"),
    "fp16x3": ProductConfig(torch.float16, row_parts=2, column_parts=2, value_parts=2, tiles="split"),
    "tf32": ProductConfig(torch.float32, product="tf32", tiles="tf32"),
    "ieee": ProductConfig(torch.float32, tiles="ieee"),
}


@dataclass(frozen=True)
class Tile:
    """The shape of a program, and what it serves.

    Attributes:
        rows: that stay.
        columns: that stream by at once.
        warps: of threads.
        stages: of the stream's pipeline.
        values: widest values.
        chunk: of features streamed at once; 0 for whole rows.
        piece: of the features' gradient that a program makes; 0 for all.
        alone: gradients of values that a program makes when it makes nothing else.
        tokens: fewest rows in the whole batch.
        statistics: whether it can tell them.
    """

    rows: int
    columns: int
    warps: int
    stages: int
    values: int
    chunk: int = 0
    piece: int = 0
    alone: int = 128
    tokens: int = 0
    statistics: bool = True

    def chunk_of(self, width: int) -> int:
        """Features streamed at once, of this padded width."""
        wide = 64 if self.values else 128
        return min(self.chunk or (width if width <= WHOLE_WIDTH else wide), width)

    def piece_of(self, width: int) -> int:
        """Features' gradients made at once, of this padded width."""
        return min(self.piece or (width if width <= WHOLE_WIDTH else 128), width)


SMALL = {
    "half": (Tile(64, 64, 4, 2, 32, chunk=64), Tile(64, 32, 4, 2, 160, chunk=64, statistics=False)),
    "split": (Tile(64, 64, 4, 2, 32, chunk=32), Tile(64, 64, 4, 2, 160, chunk=32, statistics=False)),
    "tf32": (Tile(64, 64, 4, 2, 64, chunk=32),),
    "ieee": (Tile(32, 32, 4, 2, 32, chunk=32),),
}
"""What fits everywhere."""

FORWARD: dict[str, dict[str, tuple[Tile, ...]]] = {
    "sm_80": {
        "half": (Tile(128, 64, 8, 2, 64), Tile(128, 64, 8, 2, 160, statistics=False)),
        "split": (Tile(128, 64, 8, 3, 32, chunk=32),),
        "tf32": (Tile(128, 32, 8, 3, 32, chunk=32),),
        "ieee": SMALL["ieee"],
    },
    "sm_90": {
        "half": (
            Tile(128, 128, 8, 2, 32, tokens=4096, statistics=False),
            Tile(64, 64, 4, 2, 32),
            Tile(128, 64, 8, 2, 64),
            Tile(128, 64, 8, 2, 160, statistics=False),
        ),
        "split": (Tile(128, 32, 8, 2, 32), Tile(64, 64, 4, 3, 160, chunk=32, statistics=False)),
        "tf32": (Tile(64, 64, 4, 3, 64, chunk=32),),
        "ieee": SMALL["ieee"],
    },
    "sm_100": {
        "half": (Tile(128, 64, 8, 2, 64), Tile(128, 64, 8, 2, 160, statistics=False)),
        "split": (Tile(64, 64, 4, 3, 32, chunk=32),),
        "tf32": (Tile(64, 64, 4, 3, 32, chunk=32),),
        "ieee": SMALL["ieee"],
    },
    "gfx942": SMALL,
    "interpreter": {
        name: (
            Tile(128, 128, 8, 1, 160, tokens=100),
            Tile(32, 16, 8, 1, 64),
            Tile(32, 16, 8, 1, 160, chunk=16, piece=16),
        )
        for name in ("half", "split", "tf32", "ieee")
    },
}
"""By architecture and kind of precision, in order of preference."""

ALONE: dict[str, dict[str, tuple[Tile, ...]]] = {
    "sm_80": {
        "half": (Tile(128, 64, 8, 2, 0),),
        "split": (Tile(128, 64, 8, 3, 0, chunk=32),),
        "tf32": (Tile(64, 32, 4, 3, 0, chunk=32),),
        "ieee": SMALL["ieee"],
    },
    "sm_90": {
        "half": (Tile(128, 64, 8, 2, 0),),
        "split": (Tile(128, 32, 8, 2, 0),),
        "tf32": (Tile(64, 64, 4, 3, 0, chunk=32),),
        "ieee": SMALL["ieee"],
    },
    "sm_100": {
        "half": (Tile(128, 64, 8, 2, 0),),
        "split": (Tile(64, 64, 4, 3, 0, chunk=32),),
        "tf32": (Tile(64, 64, 4, 3, 0, chunk=32),),
        "ieee": (Tile(32, 16, 4, 2, 0, chunk=32),),
    },
    "gfx942": {kind: tiles[:1] for kind, tiles in SMALL.items()},
    "interpreter": FORWARD["interpreter"],
}
"""Likewise, where there are no values: logsumexp both ways, and nearest columns."""

BACKWARD: dict[str, dict[str, tuple[Tile, ...]]] = {
    "sm_80": {
        "half": (Tile(128, 32, 8, 2, 0, chunk=64, piece=128),),
        "split": (Tile(128, 32, 8, 2, 32, chunk=32, piece=64, alone=64),),
        "tf32": (Tile(64, 16, 4, 2, 16, chunk=32, piece=64, alone=64),),
        "ieee": (Tile(32, 16, 4, 2, 16, chunk=32, piece=16, alone=32),),
    },
    "sm_90": {
        "half": (Tile(128, 32, 8, 1, 16) if SINCE_3_9 else Tile(128, 32, 8, 2, 32),),
        "split": (Tile(128, 32, 8, 2, 32, chunk=32, piece=64),),
        "tf32": (Tile(64, 32, 4, 2, 32, chunk=32, piece=64),),
        "ieee": (Tile(32, 16, 4, 2, 16, chunk=32, piece=32, alone=32),),
    },
    "sm_100": {
        "half": (Tile(128, 32, 8, 2, 32, chunk=64, piece=128),),
        "split": (Tile(128, 32, 8, 2, 32, chunk=32, piece=64),),
        "tf32": (Tile(64, 32, 4, 2, 32, chunk=32, piece=64),),
        "ieee": (Tile(32, 16, 4, 2, 16, chunk=32, piece=32, alone=32),),
    },
    "gfx942": {
        "half": (Tile(64, 32, 4, 2, 32, chunk=64, piece=64),),
        "split": (Tile(64, 32, 4, 2, 32, chunk=32, piece=64),),
        "tf32": (Tile(64, 32, 4, 2, 32, chunk=32, piece=64),),
        "ieee": (Tile(32, 16, 4, 2, 16, chunk=32, piece=32, alone=32),),
    },
    "interpreter": FORWARD["interpreter"],
}
"""Likewise; `values` is how many gradients of values a program makes beside those of the features."""


def architecture(device: torch.device) -> str:
    """The key of the tables above; an unknown GPU gets what fits everywhere."""
    if device.type == "cpu":
        return "interpreter"
    if torch.version.hip:
        return "gfx942"
    major, minor = torch.cuda.get_device_capability(device)
    return {(8, 0): "sm_80", (9, 0): "sm_90", (10, 0): "sm_100", (10, 3): "sm_100"}.get((major, minor), "gfx942")


def choose(
    table: dict[str, dict[str, tuple[Tile, ...]]],
    precision: str,
    device: torch.device,
    values: int,
    tokens: int,
    statistics: bool = False,
) -> Tile:
    """The first tile that serves these values; where none does, the one that serves the widest, for a part of them."""
    tiles = table[architecture(device)][PRODUCTS[precision].tiles]
    tiles = tuple(tile for tile in tiles if tile.tokens <= tokens and (tile.statistics or not statistics))
    return next((tile for tile in tiles if tile.values >= values), max(tiles, key=lambda tile: tile.values))
