"""Label maps, masks of parts and keypoints from files and arrays. What is wrong is said in one line."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from PIL import Image
from pydantic import BeforeValidator, Field
from torch import Tensor

from midms.core.schema import Schema, checked, read_json
from midms.images import PictureError, check_shape, display_name, one_line, opened
from midms.images.arrays import came_as, excess, is_array, to_array
from midms.images.decoding import is_lossy, is_rescaled, upright

BODY_25 = (*range(8), *range(9, 19))
"""OpenPose's 18 joints among those of its BODY_25 model, which has a hip centre and feet besides."""
JOINTS = 18
_LARGEST = np.iinfo(np.int64).max
"""Label that can be held."""
KEYPOINTS = 4 * 2**20
"""Bytes of the largest file of keypoints that is read; a person has about a thousand."""

PEOPLE = 1000
"""Most people that are read of a file."""


def _plain(value: object) -> object:
    """Numbers of numpy's or in arrays, as Python's own in lists; the rest as it is."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not is_array(value) or isinstance(value, tuple):
        return value
    numbers = to_array(value, "pose_keypoints_2d").ravel().tolist()
    return numbers if np.ndim(value) else numbers[0]  # type: ignore[arg-type]


PLAIN = BeforeValidator(_plain)


class _Person(Schema, extra="ignore"):
    """What is used of a person in OpenPose's JSON, which has at most 137 joints."""

    pose_keypoints_2d: Annotated[list[float], PLAIN] = Field(max_length=411)


class _Pose(Schema, extra="ignore"):
    """What is used of OpenPose's JSON."""

    people: list[_Person] = Field(max_length=PEOPLE)
    canvas_height: Annotated[int | None, PLAIN] = None
    canvas_width: Annotated[int | None, PLAIN] = None


def label_map(source: object, name: str = "label map") -> Int[Tensor, "1 Y X"]:
    """Whole numbers, one a pixel.

    Args:
        source: a path or PIL image in grey, with a palette (whose indices count) or with three equal channels; an array
            or tensor of whole numbers [Y X], [1 Y X] or [1 1 Y X], of any layout that `arrays.to_array` takes.
        name: what errors call a source without a path.

    Raises:
        PictureError: it cannot be read, is a picture in colours, or from a file of a lossy format.
    """
    name = display_name(source, name)
    if isinstance(source, str | os.PathLike):
        return label_map(_indices(opened(Path(source)), name), name)
    if isinstance(source, Image.Image):
        return label_map(_indices(source, name), name)
    if not is_array(source):
        raise PictureError(f"{name}: expected a path, an image, an array or a tensor, got {type(source).__name__}")
    labels = given = to_array(source, name)
    while labels.ndim > 2 and len(labels) == 1:
        labels = labels[0]
    if labels.ndim != 2 or labels.dtype.kind == "f":
        raise PictureError(f"{name}: expected whole numbers [height, width], got {came_as(source, given)}")
    check_shape(labels.shape[0], labels.shape[1], name)
    if labels.dtype == np.uint64 and int(labels.max()) > _LARGEST:
        raise PictureError(f"{name}: holds the label {int(labels.max())}, expected at most {_LARGEST}")
    factor = excess(labels.shape[0], labels.shape[1])
    return torch.from_numpy(labels[factor // 2 :: factor, factor // 2 :: factor].astype(np.int64))[None]


def _indices(image: Image.Image, name: str) -> np.ndarray:
    lossy, rescaled = is_lossy(image), is_rescaled(image)
    try:
        image.load()
        factor = excess(image.height, image.width)
        size = image.width // factor, image.height // factor
        numbers = np.asarray(image.resize(size, Image.Resampling.NEAREST) if factor > 1 else image)
    except Exception as error:  # decoders of damaged files raise whatever they like
        raise PictureError(f"{name}: damaged ({one_line(error)})") from None
    if image.mode == "RGB" and (numbers == numbers[..., :1]).all():
        numbers = numbers[..., 0]
    if numbers.ndim != 2 or numbers.dtype.kind not in "uib":
        raise PictureError(f"{name}: is a picture of mode {image.mode}, expected one channel of whole numbers")
    if rescaled:
        raise PictureError(
            f"{name}: has numbers of another depth than 8 or 16 bits, which are read as levels of grey; save the label "
            "map in 8 bits, or with a palette"
        )
    if lossy:
        raise PictureError(
            f"{name}: is a lossy {image.format}, or may be, which changes labels; save the label map as PNG"
        )
    return upright(numbers, image)


def grey_levels(picture: Float[Tensor, "b 3 Y X"]) -> Int[Tensor, "b Y X"]:
    """The label map that a grey picture in [-1, 1] was read from, 0 to 255.

    Raises:
        ValueError: the picture has colours.
    """
    if not torch.equal(picture, picture[:, :1].expand_as(picture)):
        raise ValueError("is a picture in colours, expected a label map")
    return ((picture[:, 0] + 1) * 127.5).round().long()


def part_masks(prefix: Path, parts: Sequence[str]) -> Bool[Tensor, "1 n Y X"]:
    """One mask a part from the files `PREFIXpart.png`; a part without a file is nowhere.

    Args:
        prefix: such as `CelebAMask-HQ-mask-anno/0/00012_`, or a folder with the masks of one picture.
        parts: names, in the order wanted.

    Raises:
        PictureError: there is no mask, a file is none, their sizes differ, or a folder has masks of several pictures.
    """
    start = _start(prefix, parts) if prefix.is_dir() else str(prefix)
    found = {part: _mask(path) for part in parts if (path := Path(f"{start}{part}.png")).exists()}
    if not found:
        raise PictureError(f"{start}: no masks, expected files such as {Path(start).name}{parts[0]}.png")
    sizes = {tuple(mask.shape[1:]) for mask in found.values()}
    if len(sizes) > 1:
        raise PictureError(f"{start}: masks of {', '.join(map(str, sorted(sizes)))} pixels, expected one size")
    nowhere = torch.zeros(1, *sizes.pop(), dtype=torch.bool, device="cpu")
    return torch.stack([found.get(part, nowhere) for part in parts], 1)


def _mask(path: Path) -> Bool[Tensor, "1 Y X"]:
    labels = label_map(path)
    inside = labels > 0
    if int(labels.max()) not in (0, 1, 255) or bool((labels[inside] != labels.max()).any()):
        raise PictureError(f"{path}: holds other numbers than 0 and 255, expected a mask")
    return inside


def resize_nearest(planes: Shaped[Tensor, "*b Y X"], size: tuple[int, int]) -> Shaped[Tensor, "*b y x"]:
    """Labels or masks brought to `size` (height, width) without mixing any."""

    def taken(side: int, wanted: int) -> Tensor:
        cells = torch.arange(side, dtype=torch.float32, device=planes.device)
        return F.interpolate(cells[None, None], wanted, mode="nearest-exact")[0, 0].long()

    return planes[..., taken(planes.shape[-2], size[0])[:, None], taken(planes.shape[-1], size[1])]


def _start(folder: Path, parts: Sequence[str]) -> str:
    """What the masks of a folder have before the part's name."""
    starts = {
        str(path)[: -len(f"{part}.png")]
        for part in parts
        for path in folder.glob(f"*{part}.png")
        if path.stem == part or path.stem.endswith(f"_{part}")
    }
    if len(starts) != 1:
        named = ", ".join(sorted(Path(start).name for start in starts)[:3])
        problem = f"masks of several pictures ({named}, ...)" if starts else f"no masks such as {parts[0]}.png"
        raise PictureError(f"{folder}: {problem}, expected those of one")
    return starts.pop()


def keypoints(source: object, name: str = "keypoints") -> tuple[Float[Tensor, "18 2"], tuple[int, int] | None]:
    """(x, y) of OpenPose's 18 joints in pixels, NaN where a joint was not found; and the picture's height and width.

    Args:
        source: a path to OpenPose's JSON (18 or 25 joints; of several people the one with most joints), the same as a
            dictionary, or an array, tensor or list [18, 2] or [18, 3], with NaN or a confidence of 0 where there is
            none. A dictionary's numbers may be numpy's, and its lists arrays.
        name: what errors call a source without a path.

    Raises:
        PictureError: it cannot be read, nobody is in it, or its joints are not in pixels but in [0, 1] or [-1, 1].
    """
    name = display_name(source, name)
    if isinstance(source, str | os.PathLike):
        data = read_json(Path(source), PictureError, KEYPOINTS)
    elif isinstance(source, Mapping) or (isinstance(source, list) and source and isinstance(source[0], Mapping)):
        data = source
    elif is_array(source):
        return _joints(to_array(source, name), name), None
    else:
        raise PictureError(f"{name}: expected a path, a dictionary, an array or a tensor, got {type(source).__name__}")
    pose = checked(_Pose, data[0] if isinstance(data, list) and len(data) == 1 else data, name, PictureError)
    if not pose.people:
        raise PictureError(f"{name}: nobody is in it, the list of people is empty")
    triples = (_triples(person, name) for person in pose.people)
    joints = _joints(max(triples, key=lambda numbers: (numbers[:, 2] > 0).sum()), name)
    if pose.canvas_height is None or pose.canvas_width is None:
        return joints, None
    check_shape(pose.canvas_height, pose.canvas_width, name)
    return joints, (pose.canvas_height, pose.canvas_width)


def _triples(person: _Person, name: str) -> np.ndarray:
    """(x, y, confidence) of each joint."""
    numbers = person.pose_keypoints_2d
    if len(numbers) not in (3 * JOINTS, 75):
        raise PictureError(f"{name}: has {len(numbers)} numbers a person, expected 3 for each of 18 or 25 joints")
    triples = np.array(numbers, dtype=np.float64).reshape(-1, 3)
    return triples[list(BODY_25)] if len(triples) == 25 else triples


def _joints(numbers: np.ndarray, name: str) -> Float[Tensor, "18 2"]:
    if numbers.shape not in ((JOINTS, 2), (JOINTS, 3)):
        raise PictureError(f"{name}: expected {JOINTS} joints of x and y, got the shape {list(numbers.shape)}")
    joints = torch.from_numpy(numbers[:, :2].astype(np.float64)).float()
    if numbers.shape[1] == 3:
        joints[torch.from_numpy(~(numbers[:, 2] > 0))] = math.nan
    if bool(joints.isnan().all()):
        raise PictureError(f"{name}: no joint was found")
    if bool(joints.isinf().any()):
        raise PictureError(f"{name}: holds joints that are infinitely far away")
    if bool((joints.isnan() | (joints.abs() <= 1)).all()):
        reach = f"{joints.nan_to_num(math.inf).amin():.3g} to {joints.nan_to_num(-math.inf).amax():.3g}"
        raise PictureError(
            f"{name}: all joints lie in {reach}, expected pixels (OpenPose's --keypoint_scale 0, not 3 or 4)"
        )
    return joints
