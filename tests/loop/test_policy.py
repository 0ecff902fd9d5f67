"""Policies: what becomes of x0, against the arithmetic written out; the dial; several exemplars and their regions."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from standins import CHANNELS, Looking, Recorder, ToyPipeline, iter_draws, pictures
from torch import Tensor

from midms import build
from midms.confidence.always import Always
from midms.confidence.cycle import Cycle
from midms.core.types import Context, Level, Step
from midms.data.portraits.pairs import draw_pairs, generators
from midms.diffusion.levels import noise_levels
from midms.diffusion.solvers.ddim import DDIM
from midms.evaluation.metrics.faces import conditions
from midms.loop.multi_exemplar import compare, side_by_side
from midms.loop.policy import EDITS, MATCH_ON, NoGradient, Policy
from midms.matching.matchers.correlation import Correlation

ONE = DDIM(noise_levels((600,)))


def only_moment(pipe: ToyPipeline, *more: Any, **options: Any) -> Any:
    (moment,) = pipe.trajectory(*pictures(), *more, generator=Recorder(), **options)
    return moment


def test_what_becomes_of_x0() -> None:
    before = only_moment(ToyPipeline(sampler=ONE))
    x0 = before.step.x0
    for edit in ("blend", "replace", "context"):
        moment = only_moment(ToyPipeline(sampler=ONE, policy=Policy((0,), edit=edit)))
        weight = {"blend": moment.confidence, "replace": 1.0, "context": 0.0}[edit]
        torch.testing.assert_close(moment.step.x0, weight * moment.warp + (1 - weight) * x0)
        torch.testing.assert_close(moment.step.eps, before.step.eps)


def test_guiding_raises_the_confidence_along_its_gradient() -> None:
    """Against central differences: the move is along the gradient of the total confidence, as large as asked for."""
    pipe = ToyPipeline(sampler=ONE, policy=Policy((0,), edit="guide", confidence_guidance=0.01))
    condition, exemplar = pictures()
    x0 = only_moment(ToyPipeline(sampler=ONE)).step.x0.detach()
    query = pipe.features.condition(condition)
    key = pipe.features.exemplar(pipe.autoencoder.encode(exemplar), pipe.condition.photo(exemplar)).rematch

    def total(x: Tensor) -> Tensor:
        return pipe.confidence(pipe.matcher(pipe.features.rematch_query(x, query), key)).sum((1, 2, 3))

    move = only_moment(pipe).step.x0.detach() - x0
    rms = move.square().mean((1, 2, 3)).sqrt() / x0.square().mean((1, 2, 3)).sqrt()
    torch.testing.assert_close(rms, torch.full_like(rms, 0.01))
    assert torch.all(total(x0 + move) > total(x0))
    step, slope = 1e-6, []
    for index in range(x0[0].numel()):
        along = torch.zeros_like(x0).flatten(1)
        along[:, index] = step
        along = along.view_as(x0)
        slope.append((total(x0 + along) - total(x0 - along)) / (2 * step))
    cosine = torch.cosine_similarity(torch.stack(slope, 1), move.flatten(1))
    torch.testing.assert_close(cosine, torch.ones_like(cosine))


def test_guiding_works_where_no_gradient_is_kept_and_needs_a_confidence_that_has_one() -> None:
    pipe = ToyPipeline(policy=Policy((0, 1), edit="guide"))
    assert pipe(*pictures()).isfinite().all() and not pipe(*pictures()).requires_grad
    for confidence in (Always(), Cycle(radius=0.1)):
        with pytest.raises(NoGradient, match=r"no gradient; take a soft one"):
            pipe.replace(confidence=confidence)(*pictures())


def test_matching_the_noisy_latent() -> None:
    pipe = ToyPipeline(sampler=ONE, policy=Policy((0,), edit="context", match_on="latent"))
    condition, exemplar = pictures()
    draw = Recorder()
    (moment,) = pipe.trajectory(condition, exemplar, generator=draw)
    (plain,) = ToyPipeline(sampler=ONE).trajectory(condition, exemplar, generator=iter_draws(draw.drawn))
    latent = pipe.autoencoder.encode(exemplar)
    x = ONE.levels[0].alpha * plain.warp + ONE.levels[0].sigma * draw.drawn[0]
    key = pipe.features.exemplar(latent, pipe.condition.photo(exemplar)).rematch
    expected = pipe.matcher(pipe.features.rematch_query(x, pipe.features.condition(condition)), key).apply(latent)
    torch.testing.assert_close(moment.warp, expected)


def test_the_dial_goes_from_structure_to_style() -> None:
    measured = torch.rand(2, 1, 4, 6, dtype=torch.float64)
    weights = [Policy(style=style).apply_style(measured) for style in (0, 0.25, 0.5, 0.75, 1)]
    assert torch.equal(weights[0], torch.zeros_like(measured)) and torch.equal(weights[2], measured)
    assert torch.equal(weights[4], torch.ones_like(measured))
    assert all(torch.all(a <= b) for a, b in itertools.pairwise(weights))
    distance = []
    for style in (0.0, 0.25, 0.5, 0.75, 1.0):
        moment = only_moment(ToyPipeline(sampler=ONE, policy=Policy((0,), style=style)))
        distance.append((moment.step.x0 - moment.warp).square().mean().item())
    assert distance == sorted(distance, reverse=True) and distance[-1] < 1e-20


def test_the_dial_ends_at_the_least_confidence_that_the_denoiser_knows() -> None:
    """At 0 the mean is just that, where there is so much; half way, half way; what is edited is dialled in full."""
    measured = torch.stack([torch.full((1, 4, 6), 0.2), torch.rand(1, 4, 6) / 2 + 0.5]).double()
    weights = [Policy(style=style).apply_style(measured, 0.4) for style in (0, 0.25, 0.5, 0.75, 1)]
    full = [Policy(style=style).apply_style(measured) for style in (0.5, 0.75, 1)]
    torch.testing.assert_close(weights[0][1].mean(), torch.tensor(0.4, dtype=torch.float64))
    torch.testing.assert_close(weights[0][1] / measured[1], (weights[0][1] / measured[1]).mean().expand(1, 4, 6))
    torch.testing.assert_close(weights[1], (weights[0] + measured) / 2)
    torch.testing.assert_close(weights[0][0], measured[0])
    assert all(map(torch.equal, weights[2:], full))

    result: list[Tensor] = []

    class Knowing(Looking):
        min_confidence = 0.4

        def forward(self, x: Tensor, level: Level, context: Context) -> Tensor:
            result.append(context.confidence)
            return super().forward(x, level, context)

    pipe = ToyPipeline(sampler=ONE, denoiser=Knowing(), confidence=Always(), policy=Policy((0,), style=0.0))
    moment = only_moment(pipe)
    torch.testing.assert_close(result[0], torch.full_like(result[0], 0.4))
    plain = only_moment(pipe.replace(rematch=()))
    assert torch.equal(moment.step.x0, plain.step.x0), "nothing is blended"


def test_the_dials_lower_end_makes_no_halo() -> None:
    """Error in a ring of three pixels around the head; with no least confidence it is more than twice the usual one."""
    pipe, pairs = build("midm-faces"), draw_pairs("test", range(6), 64)
    head = pairs.head[:, None].float()
    ring = F.max_pool2d(head, 9, 1, 4) > F.max_pool2d(head, 3, 1, 1)

    def error(pipe: Any) -> float:
        image = pipe(conditions(pipe.condition, pairs), pairs.exemplar, generator=generators(0, range(6)))
        return (image - pairs.answer).abs().mean(1, keepdim=True)[ring].mean().item()

    usual, lowest = error(pipe), error(pipe.replace(style=0.0))
    pipe.denoiser.min_confidence = 0.0
    assert usual < lowest < 1.3 * usual and error(pipe.replace(style=0.0)) > 2 * usual


@pytest.mark.parametrize(("edit", "match_on"), [*itertools.product(EDITS, MATCH_ON)])
def test_every_policy_runs_in_the_faces_model(edit: str, match_on: str) -> None:
    pipe = build("midm-faces", rematch=(0, 1), edit=edit, match_on=match_on, style=0.7)
    image = pipe(torch.rand(1, 2, 32, 48), torch.rand(1, 3, 48, 32) * 2 - 1, generator=torch.Generator().manual_seed(0))
    assert image.shape == (1, 3, 32, 48) and image.isfinite().all()
    assert f"edit='{edit}', match_on='{match_on}'" in repr(pipe)


def test_an_edit_leaves_the_rest_of_a_step() -> None:
    step = Step(ONE.levels[0], torch.zeros(1, CHANNELS, 2, 2), torch.ones(1, CHANNELS, 2, 2), (3,))
    edited = Policy(edit="replace").edit_x0(
        step, torch.ones_like(step.x0), torch.ones(1, 1, 2, 2), lambda x0: x0.mean(1, keepdim=True), lambda: step.x0
    )
    assert dataclasses.replace(edited, x0=step.x0) == step and torch.equal(edited.x0, torch.ones_like(step.x0))


def test_adain_gives_the_statistics_of_what_is_taken_from() -> None:
    """Of two exemplars' cells, each weighted by how much trusted cells take of it, with the matrix written out."""
    numbers = torch.Generator().manual_seed(0)
    x0, *zs = torch.randn(3, 2, CHANNELS, 4, 5, generator=numbers, dtype=torch.float64)
    query, *keys = torch.randn(3, 2, 6, 4, 5, generator=numbers, dtype=torch.float64)
    trusted = torch.rand(2, 1, 4, 5, generator=numbers, dtype=torch.float64).round(decimals=1)
    match, _ = compare(Correlation(0.2), Always(), query, keys, None)
    warp, square = match.apply(side_by_side(zs)), match.apply(side_by_side(zs).square())
    step = Step(ONE.levels[0], x0, x0)
    policy = Policy(edit="adain", rematch=(0,))
    found = policy.edit_x0(step, warp, trusted, lambda x0: trusted, lambda: square).x0
    cosines = [F.normalize(query, dim=1).flatten(2).mT @ F.normalize(key, dim=1).flatten(2) for key in keys]
    couplings = [(one / 0.2).softmax(-1) for one in cosines]
    first, second = ((a * b).sum(-1, keepdim=True) for a, b in zip(couplings, cosines, strict=True))
    couplings = [couplings[0] * (first > second), couplings[1] * (first <= second)]
    taken = trusted.flatten(2) @ torch.cat(couplings, -1)
    for number in range(2):
        for channel in range(CHANNELS):
            weight, own = trusted[number].flatten(), x0[number, channel].flatten()
            theirs, of = torch.cat([z[number, channel].flatten() for z in zs]), taken[number, 0]
            mean, wanted = np.average(own, weights=weight), np.average(theirs, weights=of)
            spread = (np.average((own - mean) ** 2, weights=weight) + 1e-5) ** 0.5
            wanted_spread = (np.average((theirs - wanted) ** 2, weights=of) + 1e-5) ** 0.5
            there = (own - mean) / spread * wanted_spread + wanted
            expected = weight * there + (1 - weight) * own
            torch.testing.assert_close(found[number, channel].flatten(), expected)
    nowhere = policy.edit_x0(step, warp, 0 * trusted, lambda x0: trusted, lambda: square)
    assert torch.equal(nowhere.x0, x0)
