"""The loop against itself written out flat, with dense matrices, in double precision."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from standins import CHANNELS, Looking, Mixed, Recorder, ToyPipeline, iter_draws, pictures
from torch import Tensor

from midms.confidence.calibrated import Calibrated
from midms.confidence.cycle import Cycle
from midms.core.types import Context
from midms.diffusion.levels import noise_levels
from midms.diffusion.solvers.ddim import DDIM
from midms.diffusion.solvers.ddpm import DDPM
from midms.loop import Moment, Policy
from midms.matching.matchers.correlation import Correlation
from midms.matching.matchers.optimal_transport import OptimalTransport


def flat(pipe: ToyPipeline, condition: Tensor, exemplar: Tensor, draws: list[Tensor]) -> list[Tensor]:
    """x0 of every level, as the article has it: no parts but the networks, the coupling as a matrix."""
    latent = pipe.autoencoder.encode(exemplar)
    query = pipe.features.condition(condition)
    key = pipe.features.exemplar(latent, pipe.condition.photo(exemplar))

    def warp(here: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        similarity = torch.einsum("bdi,bdj->bij", here.flatten(2), there.flatten(2))
        coupling = torch.softmax(similarity / pipe.matcher.temperature, -1)
        warped = torch.einsum("bij,bcj->bci", coupling, latent.flatten(2)).unflatten(2, here.shape[-2:])
        confidence = ((coupling * similarity).sum(-1) / 2 + 0.5).view(len(here), 1, *here.shape[-2:])
        return warped, confidence

    noises = iter(draws)
    warped, confidence = warp(query.initial, key.initial)
    found = []
    for sampler, refining in [(pipe.sampler, False)] + ([(pipe.refiner, True)] if pipe.refiner else []):
        x0 = found[-1] if refining else warped
        x = sampler.levels[0].alpha * x0 + sampler.levels[0].sigma * next(noises)
        for level, following in zip(sampler.levels, [*sampler.levels[1:], None], strict=True):
            x0 = pipe.denoiser(x, level, Context(warped, condition, confidence))
            eps = (x - level.alpha * x0) / level.sigma
            if level.index in pipe.policy.rematch and not refining:
                warped, confidence = warp(pipe.features.rematch_query(x0, query), key.rematch)
                if pipe.policy.edit == "blend":
                    x0 = confidence * warped + (1 - confidence) * x0
            found.append(x0)
            if following and isinstance(sampler, DDIM):
                x = following.alpha * x0 + following.sigma * eps
            elif following:  # Ho et al. 2020, eq. 7, with x_t as x0 and eps say
                alpha = (level.alpha / following.alpha) ** 2
                x_t = level.alpha * x0 + level.sigma * eps
                mean = (following.alpha * (1 - alpha) * x0 + alpha**0.5 * following.sigma**2 * x_t) / level.sigma**2
                x = mean + ((1 - alpha) * following.sigma**2 / level.sigma**2) ** 0.5 * next(noises)
    assert next(noises, None) is None, "every draw was used"
    return found


COMPOSITIONS: dict[str, dict[str, Any]] = {
    "no re-matching": {},
    "re-matching, blended": {"policy": Policy((0, 2))},
    "re-matching for the denoiser alone": {"policy": Policy((0, 1), edit="context")},
    "ancestral": {"sampler": DDPM(noise_levels((700, 350, 100))), "policy": Policy((1,))},
    "last pass": {"refiner": DDIM(noise_levels((150, 60))), "policy": Policy((1,))},
    "ancestral last pass": {"refiner": DDPM(noise_levels((150, 100, 50))), "policy": Policy((0, 1, 2))},
}


@pytest.mark.parametrize("fields", COMPOSITIONS.values(), ids=COMPOSITIONS)
def test_the_loop_is_itself_written_out(fields: dict[str, Any]) -> None:
    pipe, draw = ToyPipeline(**fields), Recorder()
    condition, exemplar = pictures()
    with torch.no_grad():
        moments = list(pipe.trajectory(condition, exemplar, generator=draw))
        expected = flat(pipe, condition, exemplar, draw.drawn)
    assert len(moments) == len(expected)
    for moment, x0 in zip(moments, expected, strict=True):
        torch.testing.assert_close(moment.step.x0, x0, rtol=1e-9, atol=1e-9)
    image = pipe(condition, exemplar, generator=iter_draws(draw.drawn))
    torch.testing.assert_close(image, pipe.autoencoder.decode(expected[-1]), rtol=1e-9, atol=1e-9)


def test_moments_say_what_happened() -> None:
    pipe = ToyPipeline(policy=Policy((1,)), refiner=DDIM(noise_levels((150, 60))))
    moments = list(pipe.trajectory(*pictures(), generator=Recorder()))
    assert [moment.stage for moment in moments] == ["loop"] * 3 + ["refine"] * 2
    assert [moment.rematched for moment in moments] == [False, True, False, False, False]
    assert [moment.step.level for moment in moments] == [*pipe.sampler.levels, *pipe.refiner.levels]
    assert moments[0].match is not moments[1].match is moments[2].match is moments[4].match
    warp = moments[1].match.apply(pipe.autoencoder.encode(pictures()[1]))
    torch.testing.assert_close(moments[1].warp, warp)
    torch.testing.assert_close(moments[1].confidence, moments[1].match.similarity() / 2 + 0.5)


def test_draws_are_asked_for_in_order() -> None:
    draw = Recorder()
    pipe = ToyPipeline(sampler=DDPM(noise_levels((600, 300))), refiner=DDPM(noise_levels((150, 100, 50))))
    pipe(*pictures(), generator=draw)
    assert [noise.shape for noise in draw.drawn] == [(2, CHANNELS, 4, 6)] * (1 + 1 + 1 + 2)
    draw = Recorder()
    ToyPipeline(refiner=DDIM(noise_levels((150, 60))))(*pictures(), generator=draw)
    assert len(draw.drawn) == 2, "the loop's start and the last pass's"


def test_a_condition_for_the_exemplar_is_used_and_by_default_made_from_it() -> None:
    pipe, (condition, exemplar) = ToyPipeline(), pictures()
    drawn = torch.rand_like(exemplar[:, :2])

    def first(given: Tensor | None) -> Tensor:
        return next(pipe.trajectory(condition, exemplar, given, Recorder())).warp

    torch.testing.assert_close(first(None), first(pipe.condition.photo(exemplar)))
    assert (first(None) - first(drawn)).abs().max() > 1e-3


def test_gradients_flow_through_every_moment() -> None:
    """Against central differences along a direction, through two matches, the blend and a last pass."""
    pipe = ToyPipeline(policy=Policy((0, 1)), refiner=DDPM(noise_levels((150, 60))))
    condition, exemplar = pictures(batch=1)
    exemplar.requires_grad_()
    weights = torch.randn(CHANNELS, 4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def total(exemplar: Tensor) -> Tensor:
        moments: list[Moment] = list(pipe.trajectory(condition, exemplar, generator=Recorder()))
        return torch.stack([(moment.step.x0 * weights).sum() + moment.confidence.sum() for moment in moments]).sum()

    by_picture, by_gain = torch.autograd.grad(total(exemplar), [exemplar, pipe.denoiser.gain])
    step = 1e-6
    along = torch.randn(exemplar.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        difference = (total(exemplar + step * along) - total(exemplar - step * along)) / (2 * step)
        pipe.denoiser.gain += step
        above = total(exemplar)
        pipe.denoiser.gain -= 2 * step
        below = total(exemplar)
    torch.testing.assert_close((by_picture * along).sum(), difference, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(by_gain, (above - below) / (2 * step), rtol=1e-5, atol=1e-6)


def test_a_call_keeps_no_graph_and_no_modes() -> None:
    pipe = ToyPipeline()
    assert not pipe(*pictures()).requires_grad
    assert torch.is_grad_enabled()


def test_breaking_out_computes_no_more() -> None:
    calls: list[int] = []

    class Counting(Looking):
        def forward(self, x: Tensor, level: Any, context: Context) -> Tensor:
            calls.append(level.index)
            return super().forward(x, level, context)

    next(ToyPipeline(denoiser=Counting()).trajectory(*pictures()))
    assert calls == [0]


def test_seeds_decide() -> None:
    pipe, given = ToyPipeline(refiner=DDPM(noise_levels((150, 60)))), pictures()

    def image(seed: int) -> Tensor:
        return pipe(*given, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(image(1), image(1))
    assert not torch.equal(image(1), image(2))
    torch.manual_seed(3)
    unseeded = pipe(*given)
    torch.manual_seed(3)
    assert torch.equal(pipe(*given), unseeded), "without a generator it is PyTorch's own"


def test_a_batch_is_its_pictures_one_by_one() -> None:
    pipe, (condition, exemplar) = ToyPipeline(policy=Policy((1,))), pictures(batch=3)
    draw = Recorder()
    together = pipe(condition, exemplar, generator=draw)
    for i in range(3):
        draws = iter_draws([noise[i : i + 1] for noise in draw.drawn])
        alone = pipe(condition[i : i + 1], exemplar[i : i + 1], generator=draws)
        torch.testing.assert_close(together[i : i + 1], alone)


@dataclasses.dataclass(frozen=True)
class Degenerate(Mixed):
    """Features that are all the same, or all zero."""

    value: float = 0.0

    def _mix(self, x: Tensor) -> Tensor:
        return torch.full_like(super()._mix(x), self.value)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("matcher", [Correlation(), OptimalTransport()], ids=["correlation", "optimal-transport"])
@pytest.mark.parametrize("confidence", [Cycle(), Calibrated().double()], ids=["cycle", "calibrated"])
def test_degenerate_features_never_reach_the_picture(value: float, matcher: Any, confidence: Any) -> None:
    pipe = ToyPipeline(features=Degenerate(value=value), matcher=matcher, confidence=confidence, policy=Policy((0, 1)))
    for moment in pipe.trajectory(*pictures(), generator=Recorder()):
        assert torch.isfinite(moment.step.x0).all()
        assert ((moment.confidence >= 0) & (moment.confidence <= 1)).all()
    spread = moment.match.apply(pipe.autoencoder.encode(pictures()[1]))
    mean = pipe.autoencoder.encode(pictures()[1]).mean((2, 3), keepdim=True).expand_as(spread)
    torch.testing.assert_close(spread, mean, msg="what is equally like everything is matched to everything")
