"""Exemplar-based image translation from parts: match, warp, denoise, match again. Importing this loads no torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from midms.core.version import __version__ as __version__

if TYPE_CHECKING:
    from midms.compose.catalog import available, create, register
    from midms.compose.spec import Spec
    from midms.evaluation.ablation import ablate
    from midms.evaluation.evaluate import evaluate
    from midms.pipeline.build import build
    from midms.pipeline.jobs.translate_pairs import translate_pairs
    from midms.pipeline.pipeline import Pipeline
    from midms.pipeline.pretrained import from_pretrained
    from midms.pipeline.result import Translation

__all__ = [
    "Pipeline",
    "Spec",
    "Translation",
    "ablate",
    "available",
    "build",
    "create",
    "evaluate",
    "from_pretrained",
    "register",
    "translate_pairs",
]

_HOME = {
    "Pipeline": "midms.pipeline.pipeline",
    "Spec": "midms.compose.spec",
    "Translation": "midms.pipeline.result",
    "ablate": "midms.evaluation.ablation",
    "available": "midms.compose.catalog",
    "build": "midms.pipeline.build",
    "create": "midms.compose.catalog",
    "evaluate": "midms.evaluation.evaluate",
    "from_pretrained": "midms.pipeline.pretrained",
    "register": "midms.compose.catalog",
    "translate_pairs": "midms.pipeline.jobs.translate_pairs",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'midms' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
