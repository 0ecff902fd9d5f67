"""How good results are: every metric that what is known of them allows, in one pass.

from midms import evaluate

found = evaluate("results", "real", pairs="pairs.csv", out="report")
print(found.table())
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from midms.compose.metrics import METRICS
from midms.compose.spec import Spec
from midms.core.errors import MidmsError
from midms.core.limits import SEEDS, int_range
from midms.core.metrics import Compared, PairMetric, SetMetric
from midms.evaluation.figures import Evaluation, Figure, extent
from midms.evaluation.inputs import EvaluationError, Plan, plan_evaluation
from midms.evaluation.metrics.extractors import EXTRACTOR
from midms.evaluation.metrics.perceptual import HED
from midms.evaluation.reading import Reader
from midms.evaluation.report.evaluated import write_evaluation
from midms.evaluation.selection import metric_spec, usable_metrics
from midms.images import one_line
from midms.pipeline.failures import HOPELESS


def evaluate(
    results: str | Path,
    against: str | Path | None = None,
    *,
    pairs: str | Path | None = None,
    metrics: Sequence[str | Spec] | None = None,
    out: str | Path | None = None,
    extractor: str = EXTRACTOR,
    vgg: str = HED,
    seed: int = 0,
    batch: int = 8,
    device: str = "cpu",
    progress: bool = True,
) -> Evaluation:
    """Compare a folder of results with real pictures, and with what a table says of each.

    What fails is among the failures, and the rest is done. Memory does not grow with the number of pictures, but for a
    few numbers each.

    Args:
        results: folder of pictures.
        against: folder of real pictures; where some are called as results are, they are their answers. By default the
            targets of `pairs`.
        pairs: a table, CSV or JSON lines, paths relative to it: key, the result's name without suffix (by default the
            condition's or the target's); target, the answer; condition; exemplar; labels, exemplar_labels; flow,
            flow_back, exact_flow, arrays [Y X 2] of NumPy's; keypoints, JSON as SPair-71k's.
        metrics: names, or with settings; by default all that what is given allows.
        out: folder for `evaluation.json`, `table.md`, `figures.csv` and `report.html`.
        extractor: of the set metrics that do not say another: "efficientnet-lite0", "hed", "inception:FILE" or
            "timm:NAME".
        vgg: of the metrics that take one: "hed", or a file of VGG's weights.
        seed: of what is drawn at random.
        batch: pictures at once.
        device: where to compute.
        progress: whether to show a bar.

    Raises:
        EvaluationError: there is nothing to compare.
        DatasetError: the table cannot be read.
        UnknownName: there is no such metric.
        BadArguments: a metric does not take its arguments.
        OutOfLimits: seed or batch is no such number.
    """
    int_range(0, SEEDS, seed=seed)
    int_range(1, 1024, batch=batch)
    usual = {"extractor": extractor, "vgg": vgg, "seed": seed}
    chosen = None if metrics is None else [metric_spec(one, extractor) for one in metrics]
    for spec in chosen or ():
        METRICS.check(spec.name, **spec.arguments)
    plan = plan_evaluation(
        Path(results), None if against is None else Path(against), None if pairs is None else Path(pairs)
    )
    failures = list(plan.failures)
    formats = plan.formats()
    able = usable_metrics(chosen, plan, usual, formats, failures)
    if not able:
        raise EvaluationError(f"{results}: nothing can be measured; {'; '.join(failures)}")
    wanted = {name for metric in able.values() for name in (*metric.needs, *getattr(metric, "uses", ()))}
    reader = Reader(wanted, batch, device)
    each = _measure(able, plan, reader, progress, failures)
    figures = _figures(able, each, reader.sizes, failures)
    inputs = {
        "results": str(results),
        "against": None if against is None else str(against),
        "pairs": None if pairs is None else str(pairs),
        **usual,
        "device": device,
        "sizes": {kind: extent(sizes) for kind, sizes in reader.sizes.items()},
        "formats": {kind: ", ".join(sorted(found)) or "none" for kind, found in formats.items()},
        "counts": {kind: sum(sizes.values()) for kind, sizes in reader.sizes.items()},
    }
    known = dict.fromkeys([*failures, *reader.failures])  # an answer may be a real picture too
    found = Evaluation(tuple(figures), tuple(known), inputs, plan)
    return found if out is None else _written(found, Path(out))


def _written(found: Evaluation, out: Path) -> Evaluation:
    """The same, once it is written; what the disk refuses is one more failure, and no figure is lost."""
    try:
        return dataclasses.replace(found, page=write_evaluation(found, out))
    except (MidmsError, OSError) as error:
        reason = getattr(error, "strerror", None) or one_line(error)
        return dataclasses.replace(found, failures=(*found.failures, f"{out}: cannot be written ({reason})"))


def _measure(
    metrics: dict[str, PairMetric | SetMetric], plan: Plan, reader: Reader, progress: bool, failures: list[str]
) -> dict[str, dict[str, dict[str, float]]]:
    """Metric to figure to key to number, of the pair metrics.

    A set metric that fails is dropped; a pair metric loses the pairs with which it fails, and is dropped where it fails
    with each of the first.
    """
    each: dict[str, dict[str, dict[str, float]]] = {name: {} for name in metrics}
    lost: Counter[str] = Counter()
    sets = any(isinstance(metric, SetMetric) for metric in metrics.values())
    real = plan.real if sets else {}

    def failed(name: str, batch: Compared, error: Exception) -> None:
        what = "" if isinstance(error, MidmsError) else f"{type(error).__name__}: "
        failures.append(f"{name}: failed at {batch.keys[0]} ({what}{one_line(error)})")

    def updated(name: str, metric: SetMetric, batch: Compared) -> None:
        try:
            metric.update(batch)
        except Exception as error:  # whatever a part raises, the others are still to be measured
            failed(name, batch, error)
            del metrics[name]

    def measured(name: str, metric: PairMetric, batch: Compared) -> None:
        try:
            for figure, numbers in metric(batch).items():
                each[name].setdefault(figure, {}).update(zip(batch.keys, numbers.tolist(), strict=True))
        except Exception as error:  # likewise
            if len(batch.keys) > 1:
                for one in batch.singles():
                    if name in metrics:
                        measured(name, metric, one)
                return
            failed(name, batch, error)
            lost[name] += not isinstance(error, MidmsError)  # which is about the pair
            if lost[name] == HOPELESS and not each[name]:
                del metrics[name]

    with (
        torch.inference_mode(),
        tqdm(total=len(plan.entries) + len(real), unit="picture", disable=not progress or None) as bar,
    ):
        for batch in reader.entries(plan.entries, bar.update):
            for name, metric in [*metrics.items()]:
                if isinstance(metric, SetMetric):
                    if batch.result is not None:
                        updated(name, metric, batch)
                elif batch.has(metric.needs):
                    measured(name, metric, batch)
        for batch in reader.real(real, bar.update):
            for name, metric in [*metrics.items()]:
                if isinstance(metric, SetMetric):
                    updated(name, metric, batch)
    return each


def _figures(
    metrics: Mapping[str, PairMetric | SetMetric],
    each: Mapping[str, Mapping[str, Mapping[str, float]]],
    sizes: Mapping[str, Counter[tuple[int, int]]],
    failures: list[str],
) -> list[Figure]:
    made, real = (sum(found.values()) for found in sizes.values())
    figures = []
    for name, metric in metrics.items():
        if isinstance(metric, SetMetric):
            try:
                found = metric.compute()
            except MidmsError as error:
                failures.append(f"{name}: {one_line(error)}")
                continue
            except Exception as error:  # as above
                failures.append(f"{name}: failed ({type(error).__name__}: {one_line(error)})")
                continue
            figures += [Figure(n, name, v, metric.ideal, made, real, None, {}) for n, v in found.items()]
        for figure, values in each[name].items():
            known = [value for value in values.values() if not math.isnan(value)]
            mean = math.fsum(known) / len(known) if known and not any(map(math.isinf, known)) else math.nan
            mean = math.inf if math.inf in known else mean
            spread = math.sqrt(math.fsum((v - mean) ** 2 for v in known) / len(known)) if math.isfinite(mean) else None
            figures.append(Figure(figure, name, mean, metric.ideal, len(known), None, spread, values))
    return figures
