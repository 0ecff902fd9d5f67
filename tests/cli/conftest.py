"""What tests of the command line share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sketches a, b, c and photos a, b, c, and a result that was there before."""
    for kind in ("sketches", "photos"):
        (tmp_path / kind).mkdir()
    y, x = np.mgrid[:80, :100]
    for shift, name in enumerate("abc"):
        sketch = Image.new("RGB", (120, 90), "white")
        ImageDraw.Draw(sketch).ellipse([30 + 5 * shift, 20, 80, 70], outline="black", width=3)
        sketch.save(tmp_path / "sketches" / f"{name}.png")
        Image.fromarray(np.stack([2 * x, 3 * y, 0 * x + 40 * shift], -1).astype(np.uint8)).save(
            tmp_path / "photos" / f"{name}.jpg"
        )
    (tmp_path / "out.png").write_bytes(b"precious")
    return tmp_path
