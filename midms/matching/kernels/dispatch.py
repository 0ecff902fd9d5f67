"""Which implementation runs, and why the others did not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from midms.matching.kernels import chunked, reference

DENSE_ENTRIES = 1 << 28
"""The largest matrix that `reference` agrees to make: 1 GiB in float32, and it makes several."""


class NoImplementation(RuntimeError):
    """The implementation asked for cannot run on these inputs; the message says why."""


@dataclass(frozen=True)
class Implementation:
    """A way to compute `couple`, and its reasons not to.

    Attributes:
        name: what `via` calls it.
        run: the function, as `reference.couple`.
        objections: from (q, k, v) to the reasons why it will not run; none means it will.
    """

    name: str
    run: Callable[..., tuple[Tensor, Tensor]]
    objections: Callable[[Tensor, Tensor, Tensor], list[str]]


def _always_willing(q: Tensor, k: Tensor, v: Tensor) -> list[str]:
    return []


def _too_large(q: Tensor, k: Tensor, v: Tensor) -> list[str]:
    entries = len(q) * q.shape[1] * k.shape[1]
    too_large = f"the matrix would have {entries:,} entries, more than {DENSE_ENTRIES:,}"
    return [too_large] if entries > DENSE_ENTRIES else []


IMPLEMENTATIONS = (
    Implementation("chunked", chunked.couple, _always_willing),
    Implementation("reference", reference.couple, _too_large),
)
"""In order of preference."""


def couple(
    q: Float[Tensor, "b n d"],
    k: Float[Tensor, "b m d"],
    v: Float[Tensor, "b m c"],
    col_bias: Float[Tensor, "b m"] | None,
    scale: float,
    floor: float | None = None,
    via: str = "auto",
) -> tuple[Float[Tensor, "b n c"], Float[Tensor, "b n"]]:
    """softmax_j(scale * max(<q_i, k_j>, floor) + col_bias_j) v_j, and the rows' logsumexp.

    `reference.couple` says exactly what is computed. Autocast is ignored.

    Args:
        q: rows.
        k: columns.
        v: values of the columns.
        col_bias: added to each column's logits; None for none. A column at -inf takes no part; where all are, the rows
            get zeros and -inf as their logsumexp.
        scale: one over the temperature.
        floor: lowest inner product, or None.
        via: an implementation's name, or "auto" for the first that has no objection.

    Returns:
        The values carried to the rows, in `v`'s precision, and the logsumexp, in float32 or better.

    Raises:
        ValueError: the shapes do not fit together, or the scale is not positive.
        NoImplementation: the one asked for is unknown or objects; it never falls back.
    """
    if mistake := _mistake(q, k, v, col_bias, scale):
        raise ValueError(mistake)
    for implementation in IMPLEMENTATIONS:
        if via in ("auto", implementation.name) and not implementation.objections(q, k, v):
            with torch.autocast(q.device.type, enabled=False):
                return _run(implementation, q, k, v, col_bias, scale, floor)
    raise NoImplementation(f"couple(via={via!r}) cannot run:\n{explain(q, k, v)}")


def logsumexp(
    q: Float[Tensor, "b n d"],
    k: Float[Tensor, "b m d"],
    col_bias: Float[Tensor, "b m"] | None,
    scale: float,
    floor: float | None = None,
    via: str = "auto",
) -> Float[Tensor, "b n"]:
    """The second result of `couple` alone."""
    return couple(q, k, k.new_empty(*k.shape[:2], 0), col_bias, scale, floor, via)[1]


def _run(
    implementation: Implementation,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    col_bias: Tensor | None,
    scale: float,
    floor: float | None,
) -> tuple[Tensor, Tensor]:
    if col_bias is None:
        return implementation.run(q, k, v, None, scale, floor)
    barren = (col_bias == -torch.inf).all(1, keepdim=True)
    out, mass = implementation.run(q, k, v, col_bias.masked_fill(barren, 0), scale, floor)
    return out.masked_fill(barren[..., None], 0), mass.masked_fill(barren, -torch.inf)


def explain(q: Tensor, k: Tensor, v: Tensor) -> str:
    """Each implementation's objections to these tensors."""
    head = f"  q {tuple(q.shape)} k {tuple(k.shape)} v {tuple(v.shape)} {q.dtype} on {q.device}"
    return "\n".join([head, *(f"  {i.name}: {'; '.join(i.objections(q, k, v)) or 'can run'}" for i in IMPLEMENTATIONS)])


def _mistake(q: Tensor, k: Tensor, v: Tensor, col_bias: Tensor | None, scale: float) -> str:
    if not scale > 0:
        return f"scale must be positive, got {scale}"
    (b, _, d), (m, c) = q.shape, v.shape[1:]
    bias = (b, m) if col_bias is None else col_bias.shape
    if k.shape == (b, m, d) and v.shape == (b, m, c) and bias == (b, m) and q.shape[1] and m:
        return ""
    return (
        "expected q [b n d], k [b m d], v [b m c], col_bias [b m] with n, m > 0, got "
        f"{list(q.shape)}, {list(k.shape)}, {list(v.shape)}, {None if col_bias is None else list(col_bias.shape)}"
    )
