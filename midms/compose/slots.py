"""The slots of a composition, and whether parts fit them and each other."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from midms.core.protocols import (
    Autoencoder,
    ConditionExtractor,
    ConfidenceEstimator,
    Denoiser,
    FeatureExtractor,
    Match,
    Matcher,
    Sampler,
    Unanswered,
)
from midms.core.types import Level, Step

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
    if wrong := _unlike(part, protocol):
        return wrong
    if protocol is Sampler and not hasattr(part.levels, "add_noise"):
        expected = "expected midms.core.types.Levels"
        return f"{type(part).__name__} is no Sampler: {expected} as its levels, got {reprlib.repr(part.levels)}"
    return ""


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
def unanswered(matcher: Matcher, confidence: ConfidenceEstimator, policy: Policy) -> list[str]:
    """What is wrong with this matcher's matches, or with what confidence and policy ask of them, on sixteen cells.

    Whatever else a part raises the run will tell: it may want other features, or another device.
    """
    query, key = (torch.eye(16, dtype=torch.float32, device="cpu").view(1, 16, *grid) for grid in ((2, 8), (4, 4)))
    try:
        match = matcher(query, key)
        if objection := _unlike(match, Match) or _misplaced(match, query, key):
            return [f"matcher: {type(matcher).__name__} gives what is no match: {objection}"]
        trust = confidence(match)
        if policy.rematch:
            step = Step(Level(0, 0, 1.0, 0.0), query, query)
            policy.edit_x0(step, query, trust, lambda x0: confidence(matcher(x0, key)))
    except Unanswered as error:
        return [f"confidence does not go with the matcher: {error}"]
    except Exception:
        return []
    return []


def _misplaced(match: Match, query: Tensor, key: Tensor) -> str:
    """The first thing of a match that is not on the grid that it should be on; or ""."""
    rows, columns = tuple(query.shape[-2:]), tuple(key.shape[-2:])
    asked: dict[str, tuple[Callable[[], Sequence[int]], tuple[int, ...]]] = {
        "grid": (lambda: match.grid, rows),
        "transpose().grid": (lambda: match.transpose().grid, columns),
        "apply(...)": (lambda: match.apply(key).shape, tuple(query.shape)),
        "similarity()": (lambda: match.similarity().shape, (1, 1, *rows)),
    }
    for question, (answer, expected) in asked.items():
        if (got := tuple(answer())) != expected:
            return f"{question} is {got} where cells {rows} are matched to {columns}, expected {expected}"
    return ""
