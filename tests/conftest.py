"""What several test files share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch

from midms.compose.catalog import KINDS

if not torch.cuda.is_available():  # so that Triton's own functions can be interpreted by those tests that ask for it
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        import triton.language
        import triton.runtime.interpreter


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


@functools.cache
def builtins_of(package: Any) -> list[str]:
    """What the interpreter replaces in it; asked before it does for the first time."""
    return [name for name, member in inspect.getmembers(package) if triton.language.core.is_builtin(member)]


def patch_builtin(package: Any, *more: Any) -> None:
    """As the interpreter's own, which looks through all members anew at every call: a third of its time."""
    for name in builtins_of(package):
        if triton.language.core.is_builtin(member := getattr(package, name)):
            triton.runtime.interpreter._patch_attr(package, name, member, *more)


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Triton's kernels run without a GPU; what is not written is NaN, and what is not deterministic raises."""
    if not torch.cuda.is_available():
        monkeypatch.setenv("TRITON_INTERPRET", "1")
        monkeypatch.setattr("triton.runtime.interpreter._patch_builtin", patch_builtin)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawing and a picture that the model knows; beside their folder the model as a composition."""
    from midms import build  # here, for checks of shapes are installed after this file is read
    from midms.pipeline.demo import demo

    folder = tmp_path_factory.mktemp("demo")
    pipe = build("midm-faces")
    demo(pipe, folder, faces=1, seed=0)
    pipe.save_pretrained(folder / "saved")
    return folder / "pair-00"
