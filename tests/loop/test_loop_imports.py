"""The loop knows records, protocols and limits, and nothing of parts, files, pictures or presets."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

LOOP = Path(__file__).parents[2] / "midms" / "loop"
KNOWN = {
    "midms.core.types": "records",
    "midms.core.protocols": "what parts do",
    "midms.core.precision": "float32 around networks",
    "midms.core.injection": "what an injection is given",
    "midms.core.limits": "ranges of arguments",
    "midms.core.errors": "what is raised",
    "midms.loop": "itself",
}


def test_the_loop_imports_records_protocols_and_limits_alone() -> None:
    found = set()
    for path in LOOP.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0 and node.module, path.name
                found.add(node.module)
            elif isinstance(node, ast.Import):
                found |= {one.name for one in node.names}
    own = {name for name in found if name.partition(".")[0] == "midms"}
    assert {"midms.loop" if name.startswith("midms.loop.") else name for name in own} == KNOWN.keys()
    assert {name.partition(".")[0] for name in found - own} <= {"torch", "jaxtyping", *sys.stdlib_module_names}
