"""Compiles the shipped table of configurations for GPUs that need not be there, and says what came of it.

    python tests/helpers/ahead.py sm_90 [forward]

prints a JSON line for each program: registers, stack and shared memory in bytes, and for sm_90, where products are of
matrix instructions, the number of the asynchronous ones (HGMMA) and of waits for them. What Triton makes of the same
source it need not make again: all but the first program of each kernel are looked up in `tests/golden/ahead.json` by
what Triton itself would look them up by, and compiled only where they are not there.

    TRITON_CACHE_DIR=$(mktemp -d) python tests/helpers/ahead.py

compiles all for all architectures and writes that file, in some four CPU minutes.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from midms.matching.kernels.triton.attend_backward import backward_kernel
from midms.matching.kernels.triton.attend_forward import attend_kernel, buckets
from midms.matching.kernels.triton.attend_forward import constants as forward_constants
from midms.matching.kernels.triton.combine import combine_kernel
from midms.matching.kernels.triton.configs import ALONE, BACKWARD, FORWARD, FUSED, PRODUCTS, Tile
from midms.matching.kernels.triton.cycle import cycle_kernel
from midms.matching.kernels.triton.logsumexp import logsumexp_kernel
from midms.matching.kernels.triton.nearest import nearest_kernel, rescore_kernel
from midms.matching.kernels.triton.options import Options
from midms.matching.kernels.triton.pack import pack_kernel

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
RECORD = Path(__file__).parents[1] / "golden" / "ahead.json"
WIDTHS = (256, 512)
"""Of features: a tile that holds whole rows of the first streams those of the second."""
FLOATS = {"scale", "floor", "factor", "radius"}
COUNTS = {"n", "m", "c", "e", "batches", "splits", "u_splits", "du_start", "tokens", "cells", "depth", "d", "kept"} | {
    "batch_stride", "cell_stride", "channel_stride", "part", "h", "w", "back_h", "back_w",
}  # fmt: skip
OPERANDS = {"Q", "K", "V", "U", "A", "B", "DOut", "DUOut"}
INDICES = {"Best", "UBest", "Index", "Doubt"}


def source_of(kernel: Any, constants: dict[str, Any], operand: str) -> ASTSource:
    """What Triton compiles, pointers aligned as torch aligns them."""

    def kind(name: str) -> str:
        if name in constants:
            return "constexpr"
        if name in FLOATS or name in COUNTS:
            return "fp32" if name in FLOATS else "i32"
        return "*" + (operand if name in OPERANDS else "i32" if name in INDICES else "fp32")

    signature = {name: kind(name) for name in kernel.arg_names}
    aligned = {
        (index,): [["tt.divisibility", 16]] for index, name in enumerate(kernel.arg_names) if signature[name][0] == "*"
    }
    return ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=aligned)


def key_of(*said: object) -> str:
    """Of a program: all that decides what Triton makes."""
    return hashlib.sha256(repr((triton.__version__, *said)).encode()).hexdigest()[:16]


def resources(source: ASTSource, options: dict[str, Any], architecture: str, kind: str) -> dict[str, int]:
    """What a program takes, compiled."""
    binary = triton.compile(source, target=TARGETS[architecture], options=options)
    found = {"shared": binary.metadata.shared}
    if "amdgcn" in binary.asm:
        counts = [
            int(re.search(rf"\.{key}:\s+(\d+)", binary.asm["amdgcn"])[1])
            for key in ("vgpr_count", "private_segment_fixed_size")
        ]
        return found | dict(zip(("registers", "stack"), counts, strict=True))
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary.asm["cubin"])
        file.flush()
        usage = re.search(r"REG:(\d+) STACK:(\d+)", _tool("--dump-resource-usage", file.name))
        found |= {"registers": int(usage[1]), "stack": int(usage[2])}
        if architecture == "sm_90" and kind not in ("ieee", "cells"):
            code = _tool("-sass", file.name)
            found |= {"hgmma": len(re.findall(r"\bHGMMA", code)), "waits": len(re.findall(r"WARPGROUP\.DEPBAR", code))}
    return found


def _tool(*arguments: str) -> str:
    environment = os.environ | {"PATH": f"{TOOLS}:{os.environ['PATH']}"}
    command = [str(TOOLS / "cuobjdump"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


PRECISION = {"half": "fp16", "split": "fp16x3", "tf32": "tf32", "ieee": "ieee"}
"""The most demanding that takes a kind of tile."""


def forward(kind: str, tile: Tile, width: int) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    options = Options(1.0, 0.0, PRECISION[kind], tile.statistics, tile.statistics)
    yield "attend", attend_kernel, forward_constants(options, width, buckets(tile.values), tile, True, True)


def alone(kind: str, tile: Tile, width: int) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    spec = PRODUCTS[PRECISION[kind]]
    common = {
        "WIDTH": width, "CHUNK": tile.chunk_of(width), "PARTS": spec.parts, "PRODUCT": spec.product,
        "ROWS": tile.rows, "COLUMNS": tile.columns, "STAGES": tile.stages,
    }  # fmt: skip
    yield "logsumexp", logsumexp_kernel, common | {"BIASED": True, "FLOORED": True}
    yield "nearest", nearest_kernel, common | {"KEEP": 4}


def backward(kind: str, tile: Tile, width: int) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    spec = PRODUCTS[PRECISION[kind]]
    common = {
        "WIDTH": width, "CHUNK": tile.chunk_of(width), "PIECE": tile.piece_of(width), "A_PARTS": spec.parts,
        "B_PARTS": spec.parts, "V_PARTS": spec.value_parts, "PRODUCT": spec.product, "B_BIASED": True, "A_BIASED": True,
        "FLOORED": True, "B_ATTENDS": True, "BIAS": True, "FEATURES": True,
        "ROWS": tile.rows, "COLUMNS": tile.columns, "STAGES": tile.stages,
    }  # fmt: skip

    def widths(v: int, piece: int, du: int) -> dict[str, int]:
        return {"VALUES": v, "V_PIECE": piece, "U_VALUES": v, "U_PIECE": piece, "DU_WIDTH": du}

    plain = {"ENTROPY": False, "PEAK": False, "A_ATTENDS": True}
    warm = {"ENTROPY": True, "PEAK": True, "A_ATTENDS": False}
    if tile.values:
        yield "both, few values", backward_kernel, common | plain | widths(tile.values, tile.values, tile.values)
    yield "both, many values", backward_kernel, common | plain | widths(160, 32, 0)
    yield "statistics", backward_kernel, common | warm | widths(160, 32, 0)
    alone = {"FEATURES": False, "BIAS": False}
    yield (
        "values alone",
        backward_kernel,
        common | warm | plain | alone | {"A_ATTENDS": False} | widths(128, 128, tile.alone),
    )


def cells() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """What goes over the cells once; these have one shape everywhere."""
    yield "pack", pack_kernel, {"WIDTH": WIDTHS[0], "PIECE": 64, "PARTS": 2, "CELLS": 32}
    yield "combine", combine_kernel, {"ARGMAX": True, "ENTROPY": True, "ROWS": 32, "VALUES": 32}
    yield "rescore", rescore_kernel, {"PIECE": 128, "ROWS": 32}
    yield "cycle", cycle_kernel, {"CELLS": 128}


OPERATIONS = {"forward": (FORWARD, forward), "backward": (BACKWARD, backward), "alone": (ALONE, alone)}


class Programs:
    """What programs take, those of the record and those compiled now."""

    def __init__(self, known: dict[str, dict[str, int]]) -> None:
        self.known, self.found, self.kernels = known, dict[str, dict[str, int]](), set[tuple[str, Any]]()

    def tell(self, operation: str, architecture: str, kind: str, use: str, kernel: Any, *how: Any, tile: str) -> None:
        """Print a program's line; the first program of each kernel is compiled whatever the record has."""
        constants, warps, operand = how
        source, options = source_of(kernel, constants, operand), {"num_warps": warps, **FUSED}
        key = key_of(architecture, kind, sorted(options.items()), source.hash())
        known = self.known.get(key)
        if known is None or (architecture, kernel) not in self.kernels:
            self.found[key] = resources(source, options, architecture, kind)
            assert known in (None, self.found[key]), f"{RECORD} has {known}, compiled it is {self.found[key]}"
        else:
            self.found[key] = known
        self.kernels.add((architecture, kernel))
        row = {"operation": operation, "precision": kind, "use": use, "tile": tile, **self.found[key]}
        print(json.dumps(row | {"recorded": known is not None}), flush=True)


def main(architecture: str = "", operation: str = "", kind: str = "", tile: str = "") -> None:
    """The table for an architecture, or of an operation, or one tile in place of a kind's; or all, for the record."""
    programs = Programs(json.loads(RECORD.read_text())["programs"] if architecture else {})
    for one in [architecture] if architecture else TARGETS:
        for name in [operation] if operation else OPERATIONS:
            compile_all(programs, name, one, kind, tile)
    if not architecture:
        from launches import launched

        record = {"triton": triton.__version__, "programs": programs.found, "launched": launched("sm_90")}
        RECORD.write_text(json.dumps(record, sort_keys=True) + "\n")


def compile_all(programs: Programs, operation: str, architecture: str, kind: str, tile: str) -> None:
    """Of an operation."""
    table, uses = OPERATIONS[operation]
    tiles = {kind: (eval(tile, {"Tile": Tile}),)} if tile else table[architecture]
    for kind, of_kind in tiles.items():
        operand = "fp16" if kind in ("half", "split") else "fp32"
        for one, width in itertools.product(of_kind, WIDTHS):
            if width > WIDTHS[0] and one.chunk:
                continue
            for use, kernel, constants in uses(kind, one, width):
                use = f"{use}, features of {width}"
                programs.tell(operation, architecture, kind, use, kernel, constants, one.warps, operand, tile=str(one))
    if operation == "alone":
        for use, kernel, constants in cells():
            operand = "fp32" if use == "rescore" else "fp16"
            programs.tell(operation, architecture, "cells", use, kernel, constants, 4, operand, tile="")


if __name__ == "__main__":
    main(*sys.argv[1:])
