"""Laws of metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.metrics import Compared, PairMetric, SetMetric
from midms.images import resize
from midms.testing.conditions import strokes
from midms.testing.laws import CHANGED_INPUT, Laws, normals

COUNT = 3
"""Pairs that metrics are tried on."""
New = Callable[[], PairMetric | SetMetric]
"""Makes a metric that has seen nothing yet."""


def some_results(height: int = 24, width: int = 32) -> Compared:
    """Results and all that they may be compared with, exemplars of another size."""
    size, other = (height, width), (width, height)

    def pictures(seed: int, shape: tuple[int, int]) -> Float[Tensor, "b 3 y x"]:
        return resize(normals(seed, COUNT, 3, 9, 12).float().clamp(-1, 1), shape)

    points = normals(9, COUNT, 4, 4).float().sigmoid() * min(size)
    points[0, 2:] = torch.nan
    return Compared(
        tuple(f"pair {i}" for i in range(COUNT)),
        result=pictures(0, size),
        real=pictures(1, size),
        answer=pictures(2, size),
        exemplar=pictures(3, other),
        condition=strokes(*size)[:1].expand(COUNT, -1, -1, -1).clone(),
        other=pictures(4, size),
        labels=(pictures(5, size)[:, 0] > 0).long(),
        exemplar_labels=(pictures(6, other)[:, 0] > 0).long(),
        flow=2 * pictures(7, size)[:, :2],
        flow_back=2 * pictures(8, other)[:, :2],
        exact_flow=2 * pictures(9, size)[:, :2],
        keypoints=points,
        extent=torch.arange(20.0, 20.0 + COUNT),
    )


def perfect(batch: Compared) -> Compared:
    """Every result is what it should be."""
    picture, still = batch.result, torch.zeros_like(batch.flow) if batch.flow is not None else None
    points = batch.keypoints[..., [0, 1, 0, 1]] if batch.keypoints is not None else None
    same = dict.fromkeys(("real", "answer", "exemplar", "other"), picture)
    flows = dict.fromkeys(("flow", "flow_back", "exact_flow"), still)
    return dataclasses.replace(batch, **same, **flows, exemplar_labels=batch.labels, keypoints=points)


def chosen(batch: Compared, order: Sequence[int]) -> Compared:
    """These pairs of a batch."""
    rows = {
        name: None if value is None else value[list(order)] for name, value in vars(batch).items() if name != "keys"
    }
    return Compared(tuple(batch.keys[i] for i in order), **rows)


def figures_of(new: New, batches: Sequence[Compared]) -> dict[str, dict[str, float]]:
    """What a new metric finds: figures by name, each by key; of a set metric, by ""."""
    metric, found = new(), dict[str, dict[str, float]]()
    for batch in batches:
        if isinstance(metric, SetMetric):
            for name in ("result", "real"):
                metric.update(Compared(batch.keys, **{name: getattr(batch, name)}))
        else:
            for name, values in metric(batch).items():
                found.setdefault(name, {}).update(zip(batch.keys, values.tolist(), strict=True))
    return {name: {"": value} for name, value in metric.compute().items()} if isinstance(metric, SetMetric) else found


class MetricLaws(Laws):
    """What holds of every metric. Inherit it, and give `make`.

    Attributes:
        make: a class or function that makes the metric, without arguments.
    """

    make: New

    @pytest.fixture
    def new(self) -> New:
        """Makes the metric under test; one of sets is used once."""
        return type(self).make

    def alike(self, new: New, one: Sequence[Compared], other: Sequence[Compared]) -> None:
        """Both give the same figures, but for rounding, and some that are finite."""
        found, expected = (figures_of(new, batches) for batches in (one, other))
        assert found, "it gave no figures"
        assert found.keys() == expected.keys(), "names of figures depend on the pairs"
        for name, values in expected.items():
            same = found[name] == pytest.approx(values, rel=1e-4, abs=1e-5, nan_ok=True)
            assert same, f"{name} is {values}, and {found[name]} in another order, batch or direction"
        finite = any(abs(value) < float("inf") for values in expected.values() for value in values.values())
        assert finite, "no figure is finite"

    def test_order_and_batches_change_nothing(self, new: New) -> None:
        """One by one, backwards, or all together.

        Typical cause: a mean of means of batches instead of a mean over pairs.
        """
        batch = some_results()
        self.alike(new, [chosen(batch, [i]) for i in reversed(range(COUNT))], [batch])
        self.alike(new, [chosen(batch, [2, 0]), chosen(batch, [1])], [batch])

    def test_perfect_results_have_the_ideal_figure(self, new: New) -> None:
        """And others another.

        Typical cause: `ideal` is missing, or is the other end of the scale.
        """
        ideal = new().ideal
        found = figures_of(new, [perfect(some_results())])
        values = [value for figure in found.values() for value in figure.values()]
        ideally = found and values == pytest.approx([ideal] * len(values), abs=1e-3)
        assert ideally, f"perfect results have {values}, and `ideal` is {ideal}"
        others = figures_of(new, [some_results()])
        shown = any(abs(value - ideal) > 1e-3 for figure in others.values() for value in figure.values())
        assert shown, "results that are not perfect have the ideal figure too"

    def test_the_two_sides_can_change_places(self, new: New) -> None:
        """Results are as far from what they are compared with as that is from them.

        Typical cause: the figure is normalised by one side alone.
        """
        batch, needs = some_results(), new().needs
        (partner,) = (name for name in needs if name not in ("result", "condition"))
        sides = batch.result, batch.other if partner == "exemplar" else getattr(batch, partner)
        one, other = (
            Compared(batch.keys, condition=batch.condition, **{"result": here, partner: there})
            for here, there in (sides, sides[::-1])
        )
        self.alike(new, [one], [other])

    @pytest.mark.parametrize(("height", "width"), [(24, 24), (44, 33)])
    def test_pictures_of_any_size_have_figures(self, new: New, height: int, width: int) -> None:
        """Square or not, odd or even.

        Typical cause: a window or a network that needs a least size.
        """
        found = figures_of(new, [some_results(height, width)])
        known = found and all(value == value for figure in found.values() for value in figure.values())
        assert known, f"a figure of pictures of {height} x {width} is NaN, or there is none"

    def test_it_reads_what_it_needs_and_leaves_it_as_it_was(self, new: New) -> None:
        """What it neither needs nor uses may be missing.

        Typical cause: `needs` or `uses` lacks a field that is read, or there is an in-place operation.
        """
        batch, again, metric = some_results(), some_results(), new()
        needed = (*metric.needs, *getattr(metric, "uses", ()))
        bare = Compared(batch.keys, **{name: getattr(batch, name) for name in needed})
        assert figures_of(new, [bare]), "it reads what neither `needs` nor `uses` names"
        kept = all(torch.equal(getattr(bare, n).nan_to_num(), getattr(again, n).nan_to_num()) for n in needed)
        assert kept, CHANGED_INPUT
