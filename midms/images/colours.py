"""Colours as they are meant: from the profile that a picture carries to sRGB, by Little CMS."""

from __future__ import annotations

import io
from typing import Any, cast

import numpy as np
from PIL import Image, ImageCms

TAKES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Pillow's mode for the colours that a profile is about."""
PROBE = np.stack(np.meshgrid(*[np.arange(0, 256, 17, dtype=np.uint8)] * 3), -1).reshape(64, 64, 3)
"""Colours from all over sRGB."""
UNSEEN = 1
"""Of 255: a profile that changes no colour by more is sRGB, and the picture stays as it is."""
_FEW = 16
"""A profile that leaves less than one in so many of the probe's colours is broken, such as one that makes all black."""


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture in sRGB; itself where it has no profile, or one that is sRGB, broken, or for another kind of picture.

    Colours are converted as Pillow does by default, with the perceptual intent; transparency stays.

    Args:
        image: of mode L, LA, RGB, RGBA or CMYK.
        profile: an ICC profile.
    """
    found = _transform(profile) if profile else None
    own = image.mode.removesuffix("A")
    if found is None or own not in (found[0], "L" if found[0] == "RGB" else ""):
        return image
    mode, transform = found
    converted: Any = ImageCms.applyTransform(image.convert(mode), transform)
    if image.mode.endswith("A"):
        converted.putalpha(image.getchannel("A"))
    return cast(Image.Image, converted)


def _transform(profile: bytes) -> tuple[str, Any] | None:
    """The mode that a profile is about and the way from it to sRGB; None where there is nothing to do."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = TAKES[source.profile.xcolor_space.strip()]
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        before = Image.fromarray(PROBE).convert(mode)
        after = np.asarray(ImageCms.applyTransform(before, transform), int)
        change = after - np.asarray(before.convert("RGB"))
    except Exception:  # as Pillow has it, whatever is broken in a profile
        return None
    return (mode, transform) if abs(change).max() > UNSEEN and _colours(after) >= _colours(before) / _FEW else None


def _colours(image: Any) -> int:
    """How many different ones there are."""
    return len(np.unique(np.asarray(image).reshape(PROBE.shape[0] * PROBE.shape[1], -1), axis=0))


def grey_curve(profile: bytes | None) -> np.ndarray | None:
    """What 256 even steps of grey become in sRGB, in [0, 1]; None where they stay."""
    steps = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    converted = in_srgb(steps, profile)
    return None if converted is steps else np.asarray(converted.convert("L"))[0] / 255


def profile_of(image: Image.Image) -> bytes | None:
    """That a picture carries."""
    found = image.info.get("icc_profile")
    return found if isinstance(found, bytes) else None
