"""Cases of line art: what is right of them is known."""

from __future__ import annotations

from pathlib import Path

import made_drawings
import pytest
import torch

from benchmarks.lineart.__main__ import figures
from benchmarks.lineart.cases import SCALE, Case, Cases, facesjs, openmoji, portraits, shapes, table
from benchmarks.lineart.regions import regions_of, right_regions
from benchmarks.lineart.ways import plain_ways
from midms.conditions.sketch import Sketch
from midms.images import save_images, to_pil


def first(cases: Cases) -> Case:
    (case,) = cases(Sketch(), 64, 1)
    return case


@pytest.fixture(params=["facesjs", "openmoji", "portraits", "shapes", "table"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    made = {"facesjs": facesjs, "openmoji": openmoji}
    if request.param in made:
        cases = made[request.param](made_drawings.made(request.param))(
            Sketch(), 64, 1 if request.param == "facesjs" else 150
        )
        return next(iter(cases))
    drawn = first(shapes if request.param == "shapes" else portraits)
    if request.param in ("portraits", "shapes"):
        return drawn
    pictures = {"drawing": drawn.drawing, "reference": drawn.reference, "answer": drawn.answer}
    pictures["skin"] = 2 * drawn.slots["skin"][None, None].float().expand(-1, 3, -1, -1) - 1
    save_images({tmp_path / f"{name}.png": to_pil(picture) for name, picture in pictures.items()})
    row = ",".join(f"{name}.png" for name in pictures)
    (tmp_path / "pairs.csv").write_text(f"{','.join(pictures)}\n{row}\n")
    return first(table(tmp_path / "pairs.csv"))


def test_the_answer_is_right_and_its_negative_is_not(case: Case, request: pytest.FixtureRequest) -> None:
    areas = regions_of(case)
    assert bool(case.slots) == (request.node.callspec.params["case"] != "shapes")
    assert case.drawing.shape == (1, 3, SCALE * 64, SCALE * 64) and areas
    right, wrong = figures(case.answer, case), figures(-case.answer, case)
    assert {*right} == {*wrong} == {"PSNR", "pixels", *case.slots}
    assert all(right[name] == 1 for name in ("pixels", *case.slots)) and wrong["pixels"] < 0.3
    assert right_regions(case.answer, case, areas) == 1 and right_regions(-case.answer, case, areas) < 0.5
    off = figures(torch.where(case.answer > 0, case.answer - 0.25, case.answer + 0.25), case)
    assert off["pixels"] == 0 and off["PSNR"] == pytest.approx(18.0618, abs=1e-3)


def test_ways_without_a_model_give_pictures(case: Case) -> None:
    for way in plain_ways().values():
        picture = way([case], range(1))
        assert picture.shape == (1, 3, 64, 64) and picture.isfinite().all() and picture.abs().max() <= 1
    small = torch.nn.functional.interpolate(case.reference, (64, 64), mode="area")
    assert (plain_ways()["reference copied"]([case], range(1)) - small).abs().mean() < 0.05
