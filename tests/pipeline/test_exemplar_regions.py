"""Pictures of what may be taken from exemplars, as people hand them in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sample_pictures import drawing, photo
from shifting import Shifting

from midms import build
from midms.cli import main
from midms.images import PictureError
from midms.images.frame import Frame
from midms.matching.matchers.correlation import Correlation
from midms.pipeline.correspondence import match_to_pixel_flow, nearest_white
from midms.pipeline.translate import translate


def halves(width: int, height: int) -> tuple[Image.Image, Image.Image]:
    """An exemplar red on the left and blue on the right, and the mask of its right half."""
    exemplar, mask = Image.new("RGB", (width, height), "red"), Image.new("L", (width, height), 3)
    exemplar.paste("blue", (width // 2, 0, width, height))
    mask.paste(252, (width // 2, 0, width, height))
    return exemplar, mask


def test_nothing_is_taken_from_the_forbidden_half(tmp_path: Path) -> None:
    """The mask at another resolution, and not quite black and white; no point of the result comes from red."""
    exemplar, mask = halves(96, 64)
    mask.resize((192, 128)).save(tmp_path / "mask.png")
    pipe = Shifting()
    for given in (mask, [tmp_path / "mask.png"], np.asarray(mask)):
        result = pipe.translate(drawing(64, 64), exemplar, exemplar_regions=given, seed=0)
        assert np.array_equal(np.unique(np.asarray(result.warp).reshape(-1, 3), axis=0), [[0, 0, 255]])
        assert np.array_equal(np.unique(np.asarray(result.image).reshape(-1, 3), axis=0), [[0, 0, 255]])
        y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
        found = result.origins(torch.stack([x, y], -1).view(-1, 2)).exemplar
        assert (found[:, 0].round() >= 48).all() and (result.correspondences[:, 2] >= 47.5).all()
    whole = pipe.translate(drawing(64, 64), exemplar, seed=0)
    assert (whole.origins().exemplar[:, 0] < 40).any(), "without the mask it is taken from there"
    same = pipe.translate(drawing(64, 64), exemplar, exemplar_regions=[None], seed=0)
    assert same.image == whole.image


def test_of_two_exemplars_one_has_a_mask() -> None:
    """What is forbidden in it is taken from the other; where it must be taken from, then from what is allowed."""
    (exemplar, mask), other = halves(64, 64), Image.new("RGB", (64, 64), (200, 30, 0))
    result = Shifting().translate(drawing(64, 64), [exemplar, other], exemplar_regions=[mask], seed=0)
    warp = np.asarray(result.warp)[8:56]
    assert (warp[:, :20] == (200, 30, 0)).all() and (warp[:, 28:] == (0, 0, 255)).all()
    assert (result.source[:, :20] == 1).all() and (result.source[:, 28:] == 0).all()
    regions = [Image.new("L", (8, 8), level) for level in (0, 255)]
    regions[0].putpixel((0, 0), 255)  # black everywhere is refused
    masks, exemplars = [None, mask], [other, exemplar]
    result = Shifting().translate(drawing(64, 64), exemplars, regions=regions, exemplar_regions=masks, seed=0)
    points = torch.stack([torch.arange(16, 64), torch.arange(16, 64)], 1)
    assert (np.asarray(result.warp)[16:] == (0, 0, 255)).all() and (result.source[16:] == 1).all()
    assert (result.origins(points).exemplar[:, 0].round() >= 32).all()
    assert (points[:, 0] + result.flow[0].diagonal()[16:] >= 64 + 31.5).all(), "to the right of the first"


def test_a_soft_match_between_two_allowed_parts_points_into_one_of_them() -> None:
    """Its mean place lies in the forbidden strip between them; the nearest allowed pixel counts."""
    mask = torch.ones(1, 1, 32, 48)
    mask[..., 16:36] = 0
    frames = Frame((32, 32), (32, 32)), Frame((32, 48), (32, 48))
    even = Correlation(1000.0)(torch.rand(1, 3, 4, 4), torch.rand(1, 3, 4, 6))
    pixel = torch.arange(32).view(1, 1, 32)
    free, held = (match_to_pixel_flow(even, frames[:1], [frames[1:]], torch.zeros(()), [m])[0][1] for m in ([], [mask]))
    there = free[0] + pixel
    assert (there > 19).all() and (there < 28).all()
    assert torch.equal(held[0] + pixel, torch.where(there.round() < 26, 15.0, 36.0))
    near = nearest_white(mask)
    assert near.shape == (32, 48) and torch.equal(near[5, :16], 5 * 48 + torch.arange(16))
    assert near[5, 20] == 5 * 48 + 15 and near[5, 34] == 5 * 48 + 36


def test_a_finisher_knows_no_colour_that_may_not_be_taken() -> None:
    exemplar, mask = halves(96, 64)
    seen: list[torch.Tensor] = []
    whole = build("midm-faces", finisher="composite")

    class Seeing:
        def __call__(self, coloured, drawing, exemplars, translate_crop):  # type: ignore[no-untyped-def]
            seen.extend(exemplars)
            return whole.finisher(coloured, drawing, exemplars, translate_crop)

    translate(replace(Shifting(), finisher=Seeing()), drawing(64, 64), [exemplar] * 2, exemplar_regions=mask, seed=0)
    assert torch.equal(seen[0][0].flatten(1).unique(dim=1)[:, 0], torch.tensor([-1.0, -1.0, 1.0]))
    assert seen[0].shape == seen[1].shape and seen[1][0, 0].amax() == 1


@pytest.mark.usefixtures("unchecked")
def test_what_is_wrong_with_a_mask_is_said(tmp_path: Path) -> None:
    sketch, exemplar, mask = drawing(64, 64), photo(96, 64), Image.new("L", (96, 64), 255)
    Image.new("L", (96, 64)).save(tmp_path / "black.png")
    thin = Image.new("L", (96, 64))
    thin.paste(255, (30, 0, 33, 64))
    cases = [
        ([mask, mask], "^exemplar_region: got 2, expected at most one for each of 1 exemplars$"),
        ([], "^exemplar_region: got 0, expected some$"),
        (
            tmp_path / "black.png",
            r"black.png: at 96 x 64 pixels no cell of 4 x 4 is white, .* from exemplar 1; leave b",
        ),
        (Image.new("L", (96, 64)), "^exemplar_region: at 96 x 64 pixels no cell of 4 x 4 is white"),
        (thin, "^exemplar_region: at 96 x 64 pixels no cell of 4 x 4 is white"),
        (mask.resize((64, 64)), "^exemplar_region: is 64 x 64 pixels, expected the exemplar's proportions, 96 : 64$"),
        ("no.png", "^no.png: "),
        (7, "^exemplar_region: expected a path"),
    ]
    for given, message in cases:
        with pytest.raises(PictureError, match=message):
            Shifting().translate(sketch, exemplar, exemplar_regions=given, size=64)
    with pytest.raises(PictureError, match=r"^exemplar_region 2: at 96 x 64"):
        Shifting().translate(sketch, [exemplar] * 2, exemplar_regions=[None, thin])


def test_exemplars_in_part_from_the_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """More masks than exemplars and a black one are a line, and a mask is no output."""
    exemplar, mask = halves(96, 64)
    pictures = {"sketch": drawing(64, 64), "photo": exemplar, "mask": mask, "black": Image.new("L", (96, 64))}
    files = {name: str(tmp_path / f"{name}.png") for name in (*pictures, "out", "none")}
    for name, picture in pictures.items():
        picture.save(files[name])

    def run(*masks: str, out: str = "out") -> tuple[int, str]:
        given = [word for name in masks for word in ("--exemplar-region", files[name])]
        required = ["--condition", files["sketch"], "--exemplar", files["photo"], "--out", files[out]]
        return main(["translate", *required, *given]), capsys.readouterr().err

    assert run("mask")[0] == 0
    with Image.open(files["out"]) as result:
        assert result.size == (64, 64)
    said = "midms: --exemplar-region: got 2, expected at most one for each of 1 exemplars\n"
    assert run("mask", "mask") == (2, said)
    status, said = run("black")
    assert status == 2 and said.startswith(f"midms: {files['black']}: at 64 x 43 pixels no cell of 4 x 4 is white")
    assert "mask.png: is also an input, which would be overwritten" in run("mask", out="mask")[1]
    assert "none.png: no such file or folder" in run("none")[1]
