"""Launches of the forward kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
import triton
from torch import Tensor

from midms.matching.kernels.triton.configs import ALONE, FORWARD, FUSED, PRECISIONS, Precision, Tile, choose
from midms.matching.kernels.triton.forward import combine_kernel, couple_kernel, masses_kernel
from midms.matching.kernels.triton.pack import LOG2E, factor, pack, padded_values, units
from midms.matching.kernels.triton.tuning import tuned

SPLIT_LIMIT = 32
"""Most shares that the streamed side is split into."""


class Direction(NamedTuple):
    """One side reads the other's values.

    Attributes:
        reader: [parts b n width] packed features of the side that reads.
        source: [parts b m width] of the side that is read.
        values: [b m c] of the side that is read.
        bias: [b m] of the side that is read, in nats.
    """

    reader: Tensor
    source: Tensor
    values: Tensor
    bias: Tensor | None


class Read(NamedTuple):
    """What a direction gives: values [b n c], and [b n] in base 2; what was not asked for is empty."""

    values: Tensor
    mass: Tensor
    top: Tensor
    best: Tensor
    spread: Tensor


@dataclass(frozen=True)
class Rule:
    """What the logits are, and what is asked of them."""

    scale: float
    floor: float | None
    precision: str
    argmax: bool = False
    entropy: bool = False

    @property
    def spec(self) -> Precision:
        """The precision."""
        return PRECISIONS[self.precision]

    @property
    def numbers(self) -> tuple[float, float]:
        """Scale to base 2 and floor, of products of packed features."""
        square = factor(self.spec) ** 2
        return self.scale * LOG2E / square, (self.floor or 0.0) * square


def read(rule: Rule, directions: Sequence[Direction]) -> list[Read]:
    """Each direction's results, in one launch where their values allow it."""
    reader = directions[0].reader
    widths = [direction.values.shape[2] for direction in directions]
    statistics = rule.argmax or rule.entropy
    tile = choose(FORWARD, rule.precision, reader.device, max(widths), reader.shape[1] * reader.shape[2], statistics)
    if len(directions) == 2 and (max(widths) > tile.values or max(widths) - min(widths) > 64):
        return [*read(rule, directions[:1]), *read(rule, directions[1:])]
    spec = rule.spec
    if len(directions) == 2 and not max(widths) and not statistics and spec.row_parts == spec.column_parts:
        return _masses(rule, directions)
    if max(widths) > tile.values:
        (direction,) = directions
        first, rest = direction.values.split([tile.values, widths[0] - tile.values], 2)
        (result,) = read(rule, [direction._replace(values=first)])
        (others,) = read(Rule(rule.scale, rule.floor, rule.precision), [direction._replace(values=rest)])
        return [result._replace(values=torch.cat([result.values, others.values], 2))]
    key = rule, reader.shape, *(direction.source.shape + direction.values.shape for direction in directions)
    return _launch(rule, directions, tuned(key, tile, reader.device, partial(_launch, rule, directions)))


def buckets(width: int) -> tuple[int, int]:
    """A launch's values as two pieces, each a power of two: 160 is 128 and 32."""
    return (128, padded_values(width - 128)) if width > 128 else (padded_values(width), 0)


def constants(
    rule: Rule, width: int, pieces: tuple[int, int], tile: Tile, biased: bool, both: bool
) -> dict[str, object]:
    """Of `couple_kernel`."""
    spec = rule.spec
    return {
        "WIDTH": width, "CHUNK": tile.chunk_of(width), "VALUES": pieces[0], "MORE": pieces[1],
        "ROW_PARTS": spec.row_parts, "COLUMN_PARTS": spec.column_parts, "V_PARTS": spec.value_parts,
        "PRODUCT": spec.product, "BIASED": biased, "FLOORED": rule.floor is not None,
        "ARGMAX": rule.argmax, "ENTROPY": rule.entropy, "BOTH": both,
        "ROWS": tile.rows, "COLUMNS": tile.columns, "STAGES": tile.stages,
    }  # fmt: skip


def splits_of(batches: int, tokens: int, others: int, tile: Tile, device: torch.device) -> int:
    """Shares of the streamed side that keep every processor busy; the interpreter pretends to a few."""
    processors = 2 if device.type == "cpu" else torch.cuda.get_device_properties(device).multi_processor_count
    wanted = triton.cdiv(processors * (8 // tile.warps), batches * triton.cdiv(tokens, tile.rows))
    return max(1, min(wanted, SPLIT_LIMIT, triton.cdiv(others, tile.columns)))


def _launch(rule: Rule, directions: Sequence[Direction], tile: Tile) -> list[Read]:
    _, batches, n, width = directions[0].reader.shape
    m = directions[0].source.shape[2]
    pieces = max((buckets(direction.values.shape[2]) for direction in directions), key=sum)
    biased = any(direction.bias is not None for direction in directions)
    parts, sides, programs, shares = [], [], 0, []
    for direction in directions:
        tokens, others, c = direction.reader.shape[2], direction.source.shape[2], direction.values.shape[2]
        splits = splits_of(batches * len(directions), tokens, others, tile, direction.reader.device)
        unit = units(direction.values, rule.spec)
        values = pack(direction.values / unit[:, None], rule.spec.operand, rule.spec.value_parts, sum(pieces))
        part = _empty(direction.reader, (splits, batches, tokens), c, rule)
        sides.append((values, unit, _bias(direction, biased), *part, c))
        parts.append(part)
        shares.append(splits)
        programs += splits * triton.cdiv(tokens, tile.rows)
    scale, floor = rule.numbers
    couple_kernel[(programs, batches)](
        directions[0].reader, directions[0].source, *sides[0], *sides[-1],
        n, m, batches, shares[0], shares[-1], scale, floor,
        **constants(rule, width, pieces, tile, biased, len(directions) == 2), num_warps=tile.warps, **FUSED,
    )  # fmt: skip
    return [_combined(part, rule) for part in parts]


def _masses(rule: Rule, directions: Sequence[Direction]) -> list[Read]:
    """Both directions' masses alone, from one product: the rows' by splits, the columns' by blocks of rows."""
    rows, columns = directions
    _, batches, n, width = rows.reader.shape
    m, spec = columns.reader.shape[2], rule.spec
    tile = choose(ALONE, rule.precision, rows.reader.device, 0, batches * n)
    splits = splits_of(batches, n, m, tile, rows.reader.device)
    biased = rows.bias is not None or columns.bias is not None
    forth = _empty(rows.reader, (splits, batches, n), 0, rule)
    back = _empty(rows.reader, (triton.cdiv(n, tile.rows), batches, m), 0, rule)
    scale, floor = rule.numbers
    masses_kernel[(triton.cdiv(n, tile.rows) * splits, batches)](
        rows.reader, columns.reader, _bias(columns, biased), _bias(rows, biased), forth.mass, back.mass,
        n, m, batches, splits, scale, floor,
        WIDTH=width, CHUNK=tile.chunk_of(width), PARTS=spec.parts, PRODUCT=spec.product, BIASED=biased,
        FLOORED=rule.floor is not None, ROWS=tile.rows, COLUMNS=tile.columns, STAGES=tile.stages, num_warps=tile.warps,
        **FUSED,
    )  # fmt: skip
    return [_combined(forth, rule), _combined(back, rule)]


def _bias(direction: Direction, biased: bool) -> Tensor | None:
    """In base 2; zeros where only the other direction has one."""
    if not biased:
        return None
    if direction.bias is None:
        return direction.source.new_zeros(direction.source.shape[1:3], dtype=torch.float32)
    return (direction.bias.float() * LOG2E).contiguous()


def _empty(like: Tensor, shape: tuple[int, ...], c: int, rule: Rule) -> Read:
    def empty(*sizes: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(sizes, dtype=dtype, device=like.device)

    ranked, spread = (shape if rule.argmax else (0,)), (shape if rule.entropy else (0,))
    return Read(empty(*shape, c), empty(*shape), empty(*ranked), empty(*ranked, dtype=torch.int32), empty(*spread))


def _combined(parts: Read, rule: Rule) -> Read:
    """Of all splits."""
    splits, batches, tokens, c = parts.values.shape
    if splits == 1:
        return Read(*(x[0] if len(x) else x for x in parts))
    whole = _empty(parts.values, (batches, tokens), c, rule)
    combine_kernel[(triton.cdiv(batches * tokens, 32), max(1, triton.cdiv(c, 32)))](
        *parts,
        *whole,
        splits,
        batches * tokens,
        c,
        ARGMAX=rule.argmax,
        ENTROPY=rule.entropy,
        ROWS=32,
        VALUES=32,
        **FUSED,
    )
    return whole
