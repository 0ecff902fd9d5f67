"""What people type, as values."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from midms import cli
from midms.cli.values import a_path, dataset_value, some_text
from midms.compose.spec import Spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("portraits", Spec("portraits")),
        ("portraits(styles=64)", Spec("portraits", styles=64)),
        ("folder:PICTURES", Spec("folder", path="PICTURES")),
        ("folder:/my pictures/(2024), best", Spec("folder", path="/my pictures/(2024), best")),
        ("folder:~/pictures", Spec("folder", path="/home/me/pictures")),
        ("webdataset:shards/{000..010}.tar", Spec("webdataset", path="shards/{000..010}.tar")),
        ("celebahq-edge:C:/faces", Spec("celebahq-edge", path="C:/faces")),
        ('folder(path="a:b", flip=False)', Spec("folder", path="a:b", flip=False)),
    ],
)
def test_a_data_set_is_a_name_settings_or_a_name_and_a_path(
    text: str, spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert dataset_value(text) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("folder:", "expected a path after folder:, got nothing"),
        ("3", "expected a name, or settings as in "),
        ("folder('a')", "cannot read \"folder('a')\", expected a name, or settings as in "),
    ],
)
def test_what_is_no_data_set_is_refused(text: str, message: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        dataset_value(text)
    assert str(refused.value).startswith(message)


def test_nothing_is_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert (a_path("~/a.png"), a_path("./~")) == (Path("/home/me/a.png"), Path("~"))
    with pytest.raises(argparse.ArgumentTypeError, match=r"^expected something, got nothing$"):
        a_path("")


def test_no_option_takes_nothing_for_this_folder() -> None:
    """As of a variable of the shell that is not set, such as --condition "$SKETCHES"."""
    (commands,) = (one for one in cli.parser()._actions if isinstance(one.choices, dict))
    for name, parser in commands.choices.items():
        for action in parser._actions:
            assert action.type is not Path, f"{name} {action.dest}"
            if action.dest in ("preset", "init", "weights"):
                assert action.type in (a_path, some_text), f"{name} {action.dest}"
