"""MkDocs' hooks: pages made of the code, executed tutorials, and links to any file of the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from website import notebooks, pages, parts
from website.links import PAGES, PLUGIN, ROOT, rewrite, source_page

_LOADED = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=["']?(?:https?:)?//[^"'\s>]+""")
"""What a browser would fetch from elsewhere."""


def on_config(config: Any) -> Any:
    """Parts, models and the API go into the navigation, which mkdocs.yml has but for these."""
    made = {"Parts": parts.navigation(), "Models": list(pages.models()), "API": list(pages.reference())}
    for entry in config["nav"]:
        entry.update({title: made[title] for title in entry if title in made})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add all pages that are not files in docs, and execute those of docs/tutorials."""
    texts: dict[str, str | bytes] = {there: (ROOT / here).read_text() for here, there in PAGES.items()}
    texts |= parts.pages() | pages.models() | pages.reference()
    texts |= {"cite.md": pages.cite(), PAGES[PLUGIN]: pages.plugin()}
    tutorials = [file.src_uri for file in files.documentation_pages() if file.src_uri.startswith("tutorials/")]
    texts |= notebooks.execute({place: ROOT / "docs" / place for place in tutorials})
    linked: list[str] = []
    for file in files.documentation_pages():
        if file.src_uri not in texts:
            rewrite(file.content_string, file.src_uri, linked.append)
    for place, text in texts.items():
        if isinstance(text, str):
            rewrite(text, place, linked.append)
    for path in dict.fromkeys(linked):
        source = (ROOT / path).read_bytes()
        code = f"# {path}\n```python\n{source.decode()}```\n" if path.endswith(".py") else ""
        texts[source_page(path)] = code or source
    for place, content in texts.items():
        if old := files.get_file_from_path(place):
            files.remove(old)
        files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links as the site has them."""
    return rewrite(markdown, page.file.src_uri)


def on_post_build(config: Any) -> None:
    """Refuse a page that fetches something from elsewhere.

    Raises:
        PluginError: one does.
    """
    for path in sorted(Path(config["site_dir"]).rglob("*.html")):
        elsewhere = _LOADED.findall(path.read_text())
        if elsewhere:
            raise PluginError(f"{path} fetches from elsewhere: {elsewhere[0]}")
