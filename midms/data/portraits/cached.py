"""Portraits to train on, rendered once and kept on disk: every style in several geometries, with its condition maps."""

from __future__ import annotations

import functools
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import UInt8
from torch import Tensor
from tqdm import tqdm

from midms.core.errors import printable
from midms.core.files import check_folder, sweep
from midms.core.protocols import ConditionExtractor
from midms.core.tensors import CheckpointError, read_weights, save_state
from midms.data.pair import Pair
from midms.data.portraits import parameters
from midms.data.portraits.hand import sketch
from midms.data.portraits.pairs import HEAD, SPLITS, exact_flow, render
from midms.data.portraits.variety import VARIETIES, Variety

STORED = ("image", "parts", "condition", "exemplar_condition")
"""What is kept on disk."""
_BATCH = 16
"""Styles that are rendered before the time that all take is estimated."""
_SAMPLED = 4
"""Styles of a kept file that are rendered anew, to compare."""
_FAR = {"image": 1.0, "parts": 0.1, "condition": 1.0, "exemplar_condition": 1.0}
"""How far a kept file may be from that, in the mean."""
Render = Callable[[int, int], dict[str, Tensor]]
"""From the first style to the last but one, to what is kept of them."""


@runtime_checkable
class PortraitSettings(Protocol):
    """What portraits are rendered from, as `midms.data.portraits.dataset.Portraits` documents it."""

    @property
    def split(self) -> str:
        """Which faces."""

    @property
    def size(self) -> int:
        """Pixels a side."""

    @property
    def condition(self) -> ConditionExtractor | None:
        """What reads sketches and pictures."""

    @property
    def rendering(self) -> str:
        """The style of drawing."""

    @property
    def variety(self) -> str:
        """How much they differ in what is not the face."""


@dataclass(frozen=True)
class CachedPortraits:
    """Rendered portraits as bytes, `geometries` pictures of each style in a row; a pair is two of one style.

    A data set. Pairs are in the order of how far apart the two stand in their row, then of the exemplar's place. The
    bytes are a map of the file, which processes share, and take no memory of their own.

    Attributes:
        image: pictures.
        parts: part of each pixel.
        condition: condition maps of a sketch of each.
        exemplar_condition: condition maps of the pictures themselves.
        first: first seed of the split.
        geometries: pictures a style.
        variety: how much they differ in what is not the face.
    """

    image: UInt8[Tensor, "n 3 y x"]
    parts: UInt8[Tensor, "n y x"]
    condition: UInt8[Tensor, "n k y x"]
    exemplar_condition: UInt8[Tensor, "n k y x"]
    first: int
    geometries: int
    variety: Variety

    @classmethod
    def open(cls, folder: Path, portraits: PortraitSettings, styles: int, geometries: int) -> CachedPortraits:
        """Read portraits from `folder`, rendering them first if they are not there, after saying what that takes.

        A file that is there has to have the checksum that was written with it, against damage; and some of its styles,
        others each time, are rendered anew, against files that something else made. One in which somebody changed few
        styles and made the checksum anew is believed.

        Args:
            folder: where they are kept.
            portraits: split, size, condition, rendering and variety.
            styles: how many styles.
            geometries: how many geometries each style is rendered in.

        Raises:
            CheckpointError: what is there is damaged, or has other portraits; or the disk refuses.
        """
        sweep(folder)
        others = (portraits.rendering, "painted"), (portraits.variety, "narrow")
        kind = "".join(f"-{chosen}" for chosen, usual in others if chosen != usual)
        path = folder / f"portraits{kind}-{portraits.split}-{styles}x{geometries}-{portraits.size}.safetensors"
        render_styles = functools.partial(_render, portraits, geometries)
        if not path.exists():
            check_folder(folder)
            began = time.perf_counter()
            pieces = [render_styles(0, min(_BATCH, styles))]
            _announce(path, pieces[0], styles * geometries, time.perf_counter() - began)
            pieces += [
                render_styles(start, min(start + _BATCH, styles))
                for start in tqdm(
                    range(_BATCH, styles, _BATCH),
                    desc=f"rendering portraits of {portraits.split}",
                    unit_scale=_BATCH * geometries,
                    unit=" faces",
                    disable=styles <= _BATCH,
                )
            ]
            save_state({name: torch.cat([piece[name] for piece in pieces]) for name in STORED}, path)
        try:
            stored = read_weights(path, sealed=True)
        except CheckpointError as error:
            raise CheckpointError(f"{error}; remove it to have it rendered anew") from None
        _check(stored, path, render_styles, styles, geometries)
        return cls(
            **{name: stored[name] for name in STORED},
            first=SPLITS[portraits.split],
            geometries=geometries,
            variety=VARIETIES[portraits.variety],
        )

    def __len__(self) -> int:
        return len(self.image) * (self.geometries - 1)

    def __getitem__(self, index: int) -> Pair:
        """The same pair as `Portraits` would make of these two pictures, but for the bytes that they are kept in."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Pair]:
        """Several pairs at once, as PyTorch's loader asks for them: their flows are computed together."""
        exemplars, targets = (list(numbers) for numbers in zip(*map(self.numbers, indices), strict=True))
        seeds = ([self.first + one for one in some] for some in (exemplars, targets))
        source, place = (self.variety.framed(parameters.geometry(some), some) for some in seeds)
        shown, asked = (self.parts[some].long() for some in (exemplars, targets))
        flow, visible = exact_flow(place, asked, source, shown)
        fields = (
            self.condition[targets].float() / 255,
            self.image[exemplars].float() / 127.5 - 1,
            self.image[targets].float() / 127.5 - 1,
            self.exemplar_condition[exemplars].float() / 255,
            flow,
            visible[:, None],
            torch.isin(asked, torch.tensor(HEAD))[:, None],
        )
        return [Pair(*(field[[i]] for field in fields)) for i in range(len(indices))]

    def numbers(self, index: int) -> tuple[int, int]:
        """The pictures that are the exemplar and the target of a pair.

        Raises:
            IndexError: there is no such pair.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"pairs of portraits are numbered 0 to {len(self) - 1}, got {index}")
        place, apart = index % len(self.image), index // len(self.image) + 1
        style, source = place // self.geometries, place % self.geometries
        return place, style * self.geometries + (source + apart) % self.geometries


def _announce(path: Path, piece: dict[str, Tensor], count: int, seconds: float) -> None:
    """Say what will be rendered, how long that takes and how much disk, by the first piece and how long it took."""
    done, size = len(piece["image"]), piece["image"].shape[-1]
    seconds, megabytes = seconds * count / done, sum(x.nbytes for x in piece.values()) * count / done / 1e6
    duration = f"{seconds / 60:,.0f} minutes" if seconds > 90 else f"{max(seconds, 1):.0f} seconds"
    what = f"{count:,} faces of {size} x {size} pixels: about {duration}, {megabytes:,.0f} MB of disk, {path}"
    print(printable(f"midms: note: rendering {what}"), file=sys.stderr, flush=True)


def _check(stored: dict[str, Tensor], path: Path, render: Render, styles: int, geometries: int) -> None:
    """Find out whether a file holds what would be rendered: its sizes, and all that is kept of some styles.

    Raises:
        CheckpointError: it does not.
    """
    chosen = random.SystemRandom().sample(range(styles), min(_SAMPLED, styles))
    rendered = [render(style, style + 1) for style in chosen]
    wrong = [
        f"{name} is {value.dtype} {tuple(value.shape)}" if (value := stored.get(name)) is not None else f"has no {name}"
        for name, one in rendered[0].items()
        if name not in stored
        or stored[name].shape != (styles * geometries, *one.shape[1:])
        or stored[name].dtype != one.dtype
    ]
    if not wrong:
        index = torch.tensor(chosen)[:, None] * geometries + torch.arange(geometries)
        anew = {name: torch.stack([one[name] for one in rendered]) for name in STORED}
        far = {name: (stored[name][index].float() - anew[name].float()).abs().mean() for name in STORED}
        if others := [name for name in STORED if far[name] > _FAR[name]]:
            wrong = [f"{' and '.join(others)} {'is' if len(others) == 1 else 'are'} not what is rendered now"]
    if wrong:
        raise CheckpointError(f"{path}: {'; '.join(wrong)}; remove it to have it rendered anew")


def _render(portraits: PortraitSettings, geometries: int, start: int, stop: int) -> dict[str, Tensor]:
    """What is kept of the styles from `start` up to `stop`, one by one: many planes at once do not fit into caches."""
    each = [_render_style(portraits, geometries, number) for number in range(start, stop)]
    return {name: torch.cat([one[name] for one in each]) for name in STORED}


def _render_style(portraits: PortraitSettings, geometries: int, number: int) -> dict[str, Tensor]:
    """What is kept of one style."""
    first, size, varied = SPLITS[portraits.split], portraits.size, VARIETIES[portraits.variety]
    seeds = [first + number * geometries + i for i in range(geometries)]
    geometry = varied.framed(parameters.geometry(seeds), seeds)
    style = varied.backed(parameters.style([first + number] * geometries))
    faces = render(geometry, style, size, portraits.rendering)
    hand = torch.Generator().manual_seed(first + number)
    ink = sketch(faces.fine_parts, varied.hand, hand) if faces.lines is None else faces.lines
    condition = portraits.condition
    assert condition, "what is trained reads conditions"
    maps = {
        "condition": condition.drawing((1 - 2 * ink).expand(-1, 3, -1, -1), (size, size)),
        "exemplar_condition": condition.photo(faces.image),
    }
    return {
        "image": ((faces.image + 1) * 127.5).round().byte(),
        "parts": faces.parts.byte(),
        **{name: (value * 255).round().byte() for name, value in maps.items()},
    }
