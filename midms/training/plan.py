"""Which stages a training takes, with which settings: those of the preset, changed by what somebody asks for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from midms.compose.presets import PRESETS
from midms.compose.spec import Spec
from midms.core.signatures import parameters
from midms.pipeline.pretrained import is_saved
from midms.registry import BadArguments, unknown
from midms.training.stages import STAGES


def planned(preset: str, stage: str | None, terms: Mapping[str, float], vgg19: Path | None = None) -> list[Spec]:
    """The stages of a preset that are asked for.

    Args:
        preset: its name.
        stage: the only one, or None.
        terms: weights of losses, by name.
        vgg19: a file of VGG19, for stages whose losses are of its features.

    Raises:
        BadArguments: there is no such preset, stage or loss, the preset is not trained here, or no loss is of
            VGG19.
    """
    if preset not in PRESETS:
        if is_saved(preset):
            expected = "expected the name of a preset, whose stages are trained"
            raise BadArguments(f"--preset {preset}: {expected}; its weights are begun with by --init {preset}")
        raise BadArguments(unknown("preset", preset, PRESETS, "`midms list preset`"))
    every = {spec.name: spec for spec in PRESETS[preset].training}
    if not every:
        raise BadArguments(f"--preset {preset}: has no stages of training")
    if stage is not None and stage not in every:
        raise BadArguments(unknown("stage", stage, every))
    chosen = [spec for name, spec in every.items() if stage in (None, name)]
    losses = {name: None for spec in chosen for name in _losses(spec)}
    if strange := [name for name in terms if name not in losses]:
        where = " or ".join(spec.name for spec in chosen)
        raise BadArguments(
            "; ".join(unknown("term", name, losses) for name in strange)
            if losses
            else f"--terms: changes nothing in --stage {where}"
        )
    with_vgg = [spec.name for spec in chosen if "vgg19" in parameters(STAGES[spec.name]).parameters]
    if vgg19 and not with_vgg:
        raise BadArguments(f"--vgg19: changes nothing in --stage {' or '.join(spec.name for spec in chosen)}")
    own = [{name: terms[name] for name in _losses(spec) if name in terms} for spec in chosen]
    return [
        changed(spec, terms=weights, vgg19=vgg19 and spec.name in with_vgg and str(vgg19))
        for spec, weights in zip(chosen, own, strict=True)
    ]


def _losses(spec: Spec) -> tuple[str, ...]:
    return getattr(STAGES[spec.name], "losses", ())


def changed(spec: Spec, **given: Any) -> Spec:
    """A stage with other settings, where there are any."""
    return Spec(spec.name, **{**spec.arguments, **{name: value for name, value in given.items() if value}})
