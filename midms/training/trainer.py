"""One training loop: progress bar, atomic checkpoints, exact resume, a record that writes itself."""

from __future__ import annotations

import math
import time
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from tqdm import tqdm

from midms.core.results import machine
from midms.training.progress import Diverged, Progress

CHECKPOINT_EVERY = 60.0  # seconds


@runtime_checkable
class Task(Protocol):
    """What a stage trains."""

    name: str
    network: Any
    batch: int
    learning_rate: float

    def loss(self, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """The loss of one step, every random choice taken from `generator`; and its terms, for the record."""

    def evaluate(self, network: Any) -> dict[str, float]:
        """Figures on held-out pairs."""


class Interrupted(Exception):
    """Training stopped before its last step; the checkpoint continues it."""


def fit(task: Task, progress: Progress, minutes: float | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """Train to the last step from where `progress` is.

    The draws of a step follow from (seed, step) alone, so a resumed run takes the same steps as an unbroken one.

    Args:
        task: network, loss and evaluation.
        progress: of the same network. The learning rate rises and falls over the steps that its settings have.
        minutes: stop after so long, leaving the checkpoint.

    Returns:
        The network with averaged weights, and the record of the run.

    Raises:
        Interrupted: time ran out or the user interrupted.
        CheckpointError: the disk refuses the checkpoint.
        Diverged: numbers are not finite.
    """
    steps = progress.settings["steps"]
    started = saved = time.monotonic()
    bar = tqdm(total=steps, initial=progress.step, desc=task.name, unit="step", mininterval=2)
    try:
        while progress.step < steps:
            progress.losses.append(_step(task, progress, steps))
            progress.step += 1
            bar.update()
            if progress.step % 20 == 0:
                bar.set_postfix({k: f"{v:.4f}" for k, v in _recent(progress.losses).items()}, refresh=False)
            now = time.monotonic()
            if now - saved > CHECKPOINT_EVERY:
                progress.save()
                saved = now
            if minutes is not None and now - started > 60 * minutes:
                raise Interrupted(
                    f"{task.name}: {progress.step} of {steps} steps after {minutes} minutes; run again to go on"
                )
    except KeyboardInterrupt:
        raise Interrupted(f"{task.name}: interrupted at step {progress.step} of {steps}; run again to go on") from None
    finally:
        bar.close()
        progress.save()
    network = progress.averaged.module.eval()
    record = {
        **progress.settings,
        "minutes": round(progress.seconds / 60, 2),
        "parameters": sum(p.numel() for p in network.parameters()),
        "last losses": {k: round(v, 5) for k, v in _recent(progress.losses, 200).items()},
        "held out": task.evaluate(network),
        **machine(),
    }
    return network, record


def _step(task: Task, progress: Progress, steps: int) -> dict[str, float]:
    optimiser, step = progress.optimiser, progress.step
    for group in optimiser.param_groups:
        fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps))
        group["lr"] = task.learning_rate * min(1.0, (step + 1) / 100) * fall
    loss, terms = task.loss(torch.Generator().manual_seed(progress.settings["seed"] * 1_000_003 + step))
    if not torch.isfinite(loss):
        raise Diverged(f"{task.name}: the loss is {loss.item()} at step {step}")
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(task.network.parameters(), 1.0)
    optimiser.step()
    progress.averaged.update_parameters(task.network)
    return {"loss": loss.item(), **terms}


def _recent(losses: list[dict[str, float]], count: int = 50) -> dict[str, float]:
    last = losses[-count:]
    return {name: sum(step[name] for step in last) / len(last) for name in last[0]} if last else {}
