"""Laws of data sets."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader

from midms.data.pair import Pair, collate
from midms.testing.laws import Laws


class DatasetLaws(Laws):
    """What holds of every data set. Inherit it, and give `make`.

    Attributes:
        make: a class or function that makes the data set, without arguments.
        tolerance: how far, in the mean over visible pixels of pictures in [-1, 1], an exemplar that is warped by the
            flow may be from the target.
    """

    make: Callable[[], Any]
    tolerance: float = 0.1

    @pytest.fixture
    def dataset(self) -> Any:
        """The data set under test."""
        return type(self).make()

    def test_pairs_are_of_one_shape_and_in_range(self, dataset: Any) -> None:
        """One pair an index; what a pair knows is as large as its target, or as its exemplar, and finite."""
        assert len(dataset) > 0
        for pair in _some(dataset) + _drawn(dataset):
            (_, _, height, width), (_, _, rows, columns) = pair.target.shape, pair.exemplar.shape
            channels = pair.condition.shape[1]
            own, at_target = (1, channels, rows, columns), {"condition": channels, "target": 3, "flow": 2}
            at_target |= {"visible": 1, "foreground": 1}
            for name, count in at_target.items():
                value = getattr(pair, name)
                assert value is None or tuple(value.shape) == (1, count, height, width), name
            assert pair.exemplar_condition is None or tuple(pair.exemplar_condition.shape) == own
            assert pair.visible is None or pair.flow is not None, "visible says where a flow holds"
            for name, low in (("condition", 0), ("exemplar_condition", 0), ("exemplar", -1), ("target", -1)):
                if (value := getattr(pair, name)) is not None:
                    assert value.dtype == torch.float32 and value.min() >= low and value.max() <= 1, name
            assert pair.flow is None or (pair.flow.dtype == torch.float32 and pair.flow.isfinite().all())
            masks = [mask for mask in (pair.visible, pair.foreground) if mask is not None]
            assert all(mask.dtype == torch.bool and mask.any() for mask in masks)

    def test_the_same_index_gives_the_same_pair(self, dataset: Any) -> None:
        """Whatever was asked for in between; other indices give other pairs."""
        first, *others = _some(dataset)
        assert all(torch.equal(value, _fields(dataset[0])[name]) for name, value in _fields(first).items())
        assert not any(torch.equal(first.target, other.target) for other in others)

    def test_there_are_as_many_pairs_as_it_says(self, dataset: Any) -> None:
        """The last can be had; what lies beyond is an IndexError, by which Python knows where to stop."""
        assert dataset[len(dataset) - 1].target.shape[0] == 1
        assert _is_beyond(dataset, len(dataset)) and _is_beyond(dataset, len(dataset) + 7)

    def test_pairs_go_into_batches(self, dataset: Any) -> None:
        """PyTorch's loader makes batches of them: all are of one size and know the same."""
        pairs = [_fields(pair) for pair in _some(dataset)]
        assert all(pair.keys() == pairs[0].keys() for pair in pairs)
        batch = _fields(next(iter(DataLoader(dataset, batch_size=len(pairs), collate_fn=collate))))
        for name, value in batch.items():
            assert torch.equal(value, torch.cat([pair[name] for pair in pairs])), name

    def test_a_random_version_follows_from_its_generator(self, dataset: Any) -> None:
        """Where a data set draws versions of a pair, they are of the pair's size and know the same."""
        for version, again, pair in zip(_drawn(dataset), _drawn(dataset), _some(dataset), strict=False):
            assert all(torch.equal(value, _fields(again)[name]) for name, value in _fields(version).items())
            assert {k: v.shape for k, v in _fields(version).items()} == {k: v.shape for k, v in _fields(pair).items()}

    def test_what_is_kept_on_disk_gives_the_same_pairs_again(self, dataset: Any, tmp_path: Path) -> None:
        """Where a data set can be kept, such pairs are like its own, and those read again are those that were made."""
        if not hasattr(dataset, "cached"):
            pytest.skip(f"{type(self).__name__}: it is not kept on disk, it has no `cached`")
        made, files = dataset.cached(tmp_path, 1), _times(tmp_path)
        again = dataset.cached(tmp_path, 1)
        assert len(made) == len(again) > 0 and _times(tmp_path) == files, "it is read, not made anew"
        for index in range(min(2, len(made))):
            pair, same, own = _fields(made[index]), _fields(again[index]), _fields(dataset[index])
            assert {k: v.shape for k, v in pair.items()} == {k: v.shape for k, v in own.items()}
            assert pair.keys() == same.keys() and all(torch.equal(pair[name], same[name]) for name in pair)

    def test_it_goes_to_other_processes(self, dataset: Any) -> None:
        """What is pickled and read again gives the same pair, and holds no pictures."""
        content = pickle.dumps(dataset)
        assert len(content) < 2**20
        assert torch.equal(pickle.loads(content)[0].target, dataset[0].target)

    def test_flow_points_where_it_says(self, dataset: Any) -> None:
        """The exemplar warped by it is like the target where it is visible, and more so than the exemplar as it is."""
        pairs = [pair for pair in _some(dataset) + _drawn(dataset) if pair.flow is not None]
        warped = [
            _off(pair, F.grid_sample(pair.exemplar, _grid(pair), padding_mode="border", align_corners=False))
            for pair in pairs
        ]
        if pairs:
            as_it_is = [_off(pair, F.interpolate(pair.exemplar, pair.target.shape[-2:])) for pair in pairs]
            assert sum(warped) / len(pairs) < self.tolerance and sum(warped) <= sum(as_it_is)


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


def _grid(pair: Pair) -> Float[Tensor, "b y x 2"]:
    assert pair.flow is not None
    return pair.flow.permute(0, 2, 3, 1)


def _off(pair: Pair, image: Float[Tensor, "b 3 y x"]) -> float:
    """Mean distance from the target where it is visible."""
    visible = torch.ones_like(pair.target[:, :1]) if pair.visible is None else pair.visible.float()
    distance = (image - pair.target).abs().mean(1, keepdim=True)
    return ((distance * visible).sum() / visible.sum()).item()
