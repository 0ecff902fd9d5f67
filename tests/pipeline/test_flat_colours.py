"""Flat areas have the colours of the exemplars, in a series the same throughout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import run
from PIL import Image, ImageDraw

from midms.images.finishers.composite import Composite
from midms.images.finishers.evidence import commonest
from midms.images.finishers.palette import flat_colours
from midms.images.finishers.series import Decided, SeenDrawing, agreed
from midms.pipeline.jobs.partners import all_pictures

RED, SAND, SEA = (200, 30, 40), (236, 200, 150), (40, 90, 160)


def flag(size: tuple[int, int] = (120, 90)) -> Image.Image:
    """Three colours, lines of black between them, and a strip that goes from white to black."""
    width, height = size
    picture = Image.new("RGB", size, SAND)
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, width // 2, height), RED)
    pen.rectangle((0, 2 * height // 3, width, height), SEA)
    pen.line((width // 2, 0, width // 2, height), (0, 0, 0), 2)
    for column in range(width):
        pen.line((column, 0, column, height // 10), (255 - 255 * column // width,) * 3)
    return picture


def box(left: int) -> Image.Image:
    picture = Image.new("RGB", (160, 120), "white")
    ImageDraw.Draw(picture).rectangle((left, 20, left + 70, 100), "white", "black", 4)
    return picture


def test_flat_colours_are_those_of_areas() -> None:
    """Not of lines or gradients, and not twice; the commonest first."""
    pixels = torch.from_numpy(np.asarray(flag(), np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    found = (np.array(flat_colours([pixels, pixels])) + 1) * 127.5
    flat = [colour for colour in found.round().astype(int).tolist() if len({*colour}) > 1]
    assert len(flat) == 3 and np.abs(np.array(sorted(flat)) - sorted([RED, SEA, SAND])).max() <= 2
    assert flat_colours([torch.zeros(1, 3, 1, 1)]) == ((0.0, 0.0, 0.0),)


def test_a_region_takes_the_nearest_colour_of_the_exemplar() -> None:
    """If one is near; in two pictures that differ a little the same."""
    exemplar = torch.tensor(RED).view(1, 3, 1, 1).expand(1, 3, 8, 8) / 127.5 - 1
    palette = flat_colours([exemplar])
    drawing = torch.from_numpy(np.asarray(box(20), np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    made = []
    for off in (-0.1, 0.0, 0.15, 0.9):
        predicted = (torch.tensor(palette[0]) + off).clamp(-1, 1).view(1, 3, 1, 1).expand(1, 3, 30, 40).contiguous()
        made.append(Composite()(predicted, drawing, [exemplar], lambda where: None).colours[0, :, 60, 50])
    assert all(torch.allclose(one, torch.tensor(palette[0]), atol=1e-6) for one in made[:3])
    assert (made[3] - torch.tensor(palette[0])).abs().max() > 0.5


def test_uncertain_predictions_vote_for_the_colours_of_the_exemplar() -> None:
    """Two fifths of a box are nearer to one of them, the rest to another, hardly two of them alike."""
    exemplar = torch.from_numpy(np.asarray(flag(), np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    drawing = torch.from_numpy(np.asarray(box(20), np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    red, sea = (torch.tensor(one).view(1, 3, 1, 1) / 127.5 - 1 for one in (RED, SEA))
    off = 0.28 * torch.linspace(0, 1, 30).view(1, 1, 30, 1)
    predicted = torch.where(torch.arange(40) < 12, red, sea) + off
    voted, unaided = (Composite()(predicted, drawing, some, lambda where: None).colours for some in ([exemplar], []))
    for row in (30, 60, 90):
        assert (voted[0, :, row, 80] - sea.flatten()).abs().max() <= 2 / 127.5
    assert (unaided[0, :, 60, 80] - sea.flatten()).abs().max() > 0.1


def two_boxes(left: int) -> torch.Tensor:
    """A drawing of 80 x 160 pixels with a box that begins at `left`, and another that begins 70 to the right."""
    picture = Image.new("RGB", (160, 80), "white")
    pen = ImageDraw.Draw(picture)
    for start in (left, left + 70):
        pen.rectangle((start, 15, start + 50, 65), "white", "black", 4)
    return torch.from_numpy(np.asarray(picture, np.float32)).permute(2, 0, 1)[None] / 127.5 - 1


def test_drawings_of_a_series_decide_together() -> None:
    """A box is red in two and torn between red and blue in the third; the other, like it, is blue in all."""
    exemplar = torch.from_numpy(np.asarray(flag(), np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    red, sea, sand = (torch.tensor(one).view(1, 3, 1, 1) / 127.5 - 1 for one in (RED, SEA, SAND))
    finisher, seen, made = Composite(), [], []
    for left, torn in ((8, 0), (14, 0), (26, 32)):
        columns = 4 * torch.arange(40) + 2
        first, second = (((columns >= start) & (columns <= start + 50)) for start in (left, left + 70))
        coloured = torch.where(first & (columns >= left + torn), red, torch.where(first | second, sea, sand))
        given = coloured.expand(1, 3, 20, 40).contiguous(), two_boxes(left), [exemplar]
        features = torch.stack([first, second, ~(first | second)]).float()[None, :, None].expand(1, 3, 20, 40)
        seen.append(finisher.see(*given, features))
        made.append((left, given))
    together = finisher.in_series(seen)
    (left, given) = made[-1]
    assert (finisher(*given, lambda box: None).colours[0, :, 40, left + 25] - sea.flatten()).abs().max() < 0.02
    for left, given in made:
        colours = together(*given, lambda box: None).colours[0]
        for column, wanted in ((left + 25, red), (left + 12, red), (left + 95, sea), (2, sand)):
            assert (colours[:, 40, column] - wanted.flatten()).abs().max() < 0.02
    left, given = made[-1]
    another = given[0], two_boxes(left).flip(-2) * 0.99, given[2]
    alone, beside = (one(*another, lambda box: None).colours for one in (finisher, together))
    assert torch.equal(alone, beside), "what was not seen is finished by itself"


def seen_one(key: bytes, middles: np.ndarray, wrong: bool) -> SeenDrawing:
    """Three regions unlike all others, then two alike, red and blue; where few vote, it may be the other way round."""
    red, sea, sand = (np.array(one, np.int32) for one in (RED, SEA, SAND))
    numbers, votes = np.arange(6, dtype=np.int32), 40 if wrong else 100
    pair = [sea, red] if wrong else [red, sea]
    regions = np.repeat(numbers[1:], votes)
    colours = np.repeat([sand, sand, sand, *pair], votes, 0)
    alone = commonest(regions, colours.astype(np.float32) / np.float32(127.5) - 1, 6, 0.2)
    decided = Decided(numbers, alone, np.ones(6, bool), np.zeros(6, bool))
    features = np.eye(5, dtype=np.float32)[[4, 0, 1, 2, 3, 3]]
    return SeenDrawing(key, decided, regions, colours, features, np.full(6, 1 / 6), np.append(0, middles), ())


@pytest.mark.parametrize("degrees", [0, 40, 180])
def test_regions_alike_are_told_apart_by_their_places(degrees: int) -> None:
    """In a drawing that is turned, smaller and elsewhere, each of two has the colour that its own one has."""
    middles = np.array([0.2 + 0.2j, 0.8 + 0.2j, 0.5 + 0.9j, 0.3 + 0.5j, 0.7 + 0.5j])
    turned = 0.6 * np.exp(1j * np.deg2rad(degrees)) * (middles - 0.5 - 0.5j) + 0.6 + 0.4j
    found = agreed([seen_one(b"0", middles, wrong=False), seen_one(b"1", turned, wrong=True)], 0.2)
    for decided in found.values():
        colours = (decided.evidence.colour[4:] + 1) * 127.5
        assert np.abs(colours - [RED, SEA]).max() < 1 and decided.settled[4:].all()


def test_a_folder_is_coloured_from_one_bank(tmp_path: Path) -> None:
    """From the command line: each drawing takes from all pictures, whatever their names."""
    for folder, pictures in (
        ("drawings", [box(10), box(60)]),
        ("bank", [Image.new("RGB", (90, 90), one) for one in (RED, RED)]),
    ):
        (tmp_path / folder).mkdir()
        for number, picture in enumerate(pictures):
            picture.save(tmp_path / folder / f"{folder}{number}.png")
    words = ("translate", "--condition", tmp_path / "drawings", "--exemplar", tmp_path / "bank", "--series")
    words += ("--out", tmp_path / "out")
    assert run(*words, "--finisher", "composite(agreement=0.0)", "--layers", tmp_path / "layers") == 0
    assert len(all_pictures([tmp_path / "bank"])) == 2
    for number in range(2):
        layers = tmp_path / "layers" / f"drawings{number}"
        colours, regions = (np.asarray(Image.open(layers / f"{name}.png")) for name in ("colours", "regions"))
        assert colours.shape == (120, 160, 3) and regions.max() >= 2
        for one in range(1, regions.max() + 1):
            assert np.abs(np.median(colours[regions == one], 0) - RED).max() <= 1
