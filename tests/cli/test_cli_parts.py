"""What can be composed on the command line, and how it says what cannot."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from midms import Spec, available, build, cli
from midms.cli.options import PARTS, SETTINGS
from midms.compose.catalog import KINDS
from midms.compose.presets import SpecError, parse
from midms.compose.slots import SLOTS
from midms.loop import POLICY
from midms.pipeline.demo import demo

PLUGIN = '''
from dataclasses import dataclass

import midms
from midms.matching.matches.factored import FactoredMatch


@midms.register("matcher", "mine")
@dataclass(frozen=True)
class Mine:
    """Correlation at a temperature of my own."""

    scale: float = 100.0

    def __call__(self, query, key):
        return FactoredMatch(query, key, scale=self.scale)
'''


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawing and a picture that the model knows."""
    folder = tmp_path_factory.mktemp("demo")
    demo(build("midm-faces"), folder, faces=1, seed=0)
    return folder / "pair-00"


def run(*words: object) -> int:
    """The exit status, also that of a usage error."""
    try:
        return cli.main([*map(str, words)])
    except SystemExit as leave:
        assert isinstance(leave.code, int)
        return leave.code


def translate(pair: Path, out: Path, *more: object, condition: str = "condition.png") -> int:
    return run("translate", "--condition", pair / condition, "--exemplar", pair / "exemplar.png", "--out", out, *more)


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line and ": note: " not in line]
    return line


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("cycle", "cycle"),
        (" cycle ", "cycle"),
        ("optimal-transport", "optimal-transport"),
        ("diffusers:DEISMultistepScheduler", "diffusers:DEISMultistepScheduler"),
        ("cycle(radius=0.1)", Spec("cycle", radius=0.1)),
        ("cycle()", Spec("cycle")),
        ("cycle-released (radius = 0.1, soft = True)", Spec("cycle-released", radius=0.1, soft=True)),
        ("ddim(timesteps=(700, 350), schedule=cosine)", Spec("ddim", timesteps=(700, 350), schedule="cosine")),
        ("ddim(timesteps=[700], eta=-1)", Spec("ddim", timesteps=(700,), eta=-1)),
        ("product(of=(cycle(radius=0.1), 'margin'))", Spec("product", of=(Spec("cycle", radius=0.1), "margin"))),
        ("diffusers:X(a='b, (c')", Spec("diffusers:X", a="b, (c")),
        ("(0, 1)", (0, 1)),
        ("0,1", (0, 1)),
        ("0.5", 0.5),
        ("None", None),
        ("none", None),
        ("", ""),
        ("((((", "(((("),
    ],
)
def test_what_people_type_is_read(text: str, value: object) -> None:
    assert parse(text) == value and type(parse(text)) is type(value)


@pytest.mark.parametrize(
    "settings",
    [
        "0.1)",
        "radius=0.1",
        "radius=0.1)(2)",
        "radius=0.1) + f()",
        "radius=0.1, radius=0.2)",
        "**{'radius': 1})",
        "radius=__import__('os').getpid())",
        "radius=1 + f())",
        "radius=9**9)",
        "radius=f(1))",
        "radius=)",
        "radius=(" + "(" * 500,
    ],
)
def test_what_is_no_setting_is_refused_and_never_run(settings: str) -> None:
    with pytest.raises(SpecError, match=r"cannot read .cycle\(.*expected a name, or settings as in cycle\(radius=0\.1"):
        parse(f"cycle({settings}")


def test_every_slot_and_setting_has_an_option() -> None:
    assert set(PARTS) == set(SLOTS) and set(SETTINGS) == set(POLICY)


def test_parts_with_settings_make_the_picture_that_they_make_in_python(pair: Path, tmp_path: Path) -> None:
    wanted: dict[str, Any] = {"confidence": Spec("cycle", radius=0.2), "rematch": (0, 1), "edit": "blend", "style": 0.7}
    run = build("midm-faces", matcher=Spec("correlation", temperature=0.03), **wanted)
    run.translate(pair / "condition.png", pair / "exemplar.png", seed=0).image.save(tmp_path / "python.png")
    options = ["--matcher", "correlation(temperature=0.03)", "--confidence", "cycle(radius=0.2)", "--rematch", "0,1"]
    assert translate(pair, tmp_path / "shell.png", *options, "--edit", "blend", "--style", 0.7) == 0
    with Image.open(tmp_path / "python.png") as python, Image.open(tmp_path / "shell.png") as shell:
        assert python.tobytes() == shell.tobytes()


def test_an_ordinary_photo_is_a_condition_by_another_extractor(pair: Path, tmp_path: Path) -> None:
    """The photo's own edges and colours give the photo again; read as a drawing it is another picture."""
    assert translate(pair, tmp_path / "edges.png", "--condition-from", "edges", condition="exemplar.png") == 0
    run = build("midm-faces", condition="edges")
    wanted = run.translate(pair / "exemplar.png", pair / "exemplar.png", seed=0).image
    with Image.open(tmp_path / "edges.png") as image:
        assert image.tobytes() == wanted.tobytes()
    assert run.translate(pair / "condition.png", pair / "exemplar.png", seed=0).image.tobytes() != wanted.tobytes()


@pytest.mark.usefixtures("registries")
def test_a_file_of_ones_own_adds_parts_to_every_command(
    pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "other.py").write_text(PLUGIN.replace('"mine"', '"other"'))
    plugins = ("--plugin", tmp_path / "mine.py", "--plugin", tmp_path / "other.py")
    assert translate(pair, tmp_path / "out.png", *plugins, "--matcher", "mine(scale=50)") == 0
    assert {"mine", "other"} <= set(available("matcher"))
    assert run("show", "mine", *plugins) == 0
    assert "mine(scale: float = 100.0)" in capsys.readouterr().out
    assert run("list", "matcher", *plugins) == 0
    assert re.search(r"other +Correlation at a temperature of my own", capsys.readouterr().out)
    vary = ("--vary", "matcher=mine(scale=50),preset", "--pairs", 1, "--out", tmp_path / "which")
    assert run("ablate", *plugins, *vary) == 0
    assert "`mine(scale=50)`" in capsys.readouterr().out


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("broken.py", "def f(:\n", r"broken\.py: SyntaxError: invalid syntax"),
        ("fails.py", "\n\n1 / 0\n", r"fails\.py, line 3: ZeroDivisionError: division by zero$"),
        ("lacks.py", "import no_such_module\n", r"lacks\.py, line 1: ModuleNotFoundError: No module named 'no_such"),
        ("leaves.py", "import sys\nsys.exit('two\\nlines')\n", r"leaves\.py, line 2: SystemExit: two lines$"),
        ("empty.py", "raise ValueError\n", r"empty\.py, line 1: ValueError:?$"),
        ("kind.py", "import midms\nmidms.register('matchr', 'x')(int)\n", r"no kind of part is called 'matchr'\. Did"),
        ("taken.py", "import midms\nmidms.register('matcher', 'nearest')(int)\n", r"'nearest' is already"),
        ("mine.txt", "", r"mine\.txt: expected a file of Python, called \*\.py$"),
        ("missing.py", None, r"missing\.py: no such file$"),
    ],
)
def test_a_broken_file_gives_one_line(
    name: str, text: str | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    assert run("list", "--plugin", tmp_path / name) == 2
    line = complaint(capsys)
    assert line.startswith(f"midms: --plugin {tmp_path / name}") and re.search(message, line), line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--matcher optimal-transprt",
            "midms: --matcher: no matcher is called 'optimal-transprt'. Did you mean 'optimal-transport',"
            " 'unbalanced-transport' or 'mutual-nearest'? `midms list matcher` shows all 12.",
        ),
        ("--condition-from edgs", "midms: --condition-from: no condition is called 'edgs'. Did you mean 'edges', "),
        ("--preset midm-face", "midms: --preset: no preset is called 'midm-face'. Did you mean 'midm-faces', "),
        ("--confidence 'cycle(raduis=1)'", "midms: --confidence: confidence 'cycle': "),
        ("--confidence 'cycle(0.1)'", "midms translate: argument --confidence: cannot read 'cycle(0.1)', expected "),
        ("--confidence 'cycle(radius=-1)'", "midms: --confidence: radius must be positive, got -1"),
        ("--rematch 5", "midms: --rematch must be levels out of [0, 1], got (5,)"),
        ("--rematch x", "midms translate: argument --rematch: expected levels such as 0,1 or none, got 'x'"),
        ("--edit blnd", "midms: --edit must be one of blend, replace, guide, context, got 'blnd'"),
        ("--look up --style 3", "midms: --look must be one of x0, latent, got 'up'; --style must be a number between"),
        ("--size 8", "midms: --size: expected 32 to 1024 pixels, got 8"),
        ("--matcher x --sampler y", "midms: --matcher: no matcher is called 'x'. Did you mean "),
        ("--matcher \"dual-softmax(via='x')\"", "midms: --matcher: matcher 'dual-softmax': via: expected "),
        ("--matcher 'local(prior=0.5)'", "midms: --matcher: matcher 'local': prior: expected matcher as"),
        ("--confidence 'product(of=(1,2))'", "midms: --confidence: confidence 'product': of: expected "),
        (
            '--features "fusion(extractors=(1,2))"',
            "midms: --features: features 'fusion': extractors: expected features as",
        ),
        (
            '--features "pyramid(condition_channels=3)"',
            "midms: --preset midm-faces: parts disagree on condition channels",
        ),
    ],
)
def test_mistakes_are_told_by_the_names_of_options(
    pair: Path, options: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], unchecked: None
) -> None:
    assert translate(pair, tmp_path / "out.png", *shlex.split(options)) == 2
    line = complaint(capsys)
    assert line.startswith(message) and "build(" not in line and "@register" not in line
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("show cycel", "no part or preset is called 'cycel'. Did you mean 'cycle', 'cycle-released' or "),
        ("ablate --out w --vary matcher=neares", "--vary matcher=neares: no matcher is called 'neares'. Did you mean "),
        ("ablate --out w --vary macher=nearest", "--vary macher=nearest: no slot is called 'macher'. Did you mean "),
        (
            "ablate --out w --vary 'matcher=local(8)'",
            "--vary matcher=local(8): cannot read 'local(8)', expected a name",
        ),
        ("ablate --out w --vary matcher", "--vary matcher: expected SLOT=VALUE,VALUE such as matcher=correlation"),
        ("ablate --out w --vary matcher=nearest --preset mid", "--preset: no preset is called 'mid'. Did you mean "),
        ("ablate --out w --vary matcher=nearest --split tes", "--split: no split is called 'tes'. Did you mean 'test'"),
        ("demo --out w --confidence cycel", "--confidence: no confidence is called 'cycel'. Did you mean 'cycle', "),
    ],
)
def test_every_command_names_its_options_and_no_catalogue(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*shlex.split(words)) == 2
    line = complaint(capsys)
    assert line.startswith(f"midms: {message}") and len(line) < 250, line
    assert os.listdir(tmp_path) == []


def commands() -> dict[str, argparse.ArgumentParser]:
    (choices,) = (action.choices for action in cli.parser()._actions if isinstance(action.choices, dict))
    return choices


def test_every_help_has_examples_that_can_be_typed() -> None:
    for name, command in commands().items():
        lines = re.findall(r"^  midms (.*)$", command.format_help().partition("examples:")[2], re.MULTILINE)
        assert lines, name
        for line in lines:
            words = shlex.split(line)
            assert words[0] == name and callable(cli.parser().parse_args(words).command)


def test_every_default_is_told() -> None:
    for name, command in commands().items():
        for action in command._actions:
            if action.default not in (None, argparse.SUPPRESS, False) and action.default not in ([], {}):
                shown = " ".join((action.help or "").split()) % {"default": action.default}
                assert re.search(rf"default:? {re.escape(str(action.default))}\b", shown), (name, action.dest, shown)


def test_kinds_of_parts_are_slots() -> None:
    assert set(KINDS) | {"refiner"} == set(PARTS)
