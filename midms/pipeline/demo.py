"""`midms demo`: faces that were never trained on, translated, beside the exact answer."""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from tqdm import tqdm

from midms.core.files import check_folder
from midms.data.portraits.pairs import SPLIT_LENGTH, draw_pairs
from midms.images import resize, save_images, to_pil
from midms.images.figure import Sheet
from midms.pipeline.translate import Translator, translate

_SIDE = 192
"""Pixels a side of the sheet's pictures."""


def demo(pipe: Translator, out: Path, faces: int, seed: int) -> Path:
    """Render faces and sketches of the test split, translate them, write a contact sheet and the single pictures.

    For a method with a finisher they are line art, and drawings twice as large as they are rendered.

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
    rendering = "painted" if pipe.finisher is None else "lineart"
    pairs = draw_pairs("test", indices, min(max(pipe.size, 64), 256), rendering=rendering)
    drawings = 1 - 2 * pairs.sketch
    if pipe.finisher is not None:
        drawings = resize(drawings, (2 * drawings.shape[-2], 2 * drawings.shape[-1])).clamp(-1, 1)
    rows: list[dict[str, Image.Image]] = []
    pictures: dict[Path, Image.Image] = {}
    for i in tqdm(range(faces), "translating", disable=None):
        result = translate(pipe, drawings[i], pairs.exemplar[i], seed=seed)
        rows.append(result.panels() | {"exact answer": to_pil(pairs.answer[i : i + 1])})
        folder = out / f"pair-{i:02d}"
        pictures |= {folder / f"{title.replace(' ', '-')}.png": panel for title, panel in rows[-1].items()}
        pictures[folder / "figure.png"] = result.figure()
    sheet = out / "sheet.png"
    pictures[sheet] = Sheet([list(row.values()) for row in rows], list(rows[0]), _SIDE).image
    save_images(pictures)
    return sheet
