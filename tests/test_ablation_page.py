"""The page about ablations says what the records say."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.ablation import questions, steps, trimmed
from benchmarks.ablation_page import brief, page
from midms.ablation.vary import check

FIGURES = {"PSNR": 0.0, "SSIM": 0.5, "PCK@0.05": 0.9, "EPE px": 1.0, "AUROC": 0.8, "first PSNR": 17.0} | {
    "ms a pair": 40.0, "peak MB": 50.0, "first PCK@0.05": 0.6,
}  # fmt: skip


def record(psnr: float, **run: str) -> dict[str, Any]:
    return {"run": run, "figures": FIGURES | {"PSNR": psnr}, "quarters": [psnr - 2, psnr - 1, psnr + 1, psnr + 2]}


def test_what_is_asked_exists() -> None:
    asked = questions()
    for question in asked.values():
        check(question.vary)
    assert steps(4) == (700, 525, 350, 175)
    assert {"rematch", "check", "matcher", "sampler", "conditional", "unconditional"} <= set(asked)


def test_quarters_go_from_the_worst_first_match_to_the_best() -> None:
    each = {"PSNR": [10.0, 20.0, 30.0, 40.0], "first PCK@0.05": [0.9, 0.1, 0.5, 0.7]}
    assert trimmed({"run": {}, "figures": {}, "each": each, "id": "x"}) == {
        "run": {}, "figures": {}, "quarters": [20.0, 30.0, 40.0, 10.0],
    }  # fmt: skip


def test_the_page_answers_from_the_records() -> None:
    again = [record(17.0, rematch="()", matcher="blur"), record(18.5, rematch="(1,)", matcher="blur")]
    which = [
        record(20.0, matcher="a", confidence="x"),
        record(21.0, matcher="b", confidence="x"),
        record(22.0, matcher="b", confidence="y"),
        {"run": {"matcher": "c", "confidence": "x"}, "refused": "does not go"},
    ]
    sets = {"rematch": again, "matcher": which}
    text = page(
        {"pairs": 4, "date": "2026-01-01T", "hardware": "a CPU", "versions": {"torch": "2"}}
        | {
            "sets": {
                name: {"question": name, "preset": "p", "minutes": 1.0, "splits": {"test": records}}
                for name, records in sets.items()
            }
        }
    )
    assert "`blur` matches 60 % at first; matching again, at best (1,), gives +1.50 dB" in text
    assert "Best is matcher=b confidence=y, 2.00 dB above the worst, matcher=a confidence=x." in text
    assert "- matcher=c confidence=x: does not go" in text
    rows = [line.split(" | ")[:3] for line in brief(which, 4).splitlines() if line.startswith("| `")]
    assert rows == [["| `b`", "`y`", "22.00"], ["| `a`", "`x`", "20.00"]], "each matcher at its best, best first"


@pytest.mark.parametrize("name", ["rematch"])
def test_records_without_figures_say_nothing(name: str) -> None:
    told = {"question": name, "preset": "p", "minutes": 1.0, "splits": {"test": [{"run": {"a": "b"}, "error": "E"}]}}
    text = page({"pairs": 1, "date": "", "hardware": "", "versions": {}, "sets": {"check": told}})
    assert "Failed:\n- a=b: E" in text
