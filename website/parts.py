"""A page for each registered part, and one that lists them all."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from benchmarks.results import RESULTS
from midms.compose.catalog import KINDS, available, registry
from midms.core.signatures import signature
from midms.evaluation.ablation.report import ranked, table

_ASKED = {"matcher": "matcher", "confidence": "matcher", "sampler": "sampler"}
"""Kind of part to the question of the ablation that compares its parts."""
DOCUMENTED = "::: {}\n    options: {{show_root_heading: false, show_root_toc_entry: false, heading_level: 3}}"
"""What mkdocstrings writes of something whose name is there already."""
_PLURAL = {"confidence": "Confidences", "features": "Features", "dataset": "Data sets"}


def pages() -> dict[str, str]:
    """Place in the site to text, of every part that midms has."""
    ablation = json.loads((RESULTS / "ablation.json").read_text())
    found = {"parts/index.md": _index()}
    for kind in KINDS:
        for name in available(kind):
            found[_place(kind, name)] = _page(kind, name, ablation)
    return found


def navigation() -> list[str | dict[str, list[str]]]:
    """All parts by kind."""
    return ["parts/index.md", *({_title(kind): [_place(kind, name) for name in available(kind)]} for kind in KINDS)]


def _title(kind: str) -> str:
    return _PLURAL.get(kind, f"{kind.capitalize()}s")


def _place(kind: str, name: str) -> str:
    return f"parts/{kind}/{name}.md"


def _index() -> str:
    lines = [
        "# Parts",
        "What can fill each slot of a pipeline; data sets and metrics. `midms list` has these, and those of packages "
        "that are installed. How to write one: [a tutorial](../tutorials/write.md). How a package brings some: "
        "[plug-ins](../examples/plugin/README.md).",
    ]
    for kind in KINDS:
        rows = [f"| [`{n}`]({kind}/{n}.md) | {registry(kind).summary(n)} |" for n in available(kind)]
        rows += [f"| `{name}` | {summary} |" for name, summary in registry(kind).families().items()]
        entry = f'A package adds its own in the table `[project.entry-points."{registry(kind).group}"]`.'
        lines += [f"## {_title(kind)}", entry, "\n".join(["| name | what it is |", "|---|---|", *rows])]
    return "\n\n".join(lines) + "\n"


def _page(kind: str, name: str, ablation: Mapping[str, Any]) -> str:
    row = registry(kind).find(name)
    texts = [f"# {name}", f"*{kind}*: {row.summary}"]
    texts += [f"```python\n{name}{signature(registry(kind)[name])}\n```"]
    texts += [DOCUMENTED.format(row.target.replace(":", "."))]
    texts += ["## How to use it", _use(kind, name)]
    texts += _measured(kind, name, ablation)
    return "\n\n".join(texts) + "\n"


def _use(kind: str, name: str) -> str:
    if kind == "dataset":
        typed = f"midms train --data {name}:PATH --preset midm-small --out runs/mine"
        return f"```\n{typed}\n```\nSee [training](../../training.md)."
    if kind == "metric":
        typed = f"midms evaluate results --pairs pairs.csv --metrics {name} --out report"
        return f"```\n{typed}\n```\nSee [evaluation](../../evaluation.md)."
    return (
        f'```python\nmidms.build("midm-faces", {kind}="{name}")\n```\n'
        f'In the shell it is `--{kind} {name}`, with settings `--{kind} "{name}(...)"`. It must fit the parts around; '
        "where it does not, or needs settings, the error says which."
    )


def _measured(kind: str, name: str, ablation: Mapping[str, Any]) -> list[str]:
    """Its rows in the ablation, and what the best of the others has."""
    if kind not in _ASKED:
        return []
    entry = ablation["sets"][_ASKED[kind]]
    best = ranked(entry["settings"]["test split"])
    own = [record for record in best if re.fullmatch(rf"{re.escape(name)}(\(.*\))?", record["run"][kind])]
    if not own:
        return []
    said = (
        f"In `{entry['preset']}`, over {ablation['pairs']} held-out faces, the best of {len(best)} combinations "
        f"has {best[0]['figures']['PSNR']:.2f} dB; this has, best first:"
    )
    return [
        "## In the ablation",
        said,
        table(own),
        "[How it was measured, and all of it](../../ablation.md).",
    ]
