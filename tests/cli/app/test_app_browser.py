"""The app in Chromium: a visitor draws, drops, translates, clicks, cancels; and the page of `midms explain`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from browser import AppPage, asked_for, stroke

from midms import build
from midms.data.portraits.pairs import Pairs
from midms.pipeline.explain import explanation_page
from midms.pipeline.saved import read_saved

X, Y = 34, 22
"""A pixel of the first pair's face that the exemplar shows."""


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


def test_pixels_change_with_the_matcher_and_with_a_tie_alone(page: AppPage) -> None:
    page.translate()
    first = page.pixels("#result")
    assert (page.translated() == first).all(), "nothing is changed"
    page.press("#mode label:nth-of-type(2) input")
    page.click("#result", 0.5, 0.5)
    page.until(lambda: "Now click the place of a picture" in page.text("#answer"))
    page.click("#exemplar-1", 0.1, 0.1)
    page.until(lambda: page.text("#hints") == "1 tie")
    page.translate()
    tied = page.pixels("#result")
    assert (tied != first).any()
    page.press("#forget")
    page.until(lambda: not page.all("#hints p"))
    page.press("#mode label:nth-of-type(1) input")
    page.press("#parts button")
    page.choose("#part-matcher", "mutual-nearest")
    matched = page.translated()
    assert (matched != first).any() and (matched != tied).any()


def test_a_stroke_changes_the_result_near_it_most(page: AppPage) -> None:
    page.translate()
    before = page.pixels("#result")
    stroke(page.driver, "#pad canvas", [(0.4 + 0.04 * step, 0.6) for step in range(6)])
    changed = abs(page.translated() - before).mean(2)
    side = len(changed)
    near = changed[round(0.5 * side) : round(0.7 * side), round(0.35 * side) : round(0.65 * side)]
    assert near.mean() > 2 * changed.mean() > 0


def test_a_new_picture_clears_all_that_shows_the_old_result(page: AppPage, pair: tuple[Path, Path]) -> None:
    page.translate()
    page.until(lambda: page.all("#download a, #download:not([disabled])"))
    assert page.all("#slider img")
    page.hand_in("#exemplar-files", pair[1])
    page.until(lambda: not page.all("#slider img"))
    page.until(lambda: page.all("#download[disabled], #download [disabled]"))
    assert page.source("#result") == page.text("#answer") == ""


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
