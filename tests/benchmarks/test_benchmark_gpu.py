"""The benchmark of a GPU, without one: every case interpreted at a tiny size; crashes, budgets and runs cut off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.kernels import gpu, gpu_cases, gpu_matches, gpu_points, gpu_rows
from benchmarks.kernels import page as kernels_page
from benchmarks.results import RESULTS

ROOT = Path(__file__).parents[2]
CPU, PRECISIONS = (json.loads((RESULTS / name).read_text()) for name in ("kernels-cpu.json", "precision.json"))
ORIGIN = {"date": "2000-01-01", "hardware": "none", "versions": {}, "command": "none"}


def test_the_script_for_a_gpu_runs_interpreted(monkeypatch: pytest.MonkeyPatch, interpreted: None) -> None:
    monkeypatch.setattr(torch, "compile", lambda run, **_: run)
    for name in {"pykeops", "pykeops.torch", *(name for name in sys.modules if name.startswith("pykeops."))}:
        monkeypatch.setitem(sys.modules, name, None)  # another test may have loaded some of it
    monkeypatch.setattr(gpu_rows, "SLOW", 0)
    monkeypatch.setattr(gpu_points, "ITERATIONS", 3)
    once = {section: (section, 5, min(batch, 2)) for section, _, batch in reversed(gpu_rows.sections(5, 2))}
    monkeypatch.setattr(gpu_rows, "sections", lambda *_: once.values())
    alike = ("ieee", "tf32", "fp16x2k")
    cases = (case for case in gpu_rows.cases(5, 2, 16, "cpu") if not case.peer.endswith(alike))
    rows = [gpu_rows.measure(case, "cpu") for case in cases]
    assert {row["id"] for row in rows} == {"B1", "B2", "B3", "B4", "B5", "B7", "B8", "B9", "B12", "B13"}
    ours = [row for row in rows if row["peer"].startswith("midms")]
    assert len(ours) >= 14 and all("ms" in row for row in ours)
    assert all(("ms" in row) + ("red" in row) + ("missing" in row) == 1 for row in rows)
    keops = [row["missing"] for row in rows if "KeOps" in row["peer"]]
    assert len(keops) == 3 and all("pykeops" in reason for reason in keops)
    page = kernels_page.page(CPU, [ORIGIN | {"finished": True, "rows": rows}], PRECISIONS)
    assert all(f"| {row['size']} | {row['peer']} | " in page for row in rows)


def test_what_has_a_target_is_measured_first() -> None:
    named = [(section.__name__, side, batch) for section, side, batch in gpu_rows.sections(64, 16)]
    of_16 = {name for name, side, batch in named if (side, batch) == (64, 16)}
    assert of_16 == {"copies", "warped", "matches", "trainings", "directions"}
    assert named.index(("warped", 64, 16)) < named.index(("warped", 64, 1))
    assert named.index(("trainings", 128, 1)) < named.index(("trainings", 256, 1)) and len(set(named)) == len(named) - 1


def test_a_wrong_gradient_is_red(monkeypatch: pytest.MonkeyPatch, interpreted: None) -> None:
    def larger(q: Tensor, k: Tensor, v: Tensor, precision: str) -> Tensor:
        return 1.1 * gpu_cases.one_way(q, k, v, precision)

    monkeypatch.setattr(gpu_matches, "one_way", larger)
    wrong = [case for case in gpu_matches.directions(5, 1, 16, "cpu") if "one by one" in case.peer]
    assert all("red" in gpu_rows.measure(case, "cpu") for case in wrong) and len(wrong) == 2


CHILD = """
import os, time
from benchmarks.kernels import gpu_rows
from benchmarks.kernels.gpu_cases import Case

def good(): print("not JSON")

def stop(): raise ValueError("cannot")

def section(side, batch, width, device):
    peers = {"good": good, "raises": stop, "dies": os.abort, "hangs": lambda: time.sleep(60), "last": int}
    for peer, run in peers.items():
        yield Case("B0", "nothing", "small", peer, run, (), lambda _: {})

def broken(*_): raise OSError("no inputs")

gpu_rows.LONGEST = 3
gpu_rows.sections = lambda *_: [(section, 0, 0), (broken, 0, 0)]
gpu_rows.main()
"""
ASKED = {"side": 4, "batch": 1, "width": 8, "device": "cpu"}


def test_a_peer_that_fails_crashes_or_hangs_is_a_row(tmp_path: Path) -> None:
    gpu.measure_all(tmp_path / "gpu.json", 300, ASKED, (sys.executable, "-c", CHILD))
    results = json.loads((tmp_path / "gpu.json").read_text())
    found = {row["peer"]: row.get("missing", "") for row in results["rows"]}
    assert results["finished"] and list(found) == ["good", "raises", "dies", "hangs", "last", "-"]
    assert found["raises"] == "ValueError: cannot" and found["dies"] == "its process died of SIGABRT"
    assert found["hangs"] == "given up: it took too long" and found["-"] == "OSError: no inputs"
    assert not found["good"] and not found["last"] and {"hardware", "versions", "date", "command"} <= results.keys()


def test_out_of_time_is_a_row(tmp_path: Path) -> None:
    gpu.measure_all(tmp_path / "gpu.json", 0, ASKED, (sys.executable, "-c", CHILD))
    results = json.loads((tmp_path / "gpu.json").read_text())
    assert results["finished"] and {row["missing"] for row in results["rows"]} == {"not measured: out of time"}


def test_a_run_that_is_cut_off_leaves_what_it_had(tmp_path: Path) -> None:
    out, child = tmp_path / "gpu.json", CHILD.replace("LONGEST = 3", "LONGEST = 9").replace('"dies": os.abort, ', "")
    start = "from pathlib import Path; from benchmarks.kernels.gpu import *; "
    run = start + f"measure_all(Path({str(out)!r}), 60, {ASKED}, CHILD)"
    code = run.replace("CHILD", repr((sys.executable, "-c", child)))
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True) as parent:
        assert parent.stderr is not None
        assert any("'raises'" in line for line in parent.stderr)  # it hangs in the next
        parent.kill()
    results = json.loads(out.read_text())
    assert not results["finished"] and [row["peer"] for row in results["rows"]] == ["good", "raises"]
    assert "Cut off after 2 rows." in kernels_page.page(CPU, [results], PRECISIONS)


def test_without_a_gpu_nothing_is_measured_or_written(tmp_path: Path) -> None:
    out, env = tmp_path / "gpu.json", os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHON": sys.executable}
    for run in (["bash", "benchmarks/gpu.sh"], [sys.executable, "-m", "benchmarks.kernels.gpu"]):
        result = subprocess.run([*run, "--out", out], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        assert result.returncode and "torch finds no GPU" in result.stderr and not out.exists()
        assert "Traceback" not in result.stderr and "passed" not in result.stdout
