"""Names that are nearly right, wherever names are read: the right one is said, and nothing else is guessed."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from midms import Spec, available, build, create, from_pretrained
from midms.compose.catalog import KINDS
from midms.evaluation.ablation.vary import check_vary
from midms.pipeline.pipeline import Pipeline
from midms.registry import UnknownName


@pytest.fixture(scope="module")
def pipe() -> Pipeline:
    return build("midm-faces")


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_in_capitals_is_the_only_one_asked_after(kind: str) -> None:
    for name in available(kind):
        for other in {name.capitalize(), name.upper(), name.replace("-", "_")} - {name}:
            with pytest.raises(UnknownName, match=rf"no {kind} is .*'{other}'\. Did you mean '{re.escape(name)}'\? "):
                create(kind, other)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"matcher": "Correlation"}, r"matcher: no matcher is called 'Correlation'\. Did you mean 'correlation'\?"),
        ({"matcher": Spec("Correlation")}, r"matcher: .*Did you mean 'correlation'\?"),
        ({"confidence": "correlation"}, "confidence: no confidence is called 'correlation', which goes with matcher;"),
        ({"Matcher": "nearest"}, r"no slot or setting is called 'Matcher'\. Did you mean 'matcher'\? "),
        ({"temperature": 0.1}, r"'temperature', but one of a part is: .* matcher=Spec\('correlation', temperature="),
        ({"styel": 0.3, "edti": "blend"}, r"'styel'\. Did you mean 'style'(.|\n)*'edti'\. Did you mean 'edit'"),
    ],
)
def test_what_is_nearly_a_slot_a_setting_or_a_part(changes: dict[str, Any], said: str, pipe: Pipeline) -> None:
    for compose in (lambda: build("midm-faces", **changes), lambda: pipe.replace(**changes)):
        with pytest.raises(ValueError, match=said):
            compose()


def test_what_is_no_object_is_told_how_one_is_made(pipe: Pipeline) -> None:
    made = r"expected an object, got 'nearest'; midms.create\('matcher', 'nearest'\) makes"
    with pytest.raises(ValueError, match=made):
        pipe.replace(matcher="nearest")
    with pytest.raises(ValueError, match="policy: expected a Policy, got 3; recipe: expected a Recipe, got None"):
        pipe.replace(policy=3, recipe=None)
    same = pipe.replace(policy=dataclasses.replace(pipe.policy, style=0.7), recipe=pipe.recipe)
    assert same.policy.style == 0.7


def test_in_a_folder_and_in_an_ablation(pipe: Pipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    usual = json.loads(file.read_text())
    matcher, loop = usual["slots"]["matcher"], usual["loop"]
    slots = {name: part for name, part in usual["slots"].items() if name != "matcher"}
    renamed: list[tuple[dict[str, Any], str]] = [
        ({"slots": slots | {"matcher": matcher | {"name": "Correlation"}}}, "not installed.*you mean 'correlation'"),
        ({"slots": slots | {"Matcher": matcher}}, "no slot is called 'Matcher'. Did you mean 'matcher'"),
        ({"loop": loop | {"Style": 0.5}}, "no setting of the loop is called 'Style'. Did you mean 'style'"),
    ]
    for changed, said in renamed:
        file.write_text(json.dumps(usual | changed))
        with pytest.raises(ValueError, match=said):
            from_pretrained(tmp_path)
    with pytest.raises(UnknownName, match="no matcher is called 'cycle', which goes with confidence"):
        check_vary({"matcher": ["cycle"]})
