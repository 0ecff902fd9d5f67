"""A folder that `Translation.save` wrote, read again: its pictures, and where each pixel comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from jaxtyping import Float, Int
from PIL import Image
from pydantic import Field
from torch import Tensor

from midms.core.limits import LARGEST
from midms.core.schema import Schema, checked, read_json
from midms.core.tensors import read_weights
from midms.images import PictureError, opened
from midms.images.frame import Frame
from midms.pipeline.match_rows import MatchRows
from midms.pipeline.save import FORMAT, MATCH_FILE, SAVED, confidence_picture

if TYPE_CHECKING:
    from midms.pipeline.result import Translation

_EXEMPLARS = 2**8
"""Most exemplars, whose numbers are bytes in a page."""
_SIDES = 4 * LARGEST
"""Most pixels of a canvas' side, and cells of a grid's."""
_Size = Annotated[list[Annotated[int, Field(ge=1, le=_SIDES)]], Field(min_length=2, max_length=2)]
RESULT_PICTURES = ("result", "condition", "warp", "confidence")
"""Pictures of the result's pixels."""


class _Frame(Schema, extra="ignore"):
    picture: _Size
    canvas: _Size


class _Settings(Schema, extra="ignore"):
    """What is read of a folder's settings."""

    format: Literal[FORMAT]  # type: ignore[valid-type]
    frames: Annotated[list[_Frame], Field(min_length=2, max_length=1 + _EXEMPLARS)]
    grids: list[_Size]
    warnings: list[str]


@dataclass(frozen=True)
class SavedTranslation:
    """What is read of a folder.

    Attributes:
        pictures: the result, and other pictures of its pixels, by the names of `RESULT_PICTURES`.
        exemplars: at the size at which they were matched.
        rows: of the match.
        flow: from pixels of the result to those of the exemplars side by side, as of `Translation`.
        source: from which exemplar each pixel is taken, from 0.
        confidence: in [0, 1].
        warnings: a line each.
    """

    pictures: dict[str, Image.Image]
    exemplars: list[Image.Image]
    rows: MatchRows
    flow: Float[Tensor, "2 Y X"]
    source: Int[Tensor, "Y X"]
    confidence: Float[Tensor, "Y X"]
    warnings: tuple[str, ...]


def as_saved(found: Translation) -> SavedTranslation:
    """What `read_saved` reads where a translation was saved, without a folder."""
    result, condition, warp, confidence = found.image, found.condition, found.warp, confidence_picture(found)
    return SavedTranslation(
        dict(zip(RESULT_PICTURES, (result, condition, warp, confidence), strict=True)),
        found.exemplars(),
        found.match_rows(),
        found.flow,
        found.source,
        found.confidence,
        found.warnings,
    )


def read_saved(folder: Path) -> SavedTranslation:
    """Read what `Translation.save` wrote.

    Raises:
        PictureError: the folder holds something else, or a file in it is missing or damaged.
        CheckpointError: the match is.
    """
    if not (folder / SAVED).is_file():
        raise PictureError(f"{folder}: expected a folder of a saved translation, which has {SAVED}")
    settings = checked(_Settings, read_json(folder / SAVED, PictureError), str(folder / SAVED), PictureError)
    frame, *exemplars = (Frame(_pair(one.picture), _pair(one.canvas)) for one in settings.frames)
    grids = tuple(map(_pair, settings.grids))
    state = read_weights(folder / MATCH_FILE)
    if wrong := _strange(state, frame, exemplars, grids):
        raise PictureError(f"{folder / MATCH_FILE}: {wrong}")
    return SavedTranslation(
        {name: opened(folder / f"{name}.png") for name in RESULT_PICTURES},
        [opened(folder / f"exemplar-{i}.png") for i in range(1, 1 + len(exemplars))],
        MatchRows(frame, tuple(exemplars), grids, state["columns"].long(), state["shares"], state["cycle_error"]),
        state["flow"],
        state["source"].long(),
        state["confidence"],
        tuple(settings.warnings),
    )


def _pair(sides: list[int]) -> tuple[int, int]:
    return sides[0], sides[1]


def _strange(state: dict[str, Tensor], frame: Frame, exemplars: list[Frame], grids: tuple[tuple[int, int], ...]) -> str:
    """What of a match does not fit the settings, or ""."""
    real, whole = torch.float32, torch.int32
    cycle = state.get("cycle_error", torch.empty(0, 0))
    rows, kept = cycle.numel(), state.get("shares", torch.empty(0, 0)).shape[-1]
    expected = {
        "columns": (whole, (rows, kept)),
        "shares": (real, (rows, kept)),
        "cycle_error": (real, tuple(cycle.shape) if cycle.ndim == 2 and rows else (1, 1)),
        "flow": (real, (2, *frame.picture)),
        "source": (whole, frame.picture),
        "confidence": (real, frame.picture),
    }
    for name, (dtype, shape) in expected.items():
        if name not in state:
            return f"has no {name}"
        if state[name].dtype != dtype or tuple(state[name].shape) != shape:
            return f"{name} is {state[name].dtype} {tuple(state[name].shape)}, expected {dtype} {shape}"
        if not torch.isfinite(state[name]).all():
            return f"{name} holds numbers that are not finite"
    if len(grids) != len(exemplars):
        return f"is to {len(grids)} exemplars, expected {len(exemplars)}"
    for name, most in (("columns", sum(h * w for h, w in grids)), ("source", len(exemplars))):
        if state[name].numel() and not 0 <= int(state[name].min()) <= int(state[name].max()) < most:
            return f"{name} goes from {state[name].min()} to {state[name].max()}, expected 0 to {most - 1}"
    return ""
