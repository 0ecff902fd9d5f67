"""The results of one direction, and the kernel that joins those of several shares of the columns."""

from __future__ import annotations

from typing import NamedTuple, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from midms.matching.kernels.triton.configs import FUSED
from midms.matching.kernels.triton.options import Options
from midms.matching.kernels.triton.tiles import COUNTS, LOWEST


class Result(NamedTuple):
    """What the rows of one direction get; a share of the columns has a leading axis [splits]. Empty where not wanted.

    Attributes:
        values: [b n c] expectation of the values.
        logsumexp: [b n] of the logits, in base 2.
        top: [b n] largest logit, in base 2.
        best: [b n] its column, int32.
        entropy: [b n] in bits.
    """

    values: Tensor
    logsumexp: Tensor
    top: Tensor
    best: Tensor
    entropy: Tensor


@triton.jit(do_not_specialize=COUNTS)
@no_type_check
def combine_kernel(
    Out, Lse, Top, Best, Entropy, Whole, WholeLse, WholeTop, WholeBest, WholeEntropy, splits, tokens, c,
    ARGMAX: tl.constexpr, ENTROPY: tl.constexpr, ROWS: tl.constexpr, VALUES: tl.constexpr,
):  # fmt: skip
    """The softmax over all columns, from those over each share of them; logits in base 2.

    Reads Lse, Top, Best, Entropy [splits, tokens] and Out [splits, tokens, c], each share normalised by itself; writes
    the same without the first axis. Grid (blocks of tokens, pieces of values, at least one).
    """
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    values = tl.program_id(1) * VALUES + tl.arange(0, VALUES)
    inside = rows < tokens
    shown = inside[:, None] & (values < c)[None]
    top = tl.full([ROWS], LOWEST, tl.float32)
    for split in tl.range(0, splits):
        top = tl.maximum(top, tl.load(Lse + split * tokens + rows, mask=inside, other=0.0))
    total = tl.zeros([ROWS], tl.float32)
    entropy = tl.zeros([ROWS], tl.float32)
    out = tl.zeros([ROWS, VALUES], tl.float32)
    highest = tl.full([ROWS], float("-inf"), tl.float32)
    best = tl.zeros([ROWS], tl.int32)
    for split in tl.range(0, splits):
        at = split * tokens + rows
        lse = tl.load(Lse + at, mask=inside, other=0.0)
        weight = tl.exp2(lse - top)
        total += weight
        out += weight[:, None] * tl.load(Out + at[:, None] * c + values[None], mask=shown, other=0.0)
        if ENTROPY:
            own = tl.load(Entropy + at, mask=inside, other=0.0)
            entropy += tl.where(weight > 0, weight * (own - tl.maximum(lse - top, LOWEST)), 0)
        if ARGMAX:
            here = tl.load(Top + at, mask=inside, other=0.0)
            best = tl.where(here > highest, tl.load(Best + at, mask=inside, other=0), best)
            highest = tl.maximum(here, highest)
    tl.store(Whole + rows[:, None] * c + values[None], out / total[:, None], mask=shown)
    if tl.program_id(1) == 0:
        tl.store(WholeLse + rows, top + tl.log2(total), mask=inside)
        if ENTROPY:
            tl.store(WholeEntropy + rows, entropy / total + tl.log2(total), mask=inside)
        if ARGMAX:
            tl.store(WholeTop + rows, highest, mask=inside)
            tl.store(WholeBest + rows, best, mask=inside)


def empty_result(like: Tensor, shape: tuple[int, ...], c: int, options: Options) -> Result:
    """Memory for a result of `shape` rows, with c values each."""

    def empty(*sizes: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(sizes, dtype=dtype, device=like.device)

    ranked, spread = (shape if options.argmax else (0,)), (shape if options.entropy else (0,))
    return Result(empty(*shape, c), empty(*shape), empty(*ranked), empty(*ranked, dtype=torch.int32), empty(*spread))


def combined(parts: Result, options: Options) -> Result:
    """The result of all columns, of those of each share."""
    splits, batches, tokens, c = parts.values.shape
    if splits == 1:
        return Result(*(x[0] if len(x) else x for x in parts))
    whole = empty_result(parts.values, (batches, tokens), c, options)
    combine_kernel[(triton.cdiv(batches * tokens, 32), max(1, triton.cdiv(c, 32)))](
        *parts,
        *whole,
        splits,
        batches * tokens,
        c,
        ARGMAX=options.argmax,
        ENTROPY=options.entropy,
        ROWS=32,
        VALUES=32,
        **FUSED,
    )
    return whole
