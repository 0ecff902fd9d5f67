"""What the documents have one type: every command can be typed, and those that need nothing from elsewhere run.

README's and those of docs/training.md are run by tests of their own, those of docs/tutorials by `make docs`.
"""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from documents import DOCUMENTS, NOT_RUN, ROOT, blocks, commands, lines, to_run
from sample_pictures import face, photo

from midms import cli

BY_OTHERS = {"README.md", "docs/training.md", "docs/diffusion_models.md"}
"""Run by test_readme, test_training_commands and pipeline/test_preset_commands."""
HERE = [path for path in DOCUMENTS if str(path.relative_to(ROOT)) not in BY_OTHERS and path.parent.name != "tutorials"]
RUN = [(path.stem, line) for path in HERE for line in to_run(path, lines(path))]


def test_every_row_of_what_is_not_run_is_in_its_document() -> None:
    for name, rows in NOT_RUN.items():
        found = lines(ROOT / name) + blocks(ROOT / name, "python")
        assert [row for row in rows if not any(text.startswith(row) for text in found)] == [], name


def test_all_else_of_a_tutorial_is_a_cell() -> None:
    assert [line for path in DOCUMENTS if path.parent.name == "tutorials" for line in to_run(path, lines(path))] == []


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if commands(path)], ids=lambda path: path.stem)
def test_every_command_can_be_typed(path: Path) -> None:
    for words in commands(path):
        assert callable(cli.parser().parse_args(words).command), words


def test_all_python_is_python() -> None:
    found = [(path.name, block) for path in DOCUMENTS for block in blocks(path, "python")]
    assert len(found) > 50
    for name, block in found:
        compile(re.sub(r"^%%writefile.*", "", block), name, "exec")


def things_to_type() -> None:
    """What the commands read, small."""
    for name in ("drawing.png", "pages/a.png", "0001.png"):
        Path(name).parent.mkdir(exist_ok=True)
        face(96, 2).save(name)
    several = [f"{folder}/{name}.png" for folder in ("results", "photos", "references") for name in "abcd"]
    for name in ("reference.png", "photo.jpg", *several):
        Path(name).parent.mkdir(exist_ok=True)
        photo(96, 96).save(name)
    Path("pairs.csv").write_text("key,condition,exemplar,target\na,drawing.png,photo.jpg,photos/a.png\n")
    Path("anchors.json").write_text('[{"here": [30, 30], "there": [20, 20]}]')
    Path("colours.json").write_text('[{"here": [60, 60], "colour": "teal"}]')


@pytest.mark.parametrize(("name", "line"), RUN)
def test_commands_run(name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    things_to_type()
    words = shlex.split(line, comments=True)
    out = Path(words[words.index("--out") + 1])
    if words[:2] == ["python", "-m"]:
        monkeypatch.syspath_prepend(ROOT)
        monkeypatch.setattr(sys, "argv", words[2:])
        monkeypatch.delitem(sys.modules, words[2], raising=False)  # another test has it, which runpy warns of
        runpy.run_module(words[2], run_name="__main__", alter_sys=True)
    else:
        assert words[0] == "midms", f"nobody knows how to run {line}"
        assert run(*({"16": "1"}.get(word, word) for word in words[1:])) == 0, line
    made = [*out.iterdir()] if out.is_dir() else [out]
    assert made and all(path.stat().st_size for path in made if path.is_file())


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("path", [path for path in HERE if to_run(path, blocks(path, "python"))], ids=lambda p: p.stem)
def test_python_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    things_to_type()
    for i in range(2):
        face(64, 2).save(f"{i}.png")
    names: dict[str, Any] = {}
    for block in to_run(path, blocks(path, "python")):
        exec(compile(block, path.name, "exec"), names)
    if path.stem == "scale":
        assert names["done"].written == 1
