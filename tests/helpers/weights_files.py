"""One module's weights in a file, as folders have them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from midms.core.tensors import cast, load_state, read_shapes, read_weights, refuse, save_state, unlike


def save_weights(module: nn.Module, path: Path, half: bool = True) -> None:
    save_state(cast(module.state_dict(), torch.float16 if half else None, str(path)), path)


def load_weights(module: nn.Module, path: Path) -> None:
    refuse(unlike(module.state_dict(), read_shapes(path)), str(path), type(module).__name__)
    load_state(module, read_weights(path), str(path))
