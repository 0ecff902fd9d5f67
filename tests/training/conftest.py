"""What tests of training share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pictures of a small run, for `DIR/data`; tests that change it copy it."""
    from midms.compose.spec import Spec  # here, for checks of shapes are installed after this file is read
    from midms.training.data import training_data
    from midms.training.train import fresh_part

    folder = tmp_path_factory.mktemp("rendered")
    training_data(Spec("portraits", styles=24, geometries=2), 64, fresh_part("condition"), folder)
    return folder
