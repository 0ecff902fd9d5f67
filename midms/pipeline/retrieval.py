"""`midms pairs`: the pictures of a folder that are most alike, by what an extractor sees in them."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm import tqdm

from midms.core.errors import MidmsError
from midms.core.files import atomic_write
from midms.core.protocols import FeatureExtractor
from midms.core.tensors import CheckpointError, checksum, read_weights, save_state
from midms.images import PictureError, read_image, resize
from midms.loop.parts import Parts
from midms.pipeline.failures import blamed, named_parts

PER_FILE = 512
"""Pictures whose features are in a file."""
_AT_ONCE = 16
"""Files of queries that are compared with each of keys."""
_BATCH = 16
"""Pictures that an extractor takes in a batch."""
See = Callable[[Tensor], Tensor]
"""From pictures [b 3 y x] in [-1, 1] to features [b d h w]."""


class RetrievalError(MidmsError, ValueError):
    """Pictures that cannot be paired; the message says why."""


def sight(extractor: FeatureExtractor) -> See:
    """What a frozen extractor sees of pictures themselves, in the place of condition maps of three channels."""

    def see(pictures: Tensor) -> Tensor:
        with blamed({f"features: {type(extractor).__name__}": extractor}):
            return extractor.condition((pictures + 1) / 2).initial

    return see


def sight_of(parts: Parts) -> See:
    """What a model's own features see of pictures as exemplars."""

    def see(pictures: Tensor) -> Tensor:
        with blamed(named_parts(parts)):
            return parts.features.exemplar(parts.autoencoder.encode(pictures), parts.condition.photo(pictures)).initial

    return see


def weights_digest(*parts: object) -> str:
    """Tells the weights of parts apart."""
    modules = [part for part in parts if isinstance(part, nn.Module)]
    return " ".join(checksum({k: v.cpu() for k, v in module.state_dict().items()}) for module in modules)


@dataclass(frozen=True)
class Embedding:
    """How a picture becomes a vector: squeezed to a square, seen, and the mean of its features.

    Attributes:
        see: gives the features.
        key: what tells this from another way; kept vectors of another key are made anew.
        size: pixels a side that are seen.
        device: where it is computed.
    """

    see: See
    key: str
    size: int
    device: str = "cpu"

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[Float[Tensor, "1 3 _ _"]]) -> Float[Tensor, "b n"]:
        """Unit vectors."""
        seen = self.see(torch.cat([resize(picture, (self.size, self.size)) for picture in pictures]).to(self.device))
        return F.normalize(seen.float().mean((2, 3)), dim=1).cpu()


@dataclass(frozen=True)
class Vectors:
    """Vectors in half precision, in files of `PER_FILE` pictures; a picture that cannot be read has NaN.

    Attributes:
        paths: files, in the order of pictures.
        broken: what is wrong with the pictures that cannot be read, by number.
    """

    paths: tuple[Path, ...]
    broken: dict[int, str]

    def block(self, number: int, count: int = 1) -> Float[Tensor, "n d"]:
        """The vectors of some files."""
        paths = self.paths[number : number + count]
        return torch.cat([read_weights(path, sealed=True)["vectors"].float() for path in paths])


def embed(root: Path, names: Sequence[str], embedding: Embedding, folder: Path) -> Vectors:
    """The vectors of pictures, kept in a folder: what is there already, with its checksum, is not made again.

    Args:
        root: folder of the pictures.
        names: their paths from it.
        embedding: makes vectors.
        folder: for the files, each of which is written whole or not at all.

    Raises:
        CheckpointError: the disk refuses.
        RetrievalError: no picture can be read.
    """
    paths, broken = [], dict[int, str]()
    bar = tqdm(total=len(names), desc="embedding pictures", unit="picture", disable=None)
    for start in range(0, len(names), PER_FILE):
        few = names[start : start + PER_FILE]
        path = folder / f"{start // PER_FILE:06}-{_key(root, few, embedding)}.safetensors"
        vectors = _kept(path)
        if vectors is None:
            vectors, wrong = _vectors(root, few, embedding, bar)
            if vectors is None:
                raise RetrievalError(f"{root}: none of {len(few)} pictures can be read; {next(iter(wrong.values()))}")
            save_state({"vectors": vectors}, path)
            broken |= {start + i: text for i, text in wrong.items()}
        for i in (~vectors.isfinite().all(1)).nonzero().flatten().tolist():
            broken.setdefault(start + i, f"{root / few[i]}: could not be read before")
        paths.append(path)
        bar.update(start + len(few) - bar.n)
    bar.close()
    for stale in set(folder.glob("*.safetensors")) - set(paths):
        stale.unlink()
    return Vectors(tuple(paths), broken)


def _kept(path: Path) -> Float[Tensor, "n d"] | None:
    """What a file has kept, if it is whole."""
    try:
        return read_weights(path, sealed=True)["vectors"]
    except (CheckpointError, KeyError):
        return None


def _key(root: Path, names: Sequence[str], embedding: Embedding) -> str:
    """Tells pictures and the way they become vectors apart."""
    stats = [path.stat() if (path := root / name).exists() else path.lstat() for name in names]
    content: list[object] = [embedding.key, embedding.size]
    content += [[name, stat.st_size, stat.st_mtime_ns] for name, stat in zip(names, stats, strict=True)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _vectors(
    root: Path, names: Sequence[str], embedding: Embedding, bar: tqdm
) -> tuple[Float[Tensor, "n d"] | None, dict[int, str]]:
    """Vectors of pictures, and what is wrong with those that cannot be read."""
    rows, wrong = dict[int, Tensor](), dict[int, str]()
    for batch in (range(len(names))[i : i + _BATCH] for i in range(0, len(names), _BATCH)):
        pictures = dict[int, Tensor]()
        for i in batch:
            try:
                pictures[i] = read_image(root / names[i])
            except PictureError as error:
                wrong[i] = str(error)
        if pictures:
            rows |= zip(pictures, embedding([*pictures.values()]), strict=True)
        bar.update(len(batch))
    if not rows:
        return None, wrong
    missing = torch.full_like(next(iter(rows.values())), torch.nan)
    return torch.stack([rows.get(i, missing) for i in range(len(names))]).half(), wrong


def nearest_of(vectors: Vectors, count: int) -> Iterator[tuple[int, Float[Tensor, " k"], Int[Tensor, " k"]]]:
    """For each picture its nearest others.

    Vectors are compared in blocks, so that memory follows from `PER_FILE` and a vector's length alone. Pictures that
    could not be read take no part.

    Args:
        vectors: unit vectors.
        count: how many; fewer where there are fewer others.

    Yields:
        The picture's number, the cosines of the nearest from the greatest, and their numbers.
    """
    total = len(vectors.paths)
    bar = tqdm(total=-(-total // _AT_ONCE) * total, desc="comparing", unit="block", disable=None)
    for first in range(0, total, _AT_ONCE):
        query = vectors.block(first, _AT_ONCE)
        own = torch.arange(len(query))[:, None] + first * PER_FILE
        best, index = query.new_empty(len(query), 0), own.new_empty(len(query), 0)
        for number in range(total):
            key = vectors.block(number)
            near = torch.arange(len(key))[None] + number * PER_FILE
            cosine = (query @ key.T).nan_to_num(-torch.inf).masked_fill_(near == own, -torch.inf)
            some, place = cosine.topk(min(count, len(key)), dim=1)
            best, index = torch.cat([best, some], 1), torch.cat([index, place + number * PER_FILE], 1)
            order = best.argsort(dim=1, descending=True, stable=True)[:, :count]
            best, index = best.gather(1, order), index.gather(1, order)
            bar.update()
        for row, (cosines, others) in enumerate(zip(best, index, strict=True)):
            known = cosines > -torch.inf
            if bool(known.any()):
                yield first * PER_FILE + row, cosines[known], others[known]
    bar.close()


def write_pairs(
    found: Iterator[tuple[int, Float[Tensor, " k"], Int[Tensor, " k"]]],
    root: Path,
    names: Sequence[str],
    out: Path,
    ref: Path | None,
) -> int:
    """Write pairs as they are found: as a table that the data sets `pairs` and `folder` read, and as CoCosNet's list.

    Args:
        found: from `nearest_of`.
        root: folder of the pictures.
        names: their paths from it.
        out: of the table: target, exemplar, both relative to its folder, and similarity, a row a pair.
        ref: of the list: a line a picture, its name and those of its exemplars, as paths from root.

    Returns:
        How many pictures have exemplars.

    Raises:
        OSError: a file cannot be written; then neither is.
    """
    base, lines = os.path.relpath(os.path.realpath(root), os.path.realpath(out.parent)), []
    with ExitStack() as files:
        table = files.enter_context(files.enter_context(atomic_write(out)).open("w", newline="", encoding="utf-8"))
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["target", "exemplar", "similarity"])
        for number, cosines, others in found:
            target, exemplars = names[number], [names[i] for i in others.tolist()]
            writer.writerows(
                [Path(base, target).as_posix(), Path(base, exemplar).as_posix(), f"{cosine:.4f}"]
                for exemplar, cosine in zip(exemplars, cosines.tolist(), strict=True)
            )
            lines.append(",".join([target, *exemplars]) + "\n")
        if ref is not None:
            files.enter_context(atomic_write(ref)).write_text("".join(lines), encoding="utf-8")
    return len(lines)
