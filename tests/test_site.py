"""The site, without building it: links that work on a git host too, and pages made of the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import yaml

from midms import available
from midms.compose.catalog import KINDS, registry
from midms.compose.presets import PRESETS
from website import pages, parts
from website.links import API, PAGES, PLUGIN, rewrite

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted((ROOT / "docs").rglob("*.md")), *(ROOT / path for path in PAGES)]


def test_every_link_of_a_document_leads_to_something_here() -> None:
    assert len(DOCUMENTS) > 20
    links = [
        (document, link)
        for document in DOCUMENTS
        for link in re.findall(r"\]\(([^)\s#]+)", re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.S | re.M))
        if not re.match(r"https?://", link)
    ]
    assert len(links) > 60
    assert [(at.name, link) for at, link in links if not (at.parent / link).exists()] == []


@pytest.mark.parametrize(
    ("page", "text", "there"),
    [
        ("index.md", "[x](docs/scale.md#commands)", "[x](scale.md#commands)"),
        ("tutorials/swap.md", "[x](../ablation.md)", "[x](../ablation.md)"),
        ("tutorials/swap.md", "![x](../faces.png)", "![x](../faces.png)"),
        ("tutorials/write.md", "[x](../../midms/registry.py)", "[x](../source/midms/registry.py.md)"),
        ("tutorials/write.md", "[x](../../midms/core/protocols.py)", "[x](../reference/protocols.md)"),
        ("training.md", "[x](../examples/plugin)", "[x](examples/plugin/README.md)"),
        ("scale.md", "[x](https://a.org/docs/scale.md) [y](#z)", "[x](https://a.org/docs/scale.md) [y](#z)"),
        ("index.md", "```\n[x](docs/scale.md)\n```", "```\n[x](docs/scale.md)\n```"),
        ("index.md", "[x](docs/none.txt)", "[x](none.txt)"),
    ],
)
def test_a_link_leads_to_the_same_in_the_site(page: str, text: str, there: str) -> None:
    assert rewrite(text, page) == there


def test_code_is_linked_to_the_page_that_documents_it() -> None:
    assert {*API.values()} <= {*pages.reference(), *parts.pages()}
    assert all((ROOT / path).is_file() for path in API)


def test_every_law_says_what_it_asks_and_a_typical_cause() -> None:
    rows = re.findall(r"^\| (?!law )[a-z][\w ]+ \| (.*?) \| (.*?) \|$", pages.laws(), re.MULTILINE)
    assert len(rows) > 60 and all(asked.endswith(".") and cause.endswith(".") for asked, cause in rows)


def test_the_template_of_a_package_is_whole_on_its_page() -> None:
    text = pages.plugin()
    files = [path for path in (ROOT / PLUGIN).parent.iterdir() if path.suffix in (".py", ".toml")]
    assert len(files) == 3 and all(path.read_text() in text for path in files)


def test_every_part_has_a_page_with_its_best_row_of_the_ablation() -> None:
    found = parts.pages()
    assert {f"parts/{kind}/{name}.md" for kind in KINDS for name in available(kind)} < set(found)
    ranking = re.findall(r"^\| `([\w-]+)` \| `.*?` \| ([\d.]+) ", (ROOT / "README.md").read_text(), re.MULTILINE)
    ranking = [(name, figure) for name, figure in ranking if name != "preset"]
    assert len(ranking) > 8
    for name, figure in ranking:
        first = found[f"parts/matcher/{name}.md"].partition("| --- |")[2].splitlines()[1]
        assert f"| {figure} |" in first


def test_every_part_says_when_to_choose_it() -> None:
    rows = {(kind, name): registry(kind).find(name).load() for kind in KINDS for name in available(kind)}
    assert len(rows) > 80
    silent = [row for row, part in rows.items() if not re.search(r"\bTo choose \w", inspect.getdoc(part) or "")]
    assert silent == []


def test_every_preset_has_a_card_and_the_article_is_cited() -> None:
    found = pages.models()
    assert all(f'midms.build("{name}"' in found[f"models/{name}.md"] for name in PRESETS)
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    names = [one["family-names"] for one in said["references"][0]["authors"]]
    assert len(names) == 5 and all(f"{name}, " in pages.cite() for name in names)
