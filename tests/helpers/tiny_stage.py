"""A stage and a data set so small that a step takes a millisecond, and a training of them to be killed or shared.

python tests/helpers/tiny_stage.py FOLDER       # under torchrun: leaves what each process has in FOLDER
python tests/helpers/tiny_stage.py FOLDER --kill 10     # trains in children that are killed, one after another
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from midms.core.types import Noise
from midms.data.errors import BrokenSample
from midms.data.pair import Pair
from midms.loop.inputs import noise_fn
from midms.training import trainer
from midms.training.broken import Broken
from midms.training.data import TrainingData
from midms.training.noise import uniform
from midms.training.progress import Progress
from midms.training.stages.stage import Optimisation, frozen
from midms.training.trainer import Engine, accelerator, begin, fit

STEPS, BATCH, PAIRS = 5, 4, 10


class Colours:
    """Pairs of one colour each, numbered by it; the target is the exemplar's complement. Some cannot be read."""

    def __init__(self, length: int = PAIRS, broken: Iterable[int] = (), random_too: bool = False) -> None:
        self.length, self.broken = length, {*broken}
        if random_too:
            self.draw = self._draw

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Pair:
        if index in self.broken:
            raise BrokenSample(f"{index}.png: cannot be read")
        picture = torch.full((1, 3, 4, 4), index / self.length)
        return Pair(picture[:, :2], picture, 1 - picture, picture[:, :2])

    def _draw(self, index: int, generator: torch.Generator) -> Pair:
        pair = self[index]
        return dataclasses.replace(pair, target=pair.target - torch.rand(1, generator=generator))


def data(train: Any = None, seed: int = 3, workers: int = 0) -> TrainingData:
    return TrainingData(Colours() if train is None else train, Colours(2), seed, workers, Broken(2))


class TinyStage(nn.Module):
    """A convolution that learns to invert, disturbed by noise; a frozen one looks on."""

    needs, losses = (), ()

    def __init__(self, steps: int = STEPS) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.conv, self.still = nn.Conv2d(3, 3, 3, padding=1), frozen(nn.Conv2d(3, 3, 1))
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) / 4
        self.optimisation = Optimisation(steps, BATCH, 0.05)
        self.seen: list[float] = []

    def forward(self, pair: Pair, noise: Noise) -> tuple[Tensor, dict[str, Tensor]]:
        draw = noise_fn(noise, pair.target)
        self.seen += [round(x * PAIRS) for x in pair.exemplar[:, 0, 0, 0].tolist()]
        shift = uniform(draw, len(pair.target))[..., None, None]
        off = self.conv(pair.exemplar + 0.1 * draw(tuple(pair.exemplar.shape)) + 0 * self.still(pair.exemplar))
        return F.mse_loss(off, pair.target + 0.1 * shift), {"shift": shift.mean()}

    def products(self) -> dict[str, nn.Module]:
        return {"autoencoder": self.conv}

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": [self.conv.weight]}, {"params": [self.conv.bias], "lr": 0.01}]

    def begin(self, pairs: Iterable[Pair]) -> None:
        pass

    def finish(self, pairs: Iterable[Pair]) -> None:
        pass

    def evaluate(self, pairs: Iterable[Pair]) -> dict[str, float]:
        return {"mean": torch.cat([self.conv(pair.exemplar) for pair in pairs]).mean().item()}

    def sheet(self, pair: Pair) -> dict[str, Tensor]:
        return {"exemplar": pair.exemplar, "inverted": self.conv(pair.exemplar)}


def trained(
    folder: Path, stage: TinyStage | None = None, accumulate: int = 1, pairs: TrainingData | None = None, **engine: Any
) -> tuple[TinyStage, Progress, dict[str, Any]]:
    """The stage, trained in a folder to its last step."""
    stage = stage or TinyStage()
    made = Engine(accelerator(cpu=True), accumulate, **engine)
    progress = begin(stage, folder, "tiny", {"steps": stage.optimisation.steps, "seed": 3}, made)
    return stage, progress, fit(stage, progress, pairs or data(), made)


def weights(stage: TinyStage) -> list[float]:
    return torch.cat([parameter.flatten() for parameter in stage.conv.parameters()]).tolist()


def _shared(folder: Path) -> None:
    """Under torchrun: what this process has in the end, from the first step on and from where another process was."""
    stage, progress, _ = trained(folder / "run")
    run = accelerator(cpu=True)
    found = {"weights": weights(stage), "losses": progress.losses, "seen": stage.seen, "processes": run.num_processes}
    found["gone on"] = weights(trained(folder / "begun")[0])
    found["left out"] = trained(folder / "broken", pairs=data(Colours(broken=[0, 3])))[2]["left out"]  # one each
    (folder / f"{run.process_index}.json").write_text(json.dumps(found))
    run.wait_for_everyone()
    run.end_training()


def _saved(folder: Path) -> int:
    """The step of the newest checkpoint of the training that is killed, 0 for none."""
    return max((int(path.stem.split("-")[-1]) for path in (folder / "killed").glob("tiny-*.checkpoint")), default=0)


def _killed(folder: Path, times: int) -> None:
    """Children train with a checkpoint at every step and are killed after a while, then one to the end."""
    trainer.CHECKPOINT_EVERY = 0.0
    chance, steps, killed, reached = random.Random(0), 60, 0, set()
    stage, progress, _ = trained(folder / "whole", TinyStage(steps))
    took = progress.seconds
    whole = {"weights": weights(stage), "losses": progress.losses}
    for left in reversed(range(times + 1)):
        if not (child := os.fork()):
            tqdm.set_lock(threading.RLock())  # its usual one is shared, and stays taken when who has it is killed
            stage, progress, _ = trained(folder / "killed", TinyStage(steps))
            found = {"weights": weights(stage), "losses": progress.losses}
            (folder / "found.json").write_text(json.dumps(found))
            os._exit(0)
        if left:
            wanted = _saved(folder) + chance.randrange(6)
            while _saved(folder) < min(wanted, steps):
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 3) * took / steps)
            os.kill(child, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        reached |= {path.name for path in (folder / "killed").glob("*.checkpoint")}
    (folder / "whole.json").write_text(json.dumps({**whole, "killed": killed, "reached": len(reached)}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if "--kill" in sys.argv:
        _killed(Path(sys.argv[1]), int(sys.argv[3]))
    else:
        _shared(Path(sys.argv[1]))
