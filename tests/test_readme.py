"""README, read literally: its commands, its Python, and what it says of presets and files."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from midms import build, cli
from midms.compose.presets import PRESETS
from midms.pipeline.demo import demo
from midms.testing import MatcherLaws

ROOT = Path(__file__).parent.parent
OUTPUTS = ("--out", "--figure")
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return [text for kind, text in found if kind == language]


def commands() -> list[list[str]]:
    """What README has one type into a shell, in its order."""
    return [shlex.split(line) for block in blocks("") for line in block.replace("\\\n", " ").splitlines()]


def test_every_command_is_on_the_path_once_it_is_typed() -> None:
    """`make demo` makes the environment, the next line puts it on the path; every target exists, every option too."""
    first, second, *others = commands()
    assert first == ["make", "demo"] and second == [".", ".venv/bin/activate"] and len(others) >= 6
    for words in others:
        assert words[0] == "midms" and callable(cli.parser().parse_args(words[1:]).command)
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`make (\w+)`", README)) <= set(targets)


def test_the_first_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    demo(build("midm-faces"), Path("out/demo"), faces=1, seed=0)
    third = commands()[2]
    assert cli.main(third[1:]) == 0
    with Image.open("out.png") as image:
        assert image.size == (64, 64)
    assert Path("how.png").exists()


def test_every_way_to_the_demo_writes_where_the_next_commands_read() -> None:
    assert re.findall(r"midms demo[^`\n]*", README) == ["midms demo --out out/demo"]
    assert re.search(r"midms demo --out out/demo\n", (ROOT / "Makefile").read_text())


def test_where_a_checkpoint_comes_from_and_how_long_the_tests_take_is_told() -> None:
    words = " ".join(README.split())
    assert "MIDMs.pth" in {word for line in commands() for word in line}
    (where,) = re.findall(r"Their `(\S+\.pth)` and its `config.yaml` are not ours .*? README of \[(\S+)\]", words)
    assert where == ("midms_celebA_finetuned.pth", "KU-CVLAB/MIDMs")
    assert re.search(r"`make test` installs and runs the tests, which takes about \w+ minutes on two cores\.", words)


def test_git_ignores_what_the_commands_write(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes((ROOT / ".gitignore").read_bytes())
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    written = {word for words in commands() for flag, word in itertools.pairwise(words) if flag in OUTPUTS}
    written |= {"out/demo/sheet.png", "midms-demo/sheet.png", "which/table.md", "mine/config.json"}
    written |= set(re.findall(r'(?:save|save_pretrained)\("(.*?)"\)', README))
    assert {"out.png", "how.png", "celeba", "which", "mine"} <= written
    for path in (tmp_path / name for name in written):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.touch()
        else:
            path.mkdir(exist_ok=True)
            (path / "something").touch()
    seen = subprocess.run(
        ["git", "-C", tmp_path, "status", "--porcelain", "--untracked-files=all"], capture_output=True, text=True
    )
    assert seen.stdout.split() == ["??", ".gitignore"]


def test_every_preset_is_told() -> None:
    for name, preset in PRESETS.items():
        come = "come with it" if preset.shipped else "do not come with it"
        assert f"| `{name}` | {preset.loop['size']} | {come} | {preset.purpose} |" in README


@pytest.mark.usefixtures("registries")
def test_the_readmes_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    demo(build("midm-faces"), Path("out/demo"), faces=1, seed=0)
    names: dict[str, Any] = {}
    assert len(blocks("python")) >= 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # notes on weights
        for block in blocks("python"):
            exec(compile(block, "README.md", "exec"), names)
    laws, matcher = MatcherLaws(), names["Sharp"]()
    laws.test_similarity_is_the_expected_cosine(matcher)
    laws.test_features_that_say_nothing_do_no_harm(matcher, "one nan cell", "both")
    assert isinstance(names["image"], torch.Tensor) and names["image"].shape == (4, 3, 64, 64)
    with Image.open("out.png") as image:
        assert image.size == (64, 64)
    assert Path("how.png").exists()
