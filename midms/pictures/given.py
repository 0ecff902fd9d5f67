"""What people hand in, as the maps and pictures that the loop takes; what is wrong is said with the picture's name."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from midms.pictures import PictureError, blaming, called, native_size, read, resize
from midms.protocols import AnnotationReader, ConditionExtractor
from midms.types import Fit


def mapped(
    extractor: ConditionExtractor, source: object, name: str, fit: Fit
) -> tuple[Float[Tensor, "1 k y x"], Float[Tensor, "1 3 Y X"]]:
    """The map of a condition of any kind, and a picture of it."""
    if isinstance(extractor, AnnotationReader):
        found = extractor.read(source, name, fit)
        return found, extractor.picture(found)
    drawing = read(source, name)
    with blaming(called(source, name)):
        return extractor.drawing(drawing, fit(_shape(drawing))), drawing


def _exactly(wanted: tuple[int, int], name: str) -> Fit:
    """To this size, if that does not distort."""

    def fit(shape: tuple[int, int]) -> tuple[int, int]:
        if not 0.9 < shape[0] * wanted[1] / (shape[1] * wanted[0]) < 1.1:
            raise PictureError(
                f"{name}: is {shape[1]} x {shape[0]} pixels, expected the exemplar's proportions, "
                f"{wanted[1]} : {wanted[0]}"
            )
        return wanted

    return fit


def _shape(image: Float[Tensor, "b c Y X"]) -> tuple[int, int]:
    return image.shape[-2], image.shape[-1]


def exemplars(
    extractor: ConditionExtractor, exemplar: object, condition: object | None, size: int, stride: int
) -> tuple[list[Tensor], list[Tensor]]:
    """Pictures [1 3 Y X] and their maps [1 k Y X] of one exemplar, or of several in a list or tuple.

    Args:
        extractor: makes the maps.
        exemplar: a `pictures.Picture`, or several.
        condition: what the extractor reads of the exemplar, or of each of several; by default the map is made from it.
        size: pixels of the shorter side.
        stride: that the sides become multiples of.

    Raises:
        PictureError: something cannot be read, or there are not as many conditions as exemplars.
    """
    several = isinstance(exemplar, list | tuple)
    sources = _each("exemplar", exemplar if several else [exemplar])
    pictures = [read(source, name) for name, source in sources]
    pictures = [resize(picture, native_size(_shape(picture), size, stride)) for picture in pictures]
    maps = []
    if condition is None:
        for (name, source), picture in zip(sources, pictures, strict=True):
            with blaming(called(source, name)):
                maps.append(extractor.photo(picture))
        return pictures, maps
    sketches = _each("exemplar_condition", condition if several else [condition], len(pictures))
    for (name, sketch), picture in zip(sketches, pictures, strict=True):
        maps.append(mapped(extractor, sketch, name, _exactly(_shape(picture), name))[0])
    return pictures, maps


def masked(regions: object, shape: tuple[int, int], count: int) -> list[Tensor]:
    """Pictures of regions, one for each exemplar, as masks [1 1 Y X] in [0, 1]: white is 1.

    Raises:
        PictureError: one cannot be read, or there are not as many as exemplars.
    """
    pictures = [read(region, name) for name, region in _each("region", regions, count)]
    return [F.interpolate(picture, shape, mode="area").mean(1, keepdim=True) / 2 + 0.5 for picture in pictures]


def _each(name: str, pictures: object, count: int | None = None) -> list[tuple[str, object]]:
    """Pictures with what errors call them.

    Raises:
        PictureError: there are not as many as there must be.
    """
    if not isinstance(pictures, list | tuple) or (count is not None and len(pictures) != count) or not pictures:
        got = len(pictures) if isinstance(pictures, list | tuple) else "one"
        raise PictureError(f"{name}: got {got}, expected {f'one for each of {count} exemplars' if count else 'some'}")
    return [(name if len(pictures) == 1 else f"{name} {i}", picture) for i, picture in enumerate(pictures, 1)]
