"""What the loop is given: checked, named in errors, in the one form that the loop works with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from midms.core.errors import NotFinite, WrongAnswer
from midms.core.precision import precise
from midms.core.types import Features, Noise, NoiseFn, white_cells

OVERSHOOT = 0.3
"""How far a picture or map may go beyond its range, as a share of it: cubic and Lanczos resizing overshoot."""
MAP, PICTURE = (0, 1), (-1, 1)
"""Ranges of the numbers of condition maps and regions, and of pictures."""
OneOrMore: TypeAlias = Tensor | Sequence[Tensor]
"""A batch of pictures or maps [b c Y X], or one such batch for each of several exemplars."""


def check_exemplars(
    condition: Float[Tensor, "b k Y X"],
    exemplar: OneOrMore,
    exemplar_condition: OneOrMore | None,
    regions: Sequence[Tensor] | None,
    channels: int,
    stride: int,
    exemplar_regions: Sequence[Tensor | None] = (),
) -> tuple[list[Tensor], list[Tensor | None]]:
    """The exemplars and what was given of their conditions, in float32 at least, when all is as the loop can take it.

    Args:
        condition: map.
        exemplar: a batch of pictures, or one for each of several exemplars.
        exemplar_condition: as many maps, or None.
        regions: a mask [b 1 Y X] in [0, 1] for each of several exemplars, or None.
        channels: that maps must have.
        stride: that sides must be divisible by.
        exemplar_regions: a mask [b 1 Y X] in [0, 1] or None for each exemplar, or the first of them.

    Raises:
        ValueError: something is not; names the argument.
    """
    check_tensor("condition", condition, channels, stride, condition, MAP)
    pictures = _list(exemplar)
    maps = [None] * len(pictures) if exemplar_condition is None else _list(exemplar_condition)
    if not pictures:
        raise ValueError("exemplar is an empty list, expected a batch of pictures, or several")
    if len(maps) != len(pictures):
        raise ValueError(f"exemplar_condition has {len(maps)} maps, expected one for each of {len(pictures)} exemplars")
    for i, (picture, drawn) in enumerate(zip(pictures, maps, strict=True)):
        which = f"[{i}]" if isinstance(exemplar, list | tuple) else ""
        check_tensor(f"exemplar{which}", picture, 3, stride, condition, PICTURE)
        if drawn is not None:
            check_tensor(f"exemplar_condition{which}", drawn, channels, stride, condition, MAP)
            if drawn.shape[-2:] != picture.shape[-2:]:
                raise ValueError(
                    f"exemplar_condition{which} is {tuple(drawn.shape[-2:])} pixels, "
                    f"expected the exemplar's {tuple(picture.shape[-2:])}"
                )
    if regions is not None and len(pictures) == 1:
        raise ValueError("regions change nothing with one exemplar, expected several exemplars, or regions=None")
    if regions is not None and len(regions) != len(pictures):
        raise ValueError(f"regions has {len(regions)} masks, expected one for each of {len(pictures)} exemplars")
    for i, region in enumerate(regions or ()):
        check_tensor(f"regions[{i}]", region, 1, 1, condition, MAP)
        if region.shape[-2:] != condition.shape[-2:]:
            raise ValueError(
                f"regions[{i}] is {tuple(region.shape[-2:])} pixels, "
                f"expected the condition's {tuple(condition.shape[-2:])}"
            )
        if not 0 <= region.amin() <= region.amax() <= 1:
            raise ValueError(
                f"regions[{i}] goes from {region.amin():.3g} to {region.amax():.3g}, expected numbers in [0, 1]"
            )
        if not (filled := region.flatten(1).any(1)).all():
            which = "" if len(region) == 1 else f" in picture {filled.logical_not().nonzero()[0].item()} of the batch"
            raise ValueError(f"regions[{i}] is 0 everywhere{which}: nothing would take from exemplar {i}; leave it out")
    _check_exemplar_regions(exemplar_regions, pictures, condition, stride)
    return [precise(picture) for picture in pictures], [drawn if drawn is None else precise(drawn) for drawn in maps]


def _check_exemplar_regions(
    regions: Sequence[Tensor | None], pictures: Sequence[Tensor], condition: Tensor, stride: int
) -> None:
    if len(regions) > len(pictures):
        raise ValueError(f"exemplar_regions has {len(regions)} masks, expected at most {len(pictures)}, as exemplars")
    for i, (region, picture) in enumerate(zip(regions, pictures, strict=False)):
        if region is None:
            continue
        name, size = f"exemplar_regions[{i}]", (picture.shape[-2], picture.shape[-1])
        check_tensor(name, region, 1, 1, condition, MAP)
        if tuple(region.shape[-2:]) != size:
            raise ValueError(f"{name} is {tuple(region.shape[-2:])} pixels, expected the exemplar's {size}")
        if not white_cells(region, (size[0] // stride, size[1] // stride)).flatten(1).any(1).all():
            raise ValueError(
                f"{name} has no cell of {stride} x {stride} pixels that is 0.5 at least: nothing could be taken from "
                f"exemplar {i}; leave both out"
            )


def _list(one_or_more: OneOrMore) -> list[Any]:
    return list(one_or_more) if isinstance(one_or_more, list | tuple) else [one_or_more]


def check_tensor(name: str, value: Tensor, channels: int, stride: int, like: Tensor, within: tuple[int, int]) -> None:
    """Find out whether a tensor can be an argument of the loop.

    Args:
        name: of the argument.
        value: a batch of pictures or maps.
        channels: that it must have.
        stride: that its sides must be divisible by.
        like: has the batch size, type and device that it must have.
        within: the range of its numbers, beyond which it may go by what resizing overshoots.

    Raises:
        ValueError: it cannot.
    """
    if not isinstance(value, Tensor):
        raise ValueError(
            f"{name} is a {type(value).__name__}, expected a tensor [b, {channels}, height, width]; "
            "for paths, PIL pictures and arrays there is pipe.translate(condition, exemplar)"
        )
    if value.ndim != 4 or value.shape[1] != channels or not value.is_floating_point():
        raise ValueError(
            f"{name} is {value.dtype} {tuple(value.shape)}, expected floats [b, {channels}, height, width]"
        )
    if any(side % stride or side < 2 * stride for side in value.shape[-2:]):
        raise ValueError(
            f"{name} is {tuple(value.shape[-2:])} pixels, expected multiples of {stride} from {2 * stride} on"
        )
    if len(value) != len(like) or len(value) == 0:
        raise ValueError(f"{name} has a batch of {len(value)}, expected {len(like) or 'at least one'}")
    if (value.dtype, value.device) != (like.dtype, like.device):
        expected = f"expected {like.dtype} on {like.device} as the condition"
        raise ValueError(f"{name} is {value.dtype} on {value.device}, {expected}")
    if value.is_meta:
        raise ValueError(f"{name} is on the meta device, which has no numbers")
    if not torch.isfinite(value).all():
        raise ValueError(f"{name} holds numbers that are not finite")
    low, high = within
    slack, (least, most) = OVERSHOOT * (high - low), value.aminmax()
    if least < low - slack or most > high + slack:
        raise ValueError(f"{name} goes from {least:.3g} to {most:.3g}, expected numbers in [{low}, {high}]")


def noise_fn(generator: Noise, like: Tensor) -> NoiseFn:
    """A source of standard normals.

    A generator draws on its own device, and always in float32: a seed gives the same picture everywhere and in every
    precision.

    Args:
        generator: where the noise comes from.
        like: has the batch, type and device that draws should have.

    Raises:
        ValueError: it is none of what `Noise` names, or there is not one generator for each picture; or, when asked,
            the callable gives another shape.
    """

    def normals(shape: tuple[int, ...], source: torch.Generator | None) -> Tensor:
        device = like.device if source is None else source.device
        return torch.randn(shape, generator=source, device=device, dtype=torch.float32).to(like)

    def draw(shape: tuple[int, ...]) -> Tensor:
        if generator is None or isinstance(generator, torch.Generator):
            noise = normals(shape, generator)
        elif callable(generator):
            noise = generator(shape)
        else:
            noise = torch.cat([normals((1, *shape[1:]), one) for one in generator])
        if not isinstance(noise, Tensor) or noise.shape != shape:
            given = tuple(noise.shape) if isinstance(noise, Tensor) else type(noise).__name__
            raise ValueError(f"generator gave {given} when asked for {shape}")
        if not torch.isfinite(noise).all():
            raise ValueError("generator gave numbers that are not finite")
        return noise.to(like)

    several = isinstance(generator, list | tuple) and all(isinstance(one, torch.Generator) for one in generator)
    if not (several or generator is None or callable(generator) or isinstance(generator, torch.Generator)):
        raise ValueError(f"generator must be a torch.Generator, a list of them or a callable, got {generator!r}")
    if isinstance(generator, list | tuple) and len(generator) != len(like):
        raise ValueError(f"generator has {len(generator)}, expected one for each of {len(like)} pictures")
    return draw


def check_finite(value: object, part: Any, slot: str, shape: tuple[int, ...] | None = None) -> Float[Tensor, "b c h w"]:
    """What a part gave.

    Args:
        value: it.
        part: that gave it.
        slot: of the part.
        shape: that it must have, or None for any.

    Raises:
        WrongAnswer: it is no tensor of this shape.
        NotFinite: it holds numbers that are not finite.
    """
    if not isinstance(value, Tensor) or (shape is not None and value.shape != shape):
        given = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        wanted = "a tensor" if shape is None else f"one like what it was given, {tuple(shape)}"
        raise WrongAnswer(f"{slot}: {type(part).__name__} gives {given}, expected {wanted}")
    if not (good := torch.isfinite(value)).all():
        bad = f"{int((~good).sum()):,} of {value.numel():,} numbers from the {slot} ({type(part).__name__})"
        more = "; half precision may be too narrow" if value.dtype == torch.float16 else ""
        raise NotFinite(f"no picture: {bad} are not finite{more}")
    return value


def check_features(features: Features, part: Any) -> Features:
    """What a feature extractor gave. Matchers take what is not finite for unlike anything: nobody else would tell.

    Args:
        features: them.
        part: that gave them.

    Raises:
        ValueError: they are no features.
        NotFinite: they hold numbers that are not finite.
    """
    name = f"features: {type(part).__name__} gives"
    if not isinstance(features, Features):
        raise ValueError(f"{name} {type(features).__name__}, expected midms.core.types.Features")
    for which, value in (("initial", features.initial), ("rematch", features.rematch)):
        if not isinstance(value, Tensor) or value.ndim != 4 or not value.is_floating_point():
            got = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{name} {got} as {which}, expected floats [b, channels, height, width]")
        check_finite(value, part, "features")
    return features
