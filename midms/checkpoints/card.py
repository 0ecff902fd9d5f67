"""The model card of a folder of weights: what people, and the hub, read first."""

from __future__ import annotations

from pathlib import Path

from midms.compose.recipe import Recipe

CARD, SHEET = "README.md", "sheet.png"
"""Files of a folder of weights: the card, and the pictures that it shows where there are any."""
OURS = "# Written by midms with the weights; without this line the file stays as it is."
"""What these files say near their beginning, the picture in its notes; those of others do not, and are kept."""


def keeps_own(folder: Path, name: str = CARD) -> bool:
    """Whether a folder has a README.md, or a sheet.png, that somebody else put there."""
    path = folder / name
    try:
        with path.open("rb") as file:
            return OURS.encode() not in file.read(1000)
    except FileNotFoundError:
        return path.is_symlink()
    except OSError:
        return True


def card(recipe: Recipe, sheet: bool = False) -> str:
    """The text of `README.md`.

    Args:
        recipe: of the weights beside it.
        sheet: whether there are pictures beside it.
    """
    name = recipe.name or "weights"
    trained = recipe.domain.trained_on
    size = f" at {recipe.domain.size} pixels" if recipe.domain.size else ""
    slots = [f"- {slot}: `{spec.name}`{_kept(slot, recipe)}" for slot, spec in recipe.slots.items()]
    load = 'from_pretrained("FOLDER OR HUB ID")'
    if any(file.startswith("..") for file in recipe.weights.values()):  # which a copy of this folder alone would lack
        load = f'build("{recipe.name}")'
    paragraphs = [
        f"# {name}",
        f"{recipe.purpose[:1].upper()}{recipe.purpose[1:]}." if recipe.purpose else "",
        f"Weights for the Python package `midms`; {recipe.source}." if recipe.source else "",
        f"Trained on {trained}{size}." if trained else "",
        f"![what it makes of pairs that it was not trained on]({SHEET})" if sheet else "",
        f"License: {recipe.license}." if recipe.license else "",
        f"```python\nimport midms\n\npipe = midms.{load}\n"
        'pipe.translate("sketch.png", "photo.png").image.save("out.png")\n```',
        "\n".join(["Parts:", "", *slots]),
        "\n".join(["To note:", "", *(f"- {note}" for note in recipe.notes)]) if recipe.notes else "",
        "`config.json` has all settings, and how the weights were made." if recipe.made else "",
    ]
    license = [f"license: {recipe.license}"] if recipe.license else []
    front = ["---", OURS, "library_name: midms", *license, "tags:", "- image-to-image", "---", ""]
    return "\n".join(front) + "\n" + "\n\n".join(text for text in paragraphs if text) + "\n"


def _kept(slot: str, recipe: Recipe) -> str:
    return f", weights in `{recipe.weights[slot]}`" if slot in recipe.weights else ""
