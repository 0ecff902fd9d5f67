"""Reads files of `torch.save` without running anything in them; tensors are maps of the file, not copies.

There are two formats: since PyTorch 1.6 a zip with a pickle and the numbers of each storage, before it several pickles
one after another and then the numbers. Sizes that a file declares are checked against the bytes that are there.
"""

from __future__ import annotations

import io
import math
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from midms.checkpoints.convert.pickles import DAMAGE, PICKLE_BYTES, Asked, damaged, type_name, unpickled
from midms.core.tensors import CheckpointError, check_weights_file

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""The first two pickles of a file of PyTorch before 1.6."""
PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
TENSORS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor", *PARAMETERS)
"""The functions by which a pickle makes a tensor."""
TYPES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
    "torch.ComplexFloatStorage": torch.complex64,
    "torch.ComplexDoubleStorage": torch.complex128,
    "torch.QInt8Storage": torch.qint8,
    "torch.QUInt8Storage": torch.quint8,
    "torch.QInt32Storage": torch.qint32,
    "torch.storage.UntypedStorage": torch.uint8,
}
Storage = Callable[[str, torch.dtype, int], Tensor]
"""From a storage's key, a type and a count to its numbers [count]."""


def is_tensor(value: Any) -> bool:
    """Whether a value out of a pickle stands for a tensor."""
    return isinstance(value, Asked) and value.name in TENSORS


def plain(path: Path) -> Any:
    """What a checkpoint of our own training holds, plain data and tensors alone.

    PyTorch reads it, with `weights_only`: the losses of a long training are more instructions than `read_tensors`
    takes.

    Raises:
        CheckpointError: the file is missing, truncated or damaged, or holds anything else.
    """
    if not _checked(path):
        raise CheckpointError(f"{path}: no checkpoint of training, it is no zip")
    try:
        with zipfile.ZipFile(path) as archive:
            _stored(archive, path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tensors that are no weights, which is found later
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except CheckpointError:
        raise
    except Exception as error:  # a damaged file makes torch's reader raise anything
        damaged(path, error)


def read_tensors(path: Path) -> tuple[Any, Callable[[Asked], Tensor]]:
    """What a file of `torch.save` holds.

    Args:
        path: of the file.

    Returns:
        Plain data and `Asked`; and a function from an `Asked` that stands for a tensor (`is_tensor`) to the tensor.

    Raises:
        CheckpointError: the file is missing, truncated, damaged, or of another kind; from the function, a tensor does
            not fit the numbers that are there.
    """
    zipped = _checked(path)
    try:
        content, storage = (_zip if zipped else _pickles)(path)
    except CheckpointError:
        raise
    except DAMAGE as error:
        damaged(path, error)
    return content, lambda asked: _tensor(asked, storage, path)


def _checked(path: Path) -> bool:
    """Whether a file is a zip; it is checked to begin as a file of PyTorch does."""
    check_weights_file(path)
    try:
        zipped = zipfile.is_zipfile(path)
    except zipfile.BadZipFile as error:
        damaged(path, error)
    with path.open("rb") as file:
        start = file.read(2)
    if not zipped and start in (b"PK", b""):
        raise CheckpointError(f"{path}: truncated, expected all of its bytes")
    if not zipped and start[:1] != pickle.PROTO:
        raise CheckpointError(f"{path}: no checkpoint of PyTorch, it begins with {start!r}")
    return zipped


def _stored(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """The members of a zip, which are not compressed, are all there, and have the checksums that it says."""
    members = {member.filename: member for member in archive.infolist()}
    if any(member.compress_type or member.file_size != member.compress_size for member in members.values()):
        raise ValueError("a zip that is compressed")
    if sum(member.file_size for member in members.values()) > path.stat().st_size:
        raise ValueError("a zip that says it holds more than it has")
    if any(member.CRC for member in members.values()) and (bad := archive.testzip()):
        raise CheckpointError(f"{path}: damaged at {bad}, another copy may be whole")
    return members


def _zip(path: Path) -> tuple[Any, Storage]:
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        members = _stored(archive, path)
        roots = [
            name.removesuffix("data.pkl") for name in members if name.endswith("/data.pkl") and name.count("/") == 1
        ]
        if len(roots) != 1:
            raise ValueError("a zip without a data.pkl")
        root = roots[0]
        places = {}
        for name, member in members.items():
            file.seek(member.header_offset + 26)
            named, more = (int.from_bytes(file.read(2), "little") for _ in range(2))
            places[name] = (member.header_offset + 30 + named + more, member.file_size)

        def content_of(name: str) -> bytes:
            file.seek(places[name][0])
            return file.read(min(places[name][1], PICKLE_BYTES + 1))

        if f"{root}byteorder" in places and content_of(f"{root}byteorder") != b"little":
            raise ValueError("its numbers have their bytes the other way round")
        content, _ = unpickled(io.BytesIO(content_of(f"{root}data.pkl")), path)
    inside = f"{root}data/"
    places = {name.removeprefix(inside): place for name, place in places.items() if name.startswith(inside)}
    return content, _mapped(path, places)


def _pickles(path: Path) -> tuple[Any, Storage]:
    with path.open("rb") as file:
        magic, version, system = (unpickled(file, path)[0] for _ in range(3))
        if (magic, version) != (MAGIC, PROTOCOL) or not isinstance(system, dict):
            raise ValueError("a pickle of another kind")
        if system.get("little_endian") is not True:
            raise ValueError("its numbers have their bytes the other way round")
        content, storages = unpickled(file, path)
        types = {pid[2]: TYPES[type_name(pid[1])] for pid in storages}
        keys, _ = unpickled(file, path)
        places = {}
        for key in keys:
            count = int.from_bytes(file.read(8), "little")
            places[key] = (file.tell(), count * types[key].itemsize)
            file.seek(places[key][1], 1)
    return content, _mapped(path, places)


def _mapped(path: Path, places: dict[str, tuple[int, int]]) -> Storage:
    """Storages at places of a file, each a start and a count of bytes; a change of the tensors is not written to it."""
    size = path.stat().st_size
    content = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)

    def storage(key: str, dtype: torch.dtype, count: int) -> Tensor:
        start, there = places[key]
        if there != count * dtype.itemsize or start + there > size:
            raise ValueError(f"storage {key} has {there:,} bytes, not {count:,} numbers of {dtype}")
        found = content[start : start + there]
        return (found if start % dtype.itemsize == 0 else found.clone()).view(dtype)

    return storage


def _tensor(asked: Asked, storage: Storage, path: Path) -> Tensor:
    """The tensor that an `Asked` stands for."""
    try:
        if asked.name in PARAMETERS:
            asked = asked.args[0]
        if not is_tensor(asked) or asked.name in PARAMETERS:
            raise ValueError("a parameter that is no tensor")
        (_, kind, key, _, count, *view), offset, shape, strides = asked.args[:4]
        sizes = (count, offset, *shape, *strides)
        if len(shape) != len(strides) or not all(type(number) is int and number >= 0 for number in sizes) or any(view):
            raise ValueError("a tensor of odd sizes")
        if any(asked.args[6:]):
            raise ValueError("a tensor whose numbers are to be negated")
        last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
        if math.prod(shape) and (last >= count or math.prod(shape) > count):
            raise ValueError(f"a tensor of {tuple(shape)} in a storage of {count:,} numbers")
        numbers = storage(key, TYPES[type_name(kind)], count)
        start = numbers.storage_offset() + offset
        return numbers.as_strided(shape, strides, start) if math.prod(shape) else numbers.new_empty(shape)
    except DAMAGE as error:
        damaged(path, error)
