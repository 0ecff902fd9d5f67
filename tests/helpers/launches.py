"""Launches every kernel for a GPU that is not there: Triton specialises and compiles as on the spot, nothing is run.

    python tests/helpers/launches.py sm_90

calls every operation, forward and backward, and prints each kernel's name as it is launched. What the record has
(`ahead.py`) has been compiled from the same source, and is not again.
What the interpreter and `ahead.py` cannot see is how Triton specialises what it is given, such as a count of 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from typing import Any
from unittest import mock

import torch
import triton
from ahead import RECORD, TARGETS, key_of
from torch import Tensor
from triton.compiler import ASTSource
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from midms.matching.kernels import ops as operations
from midms.matching.kernels.triton import attend_backward, attend_forward, configs, logsumexp, nearest, options
from midms.matching.kernels.triton import implementation as on_triton

PROCESSORS = {"sm_80": 108, "sm_90": 132, "sm_100": 148, "gfx942": 304}


class Absent:
    """The driver of a GPU that is not there."""

    def __init__(self, architecture: str) -> None:
        self.get_current_target = lambda: TARGETS[architecture]
        self.get_active_torch_device = lambda: torch.device("cpu")
        self.get_device_interface = lambda: torch.cpu
        self.get_current_device = lambda: 0
        self.get_current_stream = lambda device=None: 0


def pretend(architecture: str, known: Collection[str]) -> list[str]:
    """That the CPU is such a GPU; the keys of programs are added to what is returned, those not known are compiled."""
    driver.set_active(Absent(architecture))
    run, keys = JITFunction.run, list[str]()

    def compile_only(kernel: Any, *arguments: Any, **more: Any) -> Any:
        print(kernel.fn.__name__, flush=True)

        def compile_unknown(source: ASTSource, target: Any, options: dict[str, Any], **_: Any) -> None:
            said = {name: options[name] for name in ("num_warps", "num_ctas", "num_stages", "enable_fp_fusion")}
            keys.append(key_of(architecture, sorted(said.items()), source.hash()))
            if keys[-1] not in {*known, *keys[:-1]}:
                triton.compile(source, target=target, options=options)

        kernel.compile = compile_unknown
        return run(kernel, *arguments, **{**more, "warmup": True})

    def splits_of(batches: int, tokens: int, others: int, tile: configs.Tile, device: torch.device) -> int:
        with mock.patch.object(torch.cuda, "get_device_properties") as properties:
            properties.return_value.multi_processor_count = PROCESSORS[architecture]
            return splits(batches, tokens, others, tile, torch.device("cuda"))

    splits = options.splits_of
    for module in (attend_backward, attend_forward, logsumexp, nearest):
        module.splits_of = splits_of
    JITFunction.run = compile_only
    configs.architecture = lambda device: architecture
    on_triton._on_cpu = lambda: []
    return keys


def call(samples: int, rows: int, columns: int, values: int, back: int) -> None:
    """Every operation once, and the gradients of those that have some."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.rand(samples, *shape, generator=generator, requires_grad=True)

    q, k, v, u = draw(rows, 256), draw(columns, 256), draw(columns, values), draw(rows, back)
    row_bias, col_bias = draw(rows), draw(columns)
    how: dict[str, Any] = {"backend": "triton", "precision": "fp16"}
    for biases in ((None, None), (row_bias, col_bias)):
        warped = operations.statistics(q, k, v, biases[1], 20.0, 0.0, **how)
        both = operations.attend_both(q, k, v, u, *biases, 20.0, 0.0, **how)
        log_sums = operations.logsumexp_both(q, k, *biases, 20.0, **how)
        results = [x for x in (*warped, *both[0], *both[1], *log_sums) if x is not None and x.requires_grad]
        torch.autograd.grad(sum(x.sum() for x in results), [q, k, v, u])
    operations.top_k(q, k, min(4, columns), **how)
    operations.mutual_nearest(q, k, **how)
    there = torch.zeros(samples, 2, 1, rows)
    operations.cycle(there, torch.zeros(samples, 2, 1, columns), 0.25, backend="triton")


def launched(architecture: str, known: Collection[str] = ()) -> list[str]:
    """Launch all; the keys of the programs."""
    keys = pretend(architecture, known)
    for samples in (1, 32):  # few for the GPU, so that programs share the columns; and enough for it
        call(samples, 1024, 1024, 20, 2)
    call(1, 1024, 1, 1, 1)
    call(1, 1, 1024, 1, 1)
    return sorted({*keys})


if __name__ == "__main__":
    launched(sys.argv[1], json.loads(RECORD.read_text())["launched"])
