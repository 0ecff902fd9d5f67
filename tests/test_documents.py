"""What the documents have one type: every command can be typed, and those that need nothing from elsewhere run.

README's and those of docs/training.md are run by tests of their own, those of docs/tutorials by `make docs`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from documents import blocks, commands
from sample_pictures import face, photo

from midms import cli

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "examples" / "plugin" / "README.md"]
ABSENT = {"OWNER/NAME", "package", "auto", "cuda", "--inception", "--vgg", "--against"}
"""In commands that are not run: weights and data from elsewhere, a cluster, a GPU; sets, which tests/evaluation has."""


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


RUN = [
    (name, words)
    for name in ("lineart", "evaluation", "scale")
    for words in commands(ROOT / "docs" / f"{name}.md")
    if not ABSENT & {*words} and words[0] != "train"
]


@pytest.mark.parametrize(("name", "words"), RUN, ids=lambda one: one if isinstance(one, str) else "")
def test_commands_run(name: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    things_to_type()
    assert len(RUN) >= 7
    assert run(*({"16": "1"}.get(word, word) for word in words)) == 0, words
    out = Path(words[words.index("--out") + 1])
    made = [*out.iterdir()] if out.is_dir() else [out]
    assert made and all(path.stat().st_size for path in made if path.is_file())


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("name", ["scale", "evaluation"])
def test_python_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    things_to_type()
    for i in range(2):
        face(64, 2).save(f"{i}.png")
    names: dict[str, Any] = {}
    for block in blocks(ROOT / "docs" / f"{name}.md", "python"):
        exec(compile(block, name, "exec"), names)
    assert ("done" in names and names["done"].written == 1) if name == "scale" else "Brightness" in names
