"""What documents have one type."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

TYPED = re.compile(r"^(?:(?:torchrun|accelerate launch) .*?-m )?midms (.*)$", re.MULTILINE)


def blocks(path: Path, *languages: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", path.read_text(), re.DOTALL | re.MULTILINE)
    return [text.replace("\\\n", " ") for kind, text in found if kind in languages]


def commands(path: Path) -> list[list[str]]:
    """Without the programs that launch them, and what a shell would fill in."""
    lines = [line for block in blocks(path, "", "bash") for line in TYPED.findall(block)]
    return [shlex.split(line.replace("$style", "0.5"), comments=True) for line in lines]
