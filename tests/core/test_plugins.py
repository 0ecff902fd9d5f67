"""Packages that are damaged or misbehave: each is named in one line, and everything else goes on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bad_files import sparse
from hostile import Outcome, outcome, refused

from midms import cli
from midms.cli.environment import plugin_lines
from midms.compose.catalog import KINDS
from midms.core.plugins import installed

ROOT = Path(__file__).parents[2]
METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: 1.0\n"
MODULE = """
class Mine:
    def __call__(self, query, key):
        raise SystemExit(0)
"""


def main(arguments: list[str]) -> int:
    """In a child of the loaded process: with the current folder as one more of installed packages."""
    sys.path.append(".")
    installed.cache_clear()
    for registry in KINDS.values():
        registry._plugins_read = False
    return cli.main(arguments)


def doctor(arguments: list[str]) -> int:
    """What the doctor says of them, after a command."""
    status = main(arguments)
    print("\n".join(plugin_lines()))
    return status


def install(folder: Path, package: str, points: str | bytes, metadata: str | bytes | None = METADATA) -> None:
    """What the import system sees of an installed package."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    if metadata is not None:
        content = metadata.format(package).encode() if isinstance(metadata, str) else metadata
        (info / "METADATA").write_bytes(content)
    (info / "entry_points.txt").write_bytes(points.encode() if isinstance(points, str) else points)


def run(folder: Path, *arguments: str) -> Outcome:
    """A command that succeeds."""
    said = outcome(arguments, folder, f"{__name__}:main")
    assert said.status == 0, said
    return said


GOOD = "[midms.matchers]\ngood = good:Mine\n"
LEFT_OUT = {
    "no target": ("[midms.matchers]\nbroken = ???\n", "midms.matchers 'broken' is '\\?\\?\\?', expected module:attr"),
    "no value": ("[midms.matchers]\nbroken\n", "midms.matchers 'broken' is None, expected module:attribute"),
    "an empty value": ("[midms.samplers]\nbroken =\n", "midms.samplers 'broken' is '', expected module:attribute"),
    "a module alone": ("[midms.matchers]\nbroken = json\n", "'broken' is 'json', expected module:attribute"),
    "a call": ("[midms.matchers]\nbroken = os:system('x')\n", "expected module:attribute"),
    "two lines": ("[midms.matchers]\nbroken = a:B\n  c:D\n", "expected module:attribute"),
    "a name with a space": ("[midms.matchers]\nmy own = a:B\n", "matcher 'my own': expected a name of letters"),
    "a name like a call": ("[midms.matchers]\nmine(a) = a:B\n", r"matcher 'mine\(a\)': expected a name of letters"),
    "a name of ours": ("[midms.matchers]\ncorrelation = a:B\n", "matcher 'correlation' is already 'midms.matching"),
    "no section": ("broken = a:B\n# midms.matchers\n", "its entry points cannot be read"),
    "no name": ("[midms.matchers]\n= a:B\n", "its entry points cannot be read"),
    "another encoding": ("[midms.matchers]\nmärz = a:B\n".encode("utf-16"), "its entry points cannot be read"),
    "no text": (bytes(range(256)), "its entry points cannot be read"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_a_broken_entry_point_is_named_and_left_out(case: str, tmp_path: Path) -> None:
    points, reason = LEFT_OUT[case]
    install(tmp_path, "bad-one", points)
    install(tmp_path, "good-one", GOOD)
    said = run(tmp_path, "list")
    assert any(re.fullmatch(" +good +from the package good-one", line) for line in said.out)
    assert any("  correlation " in line for line in said.out) and not any("broken" in line for line in said.out)
    assert len(said.err) == 1 and re.match(f"midms: note: plug-in of bad-one: .*{reason}", said.err[0]), said.err
    assert run(tmp_path, "show", "correlation").out[0] == "correlation: matcher"


@pytest.mark.parametrize("metadata", [None, b"", b"\xff\xfe\x00\x01" * 50, b"Version: 1.0\n", b"Name:\n\n"], ids=repr)
def test_metadata_that_cannot_be_read_spoils_nothing(metadata: bytes | None, tmp_path: Path) -> None:
    install(tmp_path, "nameless", GOOD, metadata)
    install(tmp_path, "other", "[console_scripts]\nx = y:z\n", metadata)
    said = run(tmp_path, "list", "matcher")
    assert any(re.fullmatch(" +good +from the package nameless", line) for line in said.out) and not said.err


@pytest.mark.parametrize("kind", ["pipe", "device", "two gigabytes"])
@pytest.mark.parametrize("file", ["METADATA", "PKG-INFO", "entry_points.txt"])
def test_what_is_no_file_in_a_package_is_not_opened(file: str, kind: str, tmp_path: Path) -> None:
    install(tmp_path, "nameless", GOOD, None if file == "PKG-INFO" else METADATA)
    path = tmp_path / "nameless-1.0.dist-info" / file
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        sparse(path, 2**31)
    said = run(tmp_path, "list", "matcher")
    found = any(re.fullmatch(" +good +from the package nameless", line) for line in said.out)
    reason = (
        "has 2,147,483,648 bytes, expected at most"
        if kind == "two gigabytes"
        else f"is a {kind}, expected a regular file"
    )
    if file == "entry_points.txt":
        (note,) = said.err
        assert not found and "plug-in of nameless: its entry points cannot be read" in note and reason in note
    else:
        assert found and not said.err


def test_damaged_entry_points_of_others_are_not_our_affair(tmp_path: Path) -> None:
    install(tmp_path, "other", "[console_scripts]\nbroken\n = ???\n")
    assert not run(tmp_path, "list", "matcher").err


def test_of_two_plug_ins_of_one_name_the_first_by_package_stays(tmp_path: Path) -> None:
    for package in ("zebra", "ant"):
        install(tmp_path, package, f"[midms.matchers]\ntwin = {package}:Mine\n")
    said = run(tmp_path, "list", "matcher")
    assert sum(bool(re.fullmatch(" +twin +from the package ant", line)) for line in said.out) == 1
    assert said.err == ["midms: note: plug-in of zebra: matcher 'twin' is already 'ant:Mine'; refusing 'zebra:Mine'"]


BROKEN = {
    "raise SystemExit(0)": "SystemExit: 0",
    "import sys; sys.exit('bye')": "SystemExit: bye",
    "class Odd(BaseException): pass\nraise Odd('no')": "Odd: no",
    "print('loading'); 1 / 0": "ZeroDivisionError",
    "import nothing_of_the_kind": "No module named 'nothing_of_the_kind'",
    "class Mine": "SyntaxError",
    "raise RecursionError": "RecursionError",
    "raise ValueError('one\\ntwo')": "ValueError: one; two",
    "Mine = 3": "expected a class or function, got 3",
    "Other = 3": "has no attribute 'Mine'",
}


@pytest.mark.parametrize("module", BROKEN)
def test_a_plug_in_that_cannot_be_imported_is_named(module: str, tmp_path: Path) -> None:
    install(tmp_path, "bad-one", "[midms.matchers]\nbad = bad_one:Mine\n")
    (tmp_path / "bad_one.py").write_text(module)
    line = refused(["show", "bad"], tmp_path, f"{__name__}:main")
    assert "matcher 'bad' of the package bad-one is 'bad_one:Mine'" in line and BROKEN[module] in line


@pytest.mark.parametrize("home", ["own/__init__.py", "own/parts.py"])
def test_what_an_entry_point_names_may_register_itself_too(home: str, tmp_path: Path) -> None:
    """A file with a decorator becomes a package as it is; something else of the name is still refused."""
    install(tmp_path, "own", "[midms.matchers]\nmine = own:Mine\n")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "__init__.py").write_text("from own.parts import Mine")
    (tmp_path / home).write_text(f"import midms\n@midms.register('matcher', 'mine'){MODULE}")
    assert run(tmp_path, "show", "mine").out[0] == "mine: matcher"
    (tmp_path / home).write_text(f"import midms\n@midms.register('matcher', 'mine'){MODULE.replace('Mine', 'Other')}")
    assert "is already 'own:Mine'; refusing" in refused(["show", "mine"], tmp_path, f"{__name__}:main")


def test_an_interruption_while_importing_says_what_was_imported(tmp_path: Path) -> None:
    install(tmp_path, "bad-one", "[midms.matchers]\nbad = bad_one:Mine\n")
    (tmp_path / "bad_one.py").write_text("raise KeyboardInterrupt")
    said = outcome(["show", "bad"], tmp_path, f"{__name__}:main")
    expected = "midms: interrupted while matcher 'bad' of the package bad-one was imported"
    assert (said.status, said.err) == (130, [expected])


FAILING = {
    "    def __init__(self): raise SystemExit(0)": "matcher 'bad' of the package bad-one cannot be made: SystemExit: 0",
    "    def __init__(self): 1 / 0": "matcher 'bad' of the package bad-one cannot be made: ZeroDivisionError",
    "    def __call__(self, query, key): raise SystemExit(0)": r"bad_one.py, line 2: a part ended the program \(0\)",
    "    pass": "matcher: Mine is no Matcher",
}


@pytest.mark.parametrize("method", FAILING)
def test_a_plug_in_that_fails_when_it_is_used_is_named(method: str, tmp_path: Path) -> None:
    install(tmp_path, "bad-one", "[midms.matchers]\nbad = bad_one:Mine\n")
    (tmp_path / "bad_one.py").write_text(f"class Mine:\n{method}\n")
    for name in ("sketch.png", "face.png"):
        picture(tmp_path / name)
    line = refused(
        ["translate", "--condition", "sketch.png", "--exemplar", "face.png", "--out", "out.png", "--matcher", "bad"],
        tmp_path,
        f"{__name__}:main",
    )
    assert re.search(FAILING[method], line), line


def picture(path: Path) -> None:
    """A circle on white."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).ellipse((12, 12, 52, 52), outline="black", width=2)
    image.save(path)


def test_the_doctor_names_what_is_broken(tmp_path: Path) -> None:
    install(tmp_path, "good-one", GOOD)
    (tmp_path / "good.py").write_text(MODULE)
    install(tmp_path, "bad-one", "[midms.matchers]\nbad = bad_one:Mine\nworse = ?\ncorrelation = bad_one:Mine\n")
    (tmp_path / "bad_one.py").write_text("raise SystemExit")
    said = outcome(["list", "preset"], tmp_path, f"{__name__}:doctor")
    assert said.status == 0, said
    lines = "\n".join(said.out)
    assert "matcher 'good' of good-one\n" in lines
    assert "broken: matcher 'bad' of the package bad-one is 'bad_one:Mine', which cannot be imported" in lines
    assert "broken: plug-in of bad-one: midms.matchers 'worse' is '?', expected module:attribute" in lines
    assert "broken: plug-in of bad-one: matcher 'correlation' is already" in lines


@pytest.mark.parametrize("points", ["[console_scripts]\nbroken\n", "no text"])
def test_a_package_that_keeps_torch_from_being_imported_is_named(points: str, tmp_path: Path) -> None:
    install(tmp_path, "some-body", b"[console_scripts]\n\xff = a:b\n" if points == "no text" else points)
    command = [sys.executable, "-m", "midms", "translate", "--condition", "a", "--exemplar", "b", "--out", "c"]
    found = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": f"{ROOT}:{tmp_path}"}, capture_output=True, text=True
    )
    assert found.returncode == 2 and found.stderr.startswith("midms: some-body: entry points"), found.stderr
    assert len(found.stderr.splitlines()) == 1
