"""Pages made of the code: models, the API, how to cite."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping

import yaml

import midms
from midms import testing
from midms.checkpoints.card import card
from midms.checkpoints.folder import read_folder
from midms.compose.presets import PRESETS
from midms.compose.recipe import Recipe
from midms.testing.laws import Laws
from website.links import PLUGIN, ROOT

REFERENCE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "functions": ("What `import midms` has.", tuple(f"midms.{name}" for name in midms.__all__)),
    "pipeline": (
        "What `build` gives, and what its `translate` gives; the same as a pipeline of diffusers.",
        (
            *("midms.pipeline.pipeline.Pipeline", "midms.pipeline.translate.translate"),
            *("midms.pipeline.result.Translation", "midms.pipeline.result.PixelOrigin"),
            *("midms.pipeline.correspondence.Origins", "midms.diffusers.pipeline.MIDMsPipeline"),
        ),
    ),
    "loop": (
        "The method: where it starts, when it matches again, what it yields.",
        ("midms.loop.policy.Policy", "midms.loop.Moment", "midms.loop.interleave"),
    ),
    "protocols": ("What a part of each kind must have.", ("midms.core.protocols",)),
    "records": ("What parts hand to each other.", ("midms.core.types", "midms.core.metrics")),
    "matches": (
        "A match, what can be asked of it, and helpers.",
        (
            *("midms.matching.matches.factored.FactoredMatch", "midms.matching.kernels.records.NearestCells"),
            *("midms.core.flow", "midms.core.normalize"),
        ),
    ),
    "data": (
        "What a data set gives, and what makes one of files.",
        (
            *("midms.data.pair.Pair", "midms.data.pictures.PicturePairs", "midms.data.pictures.Exemplars"),
            *("midms.data.files.PictureFiles", "midms.data.files.Names", "midms.data.crops.Cropping"),
            *("midms.data.splits.in_split", "midms.data.warp.Warp"),
        ),
    ),
    "pictures": (
        "Pictures to tensors and back, and side by side.",
        (
            *("midms.images.reading.read_image", "midms.images.reading.resize", "midms.images.writing.to_pil"),
            *("midms.images.writing.save_images", "midms.images.figure.Sheet", "midms.images.figure.colour_map"),
            "midms.images.errors.PictureError",
        ),
    ),
    "registry": ("Names for parts.", ("midms.registry", "midms.compose.recipe.Recipe")),
}
"""Page to what it says first, and what it documents."""
_PICTURES = {"midm-faces": "faces.png", "midm-faces-128": "faces-128.png", "midm-lineart": "lineart.png"}


def reference() -> dict[str, str]:
    """The API, a page a subject."""
    found = {}
    for name, (said, documented) in REFERENCE.items():
        texts = [
            f"# {name.capitalize()}",
            said,
            *(f"::: {path}\n    options: {{summary: true}}" for path in documented),
        ]
        found[f"reference/{name}.md"] = "\n\n".join(texts) + "\n"
    return found | {"reference/laws.md": laws()}


def laws() -> str:
    """The tests that parts obey, a table a kind, of their docstrings."""
    texts = [
        "# Laws",
        "::: midms.testing\n    options: {members: false, show_root_heading: false, show_root_toc_entry: false}",
    ]
    texts += [
        "The names of laws are written here as words: `test_rows_are_an_expectation` is *rows are an expectation*."
    ]
    for name in testing.__all__:
        kind = getattr(testing, name)
        texts.append(f"::: {kind.__module__}.{name}\n    options: {{members: false, show_source: false}}")
        if inspect.isclass(kind):
            rows = ["| law | what it asks | typical cause of a failure |", "|---|---|---|"]
            for law, test in [*vars(kind).items(), *vars(Laws).items()]:
                if law.startswith("test_"):
                    asked, _, cause = " ".join((inspect.getdoc(test) or "").split()).partition(" Typical cause: ")
                    rows.append(f"| {law[5:].replace('_', ' ')} | {asked} | {cause} |")
            texts.append("\n".join(rows))
    return "\n\n".join(texts) + "\n"


def models() -> dict[str, str]:
    """The model card of each preset, and a page that lists them."""
    rows = ["| preset | picture size | weights | what it is for |", "|---|---|---|---|"]
    found = {"models/index.md": ""}
    for name, preset in PRESETS.items():
        come = "come with it" if preset.shipped else "do not come with it"
        rows.append(f"| [`{name}`]({name}.md) | {preset.loop['size']} | {come} | {preset.purpose} |")
        found[f"models/{name}.md"] = _card(name, preset)
    found["models/index.md"] = "# Models\n\n" + "\n".join(rows) + "\n"
    return found


def _card(name: str, preset: Recipe) -> str:
    text = card(read_folder(preset.home).recipe if preset.shipped else preset)
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL).lstrip()
    weights = "" if preset.shipped else ", weights=FOLDER"
    text = text.replace('midms.from_pretrained("FOLDER OR HUB ID")', f'midms.build("{name}"{weights})')
    text += "" if preset.shipped else f"\nThe weights do not come with midms. It needs {preset.obtain}.\n"
    return text + (f"\n![pairs that it was not trained on](../{_PICTURES[name]})\n" if name in _PICTURES else "")


def cite() -> str:
    """How to cite, of CITATION.cff."""
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    entries = [_bibtex("software", "midms", said | {"version": midms.__version__})]
    entries += [_bibtex("inproceedings", "seo2023midms", one) for one in said["references"]]
    return (
        "# How to cite\n\nCite the article whose method it is, and the toolkit by its version:\n\n"
        "```bibtex\n" + "\n\n".join(entries) + "\n```\nWhat a part is from, its own page says. The same in "
        "[CITATION.cff](../CITATION.cff).\n"
    )


def plugin() -> str:
    """The template of a package: what it is, and its files whole."""
    files = [path for path in sorted((ROOT / PLUGIN).parent.iterdir()) if path.suffix in (".py", ".toml")]
    kinds = {".py": "python", ".toml": "toml"}
    shown = [f"### {path.name}\n```{kinds[path.suffix]}\n{path.read_text()}```" for path in files]
    return "\n\n".join([(ROOT / PLUGIN).read_text().rstrip(), "## The files", *shown]) + "\n"


def _bibtex(kind: str, key: str, said: Mapping[str, object]) -> str:
    people = " and ".join(_person(one) for one in said["authors"])  # type: ignore[attr-defined]
    names = {"title": "title", "year": "year", "booktitle": "collection-title", "version": "version", "url": "url"}
    fields = {"author": people} | {field: said[name] for field, name in names.items() if name in said}
    return f"@{kind}{{{key},\n" + "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items()) + "}"


def _person(one: Mapping[str, str]) -> str:
    return one["name"] if "name" in one else f"{one['family-names']}, {one['given-names']}"
