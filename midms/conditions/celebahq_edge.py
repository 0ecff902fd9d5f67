"""Edges and distances of the parts of a face, as the released CelebA-HQ model takes them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from midms.conditions.canny import canny
from midms.conditions.strokes import city_block, resize_area
from midms.core.errors import NothingDrawn
from midms.core.types import Fit
from midms.images import display_name, name_in_errors, read_image
from midms.images.annotations import grey_levels, label_map, part_masks, resize_nearest

FACE_PARTS = (
    "skin", "l_brow", "r_brow", "l_eye", "r_eye", "l_ear", "r_ear", "nose", "u_lip", "mouth", "l_lip", "eye_g", "hair",
)  # fmt: skip
"""In the order of the channels, by the names of CelebAMask-HQ's files."""
LABELS = (
    "background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip",
    "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth",
)  # fmt: skip
"""What the numbers of a CelebAMask-HQ label map mean."""
ON_SKIN = ("skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "mouth", "u_lip", "l_lip")
"""What a label map cuts out of the skin, while CelebAMask-HQ's mask of the skin runs on below it."""
PHOTOS, MASKS, FOLDER = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno", 2000
"""Folders of the data set beside each other, and how many photos' masks share a folder."""


@dataclass(frozen=True)
class CelebaHQEdge:
    """15 channels, as in CoCosNet (Zhang et al. 2020, arXiv:2004.05571) and MIDMs.

    0: edges of all parts, and the photo's edges (Canny) outside the face and in the hair; 1 to 13: city-block distance
    to the edge of each of `FACE_PARTS`, a third of it in whole pixels, 255 and more being 1; 14: edges of all
    parts alone.
    The released model was trained at 256 x 256 pixels, so distances are best measured there.

    To choose for masks of a face's parts, with weights that were trained on CelebAMask-HQ.
    """

    @property
    def channels(self) -> int:
        """Two of edges, and one of distances a part."""
        return len(FACE_PARTS) + 2

    def drawing(self, picture: Float[Tensor, "b 3 Y X"], size: tuple[int, int]) -> Float[Tensor, "b 15 y x"]:
        """The map of a picture whose grey levels are part labels (see `LABELS`), without a photo's edges.

        Raises:
            ValueError: it has colours, or grey levels that are no labels, or shows no part.
        """
        return self.map(resize_nearest(from_labels(grey_levels(picture)), size), None)

    def photo(self, image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b 15 Y X"]:
        """Refused: a photo does not tell its parts.

        Raises:
            ValueError: always.
        """
        raise ValueError("exemplar_condition must be given: celebahq-edge takes part masks, not a photo alone")

    def read(self, source: object, name: str, fit: Fit) -> Float[Tensor, "1 15 y x"]:
        """The map of a face that was annotated.

        Args:
            source: a photo of the data set, `.../CelebA-HQ-img/12.jpg`, whose masks are found where the data set has
                them; or a folder with the masks of one face; or a label map (see `LABELS` and
                `annotations.label_map`); or a pair of either of these and the photo, for its background's edges.
            name: what errors call a source without a path.
            fit: from the annotation's height and width to the map's.

        Raises:
            PictureError: it cannot be read, or shows no face.
        """
        annotation, photo = source if isinstance(source, tuple) and len(source) == 2 else (source, None)
        path = Path(annotation) if isinstance(annotation, str | os.PathLike) else None
        if path is not None and path.parent.name == PHOTOS and path.stem.isdigit():
            annotation = path.parents[1] / MASKS / str(int(path.stem) // FOLDER) / f"{int(path.stem):05}_"
            parts, photo = part_masks(annotation, FACE_PARTS), path
        elif path is not None and path.is_dir():
            parts = part_masks(path, FACE_PARTS)
        else:
            parts = None
        with name_in_errors(display_name(annotation, name)):
            parts = from_labels(label_map(annotation, name)) if parts is None else parts
            parts = resize_nearest(parts, fit((parts.shape[-2], parts.shape[-1])))
            found = self.map(parts, None)
        if photo is not None:
            with name_in_errors(display_name(photo, name)):
                picture = resize_area(read_image(photo, name), (parts.shape[-2], parts.shape[-1])).clamp(-1, 1)
                found[:, :1] = torch.maximum(found[:, :1], _behind(parts, picture).float())
        return found

    def map(self, parts: Bool[Tensor, "b 13 Y X"], photo: Float[Tensor, "b 3 Y X"] | None) -> Float[Tensor, "b 15 Y X"]:
        """The map itself.

        Args:
            parts: a mask for each of `FACE_PARTS`; they may overlap, and a part may be nowhere.
            photo: in [-1, 1], or None for no background edges.

        Raises:
            NothingDrawn: a face shows no part, or a photo has no edge anywhere.
            ValueError: a type or shape is another, or a photo is not in [-1, 1].
        """
        if parts.dtype != torch.bool or parts.ndim != 4 or parts.shape[1] != len(FACE_PARTS):
            got = f"{parts.dtype} {tuple(parts.shape)}"
            raise ValueError(f"parts are {got}, expected bool [b, {len(FACE_PARTS)}, height, width]")
        if photo is not None and photo.shape != (len(parts), 3, *parts.shape[-2:]):
            raise ValueError(f"photo is {tuple(photo.shape)}, expected {(len(parts), 3, *parts.shape[-2:])}")
        boundary = part_outlines(parts)
        drawn = boundary.any(1, keepdim=True)
        if not bool(drawn.flatten(1).any(1).all()):
            raise NothingDrawn("shows no face: no part has an edge")
        edges = drawn if photo is None else drawn | _behind(parts, photo)
        distance = (city_block(boundary) / 3).floor().clamp(max=255) / 255
        return torch.cat([edges.float(), distance, drawn.float()], 1)

    def picture(self, condition: Float[Tensor, "b 15 Y X"]) -> Float[Tensor, "b 3 Y X"]:
        """Parts in black lines, the background's edges in grey, on white."""
        lines = torch.maximum(condition[:, -1:], 0.5 * condition[:, :1])
        return (1 - 2 * lines).expand(-1, 3, -1, -1)


def from_labels(labels: Int[Tensor, "b Y X"]) -> Bool[Tensor, "b 13 Y X"]:
    """Masks of `FACE_PARTS` from a label map; the skin runs on below what lies on it.

    Raises:
        ValueError: there are numbers that are no labels.
    """
    strange = labels[(labels < 0) | (labels >= len(LABELS))].unique().tolist()
    if strange:
        raise ValueError(f"has labels {', '.join(map(str, strange[:5]))}; known are 0 to {len(LABELS) - 1}")

    on_skin = torch.tensor([name in ON_SKIN for name in LABELS], device=labels.device)[labels.long()]
    return torch.stack([on_skin, *(labels == LABELS.index(part) for part in FACE_PARTS[1:])], 1)


def part_outlines(mask: Bool[Tensor, "b n Y X"]) -> Bool[Tensor, "b n Y X"]:
    """Pixels that differ from one beside, above or below them: two pixels wide."""
    edge = torch.zeros_like(mask)
    for dim in (-2, -1):
        length = mask.shape[dim] - 1
        change = mask.narrow(dim, 1, length) != mask.narrow(dim, 0, length)
        edge.narrow(dim, 1, length).logical_or_(change)
        edge.narrow(dim, 0, length).logical_or_(change)
    return edge


def _behind(parts: Bool[Tensor, "b 13 Y X"], photo: Float[Tensor, "b 3 Y X"]) -> Bool[Tensor, "b 1 Y X"]:
    """A photo's edges outside the face and in the hair."""
    return background_edges(photo) & (parts[:, -1:] | ~parts[:, :-1].any(1, keepdim=True))


def background_edges(photo: Float[Tensor, "b 3 Y X"]) -> Bool[Tensor, "b 1 Y X"]:
    """Canny's edges of the photo in grey (ITU-R 601) at 8 bits.

    Raises:
        NothingDrawn: the photo has no edge anywhere.
        ValueError: it is not in [-1, 1].
    """
    if not bool(photo.isfinite().all()) or float(photo.abs().max()) > 1:
        raise ValueError(f"photo must be in [-1, 1], got {float(photo.min()):.3g} to {float(photo.max()):.3g}")
    weights = photo.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    grey = ((photo + 1) / 2 * weights).sum(1, keepdim=True)
    edges = canny((grey * 255).round() / 255)
    if not bool(edges.flatten(1).any(1).all()):
        raise NothingDrawn("photo has no edges: nowhere is its contrast enough for one")
    return edges
