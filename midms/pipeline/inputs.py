"""What people hand in for translations: read and framed one by one, then stacked for the loop."""

from __future__ import annotations

import functools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.limits import side
from midms.core.offload import device_of
from midms.core.precision import precise
from midms.images import PictureError
from midms.images.frame import framed
from midms.images.inputs import Framing, Given, GivenExemplars, mapped, masked, masked_exemplars, read_exemplars
from midms.loop import Hints
from midms.loop.inputs import check_finite
from midms.pipeline.failures import naming_parts
from midms.pipeline.hints import placed
from midms.pipeline.translator import Translator


@dataclass(frozen=True)
class Inputs:
    """What a person handed in for one translation, on its canvases.

    Attributes:
        condition: its map, picture, frame and warnings.
        exemplars: their pictures, maps, frames and details.
        masks: for several exemplars, what of the condition takes from each; None where that was not said.
        hints: of a person; None for none.
        exemplar_masks: of exemplars in their order, what may be taken from each; None for all of it.
        framing: from the height and width of a part of the drawing to its frame.
        arguments: what was handed in, by the arguments of `translate`, as it came.
    """

    condition: Given
    exemplars: GivenExemplars
    masks: list[Float[Tensor, "1 1 Y X"]] | None
    hints: Hints | None
    exemplar_masks: Sequence[Float[Tensor, "1 1 _ _"] | None]
    framing: Framing
    arguments: Mapping[str, object] = field(default_factory=dict)

    @property
    def kind(self) -> Hashable:
        """Equal where inputs can be stacked: canvases and masks are alike. Hinted ones are never."""
        canvases = (self.condition.frame.canvas, *(frame.canvas for frame in self.exemplars.frames))
        masks = self.masks is None, *(mask is None for mask in self.exemplar_masks)
        return canvases, masks, None if self.hints is None else id(self)


class Stacked(NamedTuple):
    """Inputs of one kind as the loop takes them, on the device of the weights and as precise.

    Attributes:
        condition: maps.
        pictures: for each exemplar.
        maps: of each exemplar.
        masks: for several exemplars, what of the condition takes from each.
        exemplar_masks: of exemplars in their order.
    """

    condition: Float[Tensor, "b k Y X"]
    pictures: list[Float[Tensor, "b 3 _ _"]]
    maps: list[Float[Tensor, "b k _ _"]]
    masks: list[Float[Tensor, "b 1 Y X"]] | None
    exemplar_masks: list[Float[Tensor, "b 1 _ _"] | None]

    def only(self, number: int) -> Stacked:
        """Those of one of the translations, from 0."""
        own = slice(number, number + 1)
        return Stacked(
            self.condition[own],
            [one[own] for one in self.pictures],
            [one[own] for one in self.maps],
            self.masks and [one[own] for one in self.masks],
            [one if one is None else one[own] for one in self.exemplar_masks],
        )


@naming_parts
@torch.no_grad()
def read_inputs(
    pipe: Translator,
    condition: object,
    exemplar: object,
    *,
    exemplar_condition: object | None = None,
    regions: Sequence[object] | None = None,
    exemplar_regions: object | None = None,
    anchors: object | None = None,
    colours: object | None = None,
    hint_regions: object | None = None,
    size: int | None = None,
) -> Inputs:
    """Read what `midms.pipeline.translate.translate` is given; arguments as there.

    Raises:
        PictureError: a picture, a hint or the size cannot be used.
        PartFailed: a part raises something else.
    """
    arguments = {
        "condition": condition,
        "exemplar": exemplar,
        "exemplar_condition": exemplar_condition,
        "regions": regions,
        "exemplar_regions": exemplar_regions,
        "anchors": anchors,
        "colours": colours,
        "hint_regions": hint_regions,
        "size": size,
    }
    stride = pipe.autoencoder.stride
    size = pipe.size if size is None else size
    if wrong := side(stride, size):
        raise PictureError(f"size: {wrong}")
    framing = functools.partial(framed, size=size, multiple=stride, square=pipe.domain.square)
    read = mapped(pipe.condition, condition, "condition", framing)
    exemplars = read_exemplars(pipe.condition, exemplar, exemplar_condition, framing)
    for given in (read.map, *exemplars.maps):
        check_finite(given, pipe.condition, "condition")
    masks = None if regions is None else masked(regions, read.frame, len(exemplars.pictures))
    allowed = () if exemplar_regions is None else masked_exemplars(exemplar_regions, exemplars.frames, stride)
    hints = placed(anchors, colours, hint_regions, read.frame, exemplars.frames, stride)
    came = {name: value for name, value in arguments.items() if value is not None}
    return Inputs(read, exemplars, masks, hints, allowed, framing, came)


def stack(pairs: Sequence[Inputs], pipe: Translator) -> Stacked:
    """Inputs of one kind together.

    Args:
        pairs: of the same `kind`.
        pipe: whose weights say on which device and how precisely to compute.
    """
    networks = [module for module in pipe.modules() if next(module.parameters(), None) is not None]
    like = precise(next(networks[0].parameters()) if networks else pairs[0].condition.map)
    device = device_of(networks[0]) if networks else like.device

    def join(pieces: Sequence[Tensor]) -> Tensor:
        return torch.cat([*pieces]).to(device, like.dtype)

    def each(lists: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        return [join(pieces) for pieces in zip(*lists, strict=True)]

    masks = [pair.masks for pair in pairs if pair.masks is not None]
    allowed = zip(*(pair.exemplar_masks for pair in pairs), strict=True)
    return Stacked(
        join([pair.condition.map for pair in pairs]),
        each([pair.exemplars.pictures for pair in pairs]),
        each([pair.exemplars.maps for pair in pairs]),
        each(masks) if masks else None,
        [None if pieces[0] is None else join(pieces) for pieces in allowed],
    )
