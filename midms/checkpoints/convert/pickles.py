"""Reads pickles of others without running anything in them: plain data as it is, a stand-in for every other object."""

from __future__ import annotations

import pickle
import pickletools
import re
import struct
import zlib
from io import BufferedIOBase
from pathlib import Path
from typing import Any, NoReturn
from zipfile import BadZipFile

from midms.core.tensors import CheckpointError

_STEPS = 600_000
"""Instructions of the longest pickle that is read; four thousand tensors take a third of them."""
PICKLE_BYTES = 2**26
"""Bytes of the largest pickle that is read; the numbers of tensors lie outside of it."""
DAMAGE = (
    *(ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RuntimeError, MemoryError),
    *(OSError, EOFError, struct.error, zlib.error, BadZipFile, pickle.UnpicklingError),
)
"""What damaged or hostile bytes make readers of pickles, zips and tensors raise."""
HARMFUL = re.compile(
    r"(commands|ctypes|importlib|nt|os|posix|pty|runpy|shutil|socket|subprocess|sys)\..+"
    r"|(__builtin__|builtins)\.(__import__|breakpoint|compile|eval|exec|execfile|input|open)"
)
"""What no checkpoint needs. It would not be run either, but a file that asks for it means harm."""


class Asked(dict[Any, Any]):
    """Stands for an object that a pickle asks for. It is a mapping, for checkpoints hold many, such as OrderedDict.

    Attributes:
        name: the class or function that would make the object, such as "torch._utils._rebuild_tensor_v2".
        args: what that would be called with.
    """

    name = ""
    args: tuple[Any, ...] = ()
    __hash__ = object.__hash__  # type: ignore[assignment]

    def __init__(self, *args: Any, **_: Any) -> None:
        self.args = args

    def __call__(self, *_: Any, **__: Any) -> Asked:
        """What an object would return if a pickle called it: another stand-in."""
        return Asked()

    def __setstate__(self, state: Any) -> None:
        """Ignore the object's attributes."""

    def extend(self, items: Any) -> None:
        """Ignore the items, if the object is a list or a set."""

    append = add = extend


class Unpickler(pickle.Unpickler):
    """Plain data as it is, `Asked` for every other object.

    Attributes:
        storages: the references to numbers of tensors, which lie outside the pickle.
        asked: the stand-in for each class and function that was asked for, by its name.
    """

    def __init__(self, file: BufferedIOBase) -> None:
        super().__init__(file, encoding="latin1")
        self.storages: list[Any] = []
        self.asked: dict[str, type[Asked]] = {}

    def find_class(self, module: str, name: str) -> type[Asked]:
        """A stand-in, the same for the same name; nothing is imported."""
        asked = f"{module}.{name}"
        if asked not in self.asked:
            self.asked[asked] = type("Asked", (Asked,), {"name": asked})
        return self.asked[asked]

    def persistent_load(self, pid: Any) -> Any:
        """A reference to a storage as it is; of a class saved with its source code, the class alone."""
        if isinstance(pid, tuple) and pid[:1] == ("module",):
            return pid[1]
        self.storages.append(pid)
        return pid


def unpickled(file: BufferedIOBase, path: Path) -> tuple[Any, list[Any]]:
    """The next pickle of a file.

    Args:
        file: at the start of the pickle; afterwards at its end.
        path: what errors call it.

    Returns:
        Plain data and `Asked`, and the references to storages in them.

    Raises:
        CheckpointError: it is no pickle, damaged, too long, or asks for something that runs programs.
    """
    start = file.tell()
    try:
        for step, (opcode, argument, at) in enumerate(pickletools.genops(file)):  # type: ignore[arg-type]
            if step > _STEPS or (at or 0) - start > PICKLE_BYTES:
                raise ValueError(f"more than {_STEPS:,} steps or {PICKLE_BYTES:,} bytes")
            if "PUT" in opcode.name and isinstance(argument, int) and argument > _STEPS:
                raise ValueError(f"a memo of number {argument:,}")  # for which memory would be taken
        file.seek(start)
        reader = Unpickler(file)
        content = reader.load()
    except DAMAGE as error:
        damaged(path, error)
    for name in reader.asked:
        if HARMFUL.fullmatch(name):
            raise CheckpointError(f"{path}: not opened, it asks to run {name}; only tensors are read")
    return content, reader.storages


def damaged(path: Path, error: Exception) -> NoReturn:
    """Say in one line that a file is damaged, and how."""
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    raise CheckpointError(f"{path}: damaged or no checkpoint of PyTorch ({reason})") from None


def type_name(value: Any) -> str:
    """What a value is, as a user would call it."""
    if isinstance(value, Asked):
        return value.name or "an object"
    return value.name if isinstance(value, type) and issubclass(value, Asked) else type(value).__name__
