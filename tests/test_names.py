"""A public name means one thing in the whole package."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "midms"
SAME = {
    "add": "every command of the command line adds itself by the function of this name",
    "M": "a type variable, which is its module's own",
}
"""Names that several modules define on purpose, and what they all mean by it."""


def public(path: Path) -> set[str]:
    """What a module defines at its top."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return {name for name in found if not name.startswith("_")}


def test_a_public_name_is_defined_once() -> None:
    """Implementations of a kernel share its name: `attend` is one thing, computed in three ways."""
    homes = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        module = path.relative_to(PACKAGE).with_suffix("")
        for name in public(path):
            homes[name].add("matching/kernels" if module.is_relative_to("matching/kernels") else str(module))
    assert len(homes) > 500
    several = {name: sorted(modules) for name, modules in homes.items() if len(modules) > 1}
    assert {name: modules for name, modules in several.items() if name not in SAME} == {}
    assert several.keys() == SAME.keys()
