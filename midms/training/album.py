"""A set of portraits rendered once and kept on disk: every style in several geometries, with its sketches and edges."""

from __future__ import annotations

import random
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from tqdm import tqdm

from midms.checkpoints.tensors import CheckpointError, read_weights, save_state
from midms.conditions.sketch import Sketch
from midms.core.files import sweep
from midms.data.portraits import parameters
from midms.data.portraits.hand import STEADY, sketch
from midms.data.portraits.pairs import SPLITS, exact_flow, render

STORED = ("image", "parts", "strokes", "edges")
"""What an album keeps on disk."""
BATCH = 16
"""Styles that are rendered at a time."""
SAMPLED = 4
"""Styles of a kept album that are rendered anew, to compare."""
FAR = {"image": 1.0, "parts": 0.1, "strokes": 18.0, "edges": 1.0}
"""How far a kept album may be from that, in the mean. Strokes follow from the batch too: those that another hand draws
of the same face are 2 to 19 away, those of another face 24 to 57, none at all 54 and more."""


@dataclass(frozen=True)
class Shot:
    """A batch of training pairs: the same style in two geometries.

    Attributes:
        exemplar: flat index of the exemplar's picture in the album.
        answer: flat index of the answer's picture.
        place: (x, y) in [-1, 1], y downwards, of each answer pixel in the exemplar.
        visible: whether the exemplar shows it.
    """

    exemplar: Int[Tensor, " b"]
    answer: Int[Tensor, " b"]
    place: Float[Tensor, "b 2 y x"]
    visible: Float[Tensor, "b 1 y x"]


@dataclass(frozen=True)
class Album:
    """Rendered portraits as bytes, style by style, `geometries` in a row.

    Attributes:
        image: pictures.
        parts: part of each pixel.
        strokes: the sketch of each as the `sketch` condition reads it (2 channels).
        edges: the photo's condition map (2 channels).
        first: first seed of the split.
        geometries: pictures a style.
    """

    image: UInt8[Tensor, "n 3 y x"]
    parts: UInt8[Tensor, "n y x"]
    strokes: UInt8[Tensor, "n 2 y x"]
    edges: UInt8[Tensor, "n 2 y x"]
    first: int
    geometries: int

    def __len__(self) -> int:
        return len(self.image)

    @property
    def size(self) -> int:
        """Pixels a side."""
        return self.image.shape[-1]

    def some(self, index: Int[Tensor, " b"] | slice) -> Album:
        """An album of these pictures alone."""
        return replace(self, **{name: getattr(self, name)[index] for name in STORED})

    def images(self, index: Int[Tensor, " b"]) -> Float[Tensor, "b 3 y x"]:
        """Pictures in [-1, 1]."""
        return self.image[index].float() / 127.5 - 1

    def sketches(self, index: Int[Tensor, " b"]) -> Float[Tensor, "b 2 y x"]:
        """Condition maps of the sketches, in [0, 1]."""
        return self.strokes[index].float() / 255

    def photos(self, index: Int[Tensor, " b"]) -> Float[Tensor, "b 2 y x"]:
        """Condition maps of the pictures, in [0, 1]."""
        return self.edges[index].float() / 255

    def draw(self, count: int, generator: torch.Generator) -> tuple[Int[Tensor, " b"], Int[Tensor, " b"]]:
        """Random pairs of one style in two geometries: flat indices of exemplar and answer."""
        g = self.geometries
        style = torch.randint(len(self) // g, (count,), generator=generator)
        source = torch.randint(g, (count,), generator=generator)
        target = (source + torch.randint(1, g, (count,), generator=generator)) % g
        return style * g + source, style * g + target

    def shoot(
        self, exemplar: Int[Tensor, " b"], answer: Int[Tensor, " b"], corner: tuple[int, int] = (0, 0), step: int = 1
    ) -> Shot:
        """The exact correspondence of the pairs (exemplar, answer), at every `step`-th pixel from `corner`."""
        target, source = (parameters.geometry((self.first + i).tolist()) for i in (answer, exemplar))
        place, visible = exact_flow(
            target, self.parts[answer].long(), source, self.parts[exemplar].long(), corner, step
        )
        return Shot(exemplar, answer, place, visible[:, None].float())


def open_album(folder: Path, split: str, styles: int, geometries: int, size: int) -> Album:
    """Read the album from `folder`, rendering it first if it is not there, and saying beforehand what that takes.

    An album that is there has to have the checksum that was written with it, against damage; and some of its styles,
    others each time, are rendered anew, against albums that something else made. One in which somebody changed few
    styles and made the checksum anew is believed.

    Args:
        folder: where albums are kept.
        split: one of `midms.data.portraits.pairs.SPLITS`.
        styles: how many styles.
        geometries: how many geometries each style is rendered in.
        size: pixels a side.

    Raises:
        CheckpointError: what is there is damaged, or another album; or the disk refuses.
    """
    sweep(folder)
    path = folder / f"album-{split}-{styles}x{geometries}-{size}.safetensors"
    first = SPLITS[split]
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        pieces = [_render(first, 0, min(BATCH, styles), geometries, size)]
        _announce(path, pieces[0], styles * geometries, time.perf_counter() - began)
        pieces += [
            _render(first, start, min(start + BATCH, styles), geometries, size)
            for start in tqdm(
                range(BATCH, styles, BATCH), desc=f"rendering {split} faces", unit_scale=BATCH * geometries, unit="face"
            )
        ]
        stacked = {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}
        save_state(stacked, path)
    stored = read_weights(path, sealed=True)
    _check(stored, path, first, styles, geometries, size)
    return Album(**{name: stored[name] for name in STORED}, first=first, geometries=geometries)


def _announce(path: Path, piece: dict[str, Tensor], count: int, seconds: float) -> None:
    """Say what will be rendered, how long that takes and how much disk, by the first piece and how long it took."""
    done, size = len(piece["image"]), piece["image"].shape[-1]
    seconds, megabytes = seconds * count / done, sum(x.nbytes for x in piece.values()) * count / done / 1e6
    told = f"{seconds / 60:,.0f} minutes" if seconds > 90 else f"{max(seconds, 1):.0f} seconds"
    what = f"{count:,} faces of {size} x {size} pixels: about {told}, {megabytes:,.0f} MB of disk, {path}"
    print(f"midms: note: rendering {what}", file=sys.stderr, flush=True)


def _check(stored: dict[str, Tensor], path: Path, first: int, styles: int, geometries: int, size: int) -> None:
    """Find out whether an album is what would be rendered: its sizes, and all that is kept of some styles.

    Raises:
        CheckpointError: it is not.
    """
    n = styles * geometries
    shapes = {"image": (n, 3, size, size), "parts": (n, size, size), "strokes": (n, 2, size, size)}
    shapes["edges"] = shapes["strokes"]
    wrong = [
        f"{name} is {value.dtype} {tuple(value.shape)}" if (value := stored.get(name)) is not None else f"has no {name}"
        for name, shape in shapes.items()
        if name not in stored or stored[name].shape != shape or stored[name].dtype != torch.uint8
    ]
    if not wrong and (other := _others(stored, first, styles, geometries, size)):
        wrong = [f"{' and '.join(other)} are others than are rendered now"]
    if wrong:
        raise CheckpointError(f"{path}: {'; '.join(wrong)}; remove it to have it rendered anew")


def _others(stored: dict[str, Tensor], first: int, styles: int, geometries: int, size: int) -> list[str]:
    """What is not as it would be rendered now, of some styles drawn by chance."""
    far = dict.fromkeys(STORED, 0.0)
    chosen = random.SystemRandom().sample(range(styles), min(SAMPLED, styles))
    for style in chosen:
        drawn = _render(first, style, style + 1, geometries, size)
        for name in STORED:
            here = stored[name][style * geometries : (style + 1) * geometries]
            far[name] += (here.float() - drawn[name].float()).abs().mean().item() / len(chosen)
    return [name for name, distance in far.items() if distance > FAR[name]]


def _render(first: int, start: int, stop: int, geometries: int, size: int) -> dict[str, Tensor]:
    index = range(start * geometries, stop * geometries)
    geometry = parameters.geometry([first + i for i in index])
    style = parameters.style([first + i // geometries for i in index])
    portraits = render(geometry, style, size)
    hand = torch.Generator().manual_seed(first + start)
    ink = sketch(portraits.fine_parts, STEADY, hand)
    condition = Sketch()
    maps = {
        "strokes": condition.drawing((1 - 2 * ink).expand(-1, 3, -1, -1), (size, size)),
        "edges": condition.photo(portraits.image),
    }
    return {
        "image": ((portraits.image + 1) * 127.5).round().byte(),
        "parts": portraits.parts.byte(),
        **{name: (value * 255).round().byte() for name, value in maps.items()},
    }


def pool(values: Float[Tensor, "b c y x"], stride: int) -> Float[Tensor, "b c h w"]:
    """Mean over each latent cell."""
    return F.avg_pool2d(values, stride)
