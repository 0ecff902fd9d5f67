"""The files of an evaluation as batches of pictures, a few at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from midms.core.files import check_regular
from midms.core.metrics import Compared
from midms.core.schema import Schema, checked, read_json
from midms.evaluation.inputs import Entry
from midms.images import PictureError, read_image
from midms.images.annotations import label_map

FLOW_BYTES = 2**30
"""Bytes of the largest file of a flow that is read."""
_POINTS = 32
"""Keypoints are filled up to a multiple of so many, that batches have one size."""
_FITTING = ("answer", "other", "flow", "exact_flow")
"""What must be of the result's size."""


class _Keypoints(Schema, extra="ignore"):
    """What is used of a pair of SPair-71k: points (x, y) of source and target, and the target's box."""

    src_kps: list[list[float]] = Field(max_length=10_000)
    trg_kps: list[list[float]] = Field(max_length=10_000)
    trg_bndbox: list[float] = Field(min_length=4, max_length=4)
    src_imsize: list[int] = Field(min_length=2, max_length=3)
    trg_imsize: list[int] = Field(min_length=2, max_length=3)


class Reader:
    """Reads entries and real pictures in batches of one size each; what cannot be read is noted, and left out.

    Args:
        wanted: what metrics need, of a `Compared`.
        batch: pictures at once.
        device: where batches are.

    Attributes:
        failures: what could not be read or does not fit, a line each.
        sizes: how many results and real pictures have which height and width.
    """

    def __init__(self, wanted: Collection[str], batch: int, device: str) -> None:
        self.wanted, self.batch, self.device = wanted, batch, device
        self.failures: list[str] = []
        self.sizes: dict[str, Counter[tuple[int, int]]] = {"result": Counter(), "real": Counter()}

    def entries(self, entries: Collection[Entry], advance: Callable[[], object]) -> Iterator[Compared]:
        """Batches of results with what they are compared with."""
        return self._batches(((entry.key, self._entry(entry)) for entry in entries), advance)

    def real(self, pictures: Mapping[str, Path], advance: Callable[[], object]) -> Iterator[Compared]:
        """Batches of real pictures."""
        return self._batches(((key, self._read({"real": path})) for key, path in pictures.items()), advance)

    def _entry(self, entry: Entry) -> dict[str, Tensor]:
        files = {kind: path for kind, path in entry.files.items() if kind in self.wanted}
        points = files.pop("keypoints", None)
        found = self._read(files)
        basis = next((kind for kind in ("result", "flow") if kind in found), None)
        for kind in _FITTING:
            if basis and kind in found and kind != basis and found[kind].shape[-2:] != found[basis].shape[-2:]:
                sizes = [f"{one.shape[-1]} x {one.shape[-2]}" for one in (found[basis], found.pop(kind))]
                said = f"its {basis} has {sizes[0]} pixels, its {kind} {sizes[1]}; they are not compared"
                self.failures.append(f"{entry.key}: {said}")
        if points is not None and "flow" in found:
            try:
                found |= read_keypoints(
                    points, found["flow"].shape, found["exemplar"].shape if "exemplar" in found else None
                )
            except PictureError as error:
                self.failures.append(str(error))
        return found

    def _read(self, files: Mapping[str, Path]) -> dict[str, Tensor]:
        """What the files hold, by kind."""
        found = {}
        for kind, path in files.items():
            read = label_map if "labels" in kind else read_flow if "flow" in kind else read_image
            try:
                found[kind] = read(path)
            except PictureError as error:
                self.failures.append(str(error))
            if kind in self.sizes and kind in found:
                self.sizes[kind][found[kind].shape[-2], found[kind].shape[-1]] += 1
        return found

    def _batches(
        self, rows: Iterator[tuple[str, dict[str, Tensor]]], advance: Callable[[], object]
    ) -> Iterator[Compared]:
        keys, waiting = list[str](), list[dict[str, Tensor]]()

        def flushed() -> Iterator[Compared]:
            if waiting:
                joined = {kind: torch.cat([row[kind] for row in waiting]).to(self.device) for kind in waiting[0]}
                yield Compared(tuple(keys), **joined)
            keys.clear()
            waiting.clear()

        for key, row in rows:
            shapes = {kind: value.shape for kind, value in row.items()}
            if waiting and (len(waiting) == self.batch or shapes != {k: v.shape for k, v in waiting[0].items()}):
                yield from flushed()
            if row:
                keys.append(key)
                waiting.append(row)
            advance()
        yield from flushed()


def read_flow(path: Path) -> Float[Tensor, "1 2 Y X"]:
    """A flow [Y X 2] in a file of NumPy's: (x, y) to add to a pixel, in pixels; NaN for nowhere.

    Raises:
        PictureError: it cannot be read, or is another array.
    """
    try:
        check_regular(path, FLOW_BYTES)
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise PictureError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, EOFError) as error:
        raise PictureError(f"{path}: not a file of NumPy's numbers ({error})") from None
    if not isinstance(array, np.ndarray) or array.ndim != 3 or array.shape[-1] != 2 or array.dtype.kind != "f":
        what = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else "an archive"
        raise PictureError(f"{path}: expected floats [height, width, 2], got {what}")
    return torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1)[None]


def read_keypoints(path: Path, here: Sequence[int], there: Sequence[int] | None) -> dict[str, Tensor]:
    """Points of a pair in SPair-71k's layout: `src_kps` are of the result, `trg_kps` and `trg_bndbox` of the exemplar.

    Args:
        path: of the JSON.
        here: shape of the flow, whose last two numbers are the height and width that points are brought to.
        there: the same of the exemplar; None leaves its points as they are.

    Returns:
        "keypoints" [1 n 4], filled up with NaN, and "extent" [1], the longer side of the exemplar's object.

    Raises:
        PictureError: it cannot be read, or has no such points.
    """
    found = checked(_Keypoints, read_json(path, PictureError), str(path), PictureError)
    pairs = [[*a, *b] for a, b in zip(found.src_kps, found.trg_kps, strict=False)]
    if len(found.src_kps) != len(found.trg_kps) or not pairs or any(len(pair) != 4 for pair in pairs):
        raise PictureError(f"{path}: expected as many points (x, y) of source and target, at least one")
    left, top, right, bottom = found.trg_bndbox
    sizes = torch.tensor([*found.src_imsize[:2], *found.trg_imsize[:2]]).float()
    if min(right - left, bottom - top, *sizes.tolist()) <= 0:
        raise PictureError(f"{path}: expected sizes above 0")
    goal = torch.tensor([here[-1], here[-2], *((there[-1], there[-2]) if there else sizes[2:].tolist())]).float()
    scale = goal / sizes
    points = torch.full((1, -(-len(pairs) // _POINTS) * _POINTS, 4), torch.nan)
    points[0, : len(pairs)] = torch.tensor(pairs) * scale
    extent = torch.stack([(right - left) * scale[2], (bottom - top) * scale[3]]).max()
    return {"keypoints": points, "extent": extent[None]}
