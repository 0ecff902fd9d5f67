"""The page about ablations says what the records say."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from scipy.stats import spearmanr

from benchmarks.ablation.__main__ import questions, steps, trimmed
from benchmarks.ablation.gains import firsts, plot
from benchmarks.ablation.page import ROOT, brief, page, spearman
from benchmarks.ablation.weights import VARIANTS
from benchmarks.results import RESULTS
from midms.data.portraits.pairs import SPLITS, turns
from midms.evaluation.ablation.vary import check_vary

FIGURES = {"PSNR": 0.0, "SSIM": 0.5, "PCK@0.05": 0.9, "EPE px": 1.0, "AUROC": 0.8, "first PSNR": 17.0} | {
    "ms a pair": 40.0, "peak MB": 50.0, "first PCK@0.05": 0.6,
}  # fmt: skip
SETTING = {"split": "test", "pairs": 8}
PSNR = [10.0, 20.0, 30.0, 40.0, 11.0, 21.0, 31.0, 41.0]
PCK = [0.8, 0.2, 0.6, 0.4, 0.7, 0.1, 0.5, 0.3]


def measured(psnr: list[float], pck: list[float] = PCK, **run: str) -> dict[str, Any]:
    """A record as `ablate` gives it."""
    figures = FIGURES | {"PSNR": sum(psnr) / len(psnr)}
    return {"id": "x", "run": run, "figures": figures, "each": {"PSNR": psnr, "first PCK@0.05": pck}, **SETTING}


def results(sets: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {"pairs": 8, "date": "2026-01-01T", "hardware": "a CPU", "versions": {"torch": "2"}} | {
        "sets": {
            name: {
                "question": name,
                "preset": "p",
                "note": "Mind.",
                "minutes": 1.0,
                "settings": {"test split": records},
            }
            for name, records in sets.items()
        }
    }


def test_what_is_asked_exists() -> None:
    asked = questions()
    for question in asked.values():
        check_vary(question.vary)
        for setting in question.settings.values():
            assert set(setting) <= {"split", "size", "weights"}
            assert setting.get("split", "test") in SPLITS and setting.get("weights", "weak, 30 steps") in VARIANTS
    assert steps(4) == (700, 525, 350, 175)
    assert {"rematch", "training", "grid", "check", "matcher", "sampler", "conditional", "unconditional"} <= set(asked)


def test_quarters_and_differences_are_those_of_the_pairs() -> None:
    without, again, failed = trimmed(
        [
            measured(PSNR, rematch="()"),
            measured([value + 1 + i % 2 for i, value in enumerate(PSNR)], rematch="(0, 1)"),
            {"run": {"rematch": "(7,)"}, "refused": "no such level", **SETTING},
        ]
    )
    assert failed == {"run": {"rematch": "(7,)"}, "refused": "no such level"}
    by_match = [[0.15, 20.5], [0.35, 40.5], [0.55, 30.5], [0.75, 10.5]]  # pairs 5 1, 7 3, 6 2, 4 0
    assert without["quarters"]["first PCK@0.05"] == by_match
    degrees = turns("test", range(8)).double()
    apart = [degrees[part].mean().item() for part in degrees.argsort().split(2)]
    assert [key for key, _ in without["quarters"]["degrees apart"]] == pytest.approx(apart, abs=1e-3)
    assert without["gain"] == [0.0, 0.0] and again["behind"] == [0.0, 0.0]
    expected = [1.5, round(0.5 / 8**0.5, 3)]
    assert again["gain"] == without["behind"] == expected


def test_rank_correlation_is_scipys() -> None:
    a, b = torch.randint(6, (2, 30), generator=torch.Generator().manual_seed(0)).double().tolist()
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert spearman([1.0, 1.0], [2.0, 3.0]) != spearman([1.0, 1.0], [2.0, 3.0]), "not a number"


def test_the_page_answers_from_the_records() -> None:
    again = [
        measured(PSNR, rematch="()", matcher="blur"),
        measured([value + 1.5 for value in PSNR], rematch="(0, 1)", matcher="blur"),
    ]
    which = [
        measured([value - 2 for value in PSNR], matcher="a", confidence="always"),
        measured([value - 1 for value in PSNR], matcher="b", confidence="always"),
        measured(PSNR, matcher="b", confidence="y"),
        {"run": {"matcher": "c", "confidence": "y"}, "refused": "2 errors:\n- does not go\n- at all"},
        {"run": {"matcher": "d", "confidence": "y"}, "refused": "2 errors:\n- does not go\n- at all"},
    ]
    few = [
        measured([1.0, 2.0], sampler="heun(timesteps=(7, 3))"),
        measured([2.0, 3.0], sampler="ddim(timesteps=(7, 3))"),
    ]
    sets = {"rematch": trimmed(again), "matcher": trimmed(which)}
    text = page(results(sets | {"sampler": [{**one, "behind": [1.0, 0.1]} for one in few]}))
    assert "helps 1 of 1 kinds of first match and harms 0 by more than two standard errors: from +1.50 dB" in text
    assert "In `p`; 2 runs, 1 minutes. Mind." in text
    assert "| `blur` test split | 0.600 | 17.00 | 25.50 | +1.50 ± 0.00 |" in text
    assert "Best is `matcher=b confidence=y`, 2.00 dB above the worst, `matcher=a confidence=always`" in text
    assert "The matchers, each with the confidence that suits it best: `b` 25.50, `a` 23.50 dB." in text
    assert "Over confidence `always` with the same other parts, on average: `y` +1.00 dB (better in 1 of 1" in text
    assert "- `matcher=c confidence=y` and 1 more: 2 errors: does not go at all" in text
    assert "With 2 steps the best is `ddim`, 2.50 dB; the median is 2.00, the worst `heun`, 1.50." in text
    rows = [line.split(" | ")[:3] for line in brief(which, 8).splitlines() if line.startswith("| `")]
    assert rows == [["| `b`", "`y`", "25.50"], ["| `a`", "`always`", "23.50"]], "each matcher at its best, best first"
    assert plot({"rematch": firsts({"test split": sets["rematch"]})}).width > 0


def test_conditional_and_unconditional_are_compared() -> None:
    alone, seeing = [measured(PSNR, rematch="()")], [measured([value + 2 for value in PSNR], rematch="()")]
    text = page(results({"conditional": trimmed(seeing), "unconditional": trimmed(alone)}))
    assert "On the test split the conditional denoiser at its best (rematch=()) gives +2.00 dB over this." in text


def test_what_is_committed_is_what_the_results_file_says() -> None:
    results = json.loads((RESULTS / "ablation.json").read_text())
    assert set(results["sets"]) == set(questions()), "every question was asked"
    assert (ROOT / "docs" / "ablation.md").read_text() == page(results)
    ranking = brief(results["sets"]["matcher"]["settings"]["test split"], results["pairs"])
    assert ranking in (ROOT / "README.md").read_text()


def test_records_without_figures_say_nothing() -> None:
    failed = [{"run": {"a": "b"}, "error": "E"}]
    text = page(results({"check": failed, "rematch": failed, "unconditional": failed}))
    assert "Failed:\n- `a=b`: E" in text
