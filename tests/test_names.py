"""A public name means one thing in the whole package, and every name something."""

from __future__ import annotations

import ast
import builtins
import re
import symtable
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "midms"
FOLDERS = ("midms", "benchmarks", "tests", "examples")
SAME = {
    "add": "every command of the command line adds itself by the function of this name",
    "M": "a type variable, which is its module's own",
    "P": "the same, of parameters",
    "T": "the same, of anything",
}
"""Names that several modules define on purpose, and what they all mean by it."""
OPERATIONS = {"attend", "attend_both", "cycle", "logsumexp_both", "mutual_nearest", "top_k", "attend_backward"}
"""What the kernels compute: each implementation, and the operator that dispatches to it, has these names."""
IMPLEMENTATION = {
    "unsupported": "why an implementation cannot do an operation",
    "LogitGrad": "the gradient of the logits of one direction",
    "Result": "what the rows of one direction get",
    "RESULTS": "how many tensors that is",
    "LOWEST": "a logit below all but those of columns that take no part",
    "constants": "what a kernel is compiled for",
}
"""The same, of what each implementation of the kernels has."""


def public(path: Path) -> set[str]:
    """What a module defines at its top, also where it tries or asks first."""
    found = set()
    for node in _statements(ast.parse(path.read_text()).body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return {name for name in found if not name.startswith("_")}


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.Try | ast.If | ast.With):
            for inner in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, inner, []))
            for handler in getattr(node, "handlers", []):
                yield from _statements(handler.body)


def test_a_public_name_is_defined_once() -> None:
    homes = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        for name in public(path):
            homes[name].add(str(path.relative_to(PACKAGE)))
    assert len(homes) > 500
    several = {name: sorted(files) for name, files in homes.items() if len(files) > 1}
    kernels = {name for name, files in several.items() if all("matching/kernels/" in file for file in files)}
    assert kernels == OPERATIONS | IMPLEMENTATION.keys(), {name: several[name] for name in kernels}
    assert {name: several[name] for name in several.keys() - kernels - SAME.keys()} == {}
    assert several.keys() - kernels == SAME.keys()


def unknown(table: symtable.SymbolTable, known: set[str]) -> Iterator[str]:
    """Names that a module's code looks up among its globals, where nothing defines them."""
    for symbol in table.get_symbols():
        bound = symbol.is_parameter() or symbol.is_assigned()  # symtable takes what a function `top` binds for global
        if symbol.is_referenced() and symbol.is_global() and not bound and symbol.get_name() not in known:
            yield symbol.get_name()
    for child in table.get_children():
        yield from unknown(child, known)


def test_every_name_that_code_uses_is_defined() -> None:
    """Linters cannot tell: to them, shapes in annotations are names that nothing defines."""
    lost, files = {}, [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    for path in files:
        module = symtable.symtable(path.read_text(), str(path), "exec")
        top = {one.get_name() for one in module.get_symbols() if one.is_assigned() or one.is_imported()}
        if found := {*unknown(module, top | {*dir(builtins), "__file__", "__name__", "__doc__", "__spec__"})}:
            lost[str(path.relative_to(ROOT))] = found
    assert len(files) > 300 and lost == {}


DIALECT = {
    "album", "barren", "carried", "carry", "couple", "explained", "impossible", "iterate", "judge", "judged", "look",
    "looks", "misfit", "mistake", "mosaic", "noised", "objections", "perform", "pull", "refusals", "shoot", "shot",
    "told", "trust", "uphill", "via", "warmth",
}  # fmt: skip
"""Words that the field has others for; which ones, the table in CHANGELOG says."""


def words(name: str) -> list[str]:
    """Of an identifier, in small letters: `carry_edges` and `CarryEdges` have two each."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)]


def named(tree: ast.Module) -> Iterator[str]:
    """What code names: functions, classes, arguments, variables, attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Name):
            yield node.id


def test_code_has_the_fields_words() -> None:
    found = {
        (str(path.relative_to(ROOT)), name)
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        for name in named(ast.parse(path.read_text()))
        if not name.startswith("test_") and not DIALECT.isdisjoint(words(name))  # a test's name is a sentence
    }
    assert found == set()


def test_private_names_stay_in_their_module() -> None:
    found = {
        (str(path.relative_to(ROOT)), name.name)
        for folder in ("midms", "benchmarks", "examples")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for name in node.names
        if name.name.startswith("_") and not name.name.startswith("__")
    }
    assert found == set()


def test_every_file_that_the_architecture_names_exists() -> None:
    """A name may begin below a folder that was named before; `mine` is the reader's."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    files = {str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    named = {name for name in re.findall(r"`([\w/]+\.py)`", text) if not name.endswith("mine.py")}
    assert (
        len(named) > 50
        and {name for name in named if not any(f"/{file}".endswith(f"/{name}") for file in files)} == set()
    )
