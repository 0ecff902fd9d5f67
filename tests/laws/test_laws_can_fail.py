"""For each law of each kind a part that breaks it, made of one that obeys all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from spoilt_pairs import PORTRAITS, Forgetful, Pairs, Restless
from torch import Tensor, nn

from midms.conditions.edges import Edges
from midms.confidence.peak import Peak
from midms.core.metrics import Compared
from midms.core.types import Features, Finished, Level, Levels
from midms.diffusion.levels import noise_levels
from midms.diffusion.solvers.ddim import DDIM
from midms.images import resize
from midms.matching.matchers.correlation import Correlation
from midms.matching.matches.factored import FactoredMatch
from midms.testing import (
    ConditionLaws,
    ConfidenceLaws,
    DatasetLaws,
    FeatureLaws,
    FinisherLaws,
    MatcherLaws,
    MetricLaws,
    SamplerLaws,
)
from midms.testing.laws import Laws


class Spoilt:
    """A part but for what is given."""

    def __init__(self, good: Any, **bad: Any) -> None:
        self.good = good
        vars(self).update(bad)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.good, name)


def matcher(**bad: Callable[..., Any]) -> Callable[[Tensor, Tensor], Spoilt]:
    """A matcher whose matches answer otherwise; each answer is given the match and the arguments."""

    def matched(query: Tensor, key: Tensor) -> Spoilt:
        match = Correlation(temperature=0.05)(query, key)
        return Spoilt(match, **{name: lambda *given, f=f: f(match, *given) for name, f in bad.items()})

    return matched


MATCHERS = {
    "test_rows_are_an_expectation": matcher(apply=lambda m, v: 2 * m.apply(v)),
    "test_apply_is_linear_in_the_coupling": matcher(apply=lambda m, v: m.apply(v) ** 2),
    "test_what_is_written_out_is_the_coupling": matcher(weights=lambda m, r: (2 * some for some in m.weights(r))),
    "test_transpose_is_transpose": matcher(transpose=lambda m: Correlation(temperature=0.5)(m.key, m.query)),
    "test_permuting_the_exemplar_changes_nothing": matcher(apply=lambda m, v: m.apply(v.roll(1, -1))),
    "test_a_permuted_picture_is_found_again": Correlation(temperature=10.0),
    "test_similarity_is_the_expected_cosine": matcher(similarity=lambda m: m.similarity() + 0.01),
    "test_features_that_say_nothing_do_no_harm": matcher(similarity=lambda m: m.similarity().sqrt()),
    "test_half_precision_features": matcher(apply=lambda m, v: m.apply(v.float())),
    "test_a_hint_has_its_share_of_a_row": matcher(apply=lambda m, v: 2 * m.apply(v)),
    "test_pictures_of_a_batch_do_not_mix": matcher(apply=lambda m, v: m.apply(v) + v.mean()),
    "test_a_match_is_and_answers_what_is_declared": type("Boasting", (Correlation,), {"answers": {"peak", "mass"}})(),
    "test_the_same_is_matched_alike": matcher(apply=lambda m, v: m.apply(v) + torch.rand(())),
}
CONFIDENCES = {
    "test_confidence_is_a_share_in_each_cell": lambda m: m.similarity(),
    "test_what_is_matched_to_itself_is_trusted": lambda m: torch.zeros_like(m.similarity()),
    "test_features_that_say_nothing_do_no_harm": lambda m: m.similarity() / m.similarity(),
    "test_half_precision_features": lambda m: torch.ones_like(m.similarity()).half(),
    "test_pictures_of_a_batch_do_not_mix": lambda m: m.similarity().clamp(0, 1) / m.similarity().max(),
    "test_the_same_is_judged_alike": lambda m: torch.rand_like(m.similarity()),
    "test_a_match_of_another_kind_is_read_or_refused": lambda m: torch.full_like(
        m.similarity(), isinstance(m, FactoredMatch)
    ),
}
UNDECLARED = {
    "test_it_asks_what_it_declares": type("Shy", (Peak,), {"asks": frozenset()})(),
    "test_it_has_the_gradient_that_it_declares": type("Bold", (Peak,), {"differentiable": True})(),
}
GOOD = DDIM(noise_levels((800, 500, 200)), eta=0.5)


def predicted(change: Callable[[Any], dict[str, Any]]) -> Spoilt:
    """A sampler whose half steps are changed."""

    def predict(*given: Any) -> Any:
        step = GOOD.predict(*given)
        return dataclasses.replace(step, **change(step))

    return Spoilt(GOOD, predict=predict)


SAMPLERS = {
    "test_levels_go_from_noise_to_the_picture": Spoilt(GOOD, levels=GOOD.levels[::-1]),
    "test_it_starts_at_the_first_level_or_before": Spoilt(
        GOOD, levels=Levels(GOOD.levels.items, start=Level(0, 800, 1.0, 0.0))
    ),
    "test_a_network_that_knows_x0_gives_it_back": predicted(lambda step: {"x0": 1.01 * step.x0}),
    "test_the_noise_that_is_left_is_that_of_the_level": Spoilt(
        GOOD, advance=lambda step, to, draw: to.alpha * step.x0 + step.level.sigma * step.eps
    ),
    "test_a_step_explains_x": predicted(lambda step: {"eps": 1.01 * step.eps}),
    "test_an_edited_x0_is_taken_as_predicted": Spoilt(GOOD, advance=lambda step, to, draw: to.sigma * step.eps),
    "test_every_draw_is_asked_for": Spoilt(GOOD, advance=lambda step, to, draw: GOOD.advance(step, to, torch.randn)),
    "test_precision_and_shape_are_kept": predicted(lambda step: {"x0": step.x0.double(), "eps": step.eps.half()}),
    "test_latents_of_a_batch_do_not_mix": predicted(lambda step: {"x0": step.x0 - step.x0.mean()}),
}


def photo(change: Callable[[Tensor, Tensor], Tensor]) -> Spoilt:
    """A condition whose maps of photos are changed, of the map and the photo."""
    return Spoilt(Edges(), photo=lambda image: change(Edges().photo(image), image))


CONDITIONS = {
    "test_the_map_of_a_drawing_has_the_size_asked_for": Spoilt(Edges(), drawing=lambda x, size: Edges().photo(x)),
    "test_the_map_of_a_photo_lies_on_it": photo(lambda found, image: found.flip(-1)),
    "test_pictures_that_show_nothing_do_no_harm": photo(lambda found, image: found / image.std()),
    "test_pictures_of_a_batch_do_not_mix": photo(lambda found, image: found - found.mean()),
    "test_the_same_picture_has_the_same_map": photo(lambda found, image: torch.rand_like(found)),
    "test_double_precision_gives_the_same_map": photo(lambda found, image: found.half()),
}


@dataclasses.dataclass(frozen=True)
class Colours:
    """The means of the condition's and the first of the latent's channels, a constant beside them, as unit vectors."""

    finish: Callable[[Tensor], Tensor] = lambda x: F.normalize(x, dim=1)

    def condition(self, condition: Tensor) -> Features:
        return self._both(F.avg_pool2d(condition, 4))

    def exemplar(self, latent: Tensor, condition: Tensor) -> Features:
        return self._both(latent[:, :2])

    def rematch_query(self, x0: Tensor, condition: Features) -> Tensor:
        return self._both(x0[:, :2]).rematch

    def _both(self, x: Tensor) -> Features:
        found = self.finish(F.pad(x, (0, 0, 0, 0, 0, 1), value=1.0))
        return Features(found, found)


FEATURES = {
    "test_features_are_unit_vectors_on_their_grids": Colours(lambda x: x),
    "test_pictures_of_a_batch_do_not_mix": Colours(lambda x: F.normalize(x - x.mean(0), dim=1)),
    "test_blank_pictures_do_no_harm": Colours(lambda x: F.normalize(x, dim=1) / (x.std((2, 3), keepdim=True) > 0)),
    "test_the_same_has_the_same_features": Colours(lambda x: F.normalize(x + torch.rand_like(x), dim=1)),
    "test_answers_are_as_precise_as_the_question": Colours(lambda x: F.normalize(x, dim=1).float()),
    "test_gradients_are_finite": Colours(lambda x: F.normalize(x, dim=1) + (x - x).sqrt()),
}


DATASETS = {
    "test_pairs_are_of_one_shape_and_in_range": Pairs(lambda p, i: dataclasses.replace(p, target=255 * p.target)),
    "test_the_same_index_gives_the_same_pair": Pairs(
        lambda p, i: dataclasses.replace(p, exemplar=torch.rand_like(p.exemplar))
    ),
    "test_there_are_as_many_pairs_as_it_says": Pairs(count=2),
    "test_pairs_go_into_batches": Pairs(lambda p, i: dataclasses.replace(p, flow=None, visible=None) if i else p),
    "test_a_random_version_follows_from_its_generator": Restless(),
    "test_what_is_kept_on_disk_gives_the_same_pairs_again": Forgetful(),
    "test_it_goes_to_other_processes": Pairs(more=torch.zeros(2**19)),
    "test_flow_points_where_it_says": Pairs(lambda p, i: dataclasses.replace(p, flow=p.flow.flip(-1))),
}


def finisher(change: Callable[[Tensor], Tensor]) -> Callable[..., Finished]:
    """Enlarges to the drawing's size, and changes that."""
    return lambda coloured, drawing, exemplars, part: Finished(change(resize(coloured, (60, 80))))


FINISHERS = {
    "test_a_result_has_the_drawings_proportions": finisher(lambda x: x[..., :40]),
    "test_a_result_of_one_colour_keeps_it": finisher(lambda x: 0.9 * x),
    "test_drawings_that_show_nothing_do_no_harm": finisher(lambda x: -x),
    "test_the_same_is_finished_alike": finisher(lambda x: x + 0.01 * torch.rand_like(x)),
    "test_precision_is_kept": finisher(lambda x: x.float()),
}


@dataclasses.dataclass(frozen=True)
class Off:
    """Mean distance of results from their answers, changed."""

    change: Callable[[Tensor, Compared], Tensor] = lambda off, batch: off
    ideal: float = 0.0
    needs: tuple[str, ...] = ("result", "answer")

    def __call__(self, batch: Compared) -> dict[str, Tensor]:
        return {"off": self.change((batch.result - batch.answer).flatten(1).abs().mean(1), batch)}


METRICS = {
    "test_order_and_batches_change_nothing": Off(lambda off, batch: off - off.mean()),
    "test_perfect_results_have_the_ideal_figure": Off(ideal=1.0),
    "test_the_two_sides_can_change_places": Off(lambda off, batch: off + batch.result.flatten(1).mean(1)),
    "test_pictures_of_any_size_have_figures": Off(
        lambda off, batch: off + (torch.nan if batch.result.shape[-1] % 2 else 0)
    ),
    "test_it_reads_what_it_needs_and_leaves_it_as_it_was": Off(lambda off, batch: off + 0 * batch.result.mul_(2).sum()),
}
KINDS = {
    MatcherLaws: (MATCHERS, matcher()),
    ConfidenceLaws: (
        {law: (lambda match, f=f: f(match)) for law, f in CONFIDENCES.items()} | UNDECLARED,
        lambda match: match.similarity().clamp(0, 1),
    ),
    SamplerLaws: (SAMPLERS, GOOD),
    ConditionLaws: (CONDITIONS, Edges()),
    FeatureLaws: (FEATURES, Colours()),
    DatasetLaws: (DATASETS, Pairs()),
    FinisherLaws: (FINISHERS, finisher(lambda x: x)),
    MetricLaws: ({law: (lambda metric=metric: metric) for law, metric in METRICS.items()}, Off),
}
ARGUMENTS: dict[tuple[type, str], tuple[Any, ...]] = {
    (MatcherLaws, "test_features_that_say_nothing_do_no_harm"): ("zero", "both"),
    (MatcherLaws, "test_half_precision_features"): (torch.float16,),
    (ConfidenceLaws, "test_features_that_say_nothing_do_no_harm"): (0.0,),
    (ConfidenceLaws, "test_half_precision_features"): (torch.float16,),
    (SamplerLaws, "test_precision_and_shape_are_kept"): (torch.float32,),
    (ConditionLaws, "test_pictures_that_show_nothing_do_no_harm"): (0.0,),
    (DatasetLaws, "test_what_is_kept_on_disk_gives_the_same_pairs_again"): (Path("nowhere"),),
    (FinisherLaws, "test_drawings_that_show_nothing_do_no_harm"): (0.0,),
    (MetricLaws, "test_pictures_of_any_size_have_figures"): (44, 33),
    (FeatureLaws, "test_blank_pictures_do_no_harm"): (1.0,),
}
LAWS = [(laws, name) for laws in KINDS for name in vars(laws) if name.startswith("test_")]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("laws", "name"), LAWS, ids=[f"{laws.__name__}-{name}" for laws, name in LAWS])
def test_the_law_passes_what_obeys_it_and_nothing_else(laws: type, name: str) -> None:
    broken, good = KINDS[laws]
    law, arguments = getattr(laws(), name), ARGUMENTS.get((laws, name), ())
    law(good, *arguments)
    with pytest.raises(AssertionError):
        law(broken[name], *arguments)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("law", ["test_it_asks_what_it_declares", "test_a_match_of_another_kind_is_read_or_refused"])
def test_a_question_that_is_not_asked_is_told_how_to_ask(law: str) -> None:
    with pytest.raises(AssertionError, match=r"in place of match\.top\(2\) write midms\.core\.protocols\.ask"):
        getattr(ConfidenceLaws(), law)(lambda match: match.top(2)[0].clamp(0, 1))


WIDTH = PORTRAITS[0].target.shape[-1]
SLIPS = {
    "a pixel": lambda flow: flow + torch.tensor([2 / WIDTH, 0]).view(1, 2, 1, 1),
    "half a pixel": lambda flow: flow - torch.tensor([1 / WIDTH, 0]).view(1, 2, 1, 1),
    "axes": lambda flow: flow.flip(1),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_flow_that_slipped_breaks_the_law_with_the_usual_cause(slip: str) -> None:
    data = Pairs(lambda pair, index: dataclasses.replace(pair, flow=SLIPS[slip](pair.flow)))
    with pytest.raises(AssertionError, match="x and y swapped" if slip == "axes" else "align_corners=False"):
        DatasetLaws().test_flow_points_where_it_says(data)


@pytest.mark.parametrize("spoil", [lambda: torch.eye(2, device="cpu"), lambda: torch.eye(2)[: int(torch.rand(1) > 2)]])
def test_a_part_that_needs_numbers_to_be_made_breaks_the_law(spoil: Callable[[], Tensor]) -> None:
    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(spoil())

    law = type("Weighing", (Laws,), {"make": Weighted})().test_a_part_with_weights_is_made_of_shapes_alone
    with pytest.raises((AssertionError, RuntimeError)):
        law()


def test_pictures_from_0_to_1_break_the_law_with_the_usual_cause() -> None:
    bright = Pairs(lambda pair, index: dataclasses.replace(pair, target=(pair.target + 1) / 2))
    with pytest.raises(AssertionError, match=r"pictures are in \[0, 1\], expected \[-1, 1\]"):
        DatasetLaws().test_pairs_are_of_one_shape_and_in_range(bright)
