"""Presets around text-to-image models fit their own architectures, and the documentation says what was measured."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.ablation import training_free
from benchmarks.ablation.page import ROOT
from benchmarks.text_to_image.__main__ import FILE, NAMES, calls, page, tiny
from midms.compose.presets import PRESETS
from midms.evaluation.ablation.vary import check_vary


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_finds_its_blocks_and_layers_in_its_own_architecture(name: str) -> None:
    pipe, published = tiny(name), PRESETS[name].slots["denoiser"].arguments["config"]
    assert (pipe.injection is None) == (name == "sd-warp")
    deep = [
        key for key in ("layers_per_block", "num_layers", "num_single_layers", "up_block_types") if key in published
    ]
    assert deep and all(pipe.denoiser.network.config[key] == published[key] for key in deep)


def test_calls_are_those_of_the_loop_and_of_features() -> None:
    """Forty steps of a guided network; eight draws for the condition, the exemplar, and twice for x0."""
    counted = calls("sd-warp")
    assert counted["steps"] == 40 and counted["calls"] == 40 + 8 * 4 and counted["of these cut short"] == 8 * 4
    assert counted["pictures"] == 2 * 40 + 8 * 4 and counted["pictures a step"] == pytest.approx(112 / 40)


def between(name: str) -> str:
    text = (ROOT / "docs" / "diffusion_models.md").read_text()
    return text.partition(f"<!-- {name}: begin -->\n")[2].partition(f"\n<!-- {name}: end -->")[0]


def test_the_documentation_has_what_was_counted_and_measured() -> None:
    counted, measured = (json.loads(file.read_text()) for file in (FILE, training_free.FILE))
    assert counted["presets"].keys() == set(NAMES)
    assert between("calls") == page(counted).rstrip()
    assert between("training-free") == training_free.summary(measured).rstrip()


def test_what_is_asked_of_edits_exists() -> None:
    asked = training_free.questions()
    for question in asked.values():
        check_vary(question.vary)
    measured: dict[str, Any] = json.loads(training_free.FILE.read_text())
    assert measured["sets"].keys() == asked.keys()
    settings = [rows for entry in measured["sets"].values() for rows in entry["settings"].values()]
    assert settings and not [one for rows in settings for one in rows if "figures" not in one]
