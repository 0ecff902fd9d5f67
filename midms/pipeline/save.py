"""A translation as a folder: pictures, flow, match, settings, and Python that makes it again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from midms.core.atomic_folder import atomic_folder
from midms.core.files import check_folder
from midms.core.results import write_json
from midms.core.tensors import save_state
from midms.core.version import __version__
from midms.images import PictureError, one_line, to_pil
from midms.images.frame import Frame

if TYPE_CHECKING:
    from midms.pipeline.result import Translation

SAVED, MATCH_FILE, SCRIPT_FILE = "settings.json", "match.safetensors", "reproduce.py"
FORMAT = "midms translation 1"
"""How a folder of a translation calls itself."""
_FARTHEST = 512 - 1 / 64
"""Pixels of the longest flow along a side that KITTI's format holds."""


def save_translation(found: Translation, folder: Path) -> None:
    """Write a translation; arguments as of `Translation.save`.

    Raises:
        PictureError: the folder holds something else, or cannot be written.
    """
    check_saved(folder)
    try:
        with atomic_folder(folder) as part:
            for name, picture in _pictures(found).items():
                (part / name).parent.mkdir(exist_ok=True)
                picture.save(part / name)
            _write_flow(found, part)
            _write_match(found, part / MATCH_FILE)
            write_json(part / "correspondences.json", _correspondences(found))
            (part / SCRIPT_FILE).write_text(found.request.script(part), encoding="utf-8")
            write_json(part / SAVED, _settings(found))
    except OSError as error:
        raise PictureError(f"{folder}: cannot be written ({error.strerror or one_line(error)})") from None


def check_saved(folder: Path) -> None:
    """Find out before the work whether a translation may be saved to a folder: another one at most is there.

    Raises:
        PictureError: it may not, something else would be lost, or it cannot be written.
    """
    try:
        check_folder(folder)
    except OSError as error:
        raise PictureError(f"{folder}: {error.strerror}") from None
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        known = json.loads((folder / SAVED).read_bytes()).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        known = False
    if not known:
        raise PictureError(f"{folder}: holds something else than a saved translation; take a new folder")


def _pictures(found: Translation) -> dict[str, Image.Image]:
    """Every picture by its file."""
    pictures = {
        "result": found.image,
        "figure": found.figure(),
        "warp": found.warp,
        "confidence": confidence_picture(found),
        "condition": found.condition,
        "exemplar": found.exemplar,
    }
    pictures |= {} if found.strokes is None else {"strokes": found.strokes}
    pictures |= {f"exemplar-{i}": one for i, one in enumerate(found.exemplars(), 1)}
    pictures |= {f"stages/{i}": one for i, one in enumerate(found.stages)}
    pictures |= {f"layers/{name}": layer for name, layer in found.layers().items()}
    return {f"{name}.png": picture for name, picture in pictures.items()}


def confidence_picture(found: Translation) -> Image.Image:
    """The confidence in grey, at the size at which it was matched."""
    return to_pil(2 * found.confidence[None, None] - 1)


def _write_flow(found: Translation, folder: Path) -> None:
    """From pixels of the result, at the size at which it was matched, to those of `exemplar.png`, in three formats."""
    flow = found.flow.permute(1, 2, 0).contiguous().numpy()
    np.savez_compressed(
        folder / "flow.npz",
        flow=flow,
        source=found.source.numpy(),
        confidence=found.confidence.numpy(),
        condition_map=found.condition_map.numpy(),
    )
    cv2.writeOpticalFlow(str(folder / "flow.flo"), flow)
    (folder / "flow.png").write_bytes(kitti(found.flow))


def kitti(flow: Float[Tensor, "2 Y X"]) -> bytes:
    """A flow in pixels as KITTI's PNG of 16 bits (Geiger et al. 2012), 1/64 pixel fine; invalid from 512 pixels on."""
    valid = (flow.abs() <= _FARTHEST).all(0)
    u, v = (64 * flow.where(valid, 0)).round().numpy() + 2**15
    encoded = cv2.imencode(".png", np.stack([valid.numpy(), v, u], -1).astype(np.uint16))[1]
    return bytes(encoded)


def _write_match(found: Translation, path: Path) -> None:
    rows = found.match_rows()
    state = {"columns": rows.columns.to(torch.int32), "shares": rows.shares, "cycle_error": rows.cycle}
    state |= {"flow": found.flow, "source": found.source.to(torch.int32), "confidence": found.confidence}
    save_state(state, path)


def _correspondences(found: Translation) -> dict[str, Any]:
    here, source, there = found.origins()
    points = zip(here.tolist(), there.tolist(), source.tolist(), strict=True)
    return {
        "pixels": "of condition and exemplar as they were handed in; exemplars are counted from 0",
        "points": [{"here": a, "there": b, "exemplar": number} for a, b, number in points],
    }


def _settings(found: Translation) -> dict[str, Any]:
    rows = found.match_rows()
    return {
        "format": FORMAT,
        "midms": __version__,
        **found.request.settings(),
        "warnings": list(found.warnings),
        "frames": [_frame(one) for one in found.frames],
        "grids": [list(grid) for grid in rows.grids],
    }


def _frame(frame: Frame) -> dict[str, Any]:
    return {"picture": list(frame.picture), "canvas": list(frame.canvas), "home": frame.home.tolist()}
