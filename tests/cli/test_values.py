"""What people type, as values."""

from __future__ import annotations

import argparse

import pytest

from midms.cli.values import dataset_value
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
