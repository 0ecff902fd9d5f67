"""Links that work on a git host and in the site: to any file of the repository, relative to the one that has them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLUGIN = "examples/plugin/README.md"
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    PLUGIN: PLUGIN,
}
"""Pages outside of docs: where each lies in the repository, and in the site."""
API = {
    "midms/compose/catalog.py": "parts/index.md",
    "midms/core/protocols.py": "reference/protocols.md",
    "midms/data/pair.py": "reference/data.md",
    "midms/matching/matches/factored.py": "reference/matches.md",
    "midms/testing/__init__.py": "reference/laws.md",
}
"""Code of which the site has a page that says the same."""
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^()\s#]+)(?=[#)])")


def origin(page: str) -> str:
    """Where a page of the site lies in the repository."""
    return {there: here for here, there in PAGES.items()}.get(page, f"docs/{page}")


def rewrite(text: str, page: str, found: Callable[[str], None] = lambda path: None) -> str:
    """A page's text with links as the site has them.

    Args:
        text: in Markdown.
        page: its place in the site.
        found: is told each file outside of docs that a link leads to, which the site has in `source`.
    """
    folder = posixpath.dirname(origin(page))

    def moved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[1]))
        if (ROOT / target).is_dir():
            target = f"{target}/README.md"
        if target in PAGES | API:
            place = (PAGES | API)[target]
        elif target.startswith("docs/"):
            place = target.removeprefix("docs/")
        elif (ROOT / target).is_file():
            found(target)
            place = source_page(target)
        else:
            return link[1]
        return posixpath.relpath(place, posixpath.dirname(page) or ".")

    pieces = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(piece if piece.startswith("```") else _LINK.sub(moved, piece) for piece in pieces)


def source_page(path: str) -> str:
    """Where the site has a file of the repository: code as a page, other files as they are."""
    return f"source/{path}.md" if path.endswith(".py") else f"source/{path}"
