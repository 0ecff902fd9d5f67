"""Launches of the backward kernel."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
import triton
from torch import Tensor

from midms.matching.kernels.triton.backward import backward_kernel
from midms.matching.kernels.triton.configs import BACKWARD, FUSED, Tile, choose
from midms.matching.kernels.triton.couple import Rule, splits_of
from midms.matching.kernels.triton.pack import LN2, LOG2E, factor, pack, padded_values, units
from midms.matching.kernels.triton.tuning import tuned

LIFTED = 2.0**12
"""The kernel's slopes are so much too large, see `triton_tiles.LIFT`."""

LARGEST = 8.0
"""Of a slope before that: the most that float16 holds is 65504."""


class Pull(NamedTuple):
    """A direction's gradients: d logit = P * (<d_out, v> + tilt + warmth * logit), and at_best more at its best column.

    Attributes:
        d_out: [b n c] gradient of what the reader got.
        tilt: [b n].
        mass: [b n] logsumexp of the logits, in nats.
        warmth: [b n], or None.
        at_best: [b n], or None.
        best: [b n] columns, or None.
    """

    d_out: Tensor
    tilt: Tensor
    mass: Tensor
    warmth: Tensor | None
    at_best: Tensor | None
    best: Tensor | None

    @property
    def statistics(self) -> bool:
        """Whether peak or entropy have a gradient."""
        return self.warmth is not None or self.at_best is not None

    def bound(self, v: Tensor) -> Tensor:
        """[b] above any slope."""
        bound = (self.d_out.abs() @ v.abs().amax(1)[..., None].float())[..., 0] + self.tilt.abs()
        if self.warmth is not None:
            bound = bound + self.warmth.abs() * (self.mass.abs() + 1)
        if self.at_best is not None:
            bound = bound + self.at_best.abs()
        return bound.amax(1)


class Packed(NamedTuple):
    """A direction as the kernel reads it, from the side of the values v [b m c]."""

    values: Tensor
    d_out: Tensor
    mass: Tensor
    tilt: Tensor
    warmth: Tensor | None
    at_best: Tensor | None
    best: Tensor | None
    bias: Tensor | None
    unit: Tensor

    @property
    def width(self) -> int:
        """Of the packed values."""
        return self.values.shape[3]

    @property
    def piece(self) -> int:
        """How many are multiplied at once."""
        return next((piece for piece in (128, 64, 32, 16) if self.width % piece == 0), 16)


class Wanted(NamedTuple):
    """Which gradients of a side."""

    features: bool
    values: bool
    bias: bool


class Gradients(NamedTuple):
    """Of a side."""

    features: Tensor | None
    values: Tensor | None
    bias: Tensor | None


def packed(rule: Rule, v: Tensor, bias: Tensor | None, pull: Pull, shrink: Tensor) -> Packed:
    """With all gradients times `shrink` [b], a power of two that makes them fit."""
    spec, width, unit = rule.spec, padded_values(v.shape[2]), units(v, rule.spec)
    by = shrink[:, None]
    return Packed(
        pack(v / unit[:, None], spec.operand, spec.value_parts, width),
        pack(pull.d_out * (by * unit)[:, None], spec.operand, spec.value_parts, width),
        (pull.mass * LOG2E).contiguous(),
        (pull.tilt * by).contiguous(),
        None if pull.warmth is None else (pull.warmth * by * LN2).contiguous(),
        None if pull.at_best is None else (pull.at_best * by).contiguous(),
        None if pull.best is None else pull.best.to(torch.int32).contiguous(),
        None if bias is None else (bias.float() * LOG2E).contiguous(),
        unit,
    )


def shrinkage(bounds: Sequence[Tensor]) -> Tensor:
    """[b] the power of two that brings the sum of bounds to at most `LARGEST`."""
    bound = torch.stack(list(bounds)).sum(0)
    return LARGEST * (-torch.frexp(bound).exponent).float().exp2()


def gradients(
    rule: Rule, a: Tensor, b: Tensor, parts: tuple[int, int], reads: Packed | None, read: Packed | None,
    shrink: Tensor, wanted: Wanted,
) -> Gradients:  # fmt: skip
    """Of side a [parts b n width], which `reads` b and is `read` by it, either or both.

    Gradients of values and bias come of what is read alone.
    """
    widest = max(side.width for side in (reads, read) if side is not None)
    tile = choose(BACKWARD, rule.precision, a.device, widest, a.shape[1] * a.shape[2])
    carried = read.width if read is not None and wanted.values else 0
    together = read is not None and carried <= tile.values and carried == read.piece
    piece = min(read.piece, tile.alone) if read is not None else 0
    launch = partial(_launch, rule, a, b, parts, reads, read)
    asked = wanted.features, wanted.bias, carried if together else 0
    tried = asked if any(asked) else (False, False, piece)
    key = rule, a.shape, b.shape, widest, reads is None, read is None, tried
    launch = partial(launch, tuned(key, tile, a.device, lambda other: launch(other, *tried)))
    features = bias = values = None
    undo = 1 / (LIFTED * shrink)
    if any(asked):
        features, bias, values = launch(*asked)
    if carried and not together:
        pieces = [launch(False, False, piece, start)[2] for start in range(0, carried, piece)]
        values = torch.cat([one for one in pieces if one is not None], 2)
    if features is not None:
        features = features * (undo * (rule.scale / factor(rule.spec)))[:, None, None]
    if values is not None and read is not None:
        values = values[..., : read.unit.shape[1]] * (undo[:, None] / read.unit)[:, None]
    return Gradients(features, values, None if bias is None else bias * undo[:, None])


def constants(
    rule: Rule, width: int, parts: tuple[int, int], reads: Packed | None, read: Packed | None, tile: Tile
) -> dict[str, object]:
    """Of `backward_kernel`, but for what it is to make."""
    sides = [side for side in (reads, read) if side is not None]
    return {
        "WIDTH": width, "CHUNK": tile.chunk_of(width), "PIECE": tile.piece_of(width),
        "A_PARTS": parts[0], "B_PARTS": parts[1], "V_PARTS": rule.spec.value_parts, "PRODUCT": rule.spec.product,
        "B_BIASED": reads is not None and reads.bias is not None,
        "A_BIASED": read is not None and read.bias is not None,
        "FLOORED": rule.floor is not None, "WARM": any(side.warmth is not None for side in sides),
        "BEST": any(side.at_best is not None for side in sides),
        "READS": reads is not None, "VALUES": reads.width if reads else 0, "V_PIECE": reads.piece if reads else 16,
        "READ": read is not None, "U_VALUES": read.width if read else 0, "U_PIECE": read.piece if read else 16,
        "ROWS": tile.rows, "COLUMNS": tile.columns, "STAGES": tile.stages,
    }  # fmt: skip


def _launch(
    rule: Rule, a: Tensor, b: Tensor, parts: tuple[int, int], reads: Packed | None, read: Packed | None, tile: Tile,
    features: bool, bias: bool, carried: int, start: int = 0,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # fmt: skip
    """Gradients of the features, the bias, and `carried` values from `start`, as the kernel makes them."""
    _, batches, n, width = a.shape
    splits = splits_of(batches, n, b.shape[2], tile, a.device)
    made = [
        torch.empty(splits, batches, n, *rest, device=a.device) if asked else None
        for asked, rest in ((features, (width,)), (bias, ()), (carried, (carried,)))
    ]
    grid = (triton.cdiv(n, tile.rows) * splits, batches, width // tile.piece_of(width) if features else 1)
    nothing = (None,) * 8
    one, two = reads or nothing, read or nothing
    backward_kernel[grid](
        a, b, made[0], n, b.shape[2], batches, splits, *rule.numbers,
        *one[:8], *two[:8], made[2], made[1], start,
        **constants(rule, width, parts, reads, read, tile), FEATURES=features, BIAS=bias, CARRIED=carried,
        num_warps=tile.warps, **FUSED,
    )  # fmt: skip
    d_features, d_bias, d_values = (None if x is None else x[0] if splits == 1 else x.sum(0) for x in made)
    return d_features, d_bias, d_values
