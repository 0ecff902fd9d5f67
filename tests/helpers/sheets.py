"""Faces drawn on sheets of paper, and photos of the sheets on a desk."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw
from sample_pictures import face
from torch import Tensor

from midms.conditions.sketch import Sketch


def sheet(
    paper: object = (244, 242, 236), pen: object = (30, 30, 40), ruled: str = "", line: object = (150, 175, 215)
) -> np.ndarray:
    """A drawn face on paper that may be ruled."""
    image = Image.new("RGB", (640, 800), paper)
    draw = ImageDraw.Draw(image)
    for y in range(60, 800, 24) if ruled else ():
        draw.line([0, y, 640, y], fill=line, width=1)
    for x in range(20, 640, 24) if "squared" in ruled else ():
        draw.line([x, 0, x, 800], fill=line, width=1)
    if "margin" in ruled:
        draw.line([80, 0, 80, 800], fill=(225, 120, 120), width=2)
    drawn = face(600, 9)
    image.paste(Image.new("RGB", drawn.size, pen), (20, 110), drawn.convert("L").point(lambda v: 255 - v))
    return np.asarray(image, np.float32)


def desk(kind: str, height: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    colour = {"wood": (120, 80, 50), "dark": (40, 40, 46), "light": (206, 200, 190)}[kind]
    grain = (
        generator.standard_normal((height // 2, 6)).astype(np.float32)
        if kind == "wood"
        else np.zeros((2, 2), np.float32)
    )
    grain = cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.array(colour, np.float32) + 22 * grain[..., None]


SEEN = (900, 720)
"""Height and width of the test's photos."""


def seen_at(shape: tuple[int, ...], turn: float, tilt: float, share: float) -> np.ndarray:
    """The homography from a page's pixels to those of the photo, of a page turned and seen at an angle (degrees)."""
    height, width = SEEN
    focal = 0.9 * height
    long, wide = shape[0] * share / 2, shape[1] * share / 2
    (sin, cos), (far, near) = ((np.sin(a), np.cos(a)) for a in np.deg2rad((turn, tilt)))
    corners = np.array([(-wide, -long), (wide, -long), (wide, long), (-wide, long)]) @ np.array(
        [(cos, sin), (-sin, cos)]
    )
    depth = focal - corners[:, 1] * far
    seen = np.stack([corners[:, 0], corners[:, 1] * near], 1) * (focal / depth)[:, None] + (width / 2, height / 2)
    own = np.array([(0, 0), (shape[1], 0), (shape[1], shape[0]), (0, shape[0])], np.float32)
    found: np.ndarray = cv2.getPerspectiveTransform(own, seen.astype(np.float32))
    return found


def photographed(page: np.ndarray, kind: str, turn: float, tilt: float, share: float = 0.72) -> Image.Image:
    """A page on a desk, in slanting light, with grain, as a JPEG has it."""
    (height, width), turned = SEEN, seen_at(page.shape, turn, tilt, share)
    lies = cv2.warpPerspective(np.ones(page.shape[:2], np.float32), turned, (width, height))[..., None]
    picture = desk(kind, height, width) * (1 - lies) + cv2.warpPerspective(page, turned, (width, height)) * lies
    picture *= np.linspace(1, 0.75, width)[:, None]
    picture += 3 * np.random.default_rng(1).standard_normal(picture.shape)
    kept, written = cv2.imencode(".jpg", picture.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert kept
    return Image.fromarray(cv2.imdecode(written, cv2.IMREAD_COLOR))


def strokes(picture: Tensor) -> Tensor:
    return Sketch().drawing(picture, (80, 64))


def drawn(what: str) -> Image.Image:
    """A whole page with a face and something that is neither desk nor ruling."""
    image = face(600, 7)
    draw = ImageDraw.Draw(image)
    if what == "frame":
        draw.rectangle([30, 30, 570, 570], outline="black", width=6)
    if what == "thick frame":
        draw.rectangle([30, 30, 570, 570], outline="black", width=40)
    if what == "box":
        draw.rectangle([100, 350, 500, 580], outline="black", fill=(170, 170, 170))
    if what == "horizon":
        draw.rectangle([0, 0, 600, 200], fill=(40, 60, 120))
    if what == "line":
        draw.line([0, 300, 600, 310], fill="black", width=3)
    if what == "striped shirt":
        for y in range(430, 600, 20):
            draw.line([60, y, 540, y], fill="black", width=4)
    if what == "rays":
        for angle in np.linspace(0, 2 * np.pi, 24, endpoint=False):
            draw.line([300, 300, 300 + 600 * np.cos(angle), 300 + 600 * np.sin(angle)], fill="black", width=3)
    if what == "uneven lines":
        for y in (40, 70, 160, 190, 310, 420, 470, 585):
            draw.line([0, y, 600, y], fill="black", width=3)
    return image
