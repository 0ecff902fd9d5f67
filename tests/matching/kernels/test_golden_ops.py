"""The matching hot path against the released implementation's numbers, see `golden/README.md`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from midms.confidence.cycle import Cycle
from midms.confidence.cycle_released import CycleReleased, twice_forward
from midms.core.flow import cycle_error, sample
from midms.core.normalize import l2_normalize
from midms.core.types import cells
from midms.matching.kernels import IMPLEMENTATIONS
from midms.matching.kernels.chunked import slices as chunked_slices
from midms.matching.matchers.correlation import Correlation
from midms.matching.matches.factored import FactoredMatch

NUMBERS = load_file(Path(__file__).parents[2] / "golden" / "ops.safetensors")
CASES = sorted({name.split("/")[0] for name in NUMBERS})
WITH_GRADIENTS = [case for case in CASES if f"{case}/grad_q" in NUMBERS]
VALUES = {
    "rtol": 0,
    "atol": 2e-4,
}  # values of about 3, where a float32 rounding of the correlation is magnified 200 times

every_implementation = pytest.mark.parametrize(
    "backend",
    [
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                name == "triton" and torch.cuda.is_available(), reason="compiled, not interpreted"
            ),
        )
        for name in IMPLEMENTATIONS
    ],
)


@pytest.fixture(autouse=True)
def several_slices(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "backend" in request.fixturenames and request.node.callspec.params["backend"] == "triton":
        monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setitem(chunked_slices.SLICE_ENTRIES, "cpu", 20_000)


def numbers(case: str) -> dict[str, Tensor]:
    return {name.split("/")[1]: value for name, value in NUMBERS.items() if name.startswith(f"{case}/")}


def matched(case: dict[str, Tensor], backend: str) -> FactoredMatch:
    match = Correlation(temperature=0.005, floor=0.0, backend=backend)(case["q"], case["k"])
    return replace(match, precision="fp16x3") if backend == "triton" else match


def normalised(place: Tensor) -> Tensor:
    """(x, y) in cells to the released [-1, 1] between the corners' centres, last."""
    h, w = place.shape[-2:]
    return place.permute(0, 2, 3, 1) * place.new_tensor([2 / (w - 1), 2 / (h - 1)]) - 1


@pytest.mark.parametrize("case", ["b1_16x16", "b2_16x16_random"])
def test_correlation(case: str) -> None:
    golden = numbers(case)
    corr = torch.einsum("bdhw,bdyx->bhwyx", l2_normalize(golden["q"])[:, :, :2], l2_normalize(golden["k"])).clamp(min=0)
    torch.testing.assert_close(corr, golden["corr_top"], rtol=0, atol=2e-5)


@every_implementation
@pytest.mark.parametrize("case", CASES)
def test_warps(case: str, backend: str) -> None:
    golden = numbers(case)
    match = matched(golden, backend)
    warped = match.apply(golden["latent"])
    torch.testing.assert_close(warped, golden["warped"], **VALUES)
    if "sem" in golden:
        torch.testing.assert_close(match.apply(golden["sem"]), golden["warped_sem"], **VALUES)
        torch.testing.assert_close(match.transpose().apply(warped), golden["warped_back"], **VALUES)


@every_implementation
@pytest.mark.parametrize("case", WITH_GRADIENTS)
def test_flows_both_ways(case: str, backend: str) -> None:
    golden = numbers(case)
    match = matched(golden, backend)
    h, w = match.grid
    for one, wanted in ((match, "map_trg"), (match.transpose(), "map_src")):
        torch.testing.assert_close(normalised(one.apply(cells(h, w, golden["q"]))), golden[wanted], rtol=0, atol=1e-4)


@every_implementation
@pytest.mark.parametrize("case", CASES)
def test_true_cycle_error(case: str, backend: str) -> None:
    golden = numbers(case)
    match = matched(golden, backend)
    h, w = match.grid
    start = cells(h, w, golden["q"]).expand(len(golden["q"]), -1, -1, -1)
    home = sample(match.transpose().apply(start), match.apply(start))
    error = (normalised(home) - normalised(start)).norm(dim=-1)
    torch.testing.assert_close(error, golden["true_cycle_error"], rtol=0, atol=5e-4)
    if h == w:
        widths = golden["true_cycle_error"] * (w - 1) / 2 / w
        torch.testing.assert_close(cycle_error(match)[0][:, 0], widths, rtol=0, atol=3e-4)


@pytest.mark.parametrize("case", CASES)
def test_released_check(case: str) -> None:
    """It is reproduced to the cell: no error of these cases lies so near the radius that a vote could turn."""
    golden = numbers(case)
    match = matched(golden, "auto")
    torch.testing.assert_close(twice_forward(match)[:, 0], golden["fb_error"], rtol=0, atol=1e-3)
    assert torch.equal(CycleReleased()(match), golden["fb_mask"].float())


def test_the_two_checks_on_a_shift() -> None:
    match = matched(numbers("b1_32x32_shift"), "auto")
    assert Cycle(radius=0.25)(match).mean() > 0.99  # the released 0.5 of half widths
    assert CycleReleased()(match).mean() == 0.25


@every_implementation
@pytest.mark.parametrize("case", WITH_GRADIENTS)
def test_gradients(case: str, backend: str) -> None:
    golden = numbers(case)
    inputs = {name: golden[name].clone().requires_grad_() for name in ("q", "k", "latent")}
    match = matched({**golden, **inputs}, backend)
    warped = match.apply(inputs["latent"])
    results = {"g_warp": warped, "g_sem": match.apply(golden["sem"]), "g_back": match.transpose().apply(warped)}
    sum((value * golden[weight]).sum() for weight, value in results.items()).backward()
    for name, value in inputs.items():
        wanted = golden[f"grad_{name}"]
        torch.testing.assert_close(value.grad, wanted, rtol=0, atol=1e-4 * wanted.abs().max().item())
