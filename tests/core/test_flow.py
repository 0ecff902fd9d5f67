"""Where a match leads, pixel by pixel."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from midms.core.flow import match_flow, sample
from midms.core.types import cells
from midms.matching.matchers.correlation import Correlation


@pytest.mark.parametrize("grids", [((4, 6), (4, 6)), ((4, 6), (3, 8)), ((2, 2), (5, 3))])
def test_a_match_of_known_places_leads_there(grids: tuple[tuple[int, int], tuple[int, int]]) -> None:
    """Each cell matched to one other: its pixels in the middle lie there, whatever the two grids."""
    (h, w), (rows, columns) = grids
    key = torch.eye(rows * columns).unflatten(1, (rows, columns))[None]
    numbers = torch.randint(rows * columns, (h * w,), generator=torch.Generator().manual_seed(0))
    query = F.one_hot(numbers, rows * columns).T.float().unflatten(1, (h, w))[None]
    found = match_flow(Correlation(temperature=0.001)(query, key), (5 * h, 5 * w), query)
    x, y = (numbers % columns + 0.5) / columns * 2 - 1, (numbers // columns + 0.5) / rows * 2 - 1
    expected = torch.stack([x, y]).unflatten(1, (h, w))
    torch.testing.assert_close(found[0, :, 2::5, 2::5], expected, rtol=0, atol=1e-5)


def test_a_picture_matched_to_itself_stays() -> None:
    """Every pixel is its own, also between cells and at the border; `sample` takes cells, this borders."""
    features = torch.eye(35).unflatten(1, (5, 7))[None]
    found = match_flow(Correlation(temperature=0.001)(features, features), (20, 28), features)
    own = (cells(20, 28, found) + 0.5) / torch.tensor([28.0, 20.0]).view(1, 2, 1, 1) * 2 - 1
    torch.testing.assert_close(found, own, rtol=0, atol=1e-5)
    picture = torch.rand(1, 3, 20, 28)
    torch.testing.assert_close(sample(picture, cells(20, 28, picture)), picture)
