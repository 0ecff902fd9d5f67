"""Files that are damaged, of another kind or made to do harm, by what is wrong with them; each is written to a path."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file

LARGE = 2**40
PLAIN = {"a": torch.zeros(2, 2)}


class Harm:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch harmed",)


class Opens:
    """Opens a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("harmed", "w")


def sparse(path: Path, size: int) -> None:
    """A file of zeros that takes no space."""
    with path.open("wb") as file:
        file.truncate(size)


def saved(content: Any) -> Callable[[Path], object]:
    return lambda path: torch.save(content, path)


def said(content: str | bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content)


def old(content: Any) -> Callable[[Path], object]:
    return lambda path: torch.save(content, path, _use_new_zipfile_serialization=False)


def bare(content: Any) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(pickle.dumps(content))


def cut(content: Any, share: float) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        torch.save(content, path)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return write


def flipped(path: Path) -> None:
    """One bit of the numbers is another."""
    torch.save({"a": torch.arange(4096.0)}, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def bomb(path: Path) -> None:
    """A zip whose pickle unpacks to 2 GB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("x/data.pkl", "w", force_zip64=True) as inside:
            for _ in range(256):
                inside.write(bytes(2**20))
        file.writestr("x/version", "3")


ANYTHING: dict[str, Callable[[Path], object]] = {
    "nothing": said(b""),
    "one byte": said(b"\x80"),
    "zeros": said(bytes(4096)),
    "noise": said(bytes(i * 7919 % 256 for i in range(4096))),
    "a picture": lambda path: Image.new("RGB", (8, 8)).save(path, "png"),
    "a zip on two disks": said(b"PK\x06\x07" + struct.pack("<LQL", 0, 0, 2) + b"PK\x05\x06" + bytes(18)),
    "a page of the web": said("<!DOCTYPE html><html><body>Sign in</body></html>"),
    "a pointer of Git LFS": said("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"),
    "UTF-16": said("a: 1\n".encode("utf-16")),
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "endless zeros": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nothing": lambda path: path.symlink_to(path.with_name("gone")),
    "two gigabytes of zeros": lambda path: sparse(path, 2**31),
}
"""What is no file of any kind."""
PICKLES = ANYTHING | {
    "a program": saved({"state_dict": Harm()}),
    "a program among tensors": saved(PLAIN | {"b": Harm()}),
    "a program in an old file": old({"a": Harm()}),
    "a program in a bare pickle": bare({"a": Harm()}),
    "a program that opens": saved(Opens()),
    "a whole network": saved(torch.nn.Linear(2, 2)),
    "a namespace alone": saved(argparse.Namespace(a=1)),
    "a path alone": saved(pathlib.PurePosixPath("/etc/passwd")),
    "a list": saved([1, 2]),
    "a number": saved(3),
    "a tensor": saved(torch.zeros(2)),
    "no tensors": saved({}),
    "an empty state": saved({"state_dict": {}}),
    "names that are numbers": saved({1: torch.zeros(2)}),
    "texts for tensors": saved({"a": "b"}),
    "half a file": cut(PLAIN, 0.5),
    "nearly a file": cut(PLAIN, 0.97),
    "a flipped bit": flipped,
    "a bomb": bomb,
    "a zip of something else": lambda path: zipfile.ZipFile(path, "w").writestr("a.txt", "b"),
    "a deep pickle": said(b"\x80\x02" + b"]" * 100_000 + b"."),
    "an opcode that is none": said(b"\x80\x02\xff\xff."),
    "a huge length": said(b"\x80\x04\x8e" + struct.pack("<Q", LARGE) + b"."),
}


def header(content: Any, body: bytes = b"") -> Callable[[Path], object]:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return said(struct.pack("<Q", len(text)) + text + body)


def tensor(**changes: Any) -> Callable[[Path], object]:
    return header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes}, bytes(8))


SAFETENSORS = ANYTHING | {
    "a header beyond the file": said(struct.pack("<Q", LARGE) + b"{}"),
    "a header of no length": said(struct.pack("<Q", 0)),
    "a header of the largest length": said(struct.pack("<Q", 2**64 - 1)),
    "no JSON": header(b"{'a': 1}"),
    "a list": header([1]),
    "a deep header": header(b"[" * 100_000),
    "a number for a tensor": header({"a": 1}),
    "an unknown type": tensor(dtype="F7"),
    "no type": header({"a": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
    "a shape beyond the data": tensor(shape=[LARGE]),
    "a negative shape": tensor(shape=[-2]),
    "a shape that is a text": tensor(shape="2"),
    "offsets beyond the file": tensor(data_offsets=[0, LARGE]),
    "offsets that fall": tensor(data_offsets=[8, 0]),
    "a gap": tensor(data_offsets=[4, 12]),
    "no data": header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}),
    "no tensors": lambda path: save_file({}, path),
    "other tensors": lambda path: save_file(PLAIN, path),
    "whole numbers": lambda path: save_file({"a": torch.zeros(2, dtype=torch.int64)}, path),
    "a pickle": saved(PLAIN),
}


def aliases(path: Path) -> None:
    """Ten levels of ten: ten thousand million."""
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 10)]
    path.write_text("\n".join(lines))


YAMLS = ANYTHING | {
    "a list": said("- 1\n- 2\n"),
    "a text": said("model"),
    "a number": said("3"),
    "an unclosed list": said("a: [1, 2"),
    "a tab": said("a:\n\tb: 1"),
    "an unknown alias": said("a: *b"),
    "aliases of aliases": aliases,
    "itself": said("model: &a\n  params: *a\n"),
    "a program": said("a: !!python/object/apply:os.system ['touch harmed']"),
    "an object": said("a: !!python/name:os.system"),
    "an unknown tag": said("a: !mine 3"),
    "two documents": said("a: 1\n---\nb: 2\n"),
    "deep": said("[" * 20_000),
    "a long number": said("model: " + "9" * 10_000),
    "no model": said("data:\n  params: {}\n"),
    "a model that is a list": said("model: [1]"),
    "a model without settings": said("model:\n  target: x\n"),
    "settings that are a text": said("model:\n  target: x\n  params: yes\n"),
    "a name twice": said("model:\n  target: x\nmodel:\n  target: x\n"),
    "a mapping as a key": said("? {a: 1}\n: 2\n"),
    "control characters": said("a: \x00\x01"),
}
JSONS = ANYTHING | {
    "a list": said("[1, 2]"),
    "a text": said('"people"'),
    "a number": said("3"),
    "null": said("null"),
    "cut short": said('{"people": [{"pose_keypoints_2d": [1, 2,'),
    "a comment": said("// people\n{}"),
    "single quotes": said("{'people': []}"),
    "deep": said("[" * 100_000),
    "deep mappings": said('{"a":' * 50_000),
    "a long number": said('{"people": ' + "9" * 10_000 + "}"),
    "an empty mapping": said("{}"),
    "nobody": said('{"people": []}'),
    "a person that is a number": said('{"people": [3]}'),
    "people that are a text": said('{"people": "me"}'),
    "joints that are texts": said('{"people": [{"pose_keypoints_2d": ["a"]}]}'),
    "joints that are null": said('{"people": [{"pose_keypoints_2d": null}]}'),
    "too few joints": said('{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}'),
    "joints that are no numbers": said('{"people": [{"pose_keypoints_2d": [' + ", ".join(["NaN"] * 54) + "]}]}"),
    "joints at infinity": said('{"people": [{"pose_keypoints_2d": [' + ", ".join(["1e999"] * 54) + "]}]}"),
    "a canvas that is a text": said('{"people": [], "canvas_height": "x"}'),
    "a name twice": said('{"people": [], "people": []}'),
    "a lone surrogate": said(b'{"people": "\\ud800"}'),
}
