"""Skeleton and limb distances, as the released DeepFashion model takes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from midms.conditions.strokes import city_block
from midms.core.errors import NothingDrawn
from midms.core.limits import int_range
from midms.core.types import Fit
from midms.images import display_name, name_in_errors
from midms.images.annotations import JOINTS, keypoints

LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
    (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
"""Joints at the two ends of each limb, in OpenPose's order: nose, neck, right and left arm, right and left leg, eyes,
ears."""
_COLOURS = (
    (0, 0, 255), (0, 85, 255), (0, 170, 255), (0, 255, 255), (0, 255, 170), (0, 255, 85), (0, 255, 0), (85, 255, 0),
    (170, 255, 0), (255, 255, 0), (255, 170, 0), (255, 85, 0), (255, 0, 0), (255, 0, 85), (255, 0, 170), (255, 0, 255),
    (170, 0, 255), (85, 0, 255),
)  # fmt: skip
"""Of each joint; a limb has that of the joint of its own number."""
STICK = 4
"""Radius of a joint and half the width of a limb, in pixels."""
ROUND = 0.6
"""By how much a polygon of whole pixels is wider than the ellipse it follows."""
OPACITY = 0.6
"""Of a limb over what was drawn before it."""


@dataclass(frozen=True)
class DeepFashionPose:
    """20 channels, as in CoCosNet (Zhang et al. 2020, arXiv:2004.05571) and MIDMs.

    0 to 2: OpenPose's skeleton in colours; 3 to 19: city-block distance to each of 17 limbs, a third of it in whole
    pixels, 255 and more being 1, as where a limb is missing. The released model was trained at 256 x 256 pixels, where
    sticks of 4 pixels and distances are what it knows.

    To choose for keypoints of people, with weights that were trained on DeepFashion.

    Attributes:
        canvas: height and width of the pictures that keypoints refer to, where a file does not say.
    """

    canvas: tuple[int, int] = (256, 256)

    def __post_init__(self) -> None:
        if not isinstance(self.canvas, Sequence) or len(self.canvas) != 2:
            raise ValueError(f"canvas must be a height and a width, got {self.canvas!r}")
        for side in self.canvas:
            int_range(1, 2**14, canvas=side)

    @property
    def channels(self) -> int:
        """Three of colours, one a limb."""
        return 3 + len(LIMBS)

    def drawing(self, picture: Float[Tensor, "b 3 Y X"], size: tuple[int, int]) -> Float[Tensor, "b 20 y x"]:
        """Refused: a picture does not tell its joints.

        Raises:
            ValueError: always.
        """
        raise ValueError("deepfashion-pose takes keypoints (a JSON file or an array), not a picture")

    def photo(self, image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b 20 Y X"]:
        """Refused: a picture does not tell its joints.

        Raises:
            ValueError: always.
        """
        raise ValueError("exemplar_condition must be given: deepfashion-pose takes keypoints, not a photo")

    def read(self, source: object, name: str, fit: Fit) -> Float[Tensor, "1 20 y x"]:
        """The map of keypoints, which are whatever `annotations.keypoints` takes.

        Raises:
            PictureError: they cannot be read, lie outside the canvas, or form no limb.
        """
        joints, canvas = keypoints(source, name)
        height, width = canvas or self.canvas
        size = fit((height, width))
        with name_in_errors(display_name(source, name)):
            inside = (joints >= 0) & (joints < joints.new_tensor([width, height]))
            if not bool((inside | joints.isnan()).all()):
                raise ValueError(f"has joints outside its canvas of {width} x {height} pixels, see canvas=")
            return self.map((joints * joints.new_tensor([size[1] / width, size[0] / height]))[None], size)

    def map(self, joints: Float[Tensor, "b 18 2"], size: tuple[int, int]) -> Float[Tensor, "b 20 Y X"]:
        """The map itself.

        Args:
            joints: (x, y) in pixels, NaN where a joint was not found.
            size: height and width.

        Raises:
            NothingDrawn: somebody has no limb.
            ValueError: they are not [b, 18, 2] floats.
        """
        if joints.shape[1:] != (JOINTS, 2) or not joints.is_floating_point():
            got = f"{joints.dtype} {tuple(joints.shape)}"
            raise ValueError(f"joints are {got}, expected floats [b, {JOINTS}, 2] in OpenPose's order of {JOINTS}")
        y, x = torch.meshgrid(*(torch.arange(side, device=joints.device) for side in size), indexing="ij")
        limbs = torch.stack([_limb(joints[:, a], joints[:, b], x, y) for a, b in LIMBS], 1)
        if not bool(limbs.flatten(1).any(1).all()):
            raise NothingDrawn("has no limb: no two joints that belong together were found")
        canvas = torch.zeros(len(joints), 3, *size, dtype=torch.float32, device=joints.device)
        for i, colour in enumerate(_COLOURS):
            canvas = torch.where(_disc(joints[:, i], x, y)[:, None], _column(colour, canvas), canvas)
        for i, limb in enumerate(limbs.unbind(1)):
            mixed = (OPACITY * _column(_COLOURS[i], canvas) + (1 - OPACITY) * canvas).round()
            canvas = torch.where(limb[:, None], mixed, canvas)
        distance = (city_block(limbs) / 3).floor().clamp(max=255)
        return torch.cat([canvas, distance], 1) / 255

    def picture(self, condition: Float[Tensor, "b 20 Y X"]) -> Float[Tensor, "b 3 Y X"]:
        """The skeleton in colours."""
        return 2 * condition[:, :3] - 1


def _column(colour: tuple[int, int, int], like: Tensor) -> Float[Tensor, "1 3 1 1"]:
    return like.new_tensor(colour).view(1, 3, 1, 1)


def _disc(centre: Float[Tensor, "b 2"], x: Tensor, y: Tensor) -> Bool[Tensor, "b Y X"]:
    cx, cy = centre.trunc()[..., None, None].unbind(1)
    return (x - cx).square() + (y - cy).square() <= STICK * STICK


def _limb(a: Float[Tensor, "b 2"], b: Float[Tensor, "b 2"], x: Tensor, y: Tensor) -> Bool[Tensor, "b Y X"]:
    """An ellipse between two joints, on whole pixels and degrees; nothing where a joint is NaN."""
    along = a - b
    half = (along.norm(dim=1) / 2).trunc()[:, None, None]
    angle = (torch.atan2(along[:, 1], along[:, 0]) * (180 / math.pi)).trunc()[:, None, None] * (math.pi / 180)
    cx, cy = ((a + b) / 2).trunc()[..., None, None].unbind(1)
    u = (x - cx) * angle.cos() + (y - cy) * angle.sin()
    v = (y - cy) * angle.cos() - (x - cx) * angle.sin()
    return (u / (half + ROUND)).square() + (v / (STICK + ROUND)).square() <= 1
