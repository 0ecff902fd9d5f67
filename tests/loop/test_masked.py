"""Exemplars of which only some cells may be taken from, as tensors."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from standins import Recorder, ToyPipeline, pictures
from torch import Tensor

from midms import create
from midms.confidence.always import Always
from midms.confidence.cycle import Cycle
from midms.core.protocols import written
from midms.core.types import cells, white_cells
from midms.diffusion.levels import noise_levels
from midms.diffusion.solvers.ddim import DDIM
from midms.loop import Policy
from midms.loop.masked import MaskedMatch
from midms.loop.multi_exemplar import compare, side_by_side
from midms.matching import MATCHERS
from midms.testing.laws import features
from midms.testing.matchers import rows

SOFTMAX = ("correlation", "dual-softmax")
"""Matchers whose rows are the same whatever the features of what is masked away."""
LEFT = torch.tensor([[1.0, 1, 0, 0]] * 5)[None, None].double().expand(2, -1, -1, -1)
ONE = DDIM(noise_levels((600,)))


def masked(name: str, mask: Tensor = LEFT) -> tuple[MaskedMatch, Tensor, Tensor, Tensor]:
    query, key = features(0), features(1, h=5, w=4)
    match, confidence = compare(MATCHERS.create(name), Always(), query, [key], None, None, [mask])
    assert isinstance(match, MaskedMatch)
    return match, confidence, query, key


@pytest.mark.parametrize("name", list(MATCHERS))
def test_rows_are_shared_out_over_what_is_allowed(name: str) -> None:
    """Against the matrix in float64, its columns masked and its rows renormalised."""
    match, confidence, query, key = masked(name)
    whole = rows(MATCHERS.create(name)(query, key if name in SOFTMAX else key * LEFT))
    allowed = LEFT.flatten(1)[:, None] * whole
    share = allowed.sum(-1, keepdim=True)
    expected = torch.where(share > 0, allowed / share.clamp(min=1e-300), LEFT.flatten(1)[:, None] / 10)
    found = rows(match)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.cat([*written(match, 7, LEFT)], 1), found)
    assert not found.unflatten(2, (5, 4))[..., 2:].any(), "nothing is taken from what is forbidden"
    if name not in SOFTMAX:
        torch.testing.assert_close(confidence.flatten(1), share[..., 0].clamp(max=1))
    back, there = rows(match.transpose()), rows(MATCHERS.create(name)(query, key * LEFT).transpose())
    torch.testing.assert_close(back, there * LEFT.flatten(1)[..., None], msg="what is forbidden gives nothing back")
    assert match.transpose().grid == (5, 4) and match.transpose().transpose() is match


@pytest.mark.parametrize("name", ["correlation", "dual-softmax", "nearest", "top-k", "local", "cost-aggregation"])
def test_similarity_is_the_expected_cosine_with_what_is_allowed(name: str) -> None:
    match, _, query, key = masked(name)
    cosines = torch.einsum("bdn,bdm->bnm", query.flatten(2), key.flatten(2))
    expected, share = (rows(match) * cosines).sum(-1), match.share().flatten(1)
    clear = share > 1e-3
    assert clear.double().mean() > 0.5
    torch.testing.assert_close(match.similarity().flatten(1)[clear], expected[clear])
    back = match.transpose().similarity()
    assert (match.similarity().abs() <= 1).all() and not back[..., 2:].any() and back[..., :2].any()


def test_what_fits_nothing_allowed_is_unsure_and_takes_their_mean() -> None:
    """In float32, where the rest of such a row is less than any number."""
    key = F.normalize(torch.eye(4).view(1, 4, 2, 2) - 0.9 * torch.eye(4).flip(0).view(1, 4, 2, 2), dim=1)
    key[0, :, 1] = -key[0, :, :1, :1].expand(-1, 1, 2)[:, 0]
    mask = torch.tensor([[[[0.0, 0], [1, 1]]]])
    match, confidence = compare(create("matcher", "correlation"), Always(), key, [key], None, None, [mask])
    values = torch.tensor([[[[9.0, 9], [1, 3]]]])
    assert match.apply(values)[0, 0, 0, 0] == 2 and confidence[0, 0, 0, 0] < 1e-6
    assert torch.equal(confidence[0, 0, 1], torch.ones(2)) and match.apply(values).amax() < 4
    assert match.similarity().isfinite().all() and abs(match.similarity()[0, 0, 0, 0]) < 1e-3


@pytest.mark.parametrize(
    ("matcher", "confidence"),
    [("correlation", c) for c in ("cycle", "entropy", "peak", "margin", "mutual", "calibrated", "cycle-released")]
    + [("unbalanced-transport", "mass"), ("semantic", "semantic"), ("nearest", "mutual")],
)
def test_every_confidence_judges_a_masked_match(matcher: str, confidence: str) -> None:
    """The half that may be taken from comes to itself as it would without a mask; the other half is not trusted."""
    query = features(0)
    query = torch.cat([query, torch.ones_like(query[:, :1])], 1) if matcher == "semantic" else query
    mask = torch.ones(2, 1, 6, 8, dtype=torch.float64)
    mask[..., 4:] = 0
    parts = create("matcher", matcher), create("confidence", confidence)
    trusted, whole = (compare(*parts, query, [query], None, None, masks)[1] for masks in ([mask], ()))
    torch.testing.assert_close(trusted[..., :3], whole[..., :3].to(trusted), rtol=0, atol=0.02)
    if confidence == "mutual":
        assert not trusted[..., 4:].any(), "what lies where nothing may be taken from is nobody's best"


def test_the_best_cells_are_allowed_ones() -> None:
    match, *_ = masked("correlation")
    best, back = match.argmax(), match.transpose().argmax()
    assert ((best < 0) | (best % 4 < 2)).all() and (best >= 0).double().mean() > 0.9
    assert (back[..., 2:] == -1).all() and (back[..., :2] >= 0).all()
    assert torch.equal(best[best >= 0], rows(match).argmax(-1).view_as(best)[best >= 0])
    assert not hasattr(match, "both") and not hasattr(match, "cycle"), "which would ask the match without the mask"


def test_what_an_exemplar_may_not_give_another_gives() -> None:
    """Both have all that the condition shows; of the first the left half is allowed, of the second all."""
    query, numbers = features(0), features(2, channels=3)
    mask = torch.ones(2, 1, 6, 8, dtype=torch.float64)
    mask[..., 4:] = 0
    for confidence in (Always(), Cycle(0.05)):
        match, sure = compare(create("matcher", "correlation"), confidence, query, [query, query], None, None, [mask])
        taken = match.apply(side_by_side([numbers, 10 + numbers]))
        torch.testing.assert_close(taken[..., :4], numbers[..., :4], msg="of two alike the first")
        torch.testing.assert_close(taken[..., 4:], 10 + numbers[..., 4:])
        assert (sure > 0.99).all()
        back = match.transpose().apply(cells(6, 8, query).expand(2, -1, -1, -1))
        assert not back[..., 4:8].any() and back[..., 8:].any()


def test_no_forbidden_colour_is_in_the_warp_at_any_level() -> None:
    """The second of two exemplars in part, the first whole; and each picture of a batch with a mask of its own."""
    condition, exemplar = pictures()
    mask = torch.zeros(2, 1, 20, 12, dtype=torch.float64)
    mask[0, :, 7:], mask[1, ..., :8] = 1, 1  # of the second row of cells a pixel is black
    pipe = ToyPipeline(sampler=ONE, policy=Policy((0,)))
    other = torch.where(mask > 0, exemplar, exemplar.flip(1))
    other[0, :, 4:8] = -1
    for given, masks in (([exemplar], [mask]), ([exemplar, exemplar], [mask, mask]), ([exemplar] * 2, [None, mask])):
        (moment,) = pipe.trajectory(condition, given, generator=Recorder(), exemplar_regions=masks)
        forbidden = white_cells(mask, (5, 3)) == 0
        assert forbidden[0, 0, :2].all() and not forbidden[0, 0, 2:].any() and forbidden[1, 0, :, 2:].all()
        latents = [torch.ones_like(forbidden.double()) if m is None else (~forbidden).double() for m in masks]
        assert (moment.match.apply(side_by_side(latents)) > 1 - 1e-9).all()
    assert moment.match.apply(side_by_side([torch.zeros(2, 1, 5, 3), torch.ones(2, 1, 5, 3)])).any()


def test_an_exemplar_that_may_be_taken_from_everywhere_is_as_without_a_mask() -> None:
    condition, exemplar = pictures()
    pipe, whole = ToyPipeline(policy=Policy((1,))), torch.ones_like(exemplar[:, :1])
    expected = pipe(condition, exemplar, generator=Recorder())
    found = pipe(condition, exemplar, generator=Recorder(), exemplar_regions=[whole])
    torch.testing.assert_close(found, expected)
    assert torch.equal(pipe(condition, exemplar, generator=Recorder(), exemplar_regions=[None]), expected)
    guided = ToyPipeline(policy=Policy((1,), "guide"))(condition, exemplar, exemplar_regions=[whole])
    assert guided.isfinite().all()


@pytest.mark.usefixtures("unchecked")
def test_what_is_wrong_with_a_mask_is_said() -> None:
    condition, exemplar = pictures()
    whole = torch.ones_like(exemplar[:, :1])
    nothing = whole * torch.tensor([1.0, 0.0]).view(2, 1, 1, 1)
    thin = whole * (torch.arange(12) % 4 > 0)
    cases: list[tuple[list[object], str]] = [
        ([whole, whole], r"^exemplar_regions has 2 masks, expected at most 1, as exemplars"),
        ([whole[..., 4:]], r"^exemplar_regions\[0\] is \(20, 8\) pixels, expected the exemplar's \(20, 12\)"),
        ([nothing], r"^exemplar_regions\[0\] has no cell of 4 x 4 pixels that is 0.5 at least: .* exemplar 0"),
        ([thin], r"^exemplar_regions\[0\] has no cell of 4 x 4"),
        ([3 * whole], r"^exemplar_regions\[0\] goes from 3 to 3, expected numbers in \[0, 1\]"),
        (["mask.png"], r"^exemplar_regions\[0\] is a str"),
    ]
    for masks, message in cases:
        with pytest.raises(ValueError, match=message):
            ToyPipeline()(condition, exemplar, exemplar_regions=masks)  # type: ignore[arg-type]
