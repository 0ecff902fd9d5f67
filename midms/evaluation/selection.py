"""Which metrics an evaluation can have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from midms.compose.catalog import create
from midms.compose.metrics import METRICS
from midms.compose.spec import Spec, parse_value
from midms.core.errors import MidmsError
from midms.core.metrics import PairMetric, SetMetric
from midms.core.signatures import parameters
from midms.evaluation.inputs import FIELDS, EvaluationError, Plan
from midms.images import one_line

INCEPTION_ALONE = {"fid": "frechet-distance", "kid": "kernel-distance"}
"""What people call metrics that have these names of Inception alone."""


def metric_spec(choice: str | Spec, extractor: str) -> Spec:
    """A metric as it is registered."""
    value = parse_value(choice) if isinstance(choice, str) else choice
    spec = value if isinstance(value, Spec) else Spec(str(value))
    own = str(spec.arguments.get("extractor", extractor))
    if spec.name in INCEPTION_ALONE and spec.name not in METRICS:
        other = INCEPTION_ALONE[spec.name]
        if not own.startswith("inception:"):
            raise EvaluationError(
                f"metrics: {spec.name} is of Inception alone, give --inception FILE; of other networks it is {other}"
            )
        return Spec(other, **spec.arguments)
    return Spec("perceptual-distance", **spec.arguments) if spec.name == "lpips" else spec


def usable_metrics(
    chosen: Sequence[Spec] | None,
    plan: Plan,
    usual: Mapping[str, Any],
    formats: Mapping[str, Counter[str]],
    failures: list[str],
) -> dict[str, PairMetric | SetMetric]:
    """Metrics by what one would type, as far as they can be made and what they need is known; the others fail."""
    columns = {kind: column for column, kind in FIELDS.items()} | {"real": "a folder of real pictures"}
    mixed = _mixed(formats)
    found: dict[str, PairMetric | SetMetric] = {}
    for spec in [Spec(name) for name in METRICS] if chosen is None else chosen:
        fill = {k: v for k, v in usual.items() if k in parameters(METRICS[spec.name]).parameters}
        needs: tuple[str, ...] = getattr(METRICS[spec.name], "needs", ())
        missing = [columns.get(name, name) for name in needs if name not in plan.known]
        if missing and chosen is None:
            continue
        if missing:
            failures.append(f"{spec.typed()}: needs {' and '.join(missing)}")
            continue
        if mixed and "real" in needs:
            failures.append(f"{spec.typed()}: {mixed}")
            continue
        try:
            found[spec.typed()] = create("metric", spec.name, **{**fill, **spec.arguments})
        except (MidmsError, ValueError) as error:
            failures.append(f"{spec.typed()}: {one_line(error)}")
    return found


def _mixed(formats: Mapping[str, Counter[str]]) -> str:
    """Why sets cannot be compared, if their files are of several formats."""
    if len({name for found in formats.values() for name in found}) < 2:
        return ""
    shown = "; ".join(
        f"{kind} {', '.join(f'{name} {count:,}' for name, count in sorted(found.items()))}"
        for kind, found in formats.items()
    )
    return f"files of several formats, whose figures differ ({shown}); convert them to one"
