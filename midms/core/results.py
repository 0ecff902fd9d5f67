"""Results files: figures with the versions, hardware and date that made them."""

from __future__ import annotations

import datetime
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from midms.core.files import atomic_write, made


def machine() -> dict[str, Any]:
    """Versions, hardware and date, for results files."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in ("torch", "diffusers", "numpy")}
        | {"python": platform.python_version()},
        "hardware": torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"{platform.machine()} CPU, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all; the folder is made if need be."""
    with made(path.parent), atomic_write(path) as part:
        part.write_text(json.dumps(content, indent=1) + "\n")
