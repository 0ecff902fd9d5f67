"""A browser, the app, and the first pictures of its demo as files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import AppPage, chromium, running_app

from midms.data.portraits.pairs import Pairs, draw_pairs
from midms.images import to_pil


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the app keeps temporary files."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def app(driver: Any, folder: Path) -> Iterator[str]:
    with running_app(folder) as address:
        yield address
    assert [*folder.iterdir()] == [], "nothing is left when the app ends"


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return draw_pairs("test", range(2), 64)


@pytest.fixture
def pair(pairs: Pairs, tmp_path: Path) -> tuple[Path, Path]:
    """The demo's first pair as files."""
    to_pil(1 - 2 * pairs.sketch[:1]).save(tmp_path / "sketch.png")
    to_pil(pairs.exemplar[:1]).save(tmp_path / "photo.png")
    return tmp_path / "sketch.png", tmp_path / "photo.png"


@pytest.fixture
def page(driver: Any, app: str, pair: tuple[Path, Path]) -> AppPage:
    """The app with the first pair handed in."""
    page = AppPage(driver, app)
    page.hand_in("#drawing-file", pair[0])
    page.hand_in("#exemplar-files", pair[1])
    page.until(lambda: page.source("#exemplar-1"))
    page.until(lambda: not page.all("#drawing-file .file-preview"))
    return page
