"""Several processes train as one does, and a killed one goes on as if it had not been."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_midm
import tiny_stage
import torch
from tiny_stage import BATCH, PAIRS, STEPS, trained, weights

import midms
from midms.training.trainer import Interrupted

SCRIPT = Path(tiny_stage.__file__)


def run(*words: object) -> None:
    paths = [str(Path(midms.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    surroundings = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *map(str, words)], env=surroundings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def record(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    """Ten pairs, four a step over five steps: both epochs are whole, shared by two processes without one twice.

    They also go on from the checkpoint that one process left, and count what either cannot read.
    """
    with pytest.raises(Interrupted, match="out of time at step 1 of 5"):
        trained(tmp_path / "begun", deadline=0.0)
    run("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, SCRIPT, tmp_path)
    ranks = [record(tmp_path / f"{rank}.json") for rank in (0, 1)]
    assert [rank["processes"] for rank in ranks] == [2, 2]
    assert ranks[0]["weights"] == ranks[1]["weights"] and ranks[0]["losses"] == ranks[1]["losses"]

    assert [rank["left out"] for rank in ranks] == [2, 2]

    alone, progress, _ = trained(tmp_path / "alone")
    for found in (ranks[0]["weights"], ranks[0]["gone on"], ranks[1]["gone on"]):
        torch.testing.assert_close(torch.tensor(found), torch.tensor(weights(alone)), atol=1e-5, rtol=0)
    for one, other in zip(ranks[0]["losses"], progress.losses, strict=True):
        assert one.keys() == other.keys() and all(abs(one[name] - other[name]) < 1e-5 for name in one)

    half = BATCH // 2
    shares = [[rank["seen"][i : i + half] for i in range(0, len(rank["seen"]), half)] for rank in ranks]
    stream = [index for both in zip(*shares, strict=True) for share in both for index in share]
    assert stream == alone.seen and len(stream) == STEPS * BATCH
    assert sorted(stream[:PAIRS]) == sorted(stream[PAIRS:]) == [*range(PAIRS)] and stream[:PAIRS] != stream[PAIRS:]


def test_two_processes_train_the_stages_of_midms_as_one_does(tmp_path: Path) -> None:
    """Weights and spectral norms are those of one process, having moved by far more than they may differ."""
    run("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, tiny_midm.__file__, tmp_path)
    ranks = [record(tmp_path / f"midm-{rank}.json") for rank in (0, 1)]
    assert ranks[0] == ranks[1]
    for name in ("warmup", "joint"):
        alone, progress = tiny_midm.trained(tmp_path / "alone", name)
        before = tiny_midm.weights(tiny_midm.stage(None, name, {"cyc": 1.0}))
        for part, numbers in tiny_midm.weights(alone).items():
            found, expected = torch.tensor(ranks[0][name]["weights"][part]), torch.tensor(numbers)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
            assert (expected - torch.tensor(before[part])).abs().amax() > 1e-3
        for one, other in zip(ranks[0][name]["losses"], progress.losses, strict=True):
            assert len(one) > 5 and one == pytest.approx(other, rel=1e-5)


def test_ten_kills_change_nothing(tmp_path: Path) -> None:
    """SIGKILL at ten random moments: the losses of every step and the last weights are an unbroken run's to the bit."""
    run(SCRIPT, tmp_path, "--kill", 10)
    whole, found = record(tmp_path / "whole.json"), record(tmp_path / "found.json")
    assert whole["killed"] >= 8 and whole["reached"] >= 6, "most were killed before they were done, at several steps"
    assert len(found["losses"]) == len(whole["losses"]) == 60
    assert found["losses"] == whole["losses"] and found["weights"] == whole["weights"]


@pytest.mark.parametrize("accumulate", [2, 4])
def test_parts_of_a_batch_add_up(tmp_path: Path, accumulate: int) -> None:
    whole, parts = (trained(tmp_path / str(n), accumulate=n)[0] for n in (1, accumulate))
    assert whole.seen == parts.seen
    torch.testing.assert_close(torch.tensor(weights(parts)), torch.tensor(weights(whole)), atol=1e-6, rtol=0)
