"""What a run costs: time and memory."""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Iterator
from pathlib import Path

import torch

PROCESS = Path("/proc/self")


class Cost:
    """Adds up the seconds of the stretches that it measures, and keeps their highest memory.

    On a GPU memory is what PyTorch allocated there; on a CPU under Linux, by how much the process grew; elsewhere it is
    not known, NaN.

    Args:
        device: where the work is done.
    """

    def __init__(self, device: str) -> None:
        self.cuda = torch.device(device).type == "cuda"
        self.seconds = 0.0
        self.megabytes = float("nan")

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """A stretch of work."""
        before = self._start()
        began = time.perf_counter()
        yield
        if self.cuda:
            torch.cuda.synchronize()
        self.seconds += time.perf_counter() - began
        grown = (torch.cuda.max_memory_allocated() if self.cuda else _status("VmHWM")) - before
        self.megabytes = max(grown / 2**20, 0.0 if self.megabytes != self.megabytes else self.megabytes)

    def _start(self) -> float:
        if self.cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            return torch.cuda.memory_allocated()
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)  # what earlier work left is not counted as there
        with contextlib.suppress(OSError):
            (PROCESS / "clear_refs").write_text("5")  # the high-water mark starts anew
        return _status("VmRSS")


def _status(name: str) -> float:
    """Bytes that the process holds or held at most, where the system tells."""
    try:
        lines = (PROCESS / "status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
