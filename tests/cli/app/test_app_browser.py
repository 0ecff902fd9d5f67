"""The app in Chromium: a visitor draws, drops, translates, clicks, cancels; and the page of `midms explain`."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import AppPage, asked_for, chromium, running_app, stroke
from PIL import Image
from sample_pictures import drawing

from midms import build
from midms.data.portraits.pairs import Pairs, draw_pairs
from midms.images import to_pil
from midms.pipeline.explain import explanation_page
from midms.pipeline.saved import read_saved

X, Y = 34, 22
"""A pixel of the first pair's face that the exemplar shows."""


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


def true_place(pairs: Pairs) -> torch.Tensor:
    return (pairs.place[0, :, Y, X] + 1) * 32 - 0.5


def numbers(text: str) -> list[torch.Tensor]:
    """Places in a sentence."""
    return [torch.tensor([float(x), float(y)]) for x, y in re.findall(r"\((\d+), (\d+)\)", text)]


def test_a_pair_is_translated_and_a_click_finds_the_true_source(page: AppPage, app: str, pairs: Pairs) -> None:
    assert page.translate() == "Click any place of the result: its source lights up."
    page.click("#result", (X + 0.5) / 64, (Y + 0.5) / 64)
    said = page.until(lambda: text if "comes from" in (text := page.text("#answer")) else "")
    here, there = numbers(said)
    assert (here - torch.tensor([X, Y])).abs().max() <= 1
    assert (there - true_place(pairs)).norm() < 0.05 * 64 and "Confidence" in said and "Cycle error" in said
    page.click("#exemplar-1", (float(there[0]) + 0.5) / 64, (float(there[1]) + 0.5) / 64)
    page.until(lambda: "gives most to the lightest cells" in page.text("#answer"))
    elsewhere = {url for url in asked_for(page.driver) if not url.startswith((app, "data:", "blob:", "chrome"))}
    assert elsewhere == set()


def test_the_result_changes_with_the_matcher_and_with_hints(page: AppPage) -> None:
    page.translate()
    first = page.source("#result")
    page.press("#parts button")
    page.choose("#part-matcher", "mutual-nearest:")
    page.translate()
    second = page.source("#result")
    assert second != first
    page.press("#mode label:nth-of-type(2) input")
    page.click("#result", 0.5, 0.5)
    page.until(lambda: "Now click the place of a picture" in page.text("#answer"))
    page.click("#exemplar-1", 0.1, 0.1)
    page.until(lambda: page.text("#hints") == "1 tie")
    page.translate()
    assert page.source("#result") not in (first, second)


def test_a_stroke_on_the_pad_counts(page: AppPage) -> None:
    page.translate()
    stroke(page.driver, "#pad canvas", [(0.35 + 0.05 * step, 0.65 + 0.01 * step) for step in range(6)])
    page.translate()


def test_two_visitors_keep_apart(page: AppPage, app: str, pairs: Pairs, tmp_path: Path) -> None:
    first = page.driver.current_window_handle
    page.translate()
    page.driver.switch_to.new_window("tab")
    other = AppPage(page.driver, app)
    assert other.source("#exemplar-1") == other.source("#result") == ""
    other.press("#run")
    assert "there is no drawing yet" in other.complaint()
    to_pil(pairs.exemplar[1:]).save(tmp_path / "other.png")
    other.hand_in("#exemplar-files", tmp_path / "other.png")
    other.until(lambda: other.source("#exemplar-1"))
    other.driver.close()
    page.driver.switch_to.window(first)
    page.click("#result", (X + 0.5) / 64, (Y + 0.5) / 64)
    said = page.until(lambda: text if "comes from" in (text := page.text("#answer")) else "")
    assert (numbers(said)[1] - true_place(pairs)).norm() < 0.05 * 64


def test_cancelling_works(page: AppPage) -> None:
    page.press("#parts button")
    page.choose("#part-finisher", "tiles:")
    page.press("#run")
    page.until(lambda: page.all("#result .progress-text, #result .progress-level"))
    page.press("#cancel")
    page.until(lambda: page.text("#answer") == "Cancelled.")
    time.sleep(1)  # in which a complaint would appear
    assert page.source("#result") == "" and not page.all("[data-testid=toast-text]")


def test_a_new_picture_clears_all_that_shows_the_old_result(page: AppPage, pair: tuple[Path, Path]) -> None:
    page.translate()
    page.until(lambda: page.all("#download a, #download:not([disabled])"))
    assert page.all("#slider img")
    page.hand_in("#exemplar-files", pair[1])
    page.until(lambda: not page.all("#slider img"))
    page.until(lambda: page.all("#download[disabled], #download [disabled]"))
    assert page.source("#result") == page.text("#answer") == ""


def test_what_cannot_be_used_gets_a_sentence(page: AppPage, tmp_path: Path) -> None:
    Image.new("1", (8000, 5000)).save(tmp_path / "huge.png")
    (tmp_path / "text.png").write_text("no picture")
    for name, said in (
        ("huge.png", "huge.png: has 40 megapixels, expected at most 24"),
        ("text.png", "text.png: not a picture of a known format"),
    ):
        page.hand_in("#drawing-file", tmp_path / name)
        assert page.complaint() == said
    drawing(64, 64).save(tmp_path / "good.png")
    page.hand_in("#drawing-file", tmp_path / "good.png")
    page.translate()


def test_the_page_of_explain_answers_clicks(driver: Any, pairs: Pairs, tmp_path: Path) -> None:
    found = build("midm-faces").translate(1 - 2 * pairs.sketch[0], pairs.exemplar[0], seed=0)
    found.save(tmp_path / "saved")
    (tmp_path / "page.html").write_text(explanation_page(read_saved(tmp_path / "saved")))
    asked_for(driver)
    driver.get(f"file://{tmp_path}/page.html")

    def clicked(selector: str, x: float, y: float) -> str:
        stroke(driver, selector, [(x, y)])
        return str(driver.find_element("id", "answer").text)

    here, there = numbers(clicked(".shown.result", (X + 0.5) / 64, (Y + 0.5) / 64))
    assert here.tolist() == [X, Y] and (there - torch.tensor(found.at(X, Y).place)).abs().max() <= 1
    assert (there - true_place(pairs)).norm() < 0.05 * 64
    back = clicked(".shown.exemplar", (float(there[0]) + 0.5) / 64, (float(there[1]) + 0.5) / 64)
    assert "gives most to the lightest cells of the result" in back
    assert {url.split(":")[0] for url in asked_for(driver)} <= {"file", "data"}
