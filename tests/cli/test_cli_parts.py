"""What can be composed on the command line, and how it says what cannot."""

from __future__ import annotations

import argparse
import logging
import math
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from command_line import complaint, run, translate
from PIL import Image

from midms import Spec, available, build, cli
from midms.cli.messages import logged_notes
from midms.cli.options import PART_OPTIONS, SETTINGS
from midms.compose.catalog import KINDS
from midms.compose.presets import PRESETS
from midms.compose.slots import SLOTS
from midms.compose.spec import SpecError, parse_value
from midms.loop import POLICY

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
        ("true", True),
        ("correlation(floor=none)", Spec("correlation", floor=None)),
        ("sketch(paper=false)", Spec("sketch", paper=False)),
        ("cycle(radius=-inf)", Spec("cycle", radius=-math.inf)),
        ("ddim(timesteps=(inf, 350))", Spec("ddim", timesteps=(math.inf, 350))),
        ("", ""),
        ("((((", "(((("),
    ],
)
def test_what_people_type_is_read(text: str, value: object) -> None:
    assert parse_value(text) == value and type(parse_value(text)) is type(value)


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
        "radius=-name)",
        "radius=(" + "(" * 500,
    ],
)
def test_what_is_no_setting_is_refused_and_never_run(settings: str) -> None:
    with pytest.raises(SpecError, match=r"cannot read .cycle\(.*expected a name, or settings as in cycle\(radius=0\.1"):
        parse_value(f"cycle({settings}")


def test_every_slot_and_setting_has_an_option() -> None:
    assert set(PART_OPTIONS) == set(SLOTS) and set(SETTINGS) == set(POLICY)


def test_parts_with_settings_make_the_picture_that_they_make_in_python(pair: Path, tmp_path: Path) -> None:
    wanted: dict[str, Any] = {"confidence": Spec("cycle", radius=0.2), "rematch": (0, 1), "edit": "blend", "style": 0.7}
    pipe = build("midm-faces", matcher=Spec("correlation", temperature=0.03), **wanted)
    pipe.translate(pair / "condition.png", pair / "exemplar.png", seed=0).image.save(tmp_path / "python.png")
    options = ["--matcher", "correlation(temperature=0.03)", "--confidence", "cycle(radius=0.2)", "--rematch", "0,1"]
    assert translate(pair, tmp_path / "shell.png", *options, "--edit", "blend", "--style", 0.7) == 0
    with Image.open(tmp_path / "python.png") as python, Image.open(tmp_path / "shell.png") as shell:
        assert python.tobytes() == shell.tobytes()


def test_an_ordinary_photo_is_a_condition_by_another_extractor(pair: Path, tmp_path: Path) -> None:
    """The photo's own edges and colours give the photo again; read as a drawing it is another picture."""
    assert translate(pair, tmp_path / "edges.png", "--condition-from", "edges", condition="exemplar.png") == 0
    pipe = build("midm-faces", condition="edges")
    wanted = pipe.translate(pair / "exemplar.png", pair / "exemplar.png", seed=0).image
    with Image.open(tmp_path / "edges.png") as image:
        assert image.tobytes() == wanted.tobytes()
    assert pipe.translate(pair / "condition.png", pair / "exemplar.png", seed=0).image.tobytes() != wanted.tobytes()


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
        ("ends.py", "raise GeneratorExit\n", r"ends\.py, line 1: GeneratorExit:?$"),
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
                assert re.search(rf"default:? {re.escape(str(action.default))}(?!\w)", shown), (
                    name,
                    action.dest,
                    shown,
                )


def test_every_kind_but_data_sets_and_metrics_is_a_slot() -> None:
    assert {*KINDS, "refiner"} - {"dataset", "metric"} == set(PART_OPTIONS)


def test_what_parts_log_is_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("midms.data")
    with logged_notes():
        log.info("%s of %s pictures", 3, 57)
    log.info("and no more")
    assert capsys.readouterr().err == "midms: note: 3 of 57 pictures\n"


PUBLISHED = {
    "sd-warp": (859_520_964, 83_653_863),
    "sdxl-ctrlx": (2_567_463_684, 83_653_863),
    "sd3-graft": (2_084_951_104, 83_819_683),
    "flux-graft": (11_901_408_320, 83_819_683),
}
"""How many numbers network and autoencoder of the published models have."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_for_others_weights_says_their_licence_and_memory(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("show", name) == 0
    shown = capsys.readouterr().out
    assert f"licence     {PRESETS[name].license}, of the weights" in shown
    found = re.search(r"memory      (\S+) GB of weights while they are read, then (\S+) GB with --dtype bf", shown)
    gigabytes = sum(PUBLISHED[name]) / 1e9
    assert found and [*map(float, found.groups())] == pytest.approx([4 * gigabytes, 2 * gigabytes], abs=0.06)
