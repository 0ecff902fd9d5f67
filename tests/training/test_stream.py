"""The stream of pairs: every epoch whole, the same from any step on and however it is shared; broken pairs replaced."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_stage import PAIRS, Colours, data

from midms.data.errors import BrokenSample, DatasetError
from midms.training.broken import Broken
from midms.training.data import TrainingData, order
from midms.training.noise import integers, sample_generators, uniform


def seen(pair) -> list[int]:
    return [round(x * 10) for x in pair.exemplar[:, 0, 0, 0].tolist()]


@settings(deadline=None, max_examples=30)
@given(length=st.integers(1, 9), seed=st.integers(0, 2**62), start=st.integers(0, 40))
def test_every_epoch_is_a_permutation_wherever_one_begins(length: int, seed: int, start: int) -> None:
    whole = [*itertools.islice(order(length, seed, 0), 60)]
    assert [*itertools.islice(order(length, seed, start), 60 - start)] == whole[start:]
    for epoch in range(60 // length):
        assert sorted(whole[epoch * length : (epoch + 1) * length]) == [*range(length)]


@settings(deadline=None, max_examples=20)
@given(parts=st.sampled_from([1, 2, 3, 6]), first=st.integers(0, 4))
def test_processes_share_one_stream(parts: int, first: int) -> None:
    whole = [(seen(pair), positions) for pair, positions in data().batches(range(5), 6, 1, [0])]
    shares = [[*data().batches(range(first, 5), 6, parts, [part])] for part in range(parts)]
    for step, share in enumerate(zip(*shares, strict=True), first):
        assert whole[step][0] == [index for pair, _ in share for index in seen(pair)]
        assert whole[step][1] == [position for _, positions in share for position in positions]


def test_workers_change_nothing() -> None:
    alone, others = ([*data(Colours(random_too=True), workers=n).batches(range(3, 7), 4, 2, [0, 1])] for n in (0, 1))
    assert len(alone) == 8
    for (one, place), (other, there) in zip(alone, others, strict=True):
        assert torch.equal(one.target, other.target) and place == there


def test_a_broken_pair_is_named_once_and_the_next_comes_in_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    broken = data(Colours(broken=[4]))
    stream = [index for pair, _ in broken.batches(range(5), 4, 1, [0]) for index in seen(pair)]
    whole = [index for pair, _ in data().batches(range(5), 4, 1, [0]) for index in seen(pair)]
    assert stream == [5 if index == 4 else index for index in whole] and 4 in whole
    assert capsys.readouterr().err == "midms: note: left out: 4.png: cannot be read\n"


def test_too_many_broken_pairs_are_an_error_that_lists_them() -> None:
    some = dataclasses.replace(data(Colours(broken=[1, 4])), broken=Broken(1))
    with pytest.raises(
        DatasetError, match=r"2 pairs or files cannot be read, --max-broken allows 1: \d.png: .*; \d.png: "
    ):
        [*some.batches(range(9), 4, 1, [0])]
    with pytest.raises(DatasetError, match="none of 10 pairs can be read: "):
        [*data(Colours(broken=range(10))).batches(range(9), 4, 1, [0])]


def test_what_was_too_much_is_not_counted_again_in_the_next_run() -> None:
    """A file that was mended since then must not end that too."""
    found = Broken(1)
    with pytest.raises(DatasetError, match="2 pairs or files cannot be read, --max-broken allows 1: a; b"):
        found.add(["a", "b"])
    assert not found.found
    found.add(["a", "a"])
    with pytest.raises(DatasetError, match="2 pairs or files cannot be read, --max-broken allows 1: a; b"):
        found.add(["b"])


def test_uniform_draws_are_uniform_and_a_samples_own() -> None:
    def draw(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.cat([torch.randn(1, *shape[1:], generator=one) for one in generators])

    generators = sample_generators(7, range(4000))
    found = uniform(draw, 4000, 2)
    assert (found.mean(0) - 0.5).abs().max() < 0.02 and (found.var(0) - 1 / 12).abs().max() < 0.005
    assert abs(torch.corrcoef(found.T)[0, 1]) < 0.05
    whole = integers(draw, 4000, 3, 6, 1)
    assert all(abs((whole == value).float().mean() - 1 / 3) < 0.04 for value in (3, 4, 5))
    generators = sample_generators(7, [17])
    assert torch.equal(uniform(draw, 1, 2), found[17:18])
    assert uniform(lambda shape: torch.full(shape, 9.0), 1).item() < 1


class Checked(Colours):
    """Pictures 0 to 19, of which the pairs of a split have some; what cannot be read is known beforehand."""

    def __init__(self, first: int) -> None:
        super().__init__(PAIRS, broken=range(3))
        self.first, self.asked = first, list[int]()

    def picture_numbers(self, most: int | None = None) -> np.ndarray:
        return np.arange(self.first, self.first + PAIRS)[:most]

    def check_picture(self, number: int) -> None:
        self.asked.append(number)
        if number % 4 == 0:
            raise BrokenSample(f"{number}.png: cut short")


@pytest.mark.parametrize("shares", [1, 3])
def test_processes_share_the_files_that_are_checked(shares: int) -> None:
    """Each is looked at by one of them; all that is broken is in one list, before a pair is read."""
    found, asked = list[str](), list[int]()
    for share in range(shares):
        sets = Checked(0), Checked(PAIRS)
        one = TrainingData(*sets, 3, 0, Broken(2))
        one.check_files(share, shares)
        found += one.unreadable
        asked += [number for dataset in sets for number in dataset.asked]
    assert sorted(asked) == [*range(2 * PAIRS)]
    assert sorted(found) == sorted(f"{number}.png: cut short" for number in range(0, 2 * PAIRS, 4))
    if shares == 1:
        with pytest.raises(
            DatasetError, match=r"5 pairs or files cannot be read, --max-broken allows 2: 0.png: cut .*16"
        ):
            one.count_into({})
