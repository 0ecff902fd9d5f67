"""What several test files share."""

from __future__ import annotations

from collections.abc import Iterator

import jaxtyping
import pytest

from midms.catalog import KINDS


@pytest.fixture
def registries() -> Iterator[None]:
    """Whatever a test registers is forgotten after it."""
    before = {kind: dict(registry._rows) for kind, registry in KINDS.items()}
    yield
    for kind, rows in before.items():
        KINDS[kind]._rows = rows


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Without the checks of shapes that only tests have, to see what a user sees."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
