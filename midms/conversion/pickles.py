"""What other people's pickles say. Nothing in them is run: whatever they ask for is noted by its name, and not made."""

from __future__ import annotations

import pickle
import pickletools
from io import BufferedIOBase
from pathlib import Path
from typing import Any, NoReturn

from midms.checkpoints import CheckpointError

STEPS = 600_000
"""Steps of the longest pickle of others that is followed; four thousand tensors take a third of them."""
LARGEST = 2**26
"""Bytes of the largest pickle beside the numbers of tensors."""


RUNNERS = (
    "commands",
    "ctypes",
    "importlib",
    "nt",
    "os",
    "posix",
    "pty",
    "runpy",
    "shutil",
    "socket",
    "subprocess",
    "sys",
)
RUN = ("__import__", "breakpoint", "compile", "eval", "exec", "execfile", "input", "open")
"""Modules, and builtins, that no note of a training asks for. They are not run either, but the file means harm."""


class Asked(dict[Any, Any]):
    """What a pickle asks to be made: by which name, of what, and what it puts in. It is a mapping, for many are.

    Attributes:
        name: what is asked for, such as "torch._utils._rebuild_tensor_v2".
        args: what it would be called with.
    """

    name = ""
    args: tuple[Any, ...] = ()
    __hash__ = object.__hash__  # type: ignore[assignment]

    def __init__(self, *args: Any, **_: Any) -> None:
        self.args = args

    def __call__(self, *_: Any, **__: Any) -> Asked:
        """Nothing either."""
        return Asked()

    def __setstate__(self, state: Any) -> None:
        """What an object would hold is not kept."""

    def extend(self, items: Any) -> None:
        """Nor what a list or a set would hold."""

    append = add = extend


class Unpickler(pickle.Unpickler):
    """Plain data as it is, `Asked` for everything else.

    Attributes:
        storages: what the pickle says of the numbers that are outside it.
        asked: what it has asked for, by name.
    """

    def __init__(self, file: BufferedIOBase) -> None:
        super().__init__(file, encoding="latin1")
        self.storages: list[Any] = []
        self.asked: dict[str, type[Asked]] = {}

    def find_class(self, module: str, name: str) -> type[Asked]:
        """A class without content, the same for the same name."""
        asked = f"{module}.{name}"
        if asked not in self.asked:
            self.asked[asked] = type("Asked", (Asked,), {"name": asked})
        return self.asked[asked]

    def persistent_load(self, pid: Any) -> Any:
        """What is said of a storage, as it is said; a class that came with its source is a class as any."""
        if isinstance(pid, tuple) and pid[:1] == ("module",):
            return pid[1]
        self.storages.append(pid)
        return pid


def unpickled(file: BufferedIOBase, path: Path, steps: int = STEPS) -> tuple[Any, list[Any]]:
    """What the next pickle of a file holds.

    Args:
        file: at the start of the pickle; afterwards at its end.
        path: what errors call it.
        steps: that it may have.

    Returns:
        Plain data and `Asked`, and what is said of the storages that it refers to.

    Raises:
        CheckpointError: it is no pickle, cut off, or too long.
    """
    start = file.tell()
    try:
        for step, (opcode, argument, at) in enumerate(pickletools.genops(file)):  # type: ignore[arg-type]
            if step > steps or (at or 0) - start > LARGEST:
                raise ValueError(f"more than {steps:,} steps or {LARGEST:,} bytes")
            if "PUT" in opcode.name and isinstance(argument, int) and argument > steps:
                raise ValueError(f"a note of number {argument:,}")  # for which memory would be taken
        file.seek(start)
        reader = Unpickler(file)
        content = reader.load()
    except Exception as error:  # whatever a pickle does wrong
        damaged(path, error)
    for name in reader.asked:
        module, _, inside = name.partition(".")
        if module in RUNNERS or (module in ("builtins", "__builtin__") and inside in RUN):
            raise CheckpointError(f"{path}: not opened, it asks to run {name}; only tensors are read")
    return content, reader.storages


def damaged(path: Path, error: Exception) -> NoReturn:
    """Raise a CheckpointError in a line."""
    told = " ".join(str(error).split())[:160] or type(error).__name__
    raise CheckpointError(f"{path}: damaged or no checkpoint of PyTorch ({told})") from None


def called(value: Any) -> str:
    """What a value is, as a user would call it."""
    if isinstance(value, Asked):
        return value.name or "an object"
    return value.name if isinstance(value, type) and issubclass(value, Asked) else type(value).__name__
