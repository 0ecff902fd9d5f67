"""What the command line does with hostile input: what it says, what it costs, and that it leaves nothing behind.

    from hostile import refused

    def test_a_list_for_a_mapping(tmp_path):
        (tmp_path / "bad.yaml").write_text("- 1")
        line = refused(["convert", WEIGHTS, "--config", tmp_path / "bad.yaml", "--out", tmp_path / "out"], tmp_path)
        assert "bad.yaml" in line and "expected a mapping" in line

Commands run in children forked from one process that has loaded everything, so that a case costs what it does and no
more. They see what a user sees: no checks of shapes, the usual warnings. A child that reaches for the network or starts
a program, runs longer than a test can wait, or takes much more memory than it may, is ended, and was not a refusal.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from PIL import Image

SECONDS = 2.0
"""CPU seconds that a refusal may take."""
MEMORY = int(1.5 * 2**30)
"""Bytes that it may need beyond what the loaded program has."""
PATIENCE = 30
"""Seconds by the clock after which a child hangs; so many because other tests run at the same time."""
ROOM = 2 * MEMORY
"""Bytes of address space that it can get at all."""
LOADED = (
    "midms.evaluation.ablation",
    "midms.pipeline.build",
    "midms.checkpoints.folder",
    "midms.pipeline.demo",
    "midms.pipeline.jobs.plan",
    "midms.pipeline.pretrained",
    "midms.training.train",
    "pytest",
)
"""What commands import when they are run, and test files that `main` is in."""
OUTSIDE = ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn")
"""Python's audit events for what no refused command has to do."""


@dataclass(frozen=True)
class Outcome:
    """What came of a command.

    Attributes:
        status: the exit status; negative for the signal that ended it.
        out: lines on stdout.
        err: lines on stderr.
        seconds: of CPU.
        memory: bytes at the peak, beyond what the loaded program has.
        changed: what was made, altered or removed in the folder, by path.
    """

    status: int
    out: list[str]
    err: list[str]
    seconds: float
    memory: int
    changed: list[str]


TRANSLATE = ("translate", "--condition", "sketch.png", "--exemplar", "face.png", "--out", "out.png")
"""A command of what `white_pictures` leaves in a folder."""


def refused(arguments: Sequence[str | Path], folder: Path, main: str = "midms.cli:main") -> str:
    """Assert that a command line is refused: status 2, one line on stderr, nothing written, soon, in little memory.

    Args:
        arguments: after `midms`.
        folder: the current folder of the command, in which nothing may change; usually `tmp_path`.
        main: what is called with the arguments, "module:function".

    Returns:
        The line.
    """
    said = outcome(arguments, folder, main)
    assert said.status == 2, said
    assert len(said.err) == 1 and "Traceback" not in said.err[0], said
    assert not said.changed, said
    assert said.seconds < SECONDS and said.memory < MEMORY, said
    return said.err[0]


def white_pictures(folder: Path) -> None:
    for name in ("sketch.png", "face.png"):
        Image.new("RGB", (64, 64), "white").save(folder / name)


def outcome(arguments: Sequence[str | Path], folder: Path, main: str = "midms.cli:main") -> Outcome:
    """Run a command line in a folder; arguments as `refused` has them."""
    before = _snapshot(folder)
    server = _server()
    request = json.dumps({"arguments": [os.fspath(one) for one in arguments], "folder": str(folder), "main": main})
    print(request, file=server.stdin, flush=True)
    said = json.loads(server.stdout.readline())
    after = _snapshot(folder)
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return Outcome(**said, changed=changed)


def _snapshot(folder: Path) -> dict[str, tuple[int, ...]]:
    """What a file is by, without opening it; of folders, that they are there."""
    found = {}
    for path in sorted(folder.rglob("*")):
        result = path.lstat()
        known = (result.st_mode, result.st_ino)
        content = () if stat.S_ISDIR(result.st_mode) else (result.st_size, result.st_mtime_ns)
        found[str(path.relative_to(folder))] = known + content
    return found


@functools.cache
def _server() -> subprocess.Popen[str]:
    """The loaded process, started when it is first needed and ended with the tests."""
    import midms

    tests = [path for path in sys.path if Path(path).is_relative_to(Path(__file__).parents[1])]
    paths = [str(Path(midms.__file__).parents[1]), *tests, *filter(None, [os.environ.get("PYTHONPATH")])]
    surroundings = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=surroundings, text=True
    )
    atexit.register(server.communicate)
    return server


def _serve() -> None:
    """Fork a child for each request on stdin and answer on stdout what came of it, until stdin ends."""
    import torch

    from midms import build
    from midms.compose.catalog import KINDS

    torch.set_num_threads(1)
    for name in LOADED:
        importlib.import_module(name)
    for registry in KINDS.values():
        for name in registry:
            registry[name]
    build("midm-faces")
    gc.collect()
    gc.freeze()  # so that a child's collector does not copy our pages
    with Path("/proc/self/status").open() as status:
        size = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmSize"))
    idle = _child(None, size)["memory"]
    for line in sys.stdin:
        said = _child(json.loads(line), size)
        print(json.dumps(said | {"memory": said["memory"] - idle}), flush=True)


def _child(request: dict[str, Any] | None, size: int) -> dict[str, Any]:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            _run(request, size)
        _, status, used = os.wait4(pid, 0)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace").splitlines())
    return {
        "status": os.waitstatus_to_exitcode(status),
        "out": texts[0],
        "err": texts[1],
        "seconds": used.ru_utime + used.ru_stime,
        "memory": used.ru_maxrss << 10,
    }


def _run(request: dict[str, Any] | None, size: int) -> NoReturn:
    """In the child: the command, whose end is the child's."""
    status: object = 1
    try:
        signal.alarm(PATIENCE)
        resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.addaudithook(_stay_inside)
        if request is not None:
            os.chdir(request["folder"])
            module, _, function = request["main"].partition(":")
            status = getattr(importlib.import_module(module), function)(request["arguments"])
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)


def _stay_inside(event: str, details: tuple[Any, ...]) -> None:
    if event in OUTSIDE:
        os.write(2, f"{event} {details!r}\n".encode())
        os._exit(3)


if __name__ == "__main__":
    _serve()
