"""The command line: what it writes, what it says when it cannot, and what it leaves alone."""

from __future__ import annotations

import dataclasses
import os
import resource
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import command_line
import pytest
import torch
from PIL import Image

from midms import build, cli
from midms.compose.catalog import KINDS, available
from midms.compose.presets import PRESETS
from midms.compose.recipe import SHIPPED
from midms.core.domain import Domain
from midms.pipeline.jobs import batches
from midms.pipeline.result import Translation


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "midms", *map(str, arguments)], capture_output=True, text=True)


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def complaints(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Lines on stderr that are neither notes, warnings nor progress."""
    said = capsys.readouterr().err.splitlines()
    return [line for line in said if line and not line.startswith(("midms: note:", "midms: warning:"))]


def translate(folder: Path, *more: object, **inputs: str) -> int:
    given = {"condition": "sketches/a.png", "exemplar": "photos/a.jpg", "out": "out.png"} | inputs
    options = [part for name, path in given.items() for part in (f"--{name}", str(folder / path))]
    return command_line.run("translate", *options, *more)


def test_help_is_quick_and_loads_no_torch() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = run("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in ("translate", "demo", "list", "show", "train"))
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5
    code = "import sys, midms.cli; midms.cli.parser(); sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_translate_from_the_shell(folder: Path) -> None:
    drawing, picture, out = folder / "sketches/a.png", folder / "photos/a.jpg", folder / "new.png"
    result = run("translate", "--condition", drawing, "--exemplar", picture, "--out", out)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"written to {folder / 'new.png'}, 64 x 48 pixels\n"
    assert size(folder / "new.png") == (64, 48)


def test_what_a_person_should_know_is_a_line_before_the_work_and_counted(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before: list[str] = []
    run_jobs = batches.run_jobs

    def watched(*given: Any, **settings: Any) -> Any:
        before.append(capsys.readouterr().err)
        return run_jobs(*given, **settings)

    monkeypatch.setattr(batches, "run_jobs", watched)
    assert translate(folder, "--size", 96, "--batch", 4, out="new.png") == 0
    result = capsys.readouterr()
    assert "midms: note: --batch 4 changes nothing for one pair" in before[0]
    (line,) = [line for line in before[0].splitlines() if line.startswith("midms: warning:")]
    assert line.startswith("midms: warning: size 96: the weights were trained at 64 pixels") and "size 64 suits" in line
    assert result.out == f"written to {folder / 'new.png'}, 96 x 72 pixels\n" and "warning" not in result.err
    assert translate(folder, "--size", 96, condition="sketches", exemplar="photos", out="many") == 0
    result = capsys.readouterr()
    assert line in before[1] and "warning" not in result.err
    assert result.out == f"3 of 3 written to {folder / 'many'}, 96 x 72 pixels, 3 with warnings\n"


def test_each_result_with_a_warning_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = Domain("faces")
    result = {"a.png": known.warnings(64, ["the drawing"]), "c.png": known.warnings(64, ["the drawing"])}
    result["b.png"] = known.warnings(64, ["the drawing", "the picture"])
    translated, names = batches.translate_inputs, iter(sorted(result))

    def translate_so(*given: Any) -> list[Translation]:
        return [dataclasses.replace(one, warnings=result[next(names)]) for one in translated(*given)]

    monkeypatch.setattr(batches, "translate_inputs", translate_so)
    assert translate(folder, condition="sketches", exemplar="photos", out="many") == 0
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith(("midms: warning:", "  "))]
    one, two = "midms: warning: 2 of 3 results: the drawing is ", "midms: warning: 1 of 3 results: the drawing and the "
    assert said[0].startswith(one) and said[3].startswith(two) and len(said) == 5
    assert [said[i] for i in (1, 2, 4)] == [f"  {folder / 'many' / name}.png" for name in "acb"]


def test_an_error_from_the_shell_is_one_line(folder: Path) -> None:
    drawing, picture, out = folder / "no.png", folder / "photos/a.jpg", folder / "out.png"
    result = run("translate", "--condition", drawing, "--exemplar", picture, "--out", out)
    assert result.returncode == 2
    assert result.stderr == f"midms: {folder / 'no.png'}: no such file or folder\n"
    assert result.stdout == ""


def test_weights_of_ones_own_and_the_seed_decide(folder: Path) -> None:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # none are shipped for some parts
        method = build("midm-faces-paper")
    method.save_pretrained(folder / "weights")
    for name, seed in [("one.png", 1), ("same.png", 1), ("other.png", 2)]:
        options = ("--seed", seed, "--preset", "midm-faces-paper", "--weights", folder / "weights")
        assert translate(folder, *options, out=name) == 0
    one, same, other = ((folder / f"{name}.png").read_bytes() for name in ("one", "same", "other"))
    assert one == same
    assert one != other


def test_other_parts_a_figure_and_another_size(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = ("--matcher", "optimal-transport", "--confidence", "always", "--sampler", "ddpm")
    status = translate(folder, *parts, "--figure", folder / "figure.png", "--size", 96)
    assert status == 0, complaints(capsys)
    assert size(folder / "out.png") == (96, 72)
    assert size(folder / "figure.png")[0] > 1000


def bad_inputs(folder: Path) -> dict[str, dict[str, str]]:
    """Inputs that cannot be used, by what the complaint must say."""
    (folder / "text.png").write_text("no picture")
    (folder / "truncated.png").write_bytes((folder / "sketches/a.png").read_bytes()[:150])
    Image.new("RGB", (1, 1)).save(folder / "one.png")
    Image.new("RGB", (20000, 20)).save(folder / "strip.png")
    Image.new("RGB", (90, 90), "white").save(folder / "empty.png")
    (folder / "bare").mkdir()
    return {
        "text.png: not a picture": {"exemplar": "text.png"},
        "truncated.png: damaged": {"condition": "truncated.png"},
        "one.png: is 1 x 1 pixels": {"exemplar": "one.png"},
        "strip.png: is 20000 x 20 pixels": {"condition": "strip.png"},
        "empty.png: the drawing has no strokes": {"condition": "empty.png"},
        "nothing.png: no such file": {"exemplar": "nothing.png"},
        "bare: no pictures in this folder": {"condition": "bare", "out": "results"},
        "out.gnp: cannot write": {"out": "out.gnp"},
        "nowhere does not exist": {"out": "nowhere/out.png"},
        "is also an input": {"out": "photos/a.jpg"},
        "is to be written twice": {"figure": "out.png"},
        "is a file, expected a folder": {"condition": "sketches"},
        "is a folder, expected a regular file": {"out": "photos"},
        "bare: has no config.json": {"weights": "bare"},
    }


def test_bad_inputs_give_status_2_and_one_line_and_leave_the_output_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = bad_inputs(folder)
    before = sorted(os.listdir(folder))
    for message, inputs in cases.items():
        assert translate(folder, **inputs) == 2, message
        result = complaints(capsys)
        assert len(result) == 1 and message in result[0], (message, result)
    assert (folder / "out.png").read_bytes() == b"precious"
    assert sorted(os.listdir(folder)) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--matcher", "optimal-transprt"], "Did you mean 'optimal-transport'"),
        (["--preset", "midm-face"], "Did you mean 'midm-faces'"),
        (["--matcher", "x", "--sampler", "y"], "no sampler is called 'y'"),
        (["--seed", "-1"], "expected a whole number, 0 to "),
        (["--seed", "much"], "invalid whole number value: 'much'"),
        *((["--size", size], f"midms: --size: expected 32 to 1024 pixels, got {size}") for size in (-8, 5, 12, 1025)),
        (["--size", "65"], "midms: --size: expected a multiple of 4 pixels, 64 or 68, got 65"),
        (["--seed", 2**70], "expected a whole number, 0 to 9223372036854775807"),
        (["--device", "abacus"], "--device abacus: there is no such device here"),
        (["--device", "meta"], "--device meta: there is no such device here"),
        (["--preste", "x"], "unrecognized arguments: --preste"),
    ],
)
def test_wrong_options(folder: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert translate(folder, *options) == 2
    result = complaints(capsys)
    assert len(result) == 1 and message in result[0], result
    assert (folder / "out.png").read_bytes() == b"precious"


def test_folders_write_what_is_good_and_report_what_is_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "sketches/b.png").write_text("no picture")
    assert translate(folder, condition="sketches", exemplar="photos", out="results", figure="figures") == 2
    result = capsys.readouterr()
    assert sorted(os.listdir(folder / "results")) == sorted(os.listdir(folder / "figures")) == ["a.png", "c.png"]
    assert "2 of 3 written" in result.out
    assert [line for line in result.err.splitlines() if "b.png" in line] == [
        f"midms: {folder / 'sketches/b.png'}: not a picture of a known format"
    ]


def test_demo_writes_the_sheet_and_the_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "--out", str(tmp_path / "demo"), "--faces", "2", "--seed", "1"]) == 0
    assert f"written to {tmp_path / 'demo/sheet.png'}" in capsys.readouterr().out
    width, height = size(tmp_path / "demo/sheet.png")
    assert width > 7 * 190 and 2 * 190 < height < 3 * 190
    for pair in ("pair-00", "pair-01"):
        written = {path.stem for path in (tmp_path / "demo" / pair).iterdir()}
        read, made = {"condition", "strokes-as-read", "exemplar"}, {"first-warp", "result", "confidence"}
        assert written == {*read, *made, "exact-answer", "figure"}


def test_demo_does_not_begin_where_it_cannot_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "demo").write_text("a file")
    assert cli.main(["demo", "--out", str(tmp_path / "demo")]) == 2
    assert complaints(capsys) == [f"midms: {tmp_path / 'demo'}: is a file, expected a folder"]


def test_list_names_every_part_and_preset(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    everything = capsys.readouterr().out
    assert all(f"  {name} " in everything for kind in KINDS for name in available(kind))
    assert all(f"  {name} " in everything for name in PRESETS)
    assert cli.main(["list", "matcher"]) == 0
    alone = capsys.readouterr().out
    assert f"matcher:\n{alone}confidence:\n" in everything
    assert [line.split()[0] for line in alone.splitlines()] == available("matcher")
    assert cli.main(["list", "macher"]) == 2
    assert complaints(capsys)[0].startswith("midms: no kind of part is called 'macher'. Did you mean 'matcher'?")


def test_presets_say_what_they_are_for_their_size_and_whether_weights_come(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "preset"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert set(rows) == set(PRESETS)
    for name, preset in PRESETS.items():
        come = "weights come with it" if preset.shipped else "weights do not come with it"
        assert rows[name] == f"{preset.loop['size']} pixels, {come}; {preset.purpose}"
        assert cli.main(["show", name]) == 0
        result = capsys.readouterr().out
        assert preset.purpose in result and f"trained on  {preset.domain.trained_on}" in result
        assert ("weights     come with it" in result) == preset.shipped == (preset.obtain not in result)
        assert f"size        {preset.loop['size']} pixels" in result


def test_show_gives_signature_and_docstring(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["show", "correlation"]) == 0
    result = capsys.readouterr().out
    assert "correlation(temperature: float = 0.005" in result and "Args:" in result
    assert cli.main(["show", "midm-faces"]) == 0
    assert "denoiser    bridge(" in capsys.readouterr().out
    assert cli.main(["show", str(SHIPPED / "midm-faces-paper")]) == 0
    result = capsys.readouterr().out
    assert "midm-faces-paper: weights of midm-faces-paper" in result and "denoiser    unconditional(" in result
    assert "weights     ../midm-faces/features.safetensors, " in result and "rematch     (1, 2)" in result
    assert cli.main(["show", str(SHIPPED)]) == 2
    assert "has no config.json" in complaints(capsys)[0]
    assert cli.main(["show", "corelation"]) == 2
    assert "Did you mean 'correlation'" in complaints(capsys)[0]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_part_can_be_shown(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in available(kind):
        assert cli.main(["show", name]) == 0
        assert f"{name}: {kind}" in capsys.readouterr().out


def test_several_exemplars_from_the_shell(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    top = Image.new("L", (120, 90))
    top.paste(255, (0, 0, 120, 45))
    top.save(folder / "top.png")
    Image.eval(top, lambda x: 255 - x).save(folder / "bottom.png")
    regions = ["--region", folder / "top.png", "--region", folder / "bottom.png"]
    other = ["--exemplar", folder / "photos/b.jpg"]
    assert translate(folder, *other, *regions, "--style", 0.8, "--figure", folder / "figure.png") == 0
    assert size(folder / "out.png") == (64, 48) and (folder / "figure.png").exists()
    assert translate(folder, *other, *regions, exemplar="photos", out="all") == 0
    assert sorted(path.name for path in (folder / "all").iterdir()) == ["a.png", "b.png", "c.png"]
    capsys.readouterr()
    assert translate(folder, *other, *regions[:2]) == 2
    assert "midms: --region: got 1, expected one for each of 2 exemplars" in capsys.readouterr().err
    assert translate(folder, *regions[:2]) == 2
    assert capsys.readouterr().err == "midms: --region: changes nothing with one exemplar, expected several\n"
    assert translate(folder, "--style", 3) == 2
    assert "style must be a number between 0 and 1, got 3.0" in capsys.readouterr().err
