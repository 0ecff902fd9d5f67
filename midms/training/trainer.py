"""One training loop on accelerate: any number of processes, exact resume, a record that writes itself."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration
from torch import Tensor, nn
from tqdm import tqdm

from midms.checkpoints.card import SHEET, keeps_own
from midms.core.results import machine
from midms.data.pair import Pair
from midms.registry import BadArguments
from midms.training.data import FIRST, HELD_OUT, TrainingData
from midms.training.noise import sample_generators
from midms.training.progress import Diverged, Progress
from midms.training.sheets import ROWS, save_sheet
from midms.training.trackers import log

CHECKPOINT_EVERY = 60.0  # seconds
LOG_EVERY = 20  # steps; the first is logged too
LOGS, SHEETS = "logs", "sheets"
"""In the folder of a run: what trackers write, and sheets of held-out pairs."""


class Interrupted(Exception):
    """Training stopped before its last step; the checkpoint continues it."""


@dataclass(frozen=True)
class Engine:
    """How steps are computed; but for the precision it changes only how what comes out is rounded.

    The stages of the released code are the exception: their contextual loss is a mean over each part of a batch, and
    each part that is accumulated moves the estimates of spectral norms.

    Attributes:
        accelerator: the processes, the device, the precision and the trackers.
        accumulate: parts of each process's share of a batch that are computed one after another.
        compiled: whether stages are compiled.
        keep: checkpoints at a time.
        sheet_every: steps from one sheet to the next.
        deadline: when to stop, leaving the checkpoint, as `time.monotonic` tells it.
    """

    accelerator: Accelerator
    accumulate: int = 1
    compiled: bool = False
    keep: int = 2
    sheet_every: int = 1000
    deadline: float | None = None

    @property
    def parts(self) -> int:
        """How many parts each batch is cut into."""
        return self.accelerator.num_processes * self.accumulate


def accelerator(
    cpu: bool, precision: str = "no", log_with: str | None = None, folder: Path | None = None
) -> Accelerator:
    """The processes that this one was launched with, or it alone; where several have no device to share, on the CPU.

    Args:
        cpu: whether to compute on the CPU where there is something faster.
        precision: "no", "bf16" or "fp16".
        log_with: a tracker that accelerate knows.
        folder: of the run.

    Raises:
        BadArguments: the precision is not for this device, or there is no such tracker.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not (torch.cuda.is_available() or torch.xpu.is_available()):
        cpu = True  # else each would be alone for accelerate
    if cpu and precision == "fp16":
        raise BadArguments("--precision fp16: the CPU has none, expected bf16 or no")
    places = ProjectConfiguration(folder, None if folder is None else folder / LOGS)  # type: ignore[arg-type]
    try:
        return Accelerator(
            cpu=cpu,
            mixed_precision=precision,
            log_with=log_with,
            project_config=places,
        )
    except ValueError as error:
        raise BadArguments(" ".join(str(error).split())) from None


def begin(stage: Any, folder: Path, name: str, settings: Mapping[str, Any], engine: Engine) -> Progress:
    """How far a stage is trained in a folder; its parts are on the device from here on.

    Args:
        stage: a `Stage`.
        folder: of the checkpoints.
        name: of the stage.
        settings: what the run follows from, see `Progress`.
        engine: how it is computed.

    Raises:
        CheckpointError: see `Progress`.
        BadArguments: batches cannot be shared evenly.
    """
    how, run = stage.optimisation, engine.accelerator
    if how.batch % (parts := engine.parts * (how.share_of if engine.parts > 1 else 1)):
        pairs = f" times {how.share_of} pairs, for {name} works with these" if how.share_of > 1 else ""
        raise BadArguments(
            f"--batch {how.batch}: expected a multiple of {parts}, of {run.num_processes} processes times"
            f" {engine.accumulate} accumulated parts{pairs}"
        )
    stage.to(run.device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(
        stage.parameter_groups(), lr=how.learning_rate, betas=how.betas, weight_decay=how.weight_decay
    )
    network = nn.ModuleDict(stage.products())
    return Progress(folder, name, network, optimiser, settings, how.average, engine.keep, run.scaler)


def fit(stage: Any, progress: Progress, data: TrainingData, engine: Engine) -> dict[str, Any]:
    """Train to the last step from where `progress` is; the stage then has the averaged weights.

    What is drawn in a step follows from the seed and the sample's position in the stream alone, so a resumed run takes
    the same steps as an unbroken one, and several processes those of one.

    Args:
        stage: a `Stage`.
        progress: of the same, as `begin` gives it.
        data: what is trained on and held out.
        engine: how it is computed.

    Returns:
        The record of the run; figures on held-out pairs are the main process's.

    Raises:
        Interrupted: time ran out or the user interrupted; the step that was begun is done.
        CheckpointError: the disk refuses the checkpoint.
        DatasetError: too many pairs cannot be read.
        Diverged: numbers are not finite; the checkpoint has the step before.
    """
    run = engine.accelerator
    data.count_into(progress.left_out)
    stage.begin(pair.to(run.device) for pair in data.first("train", FIRST))
    try:
        with _stop_requested() as stop:
            _train(stage, progress, data, engine, stop)
    finally:
        run.free_memory()
    record = {
        **progress.settings,
        "processes": run.num_processes,
        "minutes": round(progress.seconds / 60, 2),
        "parameters": sum(p.numel() for p in progress.network.parameters()),
        "last losses": {k: round(v, 5) for k, v in _recent(progress.losses, 200).items()},
        **machine(),
    }
    progress.take_average()
    if run.is_main_process:
        stage.finish(pair.to(run.device) for pair in data.first("train", FIRST))
        record["held out"] = stage.evaluate(pair.to(run.device) for pair in data.first("validation", HELD_OUT))
        if not keeps_own(progress.folder, SHEET):
            save_sheet(stage.sheet(_some_held_out(data, run.device)), progress.folder / SHEET)
    record["left out"] = len(progress.left_out)
    return record


def _train(stage: Any, progress: Progress, data: TrainingData, engine: Engine, stop: threading.Event) -> None:
    """The steps that are left."""
    run, how, steps = engine.accelerator, stage.optimisation, progress.settings["steps"]
    if engine.compiled:
        stage.compile()
    model = run.prepare_model(stage)
    optimiser = run.prepare_optimizer(progress.optimiser)
    rates = [group.get("lr", how.learning_rate) for group in stage.parameter_groups()]
    if run.log_with and not run.trackers:
        run.init_trackers("midms")
    first = run.process_index * engine.accumulate
    share = range(first, first + engine.accumulate)
    stream = data.batches(range(progress.step, steps), how.batch, engine.parts, share)
    bar = tqdm(
        total=steps * how.batch,
        initial=progress.step * how.batch,
        desc=progress.name,
        unit=" pictures",
        mininterval=2,
        disable=not run.is_main_process,
    )
    saved = time.monotonic()
    try:
        while progress.step < steps:
            for group, rate in zip(progress.optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * how.share(progress.step)
            losses, ended = _gradients(model, progress, stream, data, engine, stop)
            if not math.isfinite(losses["loss"]):
                raise Diverged(f"{progress.name}: the loss is {losses['loss']} at step {progress.step}")
            norm = run.clip_grad_norm_(trained_parameters(progress.optimiser), how.clip)
            if not (run.scaler or torch.isfinite(norm)):
                raise Diverged(f"{progress.name}: the gradient is {norm.item()} at step {progress.step}")
            progress.advance(optimiser, losses)
            recent = _recent(progress.losses)
            bar.set_postfix({name: f"{value:.4f}" for name, value in recent.items()}, refresh=False)
            bar.update(how.batch)
            if progress.step == 1 or progress.step % LOG_EVERY == 0:
                log(run, {f"{progress.name}/{name}": value for name, value in recent.items()}, progress.step)
            if run.is_main_process and progress.step % engine.sheet_every == 0:
                path = progress.folder / SHEETS / f"{progress.name}-{progress.step:08d}.png"
                with progress.average():
                    save_sheet(stage.sheet(_some_held_out(data, run.device)), path)
            if run.is_main_process and time.monotonic() - saved > CHECKPOINT_EVERY:
                progress.save()
                saved = time.monotonic()
            if ended and progress.step < steps:
                raise Interrupted(f"{progress.name}: {ended} at step {progress.step} of {steps}; run again to go on")
    finally:
        bar.close()
        if run.is_main_process:
            progress.save()


def _gradients(
    model: nn.Module,
    progress: Progress,
    stream: Iterator[tuple[Pair, list[int]]],
    data: TrainingData,
    engine: Engine,
    stop: threading.Event,
) -> tuple[dict[str, float], str]:
    """The gradients of a step, part by part; its losses over all processes; and why all should stop after it, or ""."""
    run = engine.accelerator
    progress.optimiser.zero_grad(set_to_none=True)
    parts = []
    for left in reversed(range(engine.accumulate)):
        pair, positions = next(stream)
        noise = sample_generators(progress.settings["seed"], positions)
        with run.no_sync(model) if left else contextlib.nullcontext():
            loss, terms = model(pair.to(run.device), noise)
            run.backward(loss / engine.accumulate)
        parts.append(torch.stack([loss, *terms.values()]).detach().float())
    late = engine.deadline is not None and time.monotonic() > engine.deadline
    new = len(progress.left_out) > data.broken.shared
    flags = parts[0].new_tensor([float(stop.is_set()), float(late), float(new)])
    *values, stopped, is_late, any_new = run.reduce(torch.cat([torch.stack(parts).mean(0), flags]), "mean").tolist()
    if any_new:
        data.broken.share()
    losses = dict(zip(("loss", *terms), values, strict=True))
    return losses, "interrupted" if stopped else "out of time" if is_late else ""


def trained_parameters(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    """Those that an optimiser changes."""
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _recent(losses: list[dict[str, float]], count: int = 50) -> dict[str, float]:
    last = losses[-count:]
    return {name: sum(step[name] for step in last) / len(last) for name in last[0]} if last else {}


def _some_held_out(data: TrainingData, device: torch.device) -> Pair:
    """The pairs of a sheet."""
    return next(data.first("validation", ROWS)).to(device)


@contextlib.contextmanager
def _stop_requested() -> Iterator[threading.Event]:
    """Whether somebody pressed Ctrl-C or asked the process to end: the step is finished first, unless asked again."""
    asked = threading.Event()

    def ask(number: int, frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield asked
        return
    usual = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
