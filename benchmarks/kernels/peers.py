"""Ways to do the whole hot path of a match: warp the values, find where either side goes, check that it comes back.

Each is a function from `Inputs` to an `Outcome`, the features taken as they come. Nothing here is midms's own but what
says so; peers that are not installed say why they cannot run.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import Inputs
from benchmarks.released import match as released
from midms.core.normalize import l2_normalize
from midms.core.types import cells
from midms.matching.kernels import Backend, Precision, cycle
from midms.matching.matchers.correlation import Correlation
from midms.matching.matches.factored import tokens

SCALE = 1 / released.TEMPERATURE
RADIUS = 0.25


class Outcome(NamedTuple):
    """Values on the condition's grid, both maps in cells, the check's mask."""

    warped: Tensor
    forward: Tensor
    backward: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Peer:
    """Something to compare with.

    Attributes:
        run: the whole hot path.
        missing: why it cannot run here, or "".
        most: the largest grid worth the wait on a CPU.
        trains: whether its gradients are measured too.
    """

    run: Callable[[Inputs], Outcome]
    missing: str = ""
    most: int = 128
    trains: bool = True


def released_path(x: Inputs) -> Outcome:
    """The released implementation: see `released_match`."""
    warped_latent, warped_labels, forward, backward, mask = released.match(x.q, x.k, x.values[:, :4], x.values[:, 4:])
    return Outcome(torch.cat([warped_latent, warped_labels], 1), _in_cells(forward), _in_cells(backward), mask)


def ours(backend: Backend, precision: Precision = "auto") -> Callable[[Inputs], Outcome]:
    """`FactoredMatch.both`: the values and the coordinates forth, the coordinates back, in one pass."""

    def run(x: Inputs) -> Outcome:
        match = Correlation(released.TEMPERATURE, 0.0, backend, precision)(x.q, x.k)
        values, start = with_coordinates(x)
        warped, backward = match.both(values, start)
        return _checked(warped, backward)

    return run


def padded_sdpa(x: Inputs) -> Outcome:
    """Two calls of `scaled_dot_product_attention`, values padded to the features' width; it has no floor at 0."""
    q, k = (tokens(l2_normalize(side)) for side in (x.q, x.k))
    values, start = with_coordinates(x)
    width = q.shape[-1]
    warped, backward = (
        F.scaled_dot_product_attention(
            a[:, None], b[:, None], F.pad(tokens(v), (0, width - v.shape[1]))[:, None], scale=SCALE
        )[:, 0, :, : v.shape[1]].mT.unflatten(-1, v.shape[-2:])
        for a, b, v in ((q, k, values), (k, q, start))
    )
    return _checked(warped, backward)


def keops(x: Inputs) -> Outcome:
    """Two online softmaxes of KeOps's lazy tensors."""
    from pykeops.torch import LazyTensor

    q, k = (tokens(l2_normalize(side)).contiguous() for side in (x.q, x.k))
    values, start = with_coordinates(x)

    def attention(a: Tensor, b: Tensor, v: Tensor) -> Tensor:
        logits = (LazyTensor(a[:, :, None]) | LazyTensor(b[:, None])).relu() * SCALE
        warped: Tensor = logits.sumsoftmaxweight(LazyTensor(tokens(v).contiguous()[:, None]), dim=2)
        return warped.mT.unflatten(-1, v.shape[-2:])

    return _checked(attention(q, k, values), attention(k, q, start))


def peers(device: str) -> dict[str, Peer]:
    """By name; the first is what the others are compared with."""
    compiled = torch.compile(released_path, dynamic=False)
    no_keops = "" if importlib.util.find_spec("pykeops") else "pykeops is not installed"
    found = {
        "released": Peer(released_path),
        "released, torch.compile": Peer(compiled),
        "SDPA, values padded": Peer(padded_sdpa, most=64 if device == "cpu" else 256),
        "KeOps": Peer(keops, no_keops, most=32, trains=False),
        "midms reference": Peer(ours("reference"), most=64),
        "midms chunked": Peer(ours("chunked"), most=256),
    }
    return found


def gradients(run: Callable[[Inputs], Outcome], x: Inputs, weight: Tensor) -> tuple[Tensor, ...]:
    """Of sum(weight * warped) in features and values; flows and check are made beside it, without gradients."""
    leaves = Inputs(*(side.detach().requires_grad_() for side in x))
    return torch.autograd.grad((run(leaves).warped * weight).sum(), leaves)


def with_coordinates(x: Inputs) -> tuple[Tensor, Tensor]:
    """The exemplar's values and coordinates; the condition's coordinates."""
    there, here = (cells(side.shape[-2], side.shape[-1], side).expand(len(side), -1, -1, -1) for side in (x.k, x.q))
    return torch.cat([x.values, there], 1), here


def _checked(warped: Tensor, backward: Tensor) -> Outcome:
    forward = warped[:, -2:]
    return Outcome(warped[:, :-2], forward, backward, cycle(forward.detach(), backward.detach(), RADIUS)[1])


def _in_cells(place: Tensor) -> Tensor:
    h, w = place.shape[-2:]
    return torch.stack([(place[:, 0] + 1) / 2 * (w - 1), (place[:, 1] + 1) / 2 * (h - 1)], 1)
