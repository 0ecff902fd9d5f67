"""Tutorials: Markdown that is executed as a notebook, whose outputs go under the code that made them."""

from __future__ import annotations

import base64
import html
import os
import re
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jupytext
import nbformat
from mkdocs.exceptions import PluginError
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
    "HF_HUB_OFFLINE": "1",
    "PYTHONWARNINGS": "ignore:IProgress",
    "SHELLOPTS": "braceexpand:errexit:hashall:interactive-comments:pipefail",
}
"""Of what is executed: small, offline, and a command that fails is a failure."""
_OVERWRITTEN = re.compile(r"[^\n]*\r(?!\n)")
_FRAME = re.compile(r'<iframe srcdoc="([^"]*)"([^>]*)>')
"""A page in a page, and how it is shown."""
_WRITTEN = re.compile(r"%%writefile (-a )?(\S+)")
"""A cell that is a file, or more of one."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def execute(pages: Mapping[str, Path]) -> dict[str, str | bytes]:
    """Place in the site to text, pictures and notebooks of executed pages; as many at once as there are cores.

    Args:
        pages: place in the site to Markdown file, in which code in Python and bash is executed.

    Raises:
        PluginError: a cell fails.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = [*pool.map(_executed, pages, pages.values())]
    return {place: content for one in made for place, content in one.items()}


def _executed(place: str, path: Path) -> dict[str, str | bytes]:
    notebook = jupytext.read(path)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=600,
            resources={"metadata": {"path": folder}},
            extra_arguments=["--log-level=ERROR"],
        )
        try:
            client.execute(env=os.environ | _ENVIRONMENT)
        except CellExecutionError as error:
            raise PluginError(f"{path}: {_COLOURS.sub('', str(error))}") from None
    stem = place.removesuffix(".md")
    found: dict[str, str | bytes] = {f"{stem}.ipynb": nbformat.writes(notebook)}
    texts = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            texts.append(cell.source)
            continue
        texts.append(_code(cell.source))
        if _WRITTEN.match(cell.source):
            continue
        printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
        texts += _fenced(printed)
        for output in cell.outputs:
            data = output.get("data", {})
            shown = Path(place).parent / f"{Path(stem).name}-{number}"
            if "image/png" in data:
                found[f"{shown}.png"] = base64.b64decode(data["image/png"])
                texts.append(f"![what this code shows]({shown.name}.png)")
            elif frame := _FRAME.match(data.get("text/html", "")):
                found[f"{shown}.html"] = html.unescape(frame[1]).encode()  # as bytes: text is made a page of
                texts.append(f'<iframe src="{shown.name}.html"{frame[2]}></iframe>')
            else:
                texts += [data["text/markdown"]] if "text/markdown" in data else _fenced(data.get("text/plain", ""))
    title, *others = texts
    heading, _, beginning = title.partition("\n")
    as_notebook = f"*All on this page was run when it was made. [As a notebook]({Path(stem).name}.ipynb).*"
    found[place] = "\n\n".join([heading, as_notebook, beginning, *others]) + "\n"
    return found


def _code(source: str) -> str:
    """A cell as what a person copies: a file has its name above it, instead of the command that writes it."""
    magic, _, rest = source.partition("\n")
    if magic == "%%bash":
        return f"```bash\n{rest}\n```"
    if written := _WRITTEN.match(source):
        title = f"{written[2]}, at its end" if written[1] else written[2]
        return f'```python title="{title}"\n{rest.strip()}\n```'
    return f"```python\n{source}\n```"


def _fenced(text: str) -> list[str]:
    """What was printed, without colours and what was printed over."""
    text = _OVERWRITTEN.sub("", _COLOURS.sub("", text)).strip("\n")
    return [f"```text\n{text}\n```"] if text.strip() else []
