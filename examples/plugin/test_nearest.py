"""The laws that midms holds its own parts to, and the matcher in a composition."""

import functools

import torch
from midms_nearest import Nearest, Shades, Tiles

from midms import build, create
from midms.testing import ConditionLaws, DatasetLaws, MatcherLaws, SamplerLaws


class TestNearest(MatcherLaws):
    make = Nearest
    steady = 0.9  # one cell is chosen of many: a rounding may choose another


class TestShades(ConditionLaws):
    make = Shades


class TestRenoise(SamplerLaws):
    make = functools.partial(create, "sampler", "renoise", timesteps=(800, 500, 200))


class TestTiles(DatasetLaws):
    make = Tiles


def test_it_is_found_by_name() -> None:
    assert isinstance(create("condition", "shades"), Shades)
    assert len(create("dataset", "tiles", split="validation", size=128)) == 1000
    assert create("sampler", "renoise", timesteps=(700, 350), share=0.2).levels.timesteps == (700, 350)
    assert build("midm-faces", sampler="renoise").sampler.levels.timesteps == (700, 350)  # the preset's
    assert isinstance(build("midm-faces", matcher="greedy", confidence="cycle").matcher, Nearest)


def test_every_cell_of_the_warp_is_one_of_the_exemplars() -> None:
    pipe = build("midm-faces", matcher="greedy", confidence="cycle")
    condition, exemplar = torch.rand(2, 2, 64, 48), torch.rand(2, 3, 32, 64) * 2 - 1
    warp = next(pipe.trajectory(condition, exemplar)).warp
    cells = pipe.autoencoder.encode(exemplar)
    assert (warp.flatten(2)[..., None] == cells.flatten(2)[:, :, None]).all(1).any(2).all()
