"""Laws of samplers."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.protocols import Sampler
from midms.core.types import DenoiseFn, Level, NoiseFn, Step
from midms.testing.laws import CHANGED_INPUT, NOT_REPEATED, Laws, close, normals


def clean(dtype: torch.dtype = torch.float64) -> Float[Tensor, "b c h w"]:
    """A latent."""
    return normals(0, 2, 5, 3, 7).to(dtype)


def draws(seed: int) -> NoiseFn:
    """Draws from a generator of their own."""
    generator = torch.Generator().manual_seed(seed)
    return lambda shape: torch.randn(shape, generator=generator)


def shrunk(x: Tensor, level: Level) -> Tensor:
    """Any function will do as a network: it depends on x, the neighbours and the level."""
    return (0.8 * level.alpha * x + 0.1 * x.roll(1, -1)) / (1 + level.sigma)


def walk(
    sampler: Sampler, denoise: DenoiseFn, x0: Float[Tensor, "b c h w"], seed: int = 1
) -> list[tuple[Tensor, Step]]:
    """x and the half step at each level, from x0 noised."""
    draw, step, seen = draws(seed), None, []
    x = sampler.levels.add_noise(x0, draw)
    for level in sampler.levels:
        x = x if step is None else sampler.advance(step, level, draw)
        step = sampler.predict(denoise, x, level, step)
        seen.append((x, step))
    return seen


class SamplerLaws(Laws):
    """What holds of every sampler. Inherit it, and give `make`.

    Attributes:
        make: a class or function that makes the sampler with two levels or more, without arguments.
    """

    make: Callable[[], Sampler]

    @pytest.fixture
    def sampler(self) -> Sampler:
        """The sampler under test."""
        return type(self).make()

    def test_levels_go_from_noise_to_the_picture(self, sampler: Sampler) -> None:
        """They are numbered from 0; alpha rises, sigma falls and does not end before the last.

        Typical cause: timesteps in rising order.
        """
        levels = sampler.levels
        assert len(levels) > 1, "give `make` a sampler of two levels or more"
        assert [level.index for level in levels] == [*range(len(levels))], "levels are numbered from 0"
        finite = all(math.isfinite(value) for level in levels for value in dataclasses.astuple(level))
        assert finite, "a level has a number that is not finite"
        for here, there in itertools.pairwise(levels):
            falls = 0 <= here.alpha < there.alpha <= 1 and here.sigma > there.sigma > 0
            assert falls, f"alpha rises to 1 at most and sigma falls, above 0; got {here}, then {there}"
            assert here.timestep > there.timestep, "levels go from noise to the picture: in the other order?"

    def test_it_starts_at_the_first_level_or_before(self, sampler: Sampler) -> None:
        """`levels.add_noise` adds a draw to what is left of x0, in the first level's proportion or a noisier one.

        Typical cause: `levels` are made by hand with a start of less noise.
        """
        x0, drawn, first = clean(), draws(3)((2, 5, 3, 7)).double(), sampler.levels[0]
        alpha = sampler.levels.add_noise(torch.ones_like(x0), torch.zeros).mean().item()
        sigma = sampler.levels.add_noise(torch.zeros_like(x0), torch.ones).mean().item()
        noisy = sampler.levels.add_noise(x0, lambda shape: drawn)
        close(noisy, alpha * x0 + sigma * drawn, "add_noise gives alpha * x0 + sigma * noise")
        early = sigma > 0 and alpha * first.sigma <= first.alpha * sigma + 1e-6
        assert early, "sampling starts with less noise than the first level has"

    def test_a_network_that_knows_x0_gives_it_back(self, sampler: Sampler) -> None:
        """Whatever is drawn on the way.

        Typical cause: the last step leaves noise, or divides by a sigma of 0.
        """
        x0 = clean()
        for _, step in walk(sampler, lambda x, level: x0, x0):
            close(step.x0, x0, "a network that knows x0 is not believed: scaled twice?", rtol=1e-6, atol=1e-6)

    def test_the_noise_that_is_left_is_that_of_the_level(self, sampler: Sampler) -> None:
        """With a network that knows x0, x is alpha * x0 and noise of deviation sigma, to what so many draws tell.

        Typical cause: old and fresh noise are added by shares of the deviation; shares of the variance add up.
        """
        x0 = normals(0, 4, 5, 12, 14)
        for x, step in walk(sampler, lambda x, level: x0, x0):
            ratio = (x - step.level.alpha * x0).std() / step.level.sigma
            assert 0.9 < ratio < 1.1, f"level {step.level.index}: x has {ratio:.3g} times the noise of its sigma"

    def test_a_step_explains_x(self, sampler: Sampler) -> None:
        """x = alpha * x0 + sigma * eps at every level.

        Typical cause: `eps` is of another level than `x`, or is what the network said before x0 was clipped.
        """
        for x, step in walk(sampler, shrunk, clean()):
            close(step.level.alpha * step.x0 + step.level.sigma * step.eps, x, "x is no alpha * x0 + sigma * eps")

    def test_an_edited_x0_is_taken_as_predicted(self, sampler: Sampler) -> None:
        """A first step whose x0 was edited goes where it would have gone had the network said so, x moving with it.

        Typical cause: `advance` goes on from an `x0` that `predict` kept, not from `step.x0`.
        """
        here, there = sampler.levels[:2]
        step = walk(sampler, shrunk, clean())[0][1]
        edited = dataclasses.replace(step, x0=step.x0 + normals(4, 2, 5, 3, 7))
        x = here.alpha * edited.x0 + here.sigma * edited.eps
        said = sampler.predict(lambda x, level: edited.x0, x, here, None)
        found, expected = (sampler.advance(one, there, draws(5)) for one in (edited, said))
        close(found, expected, "advance reads x0 from elsewhere than the step it is given")
        moved = not torch.allclose(found, sampler.advance(step, there, draws(5)))
        assert moved, "an edited x0 changes nothing: advance does not read step.x0"

    def test_every_draw_is_asked_for(self, sampler: Sampler) -> None:
        """The same draws give the same walk, whatever was sampled between; torch's own generator is left alone.

        Typical cause: `torch.randn` instead of `draw`, or state kept in the sampler; one that draws needs `random =
        True`.
        """
        before, x0 = torch.get_rng_state(), clean()
        first = walk(sampler, shrunk, x0)
        walk(sampler, shrunk, -x0, seed=2)
        for (x, step), (other, again) in zip(first, walk(sampler, shrunk, x0), strict=True):
            assert torch.equal(x, other) and torch.equal(step.x0, again.x0), NOT_REPEATED
        assert torch.equal(before, torch.get_rng_state()), "it draws by itself: noise comes from `draw(shape)` alone"
        assert torch.equal(x0, clean()), CHANGED_INPUT

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_precision_and_shape_are_kept(self, sampler: Sampler, dtype: torch.dtype) -> None:
        """Whatever the draws come in.

        Typical cause: a draw is not brought to the precision of x0.
        """
        for x, step in walk(sampler, shrunk, clean(dtype)):
            shapes, types = ([getattr(y, name) for y in (x, step.x0, step.eps)] for name in ("shape", "dtype"))
            assert shapes == [(2, 5, 3, 7)] * 3, f"x, x0 and eps have one shape, got {shapes}"
            assert types == [dtype] * 3, f"x, x0 and eps keep the latent's type, {dtype}; got {types}"

    def test_latents_of_a_batch_do_not_mix(self, sampler: Sampler) -> None:
        """With the same draws each latent goes its way as if it were alone.

        Typical cause: a norm or a step size over the whole batch.
        """
        x0 = clean().float()
        both, alone = ([step.x0 for _, step in _still(sampler, one)] for one in (x0, x0[1:]))
        for one, other in zip(both, alone, strict=True):
            close(one[1:], other, "a statistic is taken over the batch, not each latent")


def _still(sampler: Sampler, x0: Float[Tensor, "b c h w"]) -> list[tuple[Tensor, Step]]:
    """A walk whose draws are all ones."""
    step, x, seen = None, sampler.levels.add_noise(x0, torch.ones), []
    for level in sampler.levels:
        x = x if step is None else sampler.advance(step, level, torch.ones)
        step = sampler.predict(lambda x, level: level.alpha * x, x, level, step)
        seen.append((x, step))
    return seen
