"""The benchmarks of the kernels: what they compare with is right, and they run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.kernels import hotpath, precision
from benchmarks.kernels import page as kernels_page
from benchmarks.kernels.gate import too_wrong
from benchmarks.kernels.hotpath import measure
from benchmarks.kernels.peers import Outcome, Peer, released_path
from benchmarks.measure import Inputs, inputs
from benchmarks.released import match as released
from benchmarks.results import RESULTS

ROOT = Path(__file__).parents[2]

NUMBERS = load_file(Path(__file__).parents[1] / "golden" / "ops.safetensors")
CASES = sorted({name.split("/")[0] for name in NUMBERS})


@pytest.mark.parametrize("case", CASES)
def test_the_released_path_has_the_released_numbers(case: str) -> None:
    golden = {name.split("/")[1]: value for name, value in NUMBERS.items() if name.startswith(f"{case}/")}
    inputs = {name: golden[name].clone().requires_grad_() for name in ("q", "k", "latent")}
    grid = (golden["q"].shape[-2], golden["q"].shape[-1])
    correlation = released.correlate(inputs["q"], inputs["k"])
    warped = released.warp(correlation, inputs["latent"], grid)
    found: dict[str, Tensor] = {"warped": warped}
    if "sem" in golden:
        found |= {"warped_sem": released.warp(correlation, golden["sem"], grid)}
        found |= {"warped_back": released.warp_back(correlation, warped, grid)}
    forward, backward = released.maps(correlation, grid, grid)
    error, mask = released.check(forward)
    found |= {"map_trg": forward.permute(0, 2, 3, 1), "map_src": backward.permute(0, 2, 3, 1)}
    found |= {"fb_error": error[:, 0], "fb_mask": mask}
    for name, value in found.items():
        if name in golden:
            allowed = 1e-3 if name == "fb_error" else 2e-4
            torch.testing.assert_close(
                value.detach(), golden[name].float(), rtol=0, atol=allowed, msg=lambda m, n=name: n + m
            )
    if "grad_q" in golden:
        weights = {"warped": "g_warp", "warped_sem": "g_sem", "warped_back": "g_back"}
        torch.stack([(found[name] * golden[weight]).sum() for name, weight in weights.items()]).sum().backward()
        for name, value in inputs.items():
            wanted = golden[f"grad_{name}"]
            torch.testing.assert_close(value.grad, wanted, rtol=0, atol=1e-4 * wanted.abs().max().item())


def test_every_peer_on_the_cpu_is_right_and_measured(tmp_path: Path) -> None:
    out = tmp_path / "kernels.json"
    command = [sys.executable, "-m", "benchmarks.kernels.hotpath", "--sides", "16", "--threads", "1", "--width", "32"]
    command += ["--budget", "0", "--out", str(out), "--only", "released", "SDPA, values padded", "midms chunked"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())
    assert {"date", "hardware", "versions", "command", "seed", "rows"} <= results.keys()
    assert len(results["rows"]) == 6
    assert all(row["ms"] > 0 and "extra MB" in row and row["threads"] == 1 for row in results["rows"])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["--only", "nobody"], r"--only: invalid choice: 'nobody' \(choose from '?released'?, .*midms chunked"),
        (["--sides", "16", "0"], "--sides: expected a whole number from 1, got '0'"),
        (["--threads", "-1"], "--threads: expected a whole number from 1, got '-1'"),
        (["--width", "wide"], "--width: expected a whole number from 1, got 'wide'"),
        (["--only", "KeOps", "--sides", "64"], "--sides: none is up to 32"),
        (["--sides", "512"], "--sides: none is up to 256"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    asked: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["hotpath", *asked, "--out", str(tmp_path / "kernels.json")])
    with pytest.raises(SystemExit, match="2"):
        hotpath.main()
    assert re.search(message, capsys.readouterr().err) and not list(tmp_path.iterdir())


def test_the_wrong_get_no_figure() -> None:
    x = inputs("random", 8, width=16)

    def unscaled(y: Inputs) -> Outcome:
        return released_path(y._replace(q=y.q + 0.1))

    for trains in (False, True):
        row = measure("wrong", Peer(unscaled), x, trains, 0, "cpu")
        assert "red" in row and "ms" not in row and "extra MB" not in row
        row = measure("right", Peer(released_path), x, trains, 0, "cpu")
        assert "red" not in row and row["ms"] > 0
    assert too_wrong({"value error": float("nan")})


@pytest.mark.filterwarnings("ignore:bf16 keeps 8 bits")
def test_precisions_keep_their_bounds(interpreted: None) -> None:
    for row in [*precision.table(32, 256, 0, False), *precision.table(8, 32, 0, True)]:
        assert row["warp"] <= precision.BOUNDS[row["precision"]], row
    rows = {row["precision"]: row["warp"] for row in precision.table(16, 256, 1, False)}
    assert rows["fp16x3"] < rows["fp16x2k"] < rows["fp16"] < rows["bf16"]


def test_terms_add_up_to_the_feature() -> None:
    x = torch.nn.functional.normalize(torch.randn(64, 32, generator=torch.Generator().manual_seed(0)), dim=-1)
    for name, error in (("fp16x3", 2**-21), ("fp16", 2**-11), ("tf32", 2**-11), ("bf16", 2**-8)):
        total = torch.stack(precision.terms(x, name)).sum(0)
        torch.testing.assert_close(total, x.double(), rtol=0, atol=error)
        assert (total - x.double()).abs().max() > error / 64
    assert torch.equal(precision.terms(x, "tf32")[0].float().view(torch.int32) & 0x1FFF, torch.zeros(64, 32).int())


def test_the_page_is_that_of_the_results() -> None:
    cpu, table = (json.loads((RESULTS / name).read_text()) for name in ("kernels-cpu.json", "precision.json"))
    gpus = kernels_page.of_gpus()
    text = kernels_page.page(cpu, gpus, table)
    assert (ROOT / "docs" / "kernels.md").read_text() == text
    assert ("Not measured" in text) == (not gpus)
    assert all("ms" in row for row in cpu["rows"] if row["peer"].startswith("midms"))
