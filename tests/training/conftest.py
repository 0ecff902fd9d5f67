"""What tests of training share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pictures of a small run, for `DIR/data`; tests that change it copy it."""
    from midms.compose.spec import Spec  # here, for checks of shapes are installed after this file is read
    from midms.conditions.sketch import Sketch
    from midms.training.data import split_datasets, training_data

    folder = tmp_path_factory.mktemp("rendered")
    datasets = split_datasets(Spec("portraits", styles=24, geometries=2), 64, Sketch())
    training_data(datasets, 2, folder)
    return folder


@pytest.fixture(scope="package", autouse=True)
def _few_pairs() -> Iterator[None]:
    """Stages look at fewer pairs before, after and beside their steps than they do for users."""
    from midms.training import trainer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "HELD_OUT", 8)
        patch.setattr(trainer, "FIRST", 16)
        yield
