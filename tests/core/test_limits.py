"""Settings out of all bounds: refused with the argument's name, or harmless, for every setting of every part."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from small_features import FEATURES
from torch import Tensor

from midms import ablate, build, create
from midms.compose.catalog import KINDS
from midms.core.errors import MidmsError
from midms.core.limits import OutOfLimits, int_range, number
from midms.core.protocols import Unanswered
from midms.core.types import Level, Step
from midms.evaluation.ablation import run as measuring
from midms.loop import Policy
from midms.testing import features

pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")
HOSTILE: tuple[Any, ...] = (
    math.nan, math.inf, -math.inf, -1, -0.5, 0, 1e-300, 0.5, 1e9, 10**9, 10**30, 10**400, True, "x", "1", None,
    [], (), {}, 1j, (math.nan,), (1e9,), ("x",), (0,), b"1",
)  # fmt: skip
SECONDS = 5.0
"""Of processor time, in which a refusal or the work on a small grid is done many times over."""
WORDS = ("schedule", "backend", "precision", "marginals", "matcher", "prior", "features", "extractors", "network", "of")
"""Arguments that are no numbers."""
WORDS += ("backbone", "pretrained", "weights", "spectral", "antialias", "biggan", "prediction", "conditional")
SMALL = {"unconditional": {"widths": (16, 32), "attention": (False, True), "head_dim": 8, "norm_groups": 8}}
SMALL |= {"bridge": SMALL["unconditional"], "vq": {"widths": (8, 8), "norm_groups": 8, "codes": 16}}
SMALL |= {"kl": {"widths": (8, 8), "norm_groups": 8}, "patchified": {"widths": (8, 8)}, "vgg": {"layers": ("relu1_1",)}}
QUERY, KEY, VALUES = (features(i, 1, channels, 4, 5, torch.float32) for i, channels in enumerate((9, 9, 3)))
QUERY[:, -1] = KEY[:, -1] = 0


def settings() -> Iterator[tuple[str, str, str]]:
    """Kind, name and argument of every numeric setting of every registered part."""
    for kind, registry in KINDS.items():
        for name in [*registry, *(["diffusers:DDPMScheduler"] if kind == "sampler" else [])]:
            for argument in inspect.signature(registry[name]).parameters:
                ours = ":" not in name or argument in ("timesteps", "steps")
                if argument not in WORDS and ours and not argument.startswith("_"):
                    yield kind, name, argument


def usual(kind: str, name: str) -> dict[str, Any]:
    """Arguments that the part needs, and small ones."""
    known = inspect.signature(KINDS[kind][name]).parameters
    given = (
        dict(FEATURES.get(name, {})) | SMALL.get(name, {}) if kind in ("features", "denoiser", "autoencoder") else {}
    )
    return given | ({"timesteps": (700, 400, 100)} if "timesteps" in known else {})


def use(kind: str, part: Any) -> list[Tensor]:
    """The part at work on a few cells; what it gives."""
    if kind == "matcher":
        match = part(QUERY, KEY)
        return [match.apply(VALUES), match.transpose().apply(VALUES), match.similarity()]
    if kind == "confidence":
        found = []
        for matcher in ("correlation", "unbalanced-transport", "semantic"):
            try:
                found.append(part(KINDS["matcher"].create(matcher)(QUERY, KEY)))
            except Unanswered:
                continue
        return found
    if kind == "sampler":
        numbers = torch.Generator().manual_seed(0)
        x, step, seen = part.levels.add_noise(VALUES, lambda shape: torch.randn(shape, generator=numbers)), None, []
        for level in part.levels[:50]:
            x = x if step is None else part.advance(step, level, lambda shape: torch.randn(shape, generator=numbers))
            step = part.predict(lambda x, level: x / 2, x, level, step)
            seen.append(x)
        return seen
    if kind == "condition" and hasattr(part, "threshold"):
        picture = torch.ones(1, 3, 32, 32)
        picture[..., 8:20, 10:12] = -1
        return [part.drawing(picture, (16, 16)), part.photo(picture)]
    return []


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("kind", "name", "argument"), [*settings()])
def test_hostile_settings_are_named_or_harmless(kind: str, name: str, argument: str) -> None:
    for value in HOSTILE:
        began = time.process_time()
        try:
            part = create(kind, name, **(usual(kind, name) | {argument: value}))
        except (MidmsError, ValueError) as error:
            a_path = argument == "path" and str(error).startswith(f"{value}: ")  # is itself the name of what is wrong
            assert a_path or re.search(rf"\b{argument}\b", str(error)), f"{value!r}: {error}"
            assert len(str(error)) < 1000 and "\n" not in str(error)
        else:
            with torch.no_grad():
                assert all(x.isfinite().all() for x in use(kind, part)), repr(value)
        assert time.process_time() - began < SECONDS, repr(value)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", ["rematch", "edit", "match_on", "confidence_guidance", "style"])
def test_hostile_settings_of_the_policy_are_named_or_harmless(name: str) -> None:
    x = torch.randn(1, 3, 4, 5)
    for value in HOSTILE:
        try:
            policy = Policy(**{name: value})
        except ValueError as error:
            assert re.match(rf"{name} must be ", str(error))
        else:
            confidence = torch.full((1, 1, 4, 5), 0.5)
            guided = dataclasses.replace(policy, edit="guide" if name == "confidence_guidance" else policy.edit)
            step = Step(Level(0, 500, 0.8, 0.6), x, x)
            found = guided.edit_x0(
                step, x, policy.apply_style(confidence), lambda x0: x0.mean(1, keepdim=True), lambda: x
            ).x0
            assert found.isfinite().all(), repr(value)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", ["pairs", "size", "seed"])
def test_hostile_ablations_are_refused_before_anything_is_rendered(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "draw_pairs", lambda *_: pytest.fail("rendered"))
    for value in [*HOSTILE, 6_000_000 if name == "pairs" else -1]:
        if (value is None and name == "size") or (name == "seed" and type(value) is int and 0 <= value <= 10**9):
            continue
        with pytest.raises(OutOfLimits, match=f"^{name} must be a whole number from "):
            ablate("midm-faces", {"matcher": ["preset"]}, out=tmp_path, **{name: value})
    assert not any(tmp_path.iterdir())


def test_pairs_are_rendered_as_they_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many batches are kept from one combination to the next as fit, and no more are rendered at once."""
    events: list[Any] = []
    monkeypatch.setattr(measuring, "PAIRS_AT_ONCE", 1)
    monkeypatch.setattr(measuring, "BATCHES_KEPT", 2)
    drawn = measuring.draw_pairs
    monkeypatch.setattr(measuring, "draw_pairs", lambda *given: events.append(given[1]) or drawn(*given))
    measured = measuring.match_figures
    monkeypatch.setattr(measuring, "match_figures", lambda *given: events.append("measured") or measured(*given))
    found = ablate("midm-faces", {"confidence": ["always"]}, pairs=3, out=tmp_path, progress=False)
    first = events.index("measured")
    assert events.count("measured") == 6 and len(events[:first]) == 2, "one to warm up, and the first"
    assert len(found.records[0]["each"]["PSNR"]) == 3


@pytest.mark.usefixtures("unchecked")
def test_hostile_sizes_and_seeds_of_a_translation_are_named() -> None:
    pipe, picture = build("midm-faces"), torch.rand(3, 64, 64)
    for value in HOSTILE:
        if value is not None:
            whole = isinstance(value, int) and not isinstance(value, bool)
            expected = "32 to 1024" if whole else "a whole number of"
            with pytest.raises(ValueError, match=f"^size: expected {expected} pixels"):
                pipe.translate(picture, picture, size=value)
        if value is not None and not (type(value) is int and abs(value) < 10**10):
            with pytest.raises(OutOfLimits, match=r"^seed must be a whole number from -"):
                pipe.translate(picture, picture, seed=value)


def test_limits_are_those_that_are_given() -> None:
    int_range(1, 3, one=1, three=3)
    number(0, 1, low=0, high=1.0)
    for least, value, message in ((0, -1, "be between 0 and 1, got -1"), (0.5, 0, "be a number from 0.5 to 1, got 0")):
        with pytest.raises(OutOfLimits, match=message):
            number(least, 1, x=value)
    for bounds in ((0, 1), (0, 5), (-2, 2)):
        for value in (math.nan, math.inf, -math.inf):
            with pytest.raises(OutOfLimits, match=f"x must be a finite number from .*, got {value}"):
                number(*bounds, x=value)
    with pytest.raises(OutOfLimits, match="x must be positive, got 0"):
        number(0, 5, above=True, x=0)
    with pytest.raises(OutOfLimits, match="x must be a number, got True"):
        number(0, 5, x=True)
