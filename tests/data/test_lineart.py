"""Drawings of artists: placed as by their package, linear in colours, held out, kept within bounds."""

from __future__ import annotations

import importlib.util
import json
import math
import pickle
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import made_drawings
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_data import seeded
from made_drawings import dataset_of

from midms import create
from midms.core.errors import MidmsError
from midms.data.errors import BrokenSample, DatasetError
from midms.data.lineart.faces import COLOUR_SLOTS, face_svg, random_palette, with_colours
from midms.data.lineart.facesjs_package import FEATURE_KINDS, FacesPackage, Feature
from midms.data.lineart.layers import ByteCache
from midms.data.lineart.openmoji import SKIN_TONES
from midms.data.lineart.svg import bounds, decoded, rasterised

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "facesjs.json").read_text())


def matrix(transforms: str) -> np.ndarray:
    """Of SVG transforms, as its specification has them."""
    whole = np.eye(3)
    for name, listed in re.findall(r"(\w+)\(([^)]*)\)", transforms):
        first, second, *centre = (float(number) for number in listed.split())
        if name == "scale":
            one = np.diag([first, second, 1])
        elif name == "translate":
            one = np.array([[1, 0, first], [0, 1, second], [0, 0, 1]])
        else:
            x, y = second, centre[0]
            turned = complex(math.cos(math.radians(first)), math.sin(math.radians(first)))
            away = complex(x, y) - turned * complex(x, y)
            one = np.array([[turned.real, -turned.imag, away.real], [turned.imag, turned.real, away.imag], [0, 0, 1]])
        whole = whole @ one
    return whole


@pytest.mark.parametrize("number", range(len(GOLDEN)))
def test_parts_lie_where_the_package_puts_them(number: int) -> None:
    face, expected = GOLDEN[number]["face"], GOLDEN[number]["transforms"]
    package = FacesPackage.read(made_drawings.made("facesjs"))
    drawn = ""
    for kind in FEATURE_KINDS:
        result = face[kind.name]
        size = 1 if kind.name == "body" else result.get("size", 1)
        feature = Feature(kind, result["id"], size, result.get("angle", 0), result.get("flip", False))
        drawn += package.placed(feature, face["fatness"], face["body"]["size"])
    found = re.findall(r"(?:^|</g>)<g transform=\"([^\"]*)\">", drawn)
    assert len(found) == len(expected) > 15
    for ours, theirs in zip(found, expected, strict=True):
        assert np.allclose(matrix(ours), matrix(theirs), atol=1e-6, rtol=0)


def test_strokes_keep_their_width_when_parts_are_scaled() -> None:
    package = FacesPackage.read(made_drawings.made("facesjs"))
    (line,) = (kind for kind in FEATURE_KINDS if kind.name == "smileLine")
    assert package.placed(Feature(line, "line", 2.0), 1, 1).count('stroke-width="2.0"') == 2


def test_bounds_are_those_of_circles_and_curves() -> None:
    """An arc by hand, and a curve against many points of it."""
    assert np.allclose(bounds('<path d="M0 20a20 20 0 0 1 40 0z"/>'), (0, 0, 40, 20), atol=0.01)
    controls = np.array([[0, 0], [50, -30], [-40, 70], [10, 20]], float)
    t = np.linspace(0, 1, 10001)[:, None]
    curve = sum(math.comb(3, i) * t**i * (1 - t) ** (3 - i) * controls[i] for i in range(4))
    expected = (*curve.min(0), *curve.max(0))
    assert np.allclose(bounds('<path d="M0 0C50-30-40 70 10 20"/><circle r="99"/>'), expected, atol=1e-4)


def test_a_face_in_any_colours_is_its_layers_coloured() -> None:
    """Against the drawing itself with the colours written into it, but for the rounding of bytes."""
    dataset = dataset_of("facesjs")
    for index in range(6):
        colours = (random_palette(f"any {index}") * 255).round() / 255
        named = {s: "#%02x%02x%02x" % (*(c * 255).round().int().tolist(),) for s, c in zip(COLOUR_SLOTS, colours)}  # noqa: B905, UP031
        svg = with_colours(face_svg(dataset.package, f"train {index}"), named)
        assert "$" not in svg
        direct = decoded(rasterised(svg, 64, "")).float()
        made = (dataset.layers(index).coloured(colours)[0] + 1) * 127.5
        assert (made - direct).abs().max() < 4
        lines = (dataset.layers(index).coloured(torch.ones(6, 3))[0] + 1) * 127.5
        assert (lines - (dataset.drawing(index, 64)[0] + 1) * 127.5).abs().max() < 6


def test_a_character_keeps_hair_and_clothes_in_every_drawing() -> None:
    dataset = replace(dataset_of("facesjs"), character="one")
    svgs = [face_svg(dataset.package, f"train {index}", "one") for index in range(8)]
    worn = {svg[svg.index("$[primary]") - 80 : svg.index("$[primary]") + 80] for svg in svgs}
    assert len(worn) == 1 and len(set(svgs)) == 8
    assert face_svg(dataset.package, "train 0", "two") != svgs[0] != face_svg(dataset.package, "train 0")
    assert not torch.equal(dataset.drawing(0, 64), dataset.drawing(1, 64))


def test_masks_say_what_shows_which_slot() -> None:
    dataset = dataset_of("facesjs", size=64)
    pair, masks = dataset[2], dataset.masks(2)
    assert (*masks,) == COLOUR_SLOTS
    assert sum(masks.values()).max() < 1.02 and all(masks[slot].max() > 0.98 for slot in ("skin", "hair", "primary"))
    for mask in masks.values():
        shown = pair.target[0][:, mask[0, 0] > 0.99]
        assert shown.numel() == 0 or (shown - shown[:, :1]).abs().max() < 0.02
    assert torch.equal(pair.foreground, masks["background"] < 128 / 255)


def test_colours_are_the_exemplars_and_the_face_is_not() -> None:
    dataset = dataset_of("facesjs", size=128)
    first, second = (dataset.draw(1, seeded(seed)) for seed in (0, 1))
    assert torch.equal(first.condition, second.condition) and not torch.equal(first.exemplar, second.exemplar)
    assert not torch.equal(first.target, first.exemplar)
    pair = dataset[1]
    own, others = dataset.masks(1), dataset.masks(2)
    for slot in ("skin", "hair", "primary", "background"):
        colours = [
            picture[0][:, mask[slot][0, 0] > 0.99][:, 0]
            for picture, mask in ((pair.target, own), (pair.exemplar, others))
        ]
        assert torch.allclose(*colours, atol=0.02)


def test_what_is_held_out_is_in_no_other_split() -> None:
    splits = {split: dataset_of("facesjs", split=split) for split in ("train", "validation", "test")}
    shown = {pair.target.numpy().tobytes() for one in splits.values() for pair in (one[0], one[1])}
    drawn = {one.drawing(0, 64).numpy().tobytes() for one in splits.values()}
    assert len(shown) == 6 and len(drawn) == 3
    assert len(dataset_of("facesjs", faces=7)) == 7 and len(splits["test"]) == len(splits["validation"]) == 1000


def test_palettes_are_all_kinds_of_colours() -> None:
    colours = torch.stack([random_palette(f"word {i}") for i in range(100)])
    assert colours.min() >= 0 and colours.max() <= 1 and torch.equal(colours[0], random_palette("word 0"))
    white = (colours[:, -1] == 1).all(1).float().mean()
    assert 0.1 < white < 0.4
    light = colours.mean(2)
    assert light[:, 0].min() < 0.3 and light[:, 0].max() > 0.7  # skin of every tone


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 40)), max_size=60), st.integers(0, 100))
def test_a_cache_stays_within_its_bytes_and_gives_what_was_made(asked: list[tuple[int, int]], most: int) -> None:
    cache, kept = ByteCache(most), dict[int, bytes]()
    for key, size in asked:
        made: list[bytes] = []

        def make(content: bytes = bytes(size), made: list[bytes] = made) -> bytes:
            made.append(content)
            return content

        found = cache.get(key, make)
        assert found == (made[0] if made else kept[key])
        kept[key] = found
        assert cache.bytes <= most
    assert pickle.loads(pickle.dumps(cache)).bytes == 0


def test_faces_are_kept_and_not_rendered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = dataset_of("facesjs")
    pair, size = dataset[3], dataset._kept.bytes
    monkeypatch.setattr("midms.data.lineart.facesjs.rasterised", None)
    assert torch.equal(dataset[3].target, pair.target) and dataset._kept.bytes == size > 0


def test_emoji_are_in_the_tone_of_their_exemplar() -> None:
    dataset = dataset_of("openmoji", split="test")
    assert len(dataset) == 30 * 5
    for index in (5, 9):
        pair, skin = dataset[index], dataset.masks(index)["skin"]
        colour = [*SKIN_TONES.values()][index % 5].to_bytes(3, "big")
        assert skin.mean() > 0.02 and pair.exemplar.shape == (1, 3, 64, 64)
        shown = pair.target[0][:, skin[0, 0] > 0]
        assert (shown - torch.tensor([*colour])[:, None] / 127.5 + 1).abs().max() < 0.05
        assert (pair.exemplar - shown[:, :1, None]).abs().amax(1).min() < 0.05
    splits = [dataset_of("openmoji", split=split).families for split in ("train", "validation")]
    assert {*splits[0]} | {*splits[1]} == {*dataset.families} and not {*splits[0]} & {*splits[1]}


def replaced(place: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda root: (root / place).write_text((root / place).read_text().replace(old, new))


def moved(place: str, there: str) -> Callable[[Path], object]:
    return lambda root: (root / place).rename(root / there)


SPOILT: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no package": ("facesjs", moved("package.json", "x"), "{}: has no package.json; expected the unpacked npm package"),
    "another package": (
        "facesjs",
        replaced("package.json", "facesjs", "left-pad"),
        "{}: is 'left-pad' 5.0.3; expected",
    ),
    "another version": ("facesjs", replaced("package.json", "5.0.3", "4.2.0"), "{}: is 'facesjs' 4.2.0; expected"),
    "no JSON": ("facesjs", replaced("package.json", "{", "["), "{}/package.json: has no name and version; expected"),
    "no build": ("facesjs", moved("build", "src"), "{}/build/svgs.js: cannot be read (No such file or directory)"),
    "another layout": (
        "facesjs",
        replaced("build/svgs.js", "export default", "const a ="),
        "svgs.js: has no table after",
    ),
    "a kind is missing": ("facesjs", replaced("build/svgs.js", '"nose"', '"snout"'), "{}: has no parts called nose"),
    "XML that ends": ("facesjs", replaced("build/svgs.js", "/>", ">"), "svgs.js, hairBg long: cannot be read as SVG ("),
    "a path of words": (
        "facesjs",
        replaced("build/svgs.js", "M0 0q40 40", "M0 zero"),
        "mouth smile: cannot be read as SVG (",
    ),
    "no colours": (
        "openmoji",
        moved("color", "colour"),
        "{}: has no folder color/svg; expected the unpacked npm package",
    ),
    "no lines": ("openmoji", moved("black/svg", "black/png"), "{}: has no folder black/svg; expected"),
    "no tones": (
        "openmoji",
        lambda root: [file.unlink() for file in (root / "black" / "svg").glob("*-1F3FD.svg")],
        "{}: has 0 drawings in five skin colourings; expected",
    ),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_no_such_package_is_said_in_a_line(tmp_path: Path, what: str) -> None:
    name, spoil, message = SPOILT[what]
    shutil.copytree(made_drawings.made(name), tmp_path / "package")
    spoil(tmp_path / "package")
    with pytest.raises(DatasetError) as refused:
        create("dataset", name, path=tmp_path / "package")
    assert message.replace("{}", str(tmp_path / "package")) in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("content", ["<svg><path", "", "\udcff", '<svg xmlns="http://www.w3.org/2000/svg"/>'])
def test_a_drawing_that_cannot_be_read_is_one_broken_pair(tmp_path: Path, content: str) -> None:
    shutil.copytree(made_drawings.made("openmoji"), tmp_path / "package")
    dataset = create(
        "dataset", "openmoji", path=tmp_path / "package", size=64, condition=made_drawings.Sketch(), split="test"
    )
    file = tmp_path / "package" / "black" / "svg" / dataset.families[3].replace("*", "1F3FC")
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(BrokenSample) as broken:
        dataset[3 * 5 + 1]
    assert str(broken.value).startswith(f"{file}: ") and "\n" not in str(broken.value)
    assert dataset[3 * 5].target.shape == (1, 3, 64, 64)


@pytest.mark.parametrize("name", made_drawings.WRITERS)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "dev"}, "split must be one of train, validation, test, got 'dev'"),
        ({"size": 32}, "size must be a whole number from 64 to 512, got 32"),
        ({"path": "absent"}, "absent: no such folder"),
    ],
)
def test_settings_that_cannot_be_are_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(MidmsError, match=message):
        create("dataset", name, **{"path": made_drawings.made(name), **settings})


@pytest.mark.parametrize("name", made_drawings.WRITERS)
def test_what_is_not_installed_is_named_with_how_to_install_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda module, *_: None if module == "resvg_py" else found(module))
    with pytest.raises(DatasetError, match=rf"^{name} needs resvg_py; pip install 'midms\[lineart\]'$"):
        dataset_of(name)


def test_without_an_extractor_the_condition_is_the_ink() -> None:
    for name in made_drawings.WRITERS:
        pair = dataset_of(name, condition=None)[0]
        assert pair.condition.shape == (1, 1, 64, 64) and pair.exemplar_condition is None
        assert pair.condition.min() == 0 and pair.condition.max() > 0.5
