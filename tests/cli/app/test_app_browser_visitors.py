"""The app in Chromium: two visitors at once, translations that are cancelled, and files that cannot be used."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from browser import AppPage
from PIL import Image

from midms.data.portraits.pairs import Pairs
from midms.images import to_pil


def other_visitor(page: AppPage, app: str, pairs: Pairs, folder: Path) -> AppPage:
    """Another tab, with the second pair handed in."""
    page.driver.switch_to.new_window("tab")
    other = AppPage(page.driver, app)
    assert other.source("#exemplar-1") == other.source("#result") == ""
    other.press("#run")
    assert "there is no drawing yet" in other.complaint()
    to_pil(1 - 2 * pairs.sketch[1:]).save(folder / "other-sketch.png")
    to_pil(pairs.exemplar[1:]).save(folder / "other-photo.png")
    other.hand_in("#drawing-file", folder / "other-sketch.png")
    other.hand_in("#exemplar-files", folder / "other-photo.png")
    other.until(lambda: other.source("#exemplar-1"))
    other.until(lambda: not other.all("#drawing-file .file-preview"))
    return other


def begun(page: AppPage) -> None:
    """Ask for a translation that takes seconds, and wait for its first level."""
    page.press("#parts button")
    page.choose("#part-finisher", "tiles")
    page.press("#run")
    page.until(lambda: page.all("#result .progress-text, #result .progress-level"))


def test_two_visitors_at_once_keep_apart(page: AppPage, app: str, pairs: Pairs, tmp_path: Path) -> None:
    first = page.driver.current_window_handle
    page.translate()
    alone = page.pixels("#result")
    page.click("#result", 0.5, 0.5)
    page.until(lambda: "comes from" in page.text("#answer"))
    other = other_visitor(page, app, pairs, tmp_path)
    second = page.driver.current_window_handle
    other.translate()
    others = other.pixels("#result")
    assert (others != alone).any()
    other.click("#result", 0.5, 0.5)
    other.until(lambda: "comes from" in other.text("#answer"))
    asked = other.source("#result")
    page.driver.switch_to.window(first)
    marked = page.source("#result")
    page.press("#run")
    page.driver.switch_to.window(second)
    other.press("#run")
    other.until(lambda: other.source("#result") not in ("", asked))
    assert (other.pixels("#result") == others).all()
    other.driver.close()
    page.driver.switch_to.window(first)
    page.until(lambda: page.source("#result") not in ("", marked))
    assert (page.pixels("#result") == alone).all()


def test_cancelling_while_it_runs(page: AppPage) -> None:
    begun(page)
    page.press("#cancel")
    page.until(lambda: page.text("#answer") == "Cancelled.")
    assert page.source("#result") == ""
    page.choose("#part-finisher", "as the preset has it")
    page.translate()
    assert not page.all("[data-testid=toast-text]")


def header_alone(width: int, height: int) -> bytes:
    """A PNG that says it is large, and has no pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_what_cannot_be_used_gets_a_sentence(page: AppPage, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (5000, 8000), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.jpg", quality=75)
    assert (tmp_path / "photo.jpg").stat().st_size > 20 * 2**20
    Image.new("1", (8000, 5000)).save(tmp_path / "huge.png")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "bomb.png").write_bytes(header_alone(60000, 60000))
    Image.new("RGB", (40, 40)).save(tmp_path / "good.png")
    page.translate()
    shown = page.source("#exemplar-1"), page.source("#result")
    strange = "text.png: not a picture of a known format"
    for widget, names, said in (
        ("#drawing-file", ["photo.jpg"], 'File(s) exceed the maximum allowed size of 20.0 Mb: "photo.jpg"'),
        ("#drawing-file", ["huge.png"], "huge.png: has 40 megapixels, expected at most 24"),
        ("#drawing-file", ["bomb.png"], "bomb.png: has too many pixels to be read safely"),
        ("#drawing-file", ["empty.png"], "empty.png: not a picture of a known format"),
        ("#drawing-file", ["text.png"], strange),
        ("#exemplar-files", ["good.png", "text.png"], strange),
    ):
        page.hand_in(widget, *(tmp_path / name for name in names))
        assert page.complaint().startswith(said)
        assert (page.source("#exemplar-1"), page.source("#result")) == shown, "what is good stays as it was"
    page.hand_in("#exemplar-files", tmp_path / "good.png")
    page.until(lambda: page.source("#exemplar-1") not in ("", shown[0]))
    page.translate()
