"""Data sets in every layout, drawn with the portraits: photos, masks, joints, label maps, drawings, lists."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import json
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from midms import create
from midms.conditions.ade20k_segmentation import ADE20KSegmentation
from midms.conditions.celebahq_edge import ON_SKIN, CelebaHQEdge
from midms.conditions.deepfashion_pose import DeepFashionPose
from midms.conditions.edges import Edges
from midms.conditions.sketch import Sketch
from midms.core.protocols import ConditionExtractor
from midms.data.portraits import parameters
from midms.data.portraits.pairs import ID, Faces, render
from midms.images import resize

COUNT, SIDE, POSES = 40, 80, 4
"""Pictures, their pixels a side, and in how many poses each face is."""
PARTS = {
    "skin": "skin", "l_brow": "left_brow", "r_brow": "right_brow", "l_eye": "left_eye", "r_eye": "right_eye",
    "l_ear": "left_ear", "r_ear": "right_ear", "nose": "nose", "u_lip": "upper_lip", "mouth": "mouth",
    "l_lip": "lower_lip", "eye_g": "glasses", "hair": "hair",
}  # fmt: skip
"""CelebAMask-HQ's parts as portraits have them."""
CONDITIONS: dict[str, Callable[[], ConditionExtractor]] = {
    "folder": Edges,
    "pairs": Sketch,
    "imagefolder": Edges,
    "webdataset": ADE20KSegmentation,
    "celebahq-edge": CelebaHQEdge,
    "deepfashion-pose": DeepFashionPose,
    "lsun-church": ADE20KSegmentation,
    "ade20k": ADE20KSegmentation,
}
"""What reads the conditions of each layout."""


@functools.cache
def faces() -> Faces:
    """Face i has style i // POSES."""
    geometry = parameters.geometry(range(COUNT))
    return render(geometry, parameters.style([i // POSES for i in range(COUNT)]), SIDE)


def photo(index: int) -> Image.Image:
    pixels = ((faces().image[index] + 1) * 127.5).round().byte()
    return Image.fromarray(pixels.movedim(0, -1).numpy())


def labels(index: int) -> Image.Image:
    return Image.fromarray(faces().parts[index].byte().numpy())


def drawing(index: int) -> Image.Image:
    """Borders of the parts in black on white."""
    parts = faces().parts[index].numpy()
    ink = np.zeros(parts.shape, bool)
    ink[1:] |= parts[1:] != parts[:-1]
    ink[:, 1:] |= parts[:, 1:] != parts[:, :-1]
    return Image.fromarray(np.where(ink, 0, 255).astype(np.uint8))


def joints(index: int) -> np.ndarray:
    """(x, y) of OpenPose's 18 joints in pixels: a face above shoulders and arms; NaN for hips and legs."""
    eyes_brows_mouth = (faces().landmarks[index] * torch.tensor([1.0, -1.0]) + 1) / 2 * SIDE
    left, right, nose, chin = eyes_brows_mouth[[0, 1, 4, 7]].numpy()
    found = np.full((18, 2), np.nan)
    neck = chin + np.array([0, SIDE * 0.05])
    found[[0, 1, 14, 15]] = nose, neck, left, right
    for shoulder, side in ((2, -1), (5, 1)):
        arm = np.array([[0.15, 0.05], [0.25, 0.05], [0.3, 0.05]]) * [side, 1]
        found[shoulder : shoulder + 3] = neck + SIDE * arm
    return found.clip(0, SIDE - 1)


def following(index: int) -> int:
    """Another pose of the same face."""
    return index // POSES * POSES + (index + 1) % POSES


def made(layout: str) -> Path:
    """What the data set of this name takes as its path, written once in a process."""
    return _made(layout)


@functools.cache
def _made(layout: str) -> Path:
    root = Path(_temporary().name) / layout
    root.mkdir()
    return WRITERS[layout](root)


@functools.cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="midms-made-")


def write_folder(root: Path) -> Path:
    """Pictures in two formats and in a folder of the folder, and a file that is none."""
    (root / "more").mkdir()
    for i in range(COUNT):
        photo(i).save(root / (f"more/{i}.png" if i % 2 else f"{i}.jpg"), quality=95)
    (root / "notes.txt").write_text("no picture")
    return root


def write_pairs(root: Path) -> Path:
    for i in range(COUNT):
        photo(i).save(root / f"{i}.jpg", quality=95)
        drawing(i).save(root / f"{i}-drawn.png")
    with (root / "table.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["target", "condition", "exemplar", "exemplar_condition"])
        for i in range(COUNT):
            other = following(i)
            rows.writerow([f"{i}.jpg", f"{i}-drawn.png", f"{other}.jpg", f"{other}-drawn.png"])
    return root / "table.csv"


def write_imagefolder(root: Path) -> Path:
    for split, chosen in (("train", range(COUNT - 4)), ("validation", range(COUNT - 4, COUNT))):
        (root / split).mkdir()
        lines = []
        for i in chosen:
            photo(i).save(root / split / f"{i}.png")
            lines.append(json.dumps({"file_name": f"{i}.png", "exemplar_file_name": f"{following(i)}.png", "age": i}))
        (root / split / "metadata.jsonl").write_text("\n".join(lines))
    return root


def write_webdataset(root: Path) -> Path:
    for number, chosen in enumerate((range(COUNT // 2), range(COUNT // 2, COUNT))):
        with tarfile.open(root / f"{number:03}.tar", "w") as archive:
            for i in chosen:
                add_member(archive, f"{i:06}.jpg", encoded(photo(i), "jpeg"))
                add_member(archive, f"{i:06}.condition.png", encoded(labels(i), "png"))
                add_member(archive, f"{i:06}.txt", b"a face")
    return root


def encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def add_member(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """A file whose time is no whole number, as webdataset's writer has it, so that it has a pax header."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime = len(content), 1.5
    archive.addfile(info, io.BytesIO(content))


def write_celebahq(root: Path) -> Path:
    (root / "CelebA-HQ-img").mkdir()
    masks = root / "CelebAMask-HQ-mask-anno" / "0"
    masks.mkdir(parents=True)
    for i in range(COUNT):
        photo(i).save(root / "CelebA-HQ-img" / f"{i}.jpg", quality=95)
        parts = faces().parts[i]
        for name, own in PARTS.items():
            shown = [ID[PARTS[part]] for part in ON_SKIN] if name == "skin" else [ID[own]]
            mask = torch.isin(parts, torch.tensor(shown))
            if mask.any():
                Image.fromarray(mask.byte().mul(255).numpy()).save(masks / f"{i:05}_{name}.png")
    write_splits(root, [str(i) for i in range(COUNT)])
    write_lists(root, "celebahq", [f"{i}.jpg" for i in range(COUNT)])
    return root


def write_deepfashion(root: Path) -> Path:
    names = []
    for i in range(COUNT):
        place = f"WOMEN/Dresses/id_{i // POSES:08}/0{1 + i % POSES}_1_front"
        for kind in ("img", "pose"):
            (root / kind / place).parent.mkdir(parents=True, exist_ok=True)
        photo(i).save(root / "img" / f"{place}.jpg", quality=95)
        found = joints(i)
        known = ~np.isnan(found[:, 0])
        numbers = np.where(known, np.cumsum(known) - 1, -1)
        candidates = [[*found[joint], 0.9, numbers[joint]] for joint in np.flatnonzero(known)]
        np.savetxt(root / "pose" / f"{place}_candidate.txt", candidates)
        np.savetxt(root / "pose" / f"{place}_subset.txt", np.array([[*numbers, 20.0, known.sum()]]))
        names.append(f"img/{place}.jpg".replace("/", "\\"))
    write_splits(root, names)
    write_lists(root, "deepfashion", names)
    pairs = [",".join(names[j] for j in (i, following(i))) for i in range(0, COUNT, 2)]
    (root / "deepfashion_self_pair.txt").write_text("\n".join(pairs))
    return root


def write_segmented(root: Path, name: str) -> Path:
    for folder, chosen in (("training", range(COUNT - 4)), ("validation", range(COUNT - 4, COUNT))):
        (root / folder).mkdir()
        for i in chosen:
            photo(i).save(root / folder / f"picture_{i:04}.jpg", quality=95)
            labels(i).save(root / folder / f"picture_{i:04}.png")
    write_lists(root, name, [f"picture_{i:04}.jpg" for i in range(COUNT)])
    return root


def write_splits(root: Path, names: list[str]) -> None:
    """The last four are held out."""
    (root / "train.txt").write_text("\n".join(names[:-4]) + "\n")
    (root / "val.txt").write_text("\n".join(names[-4:]) + "\n")


def write_lists(root: Path, name: str, names: list[str]) -> None:
    """Each picture's exemplars are the other poses of its face, in their order."""
    lines = [
        ",".join([names[i], *(names[j] for j in range(i // POSES * POSES, (i // POSES + 1) * POSES) if j != i)])
        for i in range(COUNT)
    ]
    (root / f"{name}_ref.txt").write_text("\n".join(lines[:-4]) + "\n")
    (root / f"{name}_ref_test.txt").write_text("\n".join(lines[-4:]) + "\n")


WRITERS: dict[str, Callable[[Path], Path]] = {
    "folder": write_folder,
    "pairs": write_pairs,
    "imagefolder": write_imagefolder,
    "webdataset": write_webdataset,
    "celebahq-edge": write_celebahq,
    "deepfashion-pose": write_deepfashion,
    "lsun-church": lambda root: write_segmented(root, "lsun_church"),
    "ade20k": lambda root: write_segmented(root, "ade20k"),
}


def solid(root: Path, count: int, side: int = 24) -> list[str]:
    """Pictures of one grey each, which tell their number: `number_of` reads it."""
    root.mkdir(parents=True, exist_ok=True)
    names = [f"{i}.png" for i in range(count)]
    for i, name in enumerate(names):
        Image.new("L", (side, side), 5 * i).save(root / name)
    return names


def number_of(picture: torch.Tensor) -> int:
    """Which of the pictures that `solid` wrote this is."""
    return round(((picture.mean().item() + 1) * 127.5) / 5)


def truncated(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@dataclasses.dataclass(frozen=True)
class Seen:
    """A condition that is the picture itself."""

    channels: int = 3

    def drawing(self, picture: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        return resize(picture, size).clamp(-1, 1) / 2 + 0.5

    def photo(self, image: torch.Tensor) -> torch.Tensor:
        return image / 2 + 0.5


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pairs_of(name: str, path: object, **more: Any) -> Any:
    return create("dataset", name, path=path, **{"size": 16, "condition": Seen()} | more)
