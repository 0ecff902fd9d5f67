"""Results in tar files, as webdataset has them: KEY.png and KEY.json, so many pairs a file."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from midms.core.files import atomic_write, scratch
from midms.pipeline.jobs.manifest import Manifest


class Packer:
    """Puts results of one process into tar files, which appear when they are whole.

    The manifest's lines of a tar file are written just before it has its name, and count once it has: whenever the
    process is killed, a pair is in one tar file or in none.

    Args:
        manifest: of this process; tar files are in its folder.
        staged: folder of results until they are packed.
        count: pairs of a tar file.
    """

    def __init__(self, manifest: Manifest, staged: Path, count: int) -> None:
        self.manifest, self.staged, self.count = manifest, staged, count
        self._waiting: list[Mapping[str, Any]] = []

    def add(self, record: Mapping[str, Any]) -> None:
        """A pair's line, whose result is in the folder, or which failed.

        Raises:
            OSError: the disk refuses the manifest, or a tar file.
        """
        if "error" in record:
            error = record["error"].replace(str(self.staged), str(self.manifest.folder))
            self.manifest.add({**record, "error": error})
            return
        self._waiting.append(record)
        if len(self._waiting) >= self.count:
            self.pack()

    def pack(self) -> None:
        """What waits is one tar file more.

        Raises:
            OSError: the disk refuses; then it is not there.
        """
        records, self._waiting = self._waiting, []
        if not records:
            return
        path = self.manifest.next_shard()
        try:
            with atomic_write(path) as part:
                with tarfile.open(part, "w") as archive:
                    for record in records:
                        note = {name: value for name, value in record.items() if name not in ("file", "bytes")}
                        _add(archive, f"{record['key']}.png", (self.staged / record["file"]).read_bytes())
                        _add(archive, f"{record['key']}.json", json.dumps(note).encode())
                size = part.stat().st_size
                for record in records:
                    self.manifest.add({**record, "file": path.name, "bytes": size})
        except OSError as error:
            raise OSError(error.errno, error.strerror, error.filename or str(path)) from None
        for record in records:
            (self.staged / record["file"]).unlink()


@contextmanager
def packing(manifest: Manifest, count: int) -> Iterator[Packer]:
    """A packer meanwhile; at the end, also where the run is interrupted, what waits is packed."""
    with scratch(manifest.folder) as staged:
        packer = Packer(manifest, staged, count)
        try:
            yield packer
        finally:
            packer.pack()


def unpackable(key: str, changed: bool) -> str:
    """Why a pair cannot be put into a tar file, or nothing.

    Args:
        key: of the pair; webdataset's end at the first dot of their last name.
        changed: whether it is in a tar file, and its inputs have changed since.
    """
    if "." in key.rsplit("/", 1)[-1]:
        return f"the key {key!r} has a dot, where it would end in a tar file"
    again = "remove that, which the manifest names, to make all its pairs again"
    return f"{key}: its inputs have changed since it was put into a tar file; {again}" if changed else ""


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, BytesIO(content))
