"""Which pairs were translated: a line of JSON each, in the folder of results, written after the pair's files."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midms.core.errors import MidmsError, brief
from midms.core.files import check_regular, held
from midms.core.line_files import append_line, cut_line
from midms.core.schema import BRIEF

_LINE = 2**20
"""Bytes of the longest line that is read."""
_SHARD = re.compile(r"(results-(?:\d+-of-\d+-)?)(\d{6,})\.tar")
_PART = re.compile(r"manifest(?:-(\d+)-of-(\d+))?\.jsonl")


class ManifestError(MidmsError, RuntimeError):
    """A manifest that this run cannot go on with; the message says why."""


@dataclass(frozen=True)
class Share:
    """Which pairs are this process's: those whose key's CRC-32 leaves `number` when divided by `count`.

    Attributes:
        number: of the process, from 0.
        count: of processes.
    """

    number: int = 0
    count: int = 1

    @staticmethod
    def of_environment() -> Share:
        """As torchrun, accelerate and others say it: RANK and WORLD_SIZE.

        Raises:
            ManifestError: they are no such numbers.
        """
        said = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
        if not all(re.fullmatch(r"\d{1,9}", one) for one in said) or not int(said[0]) < int(said[1]):
            got = " and ".join(f"{name}={brief(one)}" for name, one in zip(("RANK", "WORLD_SIZE"), said, strict=True))
            raise ManifestError(f"{got}: expected a number from 0 and a larger one, of at most 9 digits")
        return Share(int(said[0]), int(said[1]))

    def has(self, key: str) -> bool:
        """Whether a pair is this process's; what has no key is the first's."""
        return zlib.crc32(key.encode("utf-8", "surrogateescape")) % self.count == self.number

    @property
    def name(self) -> str:
        """Of the manifest's part that this process writes."""
        return "manifest.jsonl" if self.count == 1 else f"manifest-{self.number}-of-{self.count}.jsonl"


class Manifest:
    """What one process has translated, and reads of what others have.

    The first line of a part says with which settings its results were made. A pair's has its `key`, and `file` with its
    `bytes` and `warnings` and the `inputs` it was made of, or `error`. Of several lines of a pair the last counts. The
    file is the result, or a tar file that it is in.

    Args:
        folder: of the results.
        share: of this process.
    """

    def __init__(self, folder: Path, share: Share) -> None:
        self.folder, self.share = folder, share
        self.path = folder / share.name
        self._shards = 0

    @contextmanager
    def held(self, settings: Mapping[str, Any], resume: bool) -> Iterator[dict[str, str]]:
        """Nobody else adds to this part meanwhile.

        Args:
            settings: what results depend on, as JSON has it.
            resume: whether the parts that are there are gone on with.

        Yields:
            Keys of this process's pairs whose files are there, with the inputs that these were made of as JSON.

        Raises:
            HeldError: another process adds to it.
            ManifestError: there is a manifest and `resume` is not set, it was made with other settings, or is no file.
            OSError: the disk refuses.
        """
        with held(self.folder, f".{self.share.name}.lock"):
            parts = [path for path in self.folder.glob("manifest*.jsonl") if _PART.fullmatch(path.name)]
            others = [path for path in parts if path == self.path or not path.name.endswith(self._siblings)]
            if others and not resume:
                raise ManifestError(f"{others[0]}: is of an earlier run; resume it, or take another folder")
            done = self._done(parts, settings)
            if self.path in parts:
                cut_line(self.path)
            self.add({"run": settings})
            yield done

    @property
    def _siblings(self) -> str:
        """How parts are called that others of this run may be writing."""
        return f"-of-{self.share.count}.jsonl" if self.share.count > 1 else "\0"

    def add(self, record: Mapping[str, Any]) -> None:
        """One more line.

        Raises:
            OSError: the disk refuses; then the line is not there.
        """
        try:
            append_line(self.path, json.dumps(record).encode(), sync=False)
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def next_shard(self) -> Path:
        """Of a tar file of results: a path that this process' lines do not have yet.

        Raises:
            OSError: there is such a file.
        """
        path = self.folder / f"{self._prefix}{self._shards:06d}.tar"
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, "is in no manifest; remove it, or take another folder", str(path))
        self._shards += 1
        return path

    @property
    def _prefix(self) -> str:
        """How tar files of this process are called, up to their numbers."""
        return self.share.name.removesuffix(".jsonl").replace("manifest", "results") + "-"

    def _done(self, parts: list[Path], settings: Mapping[str, Any]) -> dict[str, str]:
        for path in parts:
            try:
                check_regular(path, math.inf)
            except OSError as error:
                raise ManifestError(f"{path}: {error.strerror}") from None
        done = dict[str, str]()
        for path in sorted(parts, key=lambda path: path.stat().st_mtime_ns):
            begun = False
            with path.open("rb") as file:
                while line := file.readline(_LINE):
                    with suppress(ValueError, RecursionError):  # what was cut off is done again
                        record = json.loads(line)
                        if isinstance(record, dict) and "run" in record:
                            _check_settings(record["run"], settings, path)
                            begun = True
                        elif begun and isinstance(record, dict):
                            self._count(record, done)
        return done

    def _count(self, record: dict[str, Any], done: dict[str, str]) -> None:
        """Add a pair whose file is there."""
        key, file = record.get("key"), record.get("file")
        if not (isinstance(key, str) and isinstance(file, str) and self.share.has(key)):
            return
        if (shard := _SHARD.fullmatch(file)) and shard[1] == self._prefix:
            self._shards = max(self._shards, int(shard[2]) + 1)
        if shard or file == f"{key}.png":
            with suppress(OSError):
                if (self.folder / file).stat().st_size == record.get("bytes"):
                    done[key] = json.dumps(record.get("inputs"))


def _check_settings(were: object, settings: Mapping[str, Any], path: Path) -> None:
    known = were if isinstance(were, dict) else {}
    if other := [name for name, value in settings.items() if known.get(name) != value]:
        was, now = BRIEF.repr(known.get(other[0])), BRIEF.repr(settings[other[0]])
        raise ManifestError(f"{path}: was made with {other[0]} {was}, got {now}; take another folder")
