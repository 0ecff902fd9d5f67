"""Laws of every registered confidence over every registered matcher; the cycle error against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pairs_that_compose import AMBIGUITY, HARD, PLACED, composes
from scipy.ndimage import map_coordinates
from torch import Tensor

from midms.confidence import CONFIDENCES
from midms.confidence.calibrated import Calibrated, evidence
from midms.confidence.cycle import Cycle
from midms.confidence.cycle_released import CycleReleased, twice_forward, vote
from midms.core.flow import cycle_error, sample
from midms.core.protocols import Matcher
from midms.core.types import cells
from midms.matching import MATCHERS
from midms.matching.matchers.correlation import Correlation
from midms.matching.matchers.optimal_transport import OptimalTransport
from midms.matching.matches.factored import tokens, untokens
from midms.testing.confidences import Bare


def pairs(*without: str) -> pytest.MarkDecorator:
    names = [(m, c) for m in MATCHERS for c in CONFIDENCES if composes(m, c) and c not in without]
    return pytest.mark.parametrize(("matcher", "confidence"), names)


every_pair = pairs()


LENGTHS = {"attention": 20.0}
"""Of features, where a matcher's are no unit vectors."""


def confidence_values(matcher: str, confidence: str, query: Tensor, key: Tensor) -> Tensor:
    length = LENGTHS.get(matcher, 1.0)
    return CONFIDENCES.create(confidence)(MATCHERS.create(matcher)(length * query, length * key))


def features(seed: int, h: int = 16, w: int = 16, batch: int = 2, channels: int = 32) -> Tensor:
    x = torch.randn(batch, channels, h, w, generator=torch.Generator().manual_seed(seed))
    return F.normalize(x, dim=1)


@every_pair
def test_confidence_is_a_share(matcher: str, confidence: str) -> None:
    weight = confidence_values(matcher, confidence, features(0, 12, 10), features(1, 9, 14))
    assert weight.shape == (2, 1, 12, 10)
    assert torch.all((weight >= 0) & (weight <= 1))


@every_pair
def test_what_is_matched_to_itself_is_trusted(matcher: str, confidence: str) -> None:
    assert confidence_values(matcher, confidence, features(0), features(0)).mean() > 0.95


@pairs("always", "semantic", "similarity", *AMBIGUITY)  # the nearest of many strangers is above the floor of a cosine
def test_strangers_are_not_trusted(matcher: str, confidence: str) -> None:
    # half of strangers are each other's best by chance, n m / (n + m - 1), and more where transport pairs them off
    limit = 0.85 if confidence == "mutual" or matcher in HARD else 0.4
    match = MATCHERS.create(matcher)(features(0), features(1))  # unit vectors, which margins are of
    assert CONFIDENCES.create(confidence)(match).mean() < limit


@pairs("always", "semantic", "cycle-released")
def test_a_picture_that_says_nothing_is_not_trusted(matcher: str, confidence: str) -> None:
    assert confidence_values(matcher, confidence, features(0), torch.zeros(2, 32, 16, 16)).mean() < 0.2


@every_pair
@pytest.mark.parametrize("flaw", [0.0, 1.0, torch.nan])
def test_features_that_say_nothing_do_no_harm(matcher: str, confidence: str, flaw: float) -> None:
    query, key = torch.full((2, 8, 5, 5), flaw).requires_grad_(), features(0, 5, 5, channels=8).requires_grad_()
    weight = confidence_values(matcher, confidence, query, key)
    assert weight.isfinite().all()
    if weight.requires_grad:
        gradients = torch.autograd.grad(weight.sum(), (query, key), allow_unused=True)
        assert all(g is None or g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("sizes", [((9, 7), (9, 7)), ((6, 11), (8, 5)), ((1, 6), (4, 1)), ((1, 1), (3, 3))])
def test_cycle_error_is_scipys(sizes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    match = Correlation(temperature=0.1)(features(0, *sizes[0]).double(), features(1, *sizes[1]).double())
    (h, w), (rows, columns) = sizes
    forward = match.apply(cells(rows, columns, match.query)).numpy()
    backward = match.transpose().apply(cells(h, w, match.query)).numpy()
    error, _ = cycle_error(match)
    y, x = np.mgrid[:h, :w]
    for i in range(2):
        home = [map_coordinates(axis, forward[i, ::-1], order=1, mode="nearest") for axis in backward[i]]
        expected = np.hypot(home[0] - x, home[1] - y) / max(h, w)
        np.testing.assert_allclose(error[i, 0].numpy(), expected, rtol=1e-6, atol=1e-9)


def test_outside_takes_the_border() -> None:
    values = torch.arange(12.0).view(1, 1, 3, 4)
    place = torch.tensor([[-5.0, 9.0, 1.5], [-5.0, 9.0, 0.5]]).view(1, 2, 1, 3)
    torch.testing.assert_close(sample(values, place).flatten(), torch.tensor([0.0, 11.0, 3.5]))


@pytest.mark.parametrize("name", [name for name in MATCHERS if name not in PLACED])
@pytest.mark.parametrize("move", ["shift", "mirror", "shuffle"])
def test_a_one_to_one_match_is_trusted_wherever_it_leads(name: str, move: str) -> None:
    """The released check rejects a shift by more than its radius, and accepts any mirror."""
    query = LENGTHS.get(name, 1.0) * features(0)
    shuffled = torch.randperm(256, generator=torch.Generator().manual_seed(0))
    key = {
        "shift": query.roll((3, 7), (2, 3)),
        "mirror": query.flip(-1),
        "shuffle": untokens(tokens(query)[:, shuffled], (16, 16)),
    }[move]
    assert Cycle(radius=0.01)(MATCHERS.create(name)(query, key)).mean() > 0.95


@pytest.mark.parametrize("sizes", [((9, 7), (9, 7)), ((6, 11), (8, 5)), ((1, 6), (4, 1)), ((2, 2), (5, 5))])
def test_released_check_is_torchs_grid_sample(sizes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    """Written as the released code has it, on grids that it cannot take: odd, and of two sizes."""
    match = Correlation(temperature=0.1)(features(0, *sizes[0]).double(), features(1, *sizes[1]).double())

    def grid(h: int, w: int) -> Tensor:
        y, x = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
        return torch.stack([x, y])[None].double()

    arrival = match.apply(grid(*sizes[1]))
    flow = arrival - grid(*sizes[0])
    again = F.grid_sample(flow, arrival.permute(0, 2, 3, 1), align_corners=True, padding_mode="border")
    torch.testing.assert_close(twice_forward(match), (flow + again).norm(dim=1, keepdim=True))


def test_a_vote_takes_three_of_four() -> None:
    mask = torch.tensor([[1, 1, 1, 0, 1], [1, 0, 1, 0, 0], [1, 0, 1, 1, 1]]).view(1, 1, 3, 5).float()
    voted = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 1, 1]])
    assert torch.equal(vote(mask)[0, 0].long(), voted)


def test_the_released_check_is_about_displacement() -> None:
    """A shift by an eighth is consistent and refused, a mirror image is accepted; `cycle` accepts both."""
    query = features(0, 32, 32, 1)
    released = CycleReleased()
    assert released(Correlation()(query, query.flip(-1))).mean() == 1
    shift = Correlation()(query, torch.cat([features(1, 32, 9, 1), query[..., :-9]], -1))
    assert released(shift)[..., :14].sum() == 0
    assert Cycle()(shift)[..., :14].mean() == 1


def test_two_cells_with_one_counterpart_come_back_half_way() -> None:
    query = features(0, batch=1)
    query[..., 4, 3] = query[..., 4, 9]
    key = query.clone()
    key[..., 4, 3] = features(1, batch=1)[..., 4, 3]
    error = 16 * cycle_error(Correlation()(query, key))[0][0, 0]
    assert error[4, 3].item() == pytest.approx(3, abs=0.01) and error[4, 9].item() == pytest.approx(3, abs=0.01)
    assert (error > 0.01).sum() == 2


def test_radius_and_softness() -> None:
    match = Correlation(temperature=0.05)(features(0), features(1))
    error, _ = cycle_error(match)
    assert torch.equal(Cycle(radius=0.2)(match), (error < 0.2).float())
    soft = Cycle(radius=0.2, softness=0.05)(match)
    torch.testing.assert_close(soft, 1 / (1 + ((error - 0.2) / 0.05).exp()))


@pytest.mark.parametrize(("arguments", "message"), [({"radius": 0.0}, "radius"), ({"softness": -1.0}, "softness")])
def test_impossible_arguments_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"{message} must"):
        Cycle(**arguments)


def test_an_impossible_radius_is_refused() -> None:
    with pytest.raises(ValueError, match="radius must be positive, got -1"):
        CycleReleased(radius=-1.0)


def half_hidden(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features of a condition and of an exemplar that shows only some of it, jittered; and which cells it shows."""
    generator = torch.Generator().manual_seed(seed)
    query = features(seed)
    hidden = F.interpolate(torch.rand(2, 1, 4, 4, generator=generator), (16, 16)) < 0.4
    key = F.normalize(query + 0.1 * torch.randn(query.shape, generator=generator), dim=1).roll(3, -1)
    gone = hidden.roll(3, -1)
    return query, torch.where(gone, features(seed + 1), key), ~hidden


@pytest.mark.parametrize("matcher", [Correlation(), Correlation(floor=0.0), OptimalTransport()])
def test_hidden_cells_are_told_apart(matcher: Matcher) -> None:
    query, key, shown = half_hidden(0)
    match = matcher(query, key)
    for confidence, apart in ((Calibrated(), 0.5), (Cycle(), 0.25)):
        weight = confidence(match)
        assert weight[shown].mean() - weight[~shown].mean() > apart
    cycle, similarity, contested, *_ = evidence(match).split(1, 1)
    for hint in (-cycle, similarity, -contested):
        assert hint[shown].mean() - hint[~shown].mean() > 0.02


def test_calibrated_learns_and_teaches() -> None:
    query, key, shown = half_hidden(0)
    query, key, confidence = query.requires_grad_(), key.requires_grad_(), Calibrated()
    first = F.binary_cross_entropy(confidence(Correlation()(query, key)), shown.float())
    gradients = torch.autograd.grad(first, [query, key, *confidence.parameters()], retain_graph=True)
    assert all(g.isfinite().all() and g.abs().sum() > 0 for g in gradients)
    optimiser = torch.optim.Adam(confidence.parameters(), 0.1)
    for _ in range(20):
        optimiser.zero_grad()
        F.binary_cross_entropy(confidence(Correlation()(query.detach(), key.detach())), shown.float()).backward()
        optimiser.step()
    query, key, shown = half_hidden(5)
    later = F.binary_cross_entropy(confidence(Correlation()(query, key)), shown.float())
    assert later < 0.7 * first


def test_a_match_that_rounds_is_borne() -> None:
    class Rounded(Bare):
        def apply(self, values: Tensor) -> Tensor:
            return super().apply(values).bfloat16().float()

    assert Calibrated()(Rounded(Correlation()(features(0, 11, 13), features(0, 11, 13)))).isfinite().all()


def test_evidence_of_a_uniform_match() -> None:
    """Everything has a closed form where every cell of a 4 x 4 exemplar is equally likely."""
    found = evidence(Correlation()(torch.ones(1, 8, 4, 4), torch.ones(1, 8, 4, 4)))
    x = torch.arange(4.0)
    offset = torch.stack(torch.meshgrid(x - 1.5, x - 1.5, indexing="ij")).norm(dim=0) / 4
    spread = (2 * ((x - 1.5) / 4).square().mean()).sqrt()
    torch.testing.assert_close(found[0, 0], ((offset + 1e-3) / 0.05).log())
    torch.testing.assert_close(found[0, 1], torch.ones(4, 4))
    torch.testing.assert_close(found[0, 2], torch.zeros(4, 4), rtol=0, atol=1e-6)
    torch.testing.assert_close(found[0, 3], torch.full((4, 4), (spread / 0.05).log()), rtol=0, atol=1e-4)
    # the flow runs to the middle: straight inside, bent at the sides where a neighbour is missing
    torch.testing.assert_close(found[0, 4, 1:3, 1:3], torch.full((2, 2), 1e-3 / 0.05).log(), rtol=0, atol=1e-3)
    torch.testing.assert_close(found[0, 4, 0, 1], torch.tensor((0.5 / 4 + 1e-3) / 0.05).log())
