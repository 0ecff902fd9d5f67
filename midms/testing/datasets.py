"""Laws of data sets."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader

from midms.data.pair import Pair, collate, wrong_fields
from midms.testing.laws import Laws

_SLIPPED = 0.85
"""Share of what a flow is off by, below which another is the right one."""


class DatasetLaws(Laws):
    """What holds of every data set. Inherit it, and give `make`.

    Attributes:
        make: a class or function that makes the data set, without arguments.
        tolerance: how far, in the mean over visible pixels of pictures in [-1, 1], an exemplar that is warped by the
            flow may be from the target; 0.1 unless given, which photos need. Of computed pictures, whose flow is exact,
            0.01 says more.
    """

    make: Callable[[], Any]
    tolerance: float = 0.1

    @pytest.fixture
    def dataset(self) -> Any:
        """The data set under test."""
        return type(self).make()

    def test_pairs_are_of_one_shape_and_in_range(self, dataset: Any) -> None:
        """One pair an index; what a pair knows is as large as its target, or as its exemplar, and finite.

        Typical cause: pictures in [0, 1] instead of [-1, 1], no batch dimension of 1, or masks that are no booleans.
        """
        assert len(dataset) > 0, "the data set has no pairs"
        pairs = _some(dataset) + _drawn(dataset)
        dark = any((pair.target < 0).any() for pair in pairs)
        assert dark, "nothing is darker than middle grey: pictures are in [0, 1], expected [-1, 1]"
        for pair in pairs:
            wrong = wrong_fields(pair)
            assert not wrong, wrong
            empty = [
                name
                for name in ("visible", "foreground")
                if (mask := getattr(pair, name)) is not None and not mask.any()
            ]
            assert not empty, f"{empty} hold nowhere: leave out what is not known"

    def test_the_same_index_gives_the_same_pair(self, dataset: Any) -> None:
        """Whatever was asked for in between; other indices give other pairs.

        Typical cause: random numbers without a seed of the index; they belong into `draw`.
        """
        first, *others = _some(dataset)
        for name, value in _fields(first).items():
            same = torch.equal(value, _fields(dataset[0])[name])
            assert same, f"{name} of pair 0 is another when asked again: seed a torch.Generator by the index"
        assert not any(torch.equal(first.target, other.target) for other in others), "pairs 0 and 1 have one target"

    def test_there_are_as_many_pairs_as_it_says(self, dataset: Any) -> None:
        """The last can be had; what lies beyond is an IndexError, by which Python knows where to stop.

        Typical cause: an index beyond the end wraps around instead of raising IndexError.
        """
        assert dataset[len(dataset) - 1].target.shape[0] == 1, "a pair is a batch of 1: [1, 3, height, width]"
        beyond = _is_beyond(dataset, len(dataset)) and _is_beyond(dataset, len(dataset) + 7)
        assert beyond, "dataset[len(dataset)] must raise IndexError, or a loop over the data set never ends"

    def test_pairs_go_into_batches(self, dataset: Any) -> None:
        """PyTorch's loader makes batches of them: all are of one size and know the same.

        Typical cause: pictures of several sizes, or a field that only some pairs have.
        """
        pairs = [_fields(pair) for pair in _some(dataset)]
        assert all(pair.keys() == pairs[0].keys() for pair in pairs), "some pairs have fields that others lack"
        batch = _fields(next(iter(DataLoader(dataset, batch_size=len(pairs), collate_fn=collate))))
        for name, value in batch.items():
            assert torch.equal(value, torch.cat([pair[name] for pair in pairs])), name

    def test_a_random_version_follows_from_its_generator(self, dataset: Any) -> None:
        """Where a data set draws versions of a pair, they are of the pair's size and know the same.

        Typical cause: random numbers of `random` or of PyTorch's own generator in `draw`.
        """
        for version, again, pair in zip(_drawn(dataset), _drawn(dataset), _some(dataset), strict=False):
            same = all(torch.equal(value, _fields(again)[name]) for name, value in _fields(version).items())
            assert same, "draw(index, generator) draws from elsewhere than the generator that it is given"
            shapes = ({k: v.shape for k, v in _fields(one).items()} for one in (version, pair))
            assert next(shapes) == next(shapes), (
                "draw(index, generator) gives other fields or sizes than dataset[index]"
            )

    def test_what_is_kept_on_disk_gives_the_same_pairs_again(self, dataset: Any, tmp_path: Path) -> None:
        """Where a data set can be kept, such pairs are like its own, and those read again are those that were made.

        Typical cause: numbers are rounded when they are written, or made anew when they are read.
        """
        if not hasattr(dataset, "cached"):
            pytest.skip(f"{type(self).__name__}: it is not kept on disk, it has no `cached`")
        made, files = dataset.cached(tmp_path, 1), _times(tmp_path)
        again = dataset.cached(tmp_path, 1)
        assert len(made) == len(again) > 0 and _times(tmp_path) == files, "what is kept is made anew, not read"
        for index in range(min(2, len(made))):
            pair, same, own = _fields(made[index]), _fields(again[index]), _fields(dataset[index])
            shapes = ({k: v.shape for k, v in one.items()} for one in (pair, own))
            assert next(shapes) == next(shapes), "what is kept has other fields or sizes than the data set's own"
            equal = pair.keys() == same.keys() and all(torch.equal(pair[name], same[name]) for name in pair)
            assert equal, "what is read again is another pair than what was kept"

    def test_it_goes_to_other_processes(self, dataset: Any) -> None:
        """What is pickled and read again gives the same pair, and holds no pictures.

        Typical cause: an open file, a lambda, or pictures kept in memory.
        """
        content = pickle.dumps(dataset)
        assert len(content) < 2**20, f"pickled it has {len(content):,} bytes: keep paths or seeds, not pictures"
        assert torch.equal(pickle.loads(content)[0].target, dataset[0].target), "pickled and read it gives another pair"

    def test_flow_points_where_it_says(self, dataset: Any) -> None:
        """The exemplar warped by it is like the target where it is visible, more than without, or by a flow nearby.

        Typical cause: flow from the exemplar to the target, in pixels, or with x and y exchanged.
        """
        pairs = [pair for pair in _some(dataset) + _drawn(dataset) if pair.flow is not None]
        if not pairs:
            return
        off = _mean_off(pairs, lambda flow: flow)
        plain = sum(_off(pair, F.interpolate(pair.exemplar, pair.target.shape[-2:])) for pair in pairs) / len(pairs)
        height, width = pairs[0].exemplar.shape[-2:]
        better = {name: _mean_off(pairs, change) for name, change in _slips(height, width).items()}
        name, least = min(better.items(), key=lambda one: one[1])
        assert least > _SLIPPED * off or off == 0, (
            f"the exemplar warped by the flow is {off:.3g} from the target, and {least:.3g} by the flow {name}. Flow is"
            " read by grid_sample(align_corners=False): the centre of the first of N pixels is at 1 / N - 1, not at -1"
        )
        assert off < self.tolerance and off <= plain, (
            f"the exemplar warped by the flow is {off:.3g} from the target, {plain:.3g} as it is; expected no more than"
            f" that, and less than `tolerance`, {self.tolerance}. Usual causes: x and y swapped; a shift where a"
            " place in [-1, 1] is expected; the way from exemplar to target, not back"
        )


def _some(dataset: Any) -> list[Pair]:
    return [dataset[index] for index in range(min(2, len(dataset)))]


def _drawn(dataset: Any) -> list[Pair]:
    """Random versions of the same, where the data set draws any."""
    if not hasattr(dataset, "draw"):
        return []
    return [dataset.draw(index, torch.Generator().manual_seed(index)) for index in range(min(2, len(dataset)))]


def _times(folder: Path) -> dict[Path, int]:
    """The files of a folder, and when each was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def _is_beyond(dataset: Any, index: int) -> bool:
    try:
        dataset[index]
    except IndexError:
        return True
    return False


def _fields(pair: Pair) -> dict[str, Tensor]:
    """What a pair knows."""
    return {name: value for name, value in vars(pair).items() if value is not None}


def _slips(height: int, width: int) -> dict[str, Callable[[Tensor], Tensor]]:
    """What a flow may be off by: half a pixel or one of the exemplar, or its corners by half a pixel each."""
    steps = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
    moves = {
        f"{much:g} pixels {where}": torch.tensor([2 * much * x / width, 2 * much * y / height]).view(2, 1, 1)
        for much in (0.5, 1)
        for where, (x, y) in steps.items()
    }
    sides = torch.tensor([width, height]).view(2, 1, 1)
    return {name: lambda flow, by=by: flow + by for name, by in moves.items()} | {
        "times (N - 1) / N": lambda flow: flow * (sides - 1) / sides,
        "times N / (N - 1)": lambda flow: flow * sides / (sides - 1),
    }


def _mean_off(pairs: Sequence[Pair], change: Callable[[Tensor], Tensor]) -> float:
    """Mean distance of exemplars from their targets, warped by a flow that is changed."""
    return sum(_off(pair, _warped(pair, change)) for pair in pairs) / len(pairs)


def _warped(pair: Pair, change: Callable[[Tensor], Tensor]) -> Float[Tensor, "b 3 y x"]:
    assert pair.flow is not None
    grid = change(pair.flow).permute(0, 2, 3, 1)
    return F.grid_sample(pair.exemplar, grid, padding_mode="border", align_corners=False)


def _off(pair: Pair, image: Float[Tensor, "b 3 y x"]) -> float:
    """Mean distance from the target where it is visible."""
    visible = torch.ones_like(pair.target[:, :1]) if pair.visible is None else pair.visible.float()
    distance = (image - pair.target).abs().mean(1, keepdim=True)
    return ((distance * visible).sum() / visible.sum()).item()
