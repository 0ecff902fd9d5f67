"""The specification. Every other implementation is tested against this file, values and gradients."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def couple(
    q: Float[Tensor, "b n d"],
    k: Float[Tensor, "b m d"],
    v: Float[Tensor, "b m c"],
    col_bias: Float[Tensor, "b m"] | None,
    scale: float,
    floor: float | None,
) -> tuple[Float[Tensor, "b n c"], Float[Tensor, "b n"]]:
    """softmax_j(scale * max(<q_i, k_j>, floor) + col_bias_j) v_j, and the rows' logsumexp.

    Args:
        q: rows.
        k: columns.
        v: values of the columns.
        col_bias: added to each column's logits; None for none. A column at -inf takes no part; not all of them may be.
        scale: one over the temperature.
        floor: lowest inner product, or None. Its gradient is that of `clamp`.

    Returns:
        The values carried to the rows, in `v`'s precision, and the logsumexp, in float32 or better. In between all is
        float32 or better: a scale of 200 magnifies rounding.
    """
    precise = torch.promote_types(q.dtype, torch.float32)
    logits = q.to(precise) @ k.to(precise).mT
    if floor is not None:
        logits = logits.clamp(min=floor)
    logits = scale * logits
    if col_bias is not None:
        logits = logits + col_bias[:, None].to(precise)
    return (torch.softmax(logits, -1) @ v.to(precise)).to(v.dtype), torch.logsumexp(logits, -1)
