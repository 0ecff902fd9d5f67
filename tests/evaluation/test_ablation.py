"""Ablations: every combination once whatever interrupts, what fails is said, the figures are the benchmark's."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from midms import Spec, ablate, build, cli, register
from midms.compose.recipe import SHIPPED
from midms.compose.spec import SpecError
from midms.core.tensors import CheckpointError
from midms.data.portraits.pairs import draw_pairs, generators
from midms.evaluation.ablation import run as measuring
from midms.evaluation.ablation.vary import VaryError, parse
from midms.evaluation.metrics.cost import Cost
from midms.evaluation.metrics.faces import conditions
from midms.evaluation.metrics.pictures import psnr
from midms.matching.matchers.correlation import Correlation
from midms.registry import BadArguments, UnknownName

pytestmark = pytest.mark.filterwarnings("ignore:midm-faces")


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "runs.jsonl").read_text().splitlines()]


def test_the_cross_product_in_three_lines(tmp_path: Path) -> None:
    vary = {"matcher": ["preset", Spec("optimal-transport", epsilon=0.04)], "confidence": ["always", "preset"]}
    found = ablate("midm-faces", vary, pairs=3, out=tmp_path, progress=False)
    assert [record["run"] for record in found.records] == [
        {"matcher": m, "confidence": c}
        for m in ("preset", "optimal-transport(epsilon=0.04)")
        for c in ("always", "preset")
    ]
    assert not found.failures and len(lines(tmp_path)) == 4
    pipe, pairs = build("midm-faces"), draw_pairs("test", range(3), 64)
    image = pipe(conditions(pipe.condition, pairs), pairs.exemplar, generator=generators(0, range(3)))
    expected = psnr(image, pairs.answer, pairs.head)
    assert found.records[1]["figures"]["PSNR"] == pytest.approx(expected.mean().item(), abs=1e-4)
    assert found.records[1]["each"]["PSNR"] == pytest.approx(expected.tolist(), abs=1e-3)
    table = found.table().splitlines()
    figures = [float(row.split("|")[4]) for row in table[2:]]
    assert figures == sorted(figures, reverse=True) and len(figures) == 4
    assert (tmp_path / "table.md").read_text() == found.table() + "\n"
    with Image.open(tmp_path / "plot.png") as plot, Image.open(tmp_path / "sheet.png") as sheet:
        assert len(np.unique(np.asarray(plot).reshape(-1, 3), axis=0)) > 10 and sheet.height > 7 * 96
    page = (tmp_path / "report.html").read_text()
    assert page.count('type="range"') == 2 * 3 and "<svg" in page and "optimal-transport(epsilon=0.04)" in page
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == [], "nothing is fetched"
    before = (tmp_path / "runs.jsonl").read_bytes()
    again = ablate("midm-faces", vary, pairs=3, out=tmp_path, progress=False)
    assert (tmp_path / "runs.jsonl").read_bytes() == before and again.records == found.records
    ablate("midm-faces", {"matcher": ["preset"]}, pairs=2, out=tmp_path, progress=False)
    assert len(lines(tmp_path)) == 5, "another setting is another run"


def test_killed_and_started_again_no_run_is_lost_or_done_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    radii = [f"cycle(radius=0.{i})" for i in range(1, 7)]
    arguments = ["ablate", "--vary", f"confidence={','.join(radii)}", "--pairs", "1", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "midms", *arguments]
    ledger = tmp_path / "runs.jsonl"
    for wanted in (1, 3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not ledger.exists() or ledger.read_bytes().count(b"\n") < wanted:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = ledger.read_bytes()
    with ledger.open("ab") as file:
        file.write(b'{"id": "a line that was cut o')
    assert cli.main(arguments) == 0
    assert ledger.read_bytes().startswith(kept[: kept.rfind(b"\n") + 1]), "what was there is there"
    counts = Counter(record["run"]["confidence"] for record in lines(tmp_path))
    assert counts == dict.fromkeys(radii, 1)
    result = capsys.readouterr().out
    assert all(name in result for name in counts)


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
@pytest.mark.usefixtures("registries")
def test_a_combination_that_fails_is_named_and_tried_again(
    error: type[BaseException], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = [True]

    @register("matcher", "fickle")
    class Fickle(Correlation):
        def __call__(self, query: Any, key: Any) -> Any:
            if broken[0]:
                raise error("out of luck")
            return super().__call__(query, key)

    def command() -> int:
        vary = ["--vary", "matcher=fickle,preset", "--vary", "confidence=always"]
        return cli.main(["ablate", *vary, "--pairs", "1", "--out", str(tmp_path)])

    assert command() == 1
    result = capsys.readouterr()
    assert f"failed: matcher=fickle confidence=always: {error.__name__}: out of luck" in result.err
    assert "| 1 | `preset` | `always` |" in result.out
    broken[0] = False
    assert command() == 0 and "out of luck" not in capsys.readouterr().out
    assert [("error" in record, record["run"]["matcher"]) for record in lines(tmp_path)] == [
        (True, "fickle"), (False, "preset"), (False, "fickle"),
    ]  # fmt: skip


def test_a_combination_that_cannot_be_composed_is_no_failure(tmp_path: Path) -> None:
    vary = {"rematch": [(), (7,)], "sampler": [Spec("heun", timesteps=(700, 350))]}
    found = ablate("midm-faces", vary, pairs=1, out=tmp_path, progress=False)
    assert not found.failures and "rematch must be levels out of [0, 1], got (7,)" in found.records[1]["refused"]
    assert "Not composed:\n- rematch=(7,) sampler=heun(timesteps=(700, 350)):" in found.table()


def test_a_setting_that_changes_nothing_has_no_figures_of_its_own(tmp_path: Path) -> None:
    vary = {"rematch": ["preset", (0,)], "edit": ["context", "blend"], "match_on": ["preset", "latent"]}
    found = ablate("midm-faces", vary, pairs=1, out=tmp_path, progress=False)
    assert [record.get("refused") for record in found.records] == [
        None,
        "match_on changes nothing without rematch",
        "edit changes nothing without rematch",
        "edit changes nothing without rematch; match_on changes nothing without rematch",
        *[None] * 4,
    ]
    shown = [record["figures"]["PSNR"] for record in found.records if "figures" in record]
    assert len({*shown}) == 5, "each of the others gives a picture of its own"


def test_weights_that_nobody_trained_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vary = ["--vary", "denoiser=preset", "--vary", "denoiser=unconditional,preset"]
    assert cli.main(["ablate", *vary, "--pairs", "1", "--out", str(tmp_path)]) == 0
    result, note = capsys.readouterr(), "denoiser=unconditional: the preset's weights are not for the denoiser given"
    assert len(lines(tmp_path)) == 2 and "| 1 | `preset` |" in result.out, "both options count, a value is one run"
    assert (
        "| 2* | `unconditional` |" in result.out
        and f"* Mind:\n- {note}" in result.out
        and f"note: {note}" in result.err
    )
    shutil.rmtree(tmp_path / "pictures")
    assert cli.main(["ablate", *vary, "--pairs", "1", "--out", str(tmp_path)]) == 0, "a table needs no pictures"


def test_a_pair_without_a_result_is_a_failure(tmp_path: Path) -> None:
    autoencoder = build("midm-faces").autoencoder
    decode = autoencoder.decode
    autoencoder.decode = lambda latent: decode(latent).index_fill(0, torch.tensor([1]), float("nan"))  # type: ignore[method-assign]
    (failure,) = ablate("midm-faces", {"autoencoder": [autoencoder]}, pairs=2, out=tmp_path).failures
    assert "PSNR is not finite in 1 of 2 pairs" in failure


def test_nothing_measured_is_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ablate", "--vary", "rematch=(7,)", "--pairs", "1", "--out", str(tmp_path)]) == 1
    written = capsys.readouterr().out.splitlines()[-1].partition(": ")[2].split(", ")
    assert set(written) == {file.name for file in tmp_path.iterdir()}


def test_other_weights_are_other_runs(tmp_path: Path) -> None:
    """Told apart by what is in the folder, wherever it lies; the shipped ones are nobody's copy."""
    mine, copy, out = tmp_path / "mine", tmp_path / "copy", tmp_path / "out"
    shutil.copytree(SHIPPED / "midm-faces", mine)
    found = [ablate("midm-faces", {"confidence": ["always"]}, pairs=1, out=out, weights=w) for w in (None, mine)]
    shipped, first = (one.records[0] for one in found)
    assert "weights" not in shipped and first["weights"] and first["figures"]["PSNR"] == shipped["figures"]["PSNR"]
    mine.rename(copy)
    pipe = build("midm-faces", copy)
    assert len(lines(out)) == 2 and ablate("midm-faces", {"confidence": ["always"]}, pairs=1, out=out, weights=copy)
    assert len(lines(out)) == 2, "the same weights are the same run"
    with torch.no_grad():
        for weight in pipe.denoiser.parameters():  # type: ignore[attr-defined]
            weight.mul_(0.5)
    pipe.save_pretrained(copy, replace=True)
    changed = ablate("midm-faces", {"confidence": ["always"]}, pairs=1, out=out, weights=copy).records[0]
    assert len(lines(out)) == 3 and changed["weights"] != first["weights"]
    assert changed["figures"]["PSNR"] < first["figures"]["PSNR"] - 1
    by_itself = ablate(str(copy), {"confidence": ["always"]}, pairs=1, out=out).records[0]
    assert by_itself["figures"]["PSNR"] == changed["figures"]["PSNR"] and by_itself["weights"] == changed["weights"]
    with pytest.raises(BadArguments, match="which has its own weights"):
        ablate(str(copy), {"confidence": ["always"]}, pairs=1, out=out, weights=mine)
    with pytest.raises(CheckpointError, match="there is no folder"):
        ablate("midm-faces", {"confidence": ["always"]}, pairs=1, out=out, weights=tmp_path / "nowhere")
    assert len(lines(out)) == 4


@pytest.mark.usefixtures("registries")
def test_a_changed_part_is_another_run(tmp_path: Path) -> None:
    """By its code and what is around it, also where a part names it; the same again is the same run."""

    def found(scale: float) -> float:
        @register("matcher", "mine")
        class Mine(Correlation):
            def __call__(self, query: Any, key: Any) -> Any:
                return super().__call__(query, key * scale if scale else key.flip(-1))

        return float(ablate("midm-faces", {"matcher": ["mine"]}, pairs=1, out=tmp_path).records[0]["figures"]["PSNR"])

    first, changed = found(1.0), found(0.0)
    assert changed < first - 1 and len(lines(tmp_path)) == 2
    assert found(1.0) == first and len(lines(tmp_path)) == 2


def test_more_pairs_than_are_measured_at_once_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "PAIRS_AT_ONCE", 2)
    monkeypatch.setattr(measuring, "SHOWN", 2)
    found = ablate("midm-faces", {"matcher": ["preset"]}, pairs=5, out=tmp_path, progress=False)
    assert not found.failures and {len(values) for values in found.records[0]["each"].values()} == {5}
    with Image.open(next((tmp_path / "pictures").iterdir())) as strip:
        assert strip.size == (2 * 64, 64)


def test_objects_are_told_apart_by_their_state(tmp_path: Path) -> None:
    class Flipping(nn.Module):
        def __init__(self, flip: bool) -> None:
            super().__init__()
            self.register_buffer("flip", torch.tensor(flip))

        def forward(self, query: Any, key: Any) -> Any:
            return Correlation()(query, key.flip(-1) if self.flip else key)

    def found() -> list[float]:
        vary = {"matcher": [Flipping(False), Flipping(True)]}
        records = ablate("midm-faces", vary, pairs=1, out=tmp_path).records
        assert len({record["run"]["matcher"] for record in records}) == 2, "the table tells them apart"
        return [record["figures"]["PSNR"] for record in records]

    first, second = found()
    assert second < first - 1
    assert found() == [first, second] and len(lines(tmp_path)) == 2


def test_values_are_read_as_they_are_typed() -> None:
    assert parse("matcher=preset,correlation(temperature=0.04),nearest") == (
        "matcher", ["preset", Spec("correlation", temperature=0.04), "nearest"],
    )  # fmt: skip
    assert parse("rematch=(),(0,1),(1,)") == ("rematch", [(), (0, 1), (1,)])
    assert parse("rematch=none,(0,1),preset") == ("rematch", [(), (0, 1), "preset"]), "as of --rematch"
    assert parse("sampler=ddim(timesteps=(700, 350), eta=1.0),heun") == (
        "sampler", [Spec("ddim", timesteps=(700, 350), eta=1.0), "heun"],
    )  # fmt: skip
    assert parse("sampler=ddim(eta=1.0, timesteps=(700,350)),heun") == (
        "sampler", [Spec("ddim", eta=1.0, timesteps=(700, 350)), "heun"],
    )  # fmt: skip
    assert parse("refiner=None,preset") == ("refiner", [None, "preset"])
    assert parse("edit=blend,replace") == ("edit", ["blend", "replace"])


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("matcher", VaryError, "expected SLOT=VALUE"),
        ("macher=nearest", VaryError, "no slot is called 'macher'. Did you mean 'matcher'"),
        ("size=64,96", VaryError, "size cannot be varied"),
        ("matcher=neares", UnknownName, "Did you mean 'nearest'"),
        ("matcher=correlation(temp=1)", BadArguments, "temperature"),
        ("matcher=correlation(0.1)", SpecError, "cannot read"),
    ],
)
def test_what_cannot_be_varied_is_said(text: str, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        parse(text)


def test_memory_is_that_of_the_stretch() -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("no /proc/self/clear_refs here, by which peak memory is measured")
    large, small = Cost("cpu"), Cost("cpu")
    with large.measured():
        kept = [torch.ones(64, 2**18)]  # 64 MB
        time.sleep(0.05)
    with small.measured():
        torch.ones(4, 2**18)
    assert 60 < large.megabytes < 90 and small.megabytes < 30 and len(kept) == 1
    assert large.seconds > 0.05 > small.seconds
