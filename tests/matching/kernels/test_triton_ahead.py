"""The shipped table of configurations, compiled ahead of time: no spills, and every program fits. See `ahead.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from midms.matching.kernels.triton.configs import SHARED_MEMORY

HERE = Path(__file__).parents[2] / "helpers"
RECORD = json.loads((Path(__file__).parents[2] / "golden" / "ahead.json").read_text())


def report(*arguments: str) -> list[dict[str, object]]:
    """In a process of its own, in which Triton compiles instead of interpreting."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, str(HERE / "ahead.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=HERE.parent)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def faults(row: dict[str, object], architecture: str) -> list[str]:
    """What is wrong with a compiled kernel."""
    found = []
    if row["stack"]:
        found.append(f"spills {row['stack']} bytes")
    if row["shared"] > SHARED_MEMORY[architecture]:
        found.append(f"takes {row['shared']} bytes of shared memory, more than {SHARED_MEMORY[architecture]}")
    if row.get("hgmma") and row["waits"] >= row["hgmma"]:
        found.append("waits for every HGMMA")
    if architecture == "sm_90" and row["precision"] not in ("ieee", "cells") and not row["hgmma"]:
        found.append("does without HGMMA")
    return found


@pytest.mark.parametrize("architecture", SHARED_MEMORY)
def test_the_table_compiles_without_faults(architecture: str) -> None:
    rows = report(architecture)
    wrong = []
    for row in rows:
        print(f"{architecture} {' '.join(f'{key} {value}' for key, value in row.items())}")
        wrong += [
            f"{row['operation']}, {row['precision']}, {row['use']}: {fault}" for fault in faults(row, architecture)
        ]
    assert {row["operation"] for row in rows} == {"forward", "backward", "alone"} and not wrong
    fresh = RECORD["triton"] != version("triton") or all(row["recorded"] for row in rows)
    assert fresh, "kernels or tiles have changed: write tests/golden/ahead.json again, as tests/helpers/ahead.py says"


def test_a_tile_too_large_is_caught() -> None:
    rows = report("sm_90", "forward", "half", "Tile(128, 128, 4, 2, 32)")
    assert any("spills" in fault for row in rows for fault in faults(row, "sm_90"))


def test_what_is_launched_compiles() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, str(HERE / "launches.py"), "sm_90"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=HERE.parent)
    assert done.returncode == 0, done.stderr
    kernels = {"attend", "logsumexp", "combine", "backward", "nearest", "rescore", "pack", "cycle"}
    assert {name.removesuffix("_kernel") for name in done.stdout.split()} == kernels
