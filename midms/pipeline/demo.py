"""`midms demo`: faces that were never trained on, translated, beside the exact answer."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from tqdm import tqdm

from midms.core.files import check_folder
from midms.data.portraits.pairs import SPLIT_LENGTH, draw_pairs
from midms.images import save_images, to_pil
from midms.images.figure import Sheet
from midms.pipeline.translation import Translator, translate

_SIDE = 192
"""Pixels a side of the sheet's pictures."""


def demo(pipe: Translator, out: Path, faces: int, seed: int) -> Path:
    """Render faces and sketches of the test split, translate them, write a contact sheet and the single pictures.

    Args:
        pipe: a composed method.
        out: folder for the pictures; made if it does not exist.
        faces: how many.
        seed: another seed takes other faces, and other noise.

    Returns:
        The contact sheet's path.

    Raises:
        OSError: `out` is a file, or cannot be made.
        PictureError: a picture cannot be written.
    """
    check_folder(out)
    indices = [(seed * faces + i) % (SPLIT_LENGTH // 2) for i in range(faces)]
    pairs = draw_pairs("test", indices, min(max(pipe.size, 64), 256))
    rows: list[dict[str, Image.Image]] = []
    pictures: dict[Path, Image.Image] = {}
    for i in tqdm(range(faces), "translating", disable=None):
        result = translate(pipe, 1 - 2 * pairs.sketch[i], pairs.exemplar[i], seed=seed)
        rows.append(result.panels() | {"exact answer": to_pil(pairs.answer[i : i + 1])})
        folder = out / f"pair-{i:02d}"
        pictures |= {folder / f"{title.replace(' ', '-')}.png": panel for title, panel in rows[-1].items()}
        pictures[folder / "figure.png"] = result.figure()
    sheet = out / "sheet.png"
    pictures[sheet] = Sheet([list(row.values()) for row in rows], list(rows[0]), _SIDE).image
    save_images(pictures)
    return sheet
