"""What trackers record is a help: where it cannot be written, training goes on without."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator, Mapping

from accelerate import Accelerator
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

from midms.registry import BadArguments


def check_installed(tracker: str | None) -> None:
    """Find out before the work whether a tracker that accelerate knows can record anything.

    Raises:
        BadArguments: its package is not installed.
    """
    if tracker and tracker in LOGGER_TYPE_TO_CLASS and tracker not in {str(one) for one in get_available_trackers()}:
        raise BadArguments(f"--log-with {tracker}: is not installed, pip install {tracker.replace('_', '-')}")


def log(run: Accelerator, values: Mapping[str, float], step: int) -> None:
    """Hand numbers of a step to the trackers."""
    with _spared(run):
        run.log(dict(values), step)


def end(run: Accelerator) -> None:
    """End the trackers, and what else accelerate has begun."""
    with _spared(run):
        run.end_training()


@contextlib.contextmanager
def _spared(run: Accelerator) -> Iterator[None]:
    """Where the disk refuses what trackers write, there are none from then on, with a note."""
    try:
        yield
    except OSError as error:
        warnings.warn(f"logs cannot be written ({error.strerror or error}), and end here", stacklevel=4)
        for tracker in run.trackers:
            _abandon(tracker.tracker)
        run.trackers.clear()


def _abandon(writer: object) -> None:
    """End tensorboardX's thread, and let it take the file for closed, or it tries again when the program ends."""
    for one in (getattr(writer, "all_writers", None) or {}).values():
        with contextlib.suppress(AttributeError):
            one.event_writer._closed = True
            if one.event_writer._worker.is_alive():
                one.event_writer._worker.stop()


@contextlib.contextmanager
def quiet_threads() -> Iterator[None]:
    """Until the block is left, a thread of tensorboardX that the disk refuses ends in silence: `log` hears of it."""
    usual = threading.excepthook

    def hook(raised: threading.ExceptHookArgs) -> None:
        if not (isinstance(raised.exc_value, OSError) and type(raised.thread).__module__.startswith("tensorboardX")):
            usual(raised)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = usual
