"""What somebody gets who installs the package: quick to import, complete, and open to packages of others."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import midms

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "midms").rglob("*.py"))


def run(*command: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | environment,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result


def test_importing_is_quick_and_loads_no_torch(tmp_path: Path) -> None:
    def microseconds() -> int:
        result = run("-X", "importtime", "-c", "import midms", cwd=tmp_path)
        (line,) = re.findall(r"^import time:\s+\d+ \|\s+(\d+) \| midms$", result.stderr, re.MULTILINE)
        return int(line)

    assert min(microseconds() for _ in range(3)) < 100_000
    listing = (
        "import sys, midms; midms.available(); midms.register; print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    assert run("-c", listing, cwd=tmp_path).stdout == "False False\n"


def test_what_is_installed_is_what_is_here() -> None:
    assert version("midms") == midms.__version__
    (script,) = entry_points(group="console_scripts", name="midms")
    assert script.value == "midms.cli:main"
    assert {"Spec", "available", "build", "create", "register"} <= set(dir(midms))
    assert all(getattr(midms, name) is not None for name in midms.__all__)


def imported(path: Path) -> set[str]:
    """Top-level packages that a module imports as it is imported."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def test_every_dependency_says_its_lowest_version() -> None:
    """`make lowest` tests with these."""
    declared = (ROOT / "pyproject.toml").read_text().partition("\ndependencies = [\n")[2].partition("\n]\n")[0]
    needed = re.findall(r'"(.*)",', declared)
    assert len(needed) > 10 and [line for line in needed if not re.match(r"[\w-]+>=\d", line)] == []


def test_only_kernels_import_triton() -> None:
    assert {path.name for path in MODULES if "triton" in imported(path) and path.parent.name != "triton"} == set()


def test_tests_mirror_the_package() -> None:
    others = {Path("benchmarks"), Path("laws")}
    """Of what is not in the package, and of all parts."""

    def folders(top: str, pattern: str) -> set[Path]:
        return {path.parent.relative_to(ROOT / top) for path in (ROOT / top).rglob(pattern)}

    assert folders("tests", "test_*.py") - others <= folders("midms", "__init__.py")


def test_no_test_file_imports_another() -> None:
    """What they share is in tests/helpers."""
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    assert len(tests) > 100
    found = {
        (path.name, name)
        for path in tests
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
        if name.split(".")[-1].startswith("test_")
    }
    assert found == set()


def test_no_file_is_long() -> None:
    files = [path for folder in ("midms", "benchmarks", "tests") for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 50
    assert {path.name: n for path in files if (n := len(path.read_text().splitlines())) > 300} == {}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the package is built from, for building leaves traces."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, copy)
    for name in ("midms", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")
OFFLINE = ("--no-deps", "--no-build-isolation", "--no-index")


def test_a_wheel_holds_every_module_and_the_weights(source: Path, tmp_path: Path) -> None:
    run(*PIP, "wheel", *OFFLINE, "--wheel-dir", tmp_path, source)
    (wheel,) = tmp_path.glob("midms-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {path.relative_to(source).as_posix() for path in (source / "midms").rglob("*") if path.is_file()}
    assert wanted <= held
    assert "midms/py.typed" in held and any(name.endswith("licenses/LICENSE") for name in held)
    assert not any(name.startswith(("tests", "benchmarks")) for name in held)


def test_an_sdist_is_all_that_a_wheel_needs_and_no_more(source: Path, tmp_path: Path) -> None:
    """Tests are for a checkout: they need benchmarks, examples and documents beside them."""
    build = "from setuptools.build_meta import build_sdist; import sys; build_sdist(sys.argv[1])"
    run("-c", build, tmp_path, cwd=source)
    (archive,) = tmp_path.glob("midms-*.tar.gz")
    shutil.unpack_archive(archive, tmp_path)
    unpacked = tmp_path / archive.name.removesuffix(".tar.gz")
    wanted = {path.relative_to(source) for path in (source / "midms").rglob("*") if path.is_file()}
    held = {path.relative_to(unpacked) for path in unpacked.rglob("*") if path.is_file()}
    assert wanted <= held and {path.parts[0] for path in held - wanted} == {
        *("LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "midms.egg-info", "pyproject.toml", "setup.cfg")
    }
    run(*PIP, "wheel", *OFFLINE, "--wheel-dir", tmp_path, unpacked)
    (wheel,) = tmp_path.glob("midms-*.whl")
    assert {path.as_posix() for path in wanted} <= set(zipfile.ZipFile(wheel).namelist())


def test_a_package_of_somebody_else_adds_a_matcher(tmp_path: Path) -> None:
    """The template is installed, listed, built, ablated, and held to our laws."""
    shutil.copytree(ROOT / "examples" / "plugin", tmp_path / "plugin", ignore=shutil.ignore_patterns("__pycache__"))
    run(*PIP, "install", *OFFLINE, "--target", tmp_path / "installed", tmp_path / "plugin")
    there = {"cwd": tmp_path, "PYTHONPATH": str(tmp_path / "installed")}
    result = run("-m", "midms", "list", "matcher", **there)
    assert re.search(r"^ *greedy +from the package midms-nearest$", result.stdout, re.MULTILINE)
    vary = ("--vary", "matcher=greedy,preset", "--vary", "confidence=cycle")
    result = run("-m", "midms", "ablate", *vary, "--pairs", "1", "--out", "which", **there)
    assert "`greedy` | `cycle`" in result.stdout and (tmp_path / "which" / "sheet.png").exists()
    (tmp_path / "plugin" / "pyproject.toml").unlink()
    result = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "plugin", **there)
    assert re.search(r"^\d\d passed", result.stdout, re.MULTILINE)
