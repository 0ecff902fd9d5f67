"""The slots of a composition, and whether parts fit them and each other."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from midms.protocols import (
    Autoencoder,
    ConditionExtractor,
    ConfidenceEstimator,
    Denoiser,
    FeatureExtractor,
    Matcher,
    Sampler,
    Unanswered,
)

SLOTS: dict[str, tuple[str, type]] = {
    "condition": ("condition", ConditionExtractor),
    "features": ("features", FeatureExtractor),
    "matcher": ("matcher", Matcher),
    "confidence": ("confidence", ConfidenceEstimator),
    "denoiser": ("denoiser", Denoiser),
    "sampler": ("sampler", Sampler),
    "autoencoder": ("autoencoder", Autoencoder),
    "refiner": ("sampler", Sampler),
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
UNLESS_TOLD = {"labelled": False}
"""What is so where a part does not declare it; of other facts it is unknown."""


def misfit(slot: str, part: Any) -> str:
    """Why a part cannot be in this slot: what it lacks, or what cannot be called as the slot's protocol says; or ""."""
    protocol = SLOTS[slot][1]
    if part is None and slot == "refiner":
        return ""
    if isinstance(part, type):
        return f"{part.__name__} is a class, expected an instance of it"
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
        told = {slot: getattr(parts[slot], name, UNLESS_TOLD.get(name)) for slot, name in declared.items()}
        values = [value for value in told.values() if value is not None]
        if any(value != values[0] for value in values):
            told_by = ", ".join(f"{slot} {value}" for slot, value in told.items() if value is not None)
            wrong.append(f"parts disagree on {fact}: {told_by}")
    return wrong


def impossible(parts: Mapping[str, Any], rematch: tuple[int, ...], size: int) -> list[str]:
    """Settings of the loop that these parts cannot follow; of parts that are not there nothing is asked."""
    wrong = []
    samplers = [parts[slot] for slot in ("sampler", "refiner") if parts.get(slot) is not None]
    if not all(sampler.levels for sampler in samplers):
        wrong.append("a sampler has no levels")
    if "sampler" in parts and not all(index in range(len(parts["sampler"].levels)) for index in rematch):
        wrong.append(f"rematch must be levels out of {[*range(len(parts['sampler'].levels))]}, got {rematch!r}")
    least = 2 * parts["autoencoder"].stride if "autoencoder" in parts else 1
    if not isinstance(size, int) or size < least:
        wrong.append(f"size must be at least {least} pixels, got {size!r}")
    return wrong


@torch.no_grad()
def unanswered(matcher: Matcher, confidence: ConfidenceEstimator) -> list[str]:
    """What the confidence asks of a match that this matcher's do not tell, found out on sixteen cells."""
    cells = torch.eye(16).view(1, 16, 4, 4)
    try:
        confidence(matcher(cells, cells))
    except Unanswered as error:
        return [f"confidence does not go with the matcher: {error}"]
    except Exception:  # they may want other features, or another device; whatever else is wrong the run will tell
        return []
    return []
