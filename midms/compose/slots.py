"""The slots of a composition, and whether parts fit them and each other."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import nn

from midms.compose.catalog import factory_of
from midms.compose.recipe import OPTIONAL
from midms.compose.spec import Spec
from midms.core.injection import Injection
from midms.core.limits import LARGEST
from midms.core.protocols import (
    AnnotationReader,
    Autoencoder,
    ConditionExtractor,
    ConfidenceEstimator,
    Denoiser,
    FeatureExtractor,
    Finisher,
    Matcher,
    Sampler,
    answers_of,
)
from midms.registry import UnknownName

if TYPE_CHECKING:
    from midms.loop import Policy

SLOTS: dict[str, tuple[str, type]] = {
    "condition": ("condition", ConditionExtractor),
    "features": ("features", FeatureExtractor),
    "matcher": ("matcher", Matcher),
    "confidence": ("confidence", ConfidenceEstimator),
    "denoiser": ("denoiser", Denoiser),
    "sampler": ("sampler", Sampler),
    "autoencoder": ("autoencoder", Autoencoder),
    "refiner": ("sampler", Sampler),
    "injection": ("injection", Injection),
    "finisher": ("finisher", Finisher),
}
"""Slot to the kind of part it takes and the protocol that this must satisfy."""
FACTS = {
    "latent channels": {"autoencoder": "channels", "features": "latent_channels", "denoiser": "channels"},
    "condition channels": {
        "condition": "channels",
        "features": "condition_channels",
        "denoiser": "condition_channels",
    },
    "pixels a latent cell": {"autoencoder": "stride", "features": "stride", "denoiser": "stride"},
    "a label as the last feature": {"features": "labelled", "matcher": "labelled"},
}
"""What parts must agree on, where they declare it: a fact, and the attribute by which each slot tells it."""
FITTING = {"a label as the last feature": "`semantic` goes with the features `labelled`, and these with it alone"}
"""What would agree, where it is known."""
UNDECLARED = {"labelled": False}
"""What is so where a part does not declare it; of other facts it is unknown."""


def check_part(slot: str, part: Any) -> str:
    """Why a part cannot be in this slot: what it lacks, or what cannot be called as the slot's protocol says; or ""."""
    protocol = SLOTS[slot][1]
    if part is None and slot in OPTIONAL:
        return ""
    if isinstance(part, str | Spec):
        return _instead_of(SLOTS[slot][0], part)
    if isinstance(part, type):
        return f"{part.__name__} is a class, expected an instance of it"
    if wrong := _unlike(part, protocol):
        return wrong
    if protocol is Sampler and not hasattr(part.levels, "add_noise"):
        expected = "expected midms.core.types.Levels"
        return f"{type(part).__name__} is no Sampler: {expected} as its levels, got {reprlib.repr(part.levels)}"
    return ""


def _instead_of(kind: str, part: str | Spec) -> str:
    """What to do where a part is given by name and an object is expected."""
    name = part if isinstance(part, str) else part.name
    try:
        factory_of(kind, name)
    except UnknownName as error:
        return str(error)
    return f"expected an object, got {part!r}; midms.create({kind!r}, {name!r}) makes one"


def _unlike(part: Any, protocol: type) -> str:
    """What a part lacks of a protocol, or what cannot be called as it says; or ""."""
    members = {name: value for name, value in vars(protocol).items() if name == "__call__" or not name.startswith("_")}
    lacking = [name for name in members if not hasattr(part, name)]
    if lacking:
        return f"{type(part).__name__} is no {protocol.__name__}: it lacks {', '.join(lacking)}"
    for name, member in members.items():
        if inspect.isfunction(member) and not _accepts(
            part, name, arguments := [*inspect.signature(member).parameters][1:]
        ):
            return f"{type(part).__name__} is no {protocol.__name__}: cannot call {name}({', '.join(arguments)})"
    return ""


def _accepts(part: Any, name: str, arguments: list[str]) -> bool:
    """Whether a method can be called with so many arguments."""
    if isinstance(part, nn.Module) and name == "__call__":
        if type(part).forward is nn.Module.forward:
            return False
        name = "forward"
    try:
        inspect.signature(getattr(part, name)).bind(*arguments)
    except TypeError:
        return False
    return True


def disagreements(parts: Mapping[str, Any]) -> list[str]:
    """The facts that parts do not agree on."""
    wrong = []
    for fact, attributes in FACTS.items():
        declared = {slot: name for slot, name in attributes.items() if slot in parts}
        given = {slot: getattr(parts[slot], name, UNDECLARED.get(name)) for slot, name in declared.items()}
        values = [value for value in given.values() if value is not None]
        if any(value != values[0] for value in values):
            shown = ", ".join(f"{slot} {value}" for slot, value in given.items() if value is not None)
            wrong.append("; ".join([f"parts disagree on {fact}: {shown}", *filter(None, [FITTING.get(fact)])]))
    if parts.get("finisher") is not None and isinstance(reader := parts.get("condition"), AnnotationReader):
        wrong.append(f"finisher: takes a drawing, and the condition {type(reader).__name__} reads annotations")
    return wrong


def check_settings(parts: Mapping[str, Any], rematch: tuple[int, ...], size: int) -> list[str]:
    """Settings of the loop that these parts cannot follow; of parts that are not there nothing is asked."""
    wrong = []
    samplers = [parts[slot] for slot in ("sampler", "refiner") if parts.get(slot) is not None]
    if not all(sampler.levels for sampler in samplers):
        wrong.append("a sampler has no levels")
    if "sampler" in parts and not all(index in range(len(parts["sampler"].levels)) for index in rematch):
        wrong.append(f"rematch must be levels out of {[*range(len(parts['sampler'].levels))]}, got {rematch!r}")
    stride = parts["autoencoder"].stride if "autoencoder" in parts else 1
    if not isinstance(size, int) or size < 2 * stride:
        wrong.append(f"size must be at least {2 * stride} pixels, got {size!r}")
    elif size > LARGEST or size % stride:
        wrong.append(f"size must be a multiple of {stride} pixels up to {LARGEST}, got {size}")
    return wrong


def check_compatible(matcher: Matcher, confidence: ConfidenceEstimator, policy: Policy) -> list[str]:
    """What confidence and policy ask that the matcher's matches do not answer, as far as the parts declare it."""
    wrong, answers = [], answers_of(matcher)
    asks: frozenset[str] = getattr(confidence, "asks", frozenset())
    if answers is not None and not asks <= answers:
        kind = getattr(matcher, "gives", type(matcher)).__name__
        missing, known = (" and ".join(sorted(names)) or "nothing else" for names in (asks - answers, answers))
        wrong.append(f"{kind} cannot give its {missing}; it gives {known}")
    if policy.rematch and policy.edit == "guide":
        if not getattr(confidence, "differentiable", True):
            wrong.append("guide: this confidence has no gradient; take a soft one: calibrated, or cycle(softness=0.02)")
        if not getattr(matcher, "differentiable", True):
            wrong.append(f"guide: matches of {type(matcher).__name__} have no gradient")
    return [f"confidence does not go with the matcher: {one}" for one in wrong]
