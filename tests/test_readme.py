"""README, read literally: its commands, its Python, and what it says of presets and files."""

from __future__ import annotations

import itertools
import re
import shlex
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from documents import lines, to_run
from PIL import Image
from sample_pictures import face, photo
from small_presets import small

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


def pictures_to_type() -> None:
    """What the commands read, besides what commands before them write; as small as those of the demo."""
    demo(build("midm-faces"), Path("out/demo"), faces=1, seed=0)
    for path in ("sketch.png", "sketches/a.png"):
        Path(path).parent.mkdir(exist_ok=True)
        face(64, 2).save(path)
    for path in ("photo.jpg", "other.jpg", "photos/a.jpg"):
        Path(path).parent.mkdir(exist_ok=True)
        photo(64, 64).save(path)
    parts = np.kron(np.arange(16, dtype=np.uint8).reshape(4, 4), np.ones((32, 32), np.uint8))  # labels of a face
    for path in ("masks/a.png", "photo-masks/a.png"):
        Path(path).parent.mkdir(exist_ok=True)
        Image.fromarray(parts).save(path)
    anchors, colours = re.findall(r'`(\[\{"here".*?\}\])`', README)
    Path("anchors.json").write_text(anchors)
    Path("pairs.csv").write_text("condition,exemplar\nsketch.png,photo.jpg\n")
    Path("colours.json").write_text(colours)
    (sharp,) = (block for block in blocks("python") if "class Sharp" in block)
    Path("sharp.py").write_text(sharp.partition("\n\n\nbuild(")[0])


@pytest.mark.usefixtures("registries")
def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are typed, in their order, on small pictures; with models made here in the place of those that one trains
    or downloads, and with one pair to compare parts by."""
    monkeypatch.chdir(tmp_path)
    pictures_to_type()
    build("midm-faces").save_pretrained("runs/mine")
    with pytest.warns(UserWarning, match="weights as constructed"):
        build("midm-celeba", **small("midm-celeba")).save_pretrained("celeba")
    (plugin,) = re.findall(r"`midms (translate --plugin [^`]*)`", README)
    given = ["--condition", "sketch.png", "--exemplar", "photo.jpg", "--out", "sharp.png"]
    typed = [shlex.split(line)[1:] for line in to_run(ROOT / "README.md", lines(ROOT / "README.md"))]
    for words in [*typed, [*shlex.split(plugin), *given]]:
        small_size = ["--size", "64"] if "midm-celeba" in words else []
        assert cli.main([{"20": "1"}.get(word, word) for word in words] + small_size) == 0, words
        for out in (Path(word) for flag, word in itertools.pairwise(words) if flag in OUTPUTS):
            made = [*out.iterdir()] if out.is_dir() else [out]
            assert made and all(path.stat().st_size for path in made), words
            if out.suffix:
                out.unlink()
    table = Path("which/table.md").read_text()
    assert all(f"`{name}`" in table or name in table for name in ("nearest", "optimal-transport", "always"))


def test_every_folder_of_results_is_written_by_one_command() -> None:
    folders = [
        Path(word)
        for words in commands()
        for flag, word in itertools.pairwise(words)
        if flag in OUTPUTS and "." not in word
    ]
    assert len(folders) >= 6 and len({*folders}) == len(folders)


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
    written |= set(re.findall(r"`midms [^`]*--out ([^`\s]+)`", README))
    written |= set(re.findall(r'(?:save|save_pretrained)\("(.*?)"\)', README))
    assert {"out.png", "how.png", "celeba", "which", "mine", "report"} <= written
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


def test_every_preset_is_in_the_table() -> None:
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
