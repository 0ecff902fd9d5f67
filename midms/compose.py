"""`build("midm-faces", matcher="optimal-transport")`: a preset, some slots changed, one object out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from midms.catalog import KINDS
from midms.checkpoints import CheckpointError, load_weights
from midms.loop import MatchingInterleavedDiffusion
from midms.presets import PRESETS, Preset, Spec
from midms.protocols import (
    Autoencoder,
    ConditionExtractor,
    ConfidenceEstimator,
    Denoiser,
    FeatureExtractor,
    Matcher,
    Sampler,
)
from midms.registry import BadArguments, BrokenPart, Registry, UnknownName, unknown

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
LOOP = ("rematch", "blend", "size")
SHIPPED = Path(__file__).parent / "weights"


class BuildError(ValueError):
    """Everything wrong with one `build`, found in one go."""


def build(preset: str, /, weights: str | Path | None = None, **changes: Any) -> MatchingInterleavedDiffusion:
    """Compose a loop.

    A slot that is not given keeps the preset's part, arguments and weights. A slot given by name takes that part's own
    defaults, given as a `Spec` the arguments in it; a ready object is used as it is. `refiner=None` leaves out the last
    pass. `rematch`, `blend` and `size` change the loop.

    Args:
        preset: a name from `midms.presets`.
        weights: a folder of weights with the preset's file names, instead of the shipped ones.
        **changes: slots and loop settings.

    Raises:
        BuildError: an unknown preset, slot, name or argument, a part that does not fit its slot or another part; all
            mistakes are listed.
        CheckpointError: a weights file cannot be used.
    """
    if preset not in PRESETS:
        raise BuildError(unknown("preset", preset, PRESETS))
    recipe = PRESETS[preset]
    wrong = [unknown("slot", name, [*SLOTS, *LOOP, "weights"]) for name in changes if name not in SLOTS and name not in LOOP]
    wishes: dict[str, Any] = {slot: changes.get(slot, recipe.slots.get(slot)) for slot in SLOTS}
    for slot, wish in wishes.items():
        wrong += _objections(slot, wish, inherited=recipe.slots.get(slot))
    if wrong:
        raise _error(preset, wrong)
    parts: dict[str, Any] = {}
    for slot, wish in wishes.items():
        try:
            parts[slot] = _make(KINDS[SLOTS[slot][0]], wish, recipe.slots.get(slot))
        except (ValueError, TypeError, RuntimeError) as error:
            wrong.append(f"{slot}: {error}")
            continue
        wrong += _misfit(slot, parts[slot])
    wrong += [] if wrong else _mismatches(parts)
    if wrong:
        raise _error(preset, wrong)
    notes = _load(recipe, parts, changes, Path(weights) if weights is not None else None)
    for note in notes:
        warnings.warn(f"{preset}: {note}", stacklevel=2)
    loop = recipe.loop | {name: changes[name] for name in LOOP if name in changes}
    return MatchingInterleavedDiffusion(**parts, **loop, name=preset, notes=tuple(notes))


def _specified(wish: Any, inherited: Spec | None) -> Spec | None:
    """The Spec that a wish amounts to; None for ready objects.

    A sampler named without its timesteps keeps those of the preset: no sampler has defaults for them.
    """
    if isinstance(wish, str):
        wish = Spec(wish)
    if not isinstance(wish, Spec):
        return None
    if inherited is not None and "timesteps" in inherited.arguments:
        kept = {name: inherited.arguments[name] for name in ("timesteps", "schedule") if name in inherited.arguments}
        return Spec(wish.name, **(kept | wish.arguments))
    return wish


def _objections(slot: str, wish: Any, inherited: Spec | None) -> list[str]:
    spec = _specified(wish, inherited)
    if spec is None:
        return []
    try:
        KINDS[SLOTS[slot][0]].check(spec.name, **spec.arguments)
    except (UnknownName, BadArguments, BrokenPart) as error:
        return [f"{slot}: {error.args[0]}"]
    return []


def _make(registry: Registry, wish: Any, inherited: Spec | None) -> Any:
    spec = _specified(wish, inherited)
    if spec is None:
        return wish
    part = registry.create(spec.name, **spec.arguments)
    return part.eval() if isinstance(part, nn.Module) else part


def _misfit(slot: str, part: Any) -> list[str]:
    if (slot == "refiner" and part is None) or isinstance(part, SLOTS[slot][1]):
        return []
    protocol = SLOTS[slot][1]
    wanted = [name for name in vars(protocol) if name == "__call__" or not name.startswith("_")]
    lacking = ", ".join(name for name in wanted if not hasattr(part, name))
    return [f"{slot}: {type(part).__name__} is not a {protocol.__name__}: it lacks {lacking}"]


def _mismatches(parts: Mapping[str, Any]) -> list[str]:
    """What parts declare of themselves must agree: latent channels, condition channels, strides."""
    autoencoder, condition = parts["autoencoder"], parts["condition"]
    facts = {
        "latent channels": ("autoencoder", getattr(autoencoder, "channels", None), ("channels", "latent_channels")),
        "condition channels": ("condition", condition.channels, ("condition_channels",)),
        "pixels a latent cell": ("autoencoder", autoencoder.stride, ("stride",)),
    }
    wrong = []
    for fact, (owner, truth, names) in facts.items():
        for slot in ("features", "denoiser"):
            for name in names:
                said = getattr(parts[slot], name, None)
                if truth is not None and said is not None and said != truth:
                    wrong.append(f"{slot} and {owner} disagree on {fact}: {said} and {truth}")
    return wrong


def _load(recipe: Preset, parts: Mapping[str, Any], changes: Mapping[str, Any], folder: Path | None) -> list[str]:
    """Weights of the slots that the caller left alone; notes on parts that have none."""
    notes = []
    for slot, part in parts.items():
        if not isinstance(part, nn.Module):
            continue
        path = (folder or SHIPPED / recipe.weights) / f"{recipe.files.get(slot, slot)}.safetensors"
        if slot in changes:
            if isinstance(changes[slot], (str, Spec)) and next(part.parameters(), None) is not None:
                notes.append(f"the {slot} given instead of the preset's has fresh weights")
        elif folder is None and not path.exists():
            notes.append(f"the {slot} has random weights: none are shipped; give build(..., weights=FOLDER)")
        else:
            load_weights(part, path)
    return notes


def _error(preset: str, wrong: list[str]) -> BuildError:
    if len(wrong) == 1:
        return BuildError(f"build({preset!r}): {wrong[0]}")
    return BuildError(f"build({preset!r}) cannot be composed:\n" + "\n".join(f"- {line}" for line in wrong))


__all__ = ["BuildError", "CheckpointError", "build"]
