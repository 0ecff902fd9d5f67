"""One-hot segmentation, as the released model of churches takes it."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor

from midms.core.types import Fit
from midms.images import display_name, name_in_errors
from midms.images.annotations import grey_levels, label_map, resize_nearest

CLASSES = 150
UNKNOWN = 255
GOLDEN = (5**0.5 - 1) / 2
"""Share of the hue circle between classes, so that neighbours in number differ in colour."""


@dataclass(frozen=True)
class ADE20KSegmentation:
    """151 channels: the 150 classes of ADE20K's scene parsing (Zhou et al. 2017) and, last, what is unknown.

    To choose for label maps of scenes, with weights that were trained on such.

    Attributes:
        from_one: whether labels count from 1 and 0 is unknown, as in ADE20K's own files; else they count from 0 and
            150 is unknown. 255 always is.
    """

    from_one: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.from_one, bool):
            raise ValueError(f"from_one must be True or False, got {self.from_one!r}")

    @property
    def channels(self) -> int:
        """Classes and one for unknown."""
        return CLASSES + 1

    def drawing(self, picture: Float[Tensor, "b 3 Y X"], size: tuple[int, int]) -> Float[Tensor, "b 151 y x"]:
        """The map of a picture whose grey levels are labels.

        Raises:
            ValueError: it has colours, or grey levels that are no labels.
        """
        return self.map(resize_nearest(_known(grey_levels(picture)), size))

    def photo(self, image: Float[Tensor, "b 3 Y X"]) -> Float[Tensor, "b 151 Y X"]:
        """Refused: a photo does not tell its labels.

        Raises:
            ValueError: always.
        """
        raise ValueError("exemplar_condition must be given: ade20k-segmentation takes a label map, not a photo")

    def read(self, source: object, name: str, fit: Fit) -> Float[Tensor, "1 151 y x"]:
        """The map of a label map, which is whatever `annotations.label_map` takes, resized without interpolation.

        Raises:
            PictureError: it cannot be read, or has numbers that are no labels.
        """
        labels = label_map(source, name)
        with name_in_errors(display_name(source, name)):
            return self.map(resize_nearest(_known(labels), fit((labels.shape[-2], labels.shape[-1]))))

    def map(self, labels: Integer[Tensor, "b Y X"]) -> Float[Tensor, "b 151 Y X"]:
        """1 in the channel of each pixel's label, 0 in the others.

        Raises:
            ValueError: they are no whole numbers [b, height, width], or there are numbers that are no labels.
        """
        labels = _known(labels)
        unknown = (labels == UNKNOWN) | (labels == (0 if self.from_one else CLASSES))
        return F.one_hot(torch.where(unknown, CLASSES, labels - int(self.from_one)), CLASSES + 1).movedim(-1, 1).float()

    def picture(self, condition: Float[Tensor, "b 151 Y X"]) -> Float[Tensor, "b 3 Y X"]:
        """Each class in a colour of its own; what is unknown is black."""
        golden = (5**0.5 - 1) / 2
        colours = [
            colorsys.hsv_to_rgb(i * golden % 1, 0.45 + 0.25 * (i % 3), 0.95 - 0.2 * (i % 2)) for i in range(CLASSES)
        ]
        table = condition.new_tensor([*colours, (0, 0, 0)]) * 2 - 1
        return table[condition.argmax(1)].movedim(-1, 1)


def _known(labels: Integer[Tensor, "b Y X"]) -> Integer[Tensor, "b Y X"]:
    """Labels, each of which is a class or unknown.

    Raises:
        ValueError: see `map`.
    """
    if labels.ndim != 3 or labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"labels are {labels.dtype} {tuple(labels.shape)}, expected whole numbers [b, height, width]")
    labels = labels.long()
    strange = labels[((labels < 0) | (labels > CLASSES)) & (labels != UNKNOWN)].unique().tolist()
    if strange:
        raise ValueError(f"has labels {', '.join(map(str, strange[:5]))}; known are 0 to {CLASSES} and {UNKNOWN}")
    return labels
