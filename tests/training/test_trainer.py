"""The loop: what stops it, what it leaves behind, and what it goes on from."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from PIL import Image
from tiny_stage import STEPS, Colours, TinyStage, data, trained, weights

from midms.checkpoints.card import keeps_own
from midms.core.tensors import CheckpointError
from midms.data.errors import DatasetError
from midms.registry import BadArguments
from midms.training import progress as progress_file
from midms.training import trainer
from midms.training.progress import Diverged, OtherRun
from midms.training.trainer import Interrupted, accelerator


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.checkpoint"))


def at_step(stage: TinyStage, step: int, do: Any) -> TinyStage:
    """The stage, which does something with its loss at a step."""
    forward, calls = stage.forward, iter(range(1000))

    def changed(*given: Any) -> Any:
        loss, terms = forward(*given)
        return (do(loss), terms) if next(calls) == step else (loss, terms)

    stage.forward = changed  # type: ignore[method-assign]
    return stage


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_after_the_step(tmp_path: Path, number: int) -> None:
    def pressed(loss: torch.Tensor) -> torch.Tensor:
        os.kill(os.getpid(), number)
        return loss

    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match="tiny: interrupted at step 3 of 5; run again to go on"):
        trained(tmp_path, at_step(TinyStage(), 2, pressed))
    assert names(tmp_path) == ["tiny-00000003.checkpoint"] and signal.getsignal(number) == before
    assert weights(trained(tmp_path)[0]) == weights(trained(tmp_path / "whole")[0])


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    def pressed(loss: torch.Tensor) -> torch.Tensor:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        return loss

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, at_step(TinyStage(), 2, pressed))
    assert names(tmp_path) == ["tiny-00000002.checkpoint"]


@pytest.mark.parametrize(("factor", "why"), [(torch.nan, "the loss is nan"), (1e38, "the gradient is nan")])
def test_numbers_that_are_not_finite_end_it_before_the_weights_are(tmp_path: Path, factor: float, why: str) -> None:
    def spoilt(loss: torch.Tensor) -> torch.Tensor:
        return loss * factor if factor != factor else loss.detach() + (loss - loss.detach()) * factor * 100

    with pytest.raises(Diverged, match=f"tiny: {why} at step 3"):
        trained(tmp_path, at_step(TinyStage(), 3, spoilt))
    assert names(tmp_path) == ["tiny-00000003.checkpoint"]
    assert weights(trained(tmp_path)[0]) == weights(trained(tmp_path / "whole")[0])


def test_so_many_checkpoints_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "CHECKPOINT_EVERY", 0.0)
    trained(tmp_path, keep=3)
    assert names(tmp_path) == [f"tiny-0000000{step}.checkpoint" for step in (3, 4, 5)]


def test_a_checkpoint_cut_short_is_passed_over_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "CHECKPOINT_EVERY", 0.0)
    whole = weights(trained(tmp_path)[0])
    last, before = (tmp_path / f"tiny-0000000{step}.checkpoint" for step in (5, 4))
    last.write_bytes(last.read_bytes()[:2000])
    with pytest.warns(UserWarning, match=r"tiny-00000005.checkpoint: .*; going on from the checkpoint before"):
        assert weights(trained(tmp_path)[0]) == whole
    for path in (last, before):
        path.write_bytes(path.read_bytes()[:2000])
    with (
        pytest.warns(UserWarning, match="00000005"),
        pytest.raises(CheckpointError, match=r"tiny-00000004.checkpoint: .*; remove it to train tiny from its start"),
    ):
        trained(tmp_path)


def test_a_checkpoint_of_another_run_is_refused_whatever_is_before_it(tmp_path: Path) -> None:
    trained(tmp_path)
    with pytest.raises(OtherRun, match=r"was made with steps 5, this run has 6; choose another --out"):
        trained(tmp_path, TinyStage(6))


def test_a_full_disk_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_file.torch, "save", Mock(side_effect=RuntimeError("[enforce fail] unexpected pos 64")))
    with pytest.raises(CheckpointError, match=r"tiny-00000005.checkpoint: cannot be written \(is the disk full\?\)"):
        trained(tmp_path)
    assert os.listdir(tmp_path) == []


def test_sheets_are_drawn_of_held_out_pairs(tmp_path: Path) -> None:
    """On the way with the averaged weights, which change nothing in what comes after."""
    stage, _, record = trained(tmp_path / "with", sheet_every=2)
    assert weights(stage) == weights(trained(tmp_path / "without")[0])
    sheets = sorted((tmp_path / "with" / "sheets").iterdir())
    assert [path.name for path in sheets] == ["tiny-00000002.png", "tiny-00000004.png"]
    for path in (*sheets, tmp_path / "with" / "sheet.png"):
        with Image.open(path) as sheet:
            assert sheet.width > 2 * 96
    assert record["held out"]["mean"] == pytest.approx(record["held out"]["mean"]) and record["steps"] == STEPS


def test_a_sheet_of_somebody_else_is_kept_and_ours_is_made_anew(tmp_path: Path) -> None:
    trained(tmp_path)
    sheet = tmp_path / "sheet.png"
    before = sheet.stat().st_mtime_ns
    trained(tmp_path)
    assert sheet.stat().st_mtime_ns > before and not keeps_own(tmp_path, "sheet.png")
    Image.new("RGB", (8, 8)).save(sheet)
    own = sheet.read_bytes()
    trained(tmp_path)
    assert sheet.read_bytes() == own and keeps_own(tmp_path, "sheet.png")


def test_the_average_is_of_all_weights_so_far(tmp_path: Path) -> None:
    """Against the sum written out: the first weights, then after n steps the next at 9 in 10 + n."""
    steps: list[torch.Tensor] = []
    stage = TinyStage()
    update = progress_file.AveragedModel.update_parameters

    def noted(self: Any, model: torch.nn.Module) -> None:
        steps.append(torch.cat([p.detach().flatten().double() for p in model.parameters()]))
        update(self, model)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress_file.AveragedModel, "update_parameters", noted)
        trained(tmp_path, stage)
    average = steps[0]
    for n, one in enumerate(steps[1:], 1):
        average = ((1 + n) * average + 9 * one) / (10 + n)
    torch.testing.assert_close(torch.tensor(weights(stage)).double(), average, atol=1e-6, rtol=0)


def test_what_this_machine_cannot_do_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArguments, match="--batch 4: expected a multiple of 3, of 1 processes times 3"):
        trained(tmp_path, accumulate=3)
    with pytest.raises(BadArguments, match="nonesuch"):
        accelerator(cpu=True, log_with="nonesuch", folder=tmp_path)


def test_the_loss_is_shown_from_the_first_step_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, progress, _ = trained(tmp_path, TinyStage(1))
    assert f"loss={progress.losses[0]['loss']:.4f}, shift=" in capsys.readouterr().err


def test_every_pair_is_looked_at(tmp_path: Path) -> None:
    stage, _, record = trained(tmp_path, pairs=data())
    assert len(stage.seen) == 20 and record["left out"] == 0 and record["processes"] == 1


def test_what_was_left_out_is_counted_on_when_it_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As in an unbroken run, though in the second call nothing is broken; a third thing is too much for both."""
    broken = data(Colours(broken=[3, 7]))
    with pytest.raises(Interrupted):
        trained(tmp_path / "stopped", deadline=0.0, pairs=broken)
    _, progress, record = trained(tmp_path / "stopped")
    assert record["left out"] == 2 == trained(tmp_path / "whole", pairs=broken)[2]["left out"]
    assert [*progress.left_out] == ["7.png: cannot be read", "3.png: cannot be read"]
    assert capsys.readouterr().err.count("left out") == 2
    with pytest.raises(Interrupted):
        trained(tmp_path / "third", deadline=0.0, pairs=broken)
    with pytest.raises(DatasetError, match=r"3 pairs .*, --max-broken allows 2: 7.png: .*; 3.png: .*; 1.png: "):
        trained(tmp_path / "third", pairs=data(Colours(broken=[1])))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_what_diverges_at_once_leaves_no_checkpoint(tmp_path: Path, accumulate: int) -> None:
    with pytest.raises(Diverged, match="tiny: the loss is nan at step 0"):
        trained(tmp_path, at_step(TinyStage(), 0, lambda loss: loss * torch.nan), accumulate)
    assert os.listdir(tmp_path) == []


def test_a_short_training_is_not_what_it_began_with_and_a_long_one_is_averaged() -> None:
    """The share of the first weights after so many steps, of weights that are 1, then 0."""
    for steps in (150, 5000):
        net = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.ones_(net.weight)
        averaged = progress_file.AveragedModel(net, multi_avg_fn=progress_file._average(0.998))
        averaged.update_parameters(net)
        torch.nn.init.zeros_(net.weight)
        for _ in range(steps):
            averaged.update_parameters(net)
        assert averaged.module.weight.item() < 1e-6
    torch.nn.init.ones_(net.weight)
    averaged.update_parameters(net)
    assert averaged.module.weight.item() == pytest.approx(0.002, rel=1e-3)
