"""Matches against themselves, exact flows and keypoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.flow import return_error, sample
from midms.core.limits import number
from midms.core.metrics import Compared
from midms.core.types import cells

RADII = (0.025, 0.05, 0.1)
"""Shares of a side within which a match is right."""
_KEYPOINTS = " at keypoints"
"""How figures of points end."""


def errors_of(batch: Compared) -> dict[str, tuple[Float[Tensor, "b n"], Float[Tensor, " b"]]]:
    """How many pixels off the match is, and the pixels that PCK counts shares of; NaN where nothing is known.

    Against the exact flow, wherever it is known, with the exemplar's longer side; "at keypoints", with the longer side
    of the object.
    """
    assert batch.flow is not None
    found = {}
    if batch.exact_flow is not None:
        shape = batch.flow.shape if batch.exemplar is None else batch.exemplar.shape
        side = batch.flow.new_full((len(batch.flow),), float(max(shape[-2:])))
        found[""] = (batch.flow - batch.exact_flow).norm(dim=1).flatten(1), side
    if batch.keypoints is not None and batch.extent is not None:
        here, there = batch.keypoints[..., :2], batch.keypoints[..., 2:]
        arrived = here + sample(batch.flow, here.mT[:, :, None].nan_to_num())[:, :, 0].mT
        found[_KEYPOINTS] = (arrived - there).norm(dim=-1), batch.extent
    return found


@dataclass(frozen=True)
class EPE:
    """End-point error: the mean distance in pixels of the exemplar between where a match arrives and where it should.

    Baker et al. 2011, "A Database and Evaluation Methodology for Optical Flow", eq. 22; where the exact flow is known,
    and at keypoints.

    To choose where the flow is known and errors in pixels are wanted.
    """

    needs: ClassVar = ("flow",)
    uses: ClassVar = ("exact_flow", "keypoints", "extent", "exemplar")
    ideal: ClassVar = 0.0

    def __call__(self, batch: Compared) -> dict[str, Float[Tensor, " b"]]:
        """A figure for the exact flow and one for keypoints, as far as they are known."""
        return {f"EPE in px of the exemplar{where}": off.nanmean(1) for where, (off, _) in errors_of(batch).items()}


@dataclass(frozen=True)
class PCK:
    """Percentage of correct keypoints (Yang and Ramanan 2013), picture by picture.

    As in SPair-71k (Min et al. 2019, arXiv:1908.10543): a match is right that is off by at most a share of the longer
    side: of the object's box at keypoints, of the exemplar for an exact flow.

    To choose where the flow or key points are known; it minds no outliers.

    Attributes:
        radii: the shares.

    Raises:
        OutOfLimits: one is not above 0, at most 1.
    """

    radii: tuple[float, ...] = RADII
    needs: ClassVar = ("flow",)
    uses: ClassVar = ("exact_flow", "keypoints", "extent", "exemplar")
    ideal: ClassVar = 1.0

    def __post_init__(self) -> None:
        for radius in self.radii:
            number(0, 1, above=True, radii=radius)

    def __call__(self, batch: Compared) -> dict[str, Float[Tensor, " b"]]:
        """A figure for each radius, for the exact flow and for keypoints as far as they are known."""
        return {
            f"PCK@{radius}{where}": torch.where(off.isnan(), off, (off <= radius * side[:, None]).to(off)).nanmean(1)
            for where, (off, side) in errors_of(batch).items()
            for radius in self.radii
        }


@dataclass(frozen=True)
class RoundTrip:
    """How far from itself a pixel comes back, in widths (Sundaram et al. 2010): the mean of `flow.return_error`.

    To choose where nothing is known of the match; it can be wrong and consistent.
    """

    needs: ClassVar = ("flow", "flow_back")
    ideal: ClassVar = 0.0

    def __call__(self, batch: Compared) -> dict[str, Float[Tensor, " b"]]:
        """One figure, over the pixels that were matched both ways."""
        there, back = batch.flow, batch.flow_back
        assert there is not None and back is not None
        places = [flow + cells(flow.shape[-2], flow.shape[-1], flow) for flow in (there, back)]
        error = return_error(places[0], places[1]).flatten(1)
        return {"cycle error": error.masked_fill(error.isinf(), torch.nan).nanmean(1)}
