"""The data sets that MIDMs is trained on, in the folders and with the lists of CoCosNet (Zhang et al. 2020).

    CelebAMask-HQ/  CelebA-HQ-img/12.jpg  CelebAMask-HQ-mask-anno/0/00012_hair.png  train.txt  val.txt
    DeepFashion/    img/WOMEN/.../01_1_front.jpg  pose/WOMEN/.../01_1_front_candidate.txt, _subset.txt
                    train.txt  val.txt
    churches/       training/NAME.jpg, NAME.png  validation/NAME.jpg, NAME.png     (ADE20K alike)

`celebahq_ref.txt`, `celebahq_ref_test.txt` and so on have a line a picture: its name, then those of its exemplars, most
alike first, divided by commas.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from midms.core.protocols import AnnotationReader, ConditionExtractor
from midms.data.crops import Cropping
from midms.data.errors import DatasetError
from midms.data.files import KEYPOINT_TEXTS, Names, PictureFiles
from midms.data.folder import SELF_WARPED, list_pictures
from midms.data.pair_lists import numbered, read_lines, read_pair_list
from midms.data.pictures import ANYTHING, Exemplars, PicturePairs
from midms.data.splits import check_split, in_split

_PHOTOS = "CelebA-HQ-img"
_SPLIT_FILES = {"train": "train.txt", "validation": "val.txt"}
_SEGMENTED = {"train": "training", "validation": "validation"}
"""Folders of a data set with label maps."""
_LISTS = {"train": "_ref.txt", "validation": "_ref_test.txt"}
"""How the lists of a split end."""
_Folder = str | os.PathLike[str]


def celebahq_edge(
    path: _Folder,
    *,
    size: int,
    condition: ConditionExtractor | None = None,
    split: str = "train",
    lists: _Folder | None = None,
    flip: bool = True,
) -> PicturePairs:
    """CelebAMask-HQ: photos, and a mask for each part of each face.

    The condition celebahq-edge reads masks; any other is made of the photos. Pictures of a random pair are brought to
    286/256 of the size, squeezed if they are not square, cropped and mirrored, each by itself.

    To choose for training or measuring on faces as the articles do.

    Args:
        path: `CelebAMask-HQ`, with the folders `CelebA-HQ-img` and `CelebAMask-HQ-mask-anno`; without `train.txt` and
            `val.txt`, which list numbers of photos, one of twenty is held out by a hash.
        size: pixels of the pairs' sides.
        condition: makes the maps; must be given.
        split: "train" or "validation".
        lists: folder of `celebahq_ref.txt` and `celebahq_ref_test.txt` (default: path); without them each picture is
            its own exemplar, under a smooth warp whose flow is exact.
        flip: whether pictures are mirrored in half of all draws.

    Raises:
        DatasetError: something is missing, or a list names files that are not there.
    """
    root = Path(path)
    targets = _listed_targets(root, split, lambda line: f"{_PHOTOS}/{line}.jpg", _PHOTOS)
    return _pairs(
        root,
        targets,
        _list(root, lists, "celebahq", split),
        lambda name: f"{_PHOTOS}/{name}",
        lambda place: place,
        condition,
        Cropping(size, squeezed=True, flip=flip),
    )


def deepfashion_pose(
    path: _Folder,
    *,
    size: int,
    condition: ConditionExtractor | None = None,
    split: str = "train",
    lists: _Folder | None = None,
    flip: bool = False,
) -> PicturePairs:
    """DeepFashion: photos of clothes that are worn, and the joints that pytorch-openpose found.

    The condition deepfashion-pose reads joints; any other is made of the photos. The hard exemplar is any picture of
    the data set; another view of the same clothes, where `deepfashion_self_pair.txt` has one, is the easy exemplar and
    stands for the picture itself. Pictures are not cropped.

    To choose for training or measuring on people as the articles do.

    Args:
        path: `DeepFashion`, with the folders `img` and `pose`; without `train.txt` and `val.txt`, which list pictures,
            one of twenty is held out by a hash.
        size: pixels of the pairs' sides.
        condition: makes the maps; must be given.
        split: "train" or "validation".
        lists: folder of `deepfashion_ref.txt`, `deepfashion_ref_test.txt` and `deepfashion_self_pair.txt` (default:
            path); without the first two each picture is its own exemplar, under a smooth warp whose flow is exact.
        flip: whether pictures are mirrored in half of all draws.

    Raises:
        DatasetError: something is missing, or a list names files that are not there.
    """
    root = Path(path)
    targets = _listed_targets(root, split, lambda line: line.replace("\\", "/"), "img")
    return _pairs(
        root,
        targets,
        _list(root, lists, "deepfashion", split),
        lambda name: name,
        lambda place: f"pose/{PurePosixPath(place.removeprefix('img/')).with_suffix('')}{KEYPOINT_TEXTS}",
        condition,
        Cropping(size, margin=1, squeezed=True, flip=flip),
        Path(lists or root) / "deepfashion_self_pair.txt",
    )


def lsun_church(
    path: _Folder,
    *,
    size: int,
    condition: ConditionExtractor | None = None,
    split: str = "train",
    lists: _Folder | None = None,
    flip: bool = True,
) -> PicturePairs:
    """LSUN churches: `training` and `validation` with photos and, of the same names, label maps of ADE20K's classes.

    The condition ade20k-segmentation reads label maps; any other is made of the photos. Cropped as CelebA-HQ is.

    To choose for training or measuring on churches as the articles do.

    Args:
        path: the folder of both.
        size: pixels of the pairs' sides.
        condition: makes the maps; must be given.
        split: "train" or "validation".
        lists: folder of `lsun_church_ref.txt` and `lsun_church_ref_test.txt` (default: path); without them each
            picture is its own exemplar, under a smooth warp whose flow is exact.
        flip: whether pictures are mirrored in half of all draws.

    Raises:
        DatasetError: something is missing, or a list names files that are not there.
    """
    return _segmented(Path(path), "lsun_church", split, lists, condition, Cropping(size, squeezed=True, flip=flip))


def ade20k(
    path: _Folder,
    *,
    size: int,
    condition: ConditionExtractor | None = None,
    split: str = "train",
    lists: _Folder | None = None,
    flip: bool = True,
) -> PicturePairs:
    """ADE20K: as `lsun_church`, which see; the lists are called `ade20k_ref.txt` and `ade20k_ref_test.txt`.
    To choose for training or measuring on scenes as the articles do.

    Raises:
        DatasetError: something is missing, or a list names files that are not there.
    """
    return _segmented(Path(path), "ade20k", split, lists, condition, Cropping(size, squeezed=True, flip=flip))


def _segmented(
    root: Path, name: str, split: str, lists: _Folder | None, condition: ConditionExtractor | None, cropping: Cropping
) -> PicturePairs:
    """Pictures `*.jpg` with label maps `*.png` of the same name, in a folder a split."""
    check_split(split)
    photos = {
        one: [f"{folder}/{file}" for file in list_pictures(root / folder) if file.lower().endswith((".jpg", ".jpeg"))]
        for one, folder in _SEGMENTED.items()
        if one == split or (root / folder).is_dir()
    }
    if not photos[split]:
        raise DatasetError(f"{root / _SEGMENTED[split]}: no pictures called *.jpg in this folder")
    order = [*(photos.keys() - {split}), split]  # a name that both have is the split's own
    places = {PurePosixPath(place).name: place for one in order for place in photos[one]}
    return _pairs(
        root,
        photos[split],
        _list(root, lists, name, split),
        lambda file: places.get(PurePosixPath(file).name, file),
        lambda place: str(PurePosixPath(place).with_suffix(".png")),
        condition,
        cropping,
    )


def _listed_targets(root: Path, split: str, place: Callable[[str], str], folder: str) -> list[str]:
    """The pictures that a split's file lists, or where there is none, all of a folder that are not of the other split.

    Raises:
        DatasetError: there are none.
    """
    check_split(split)
    file = root / _SPLIT_FILES[split]
    if not any((root / name).exists() for name in _SPLIT_FILES.values()):
        places = [f"{folder}/{name}" for name in list_pictures(root / folder)]
        chosen = in_split(places, split, root / folder)
        return [one for one, is_chosen in zip(places, chosen, strict=True) if is_chosen]
    targets = [place(line) for line in read_lines(file)]
    if not targets:
        raise DatasetError(f"{file}: lists no pictures")
    return targets


def _list(root: Path, lists: _Folder | None, name: str, split: str) -> Path | None:
    """The list of a split's pairs, if there is one.

    Raises:
        DatasetError: a folder of lists is given, and has none.
    """
    path = Path(lists or root) / f"{name}{_LISTS[split]}"
    if path.exists():
        return path
    if lists is not None:
        raise DatasetError(f"{path}: there is no such list of pairs")
    return None


def _pairs(
    root: Path,
    targets: Sequence[str],
    list_file: Path | None,
    place: Callable[[str], str],
    annotation: Callable[[str], str],
    condition: ConditionExtractor | None,
    cropping: Cropping,
    views: Path | None = None,
) -> PicturePairs:
    """Pairs of targets and the exemplars that a list has for them.

    Args:
        root: of the data set.
        targets: places of pictures.
        list_file: from names to names of exemplars, or None for warps.
        place: of the picture that a list calls so.
        annotation: place of what belongs to a picture.
        condition: makes the maps.
        cropping: of pictures.
        views: a list of other pictures of the same, which may be missing; None where there are none such.
    """
    pictures, exemplars = {name: i for i, name in enumerate(dict.fromkeys(targets))}, None
    if list_file is not None:
        pairs = _placed(list_file, root, place, pictures)
        exemplars = numbered(pairs, targets, pictures, list_file)
        if views is not None:
            known = _placed(views, root, place, pictures) if views.exists() else {}
            exemplars = _with_views(exemplars, known, targets, pictures)
    reads = isinstance(condition, AnnotationReader)
    note = f"{len(targets):,} pictures; {f'exemplars from {list_file}' if exemplars else SELF_WARPED}; "
    note += "conditions from annotations" if reads else "conditions made of the pictures"
    return PicturePairs(
        PictureFiles(root, Names(pictures), Names(annotation(name) if reads else "" for name in pictures)),
        np.array([pictures[name] for name in targets]),
        exemplars,
        condition,
        cropping,
        str(root),
        note,
    )


def _placed(path: Path, root: Path, place: Callable[[str], str], pictures: dict[str, int]) -> dict[str, list[str]]:
    """A list's pairs by the places of pictures; those that have no number yet get one.

    Raises:
        DatasetError: a picture is not there.
    """
    found = read_pair_list(path, root, lambda name: place(name) in pictures or (root / place(name)).exists())
    pairs = {place(target): [*map(place, names)] for target, names in found.items()}
    for target, names in pairs.items():
        for name in (target, *names):
            pictures.setdefault(name, len(pictures))
    return pairs


def _with_views(
    found: Exemplars, views: Mapping[str, Sequence[str]], targets: Sequence[str], numbers: Mapping[str, int]
) -> Exemplars:
    """Exemplars where some targets have other views of the same, and any picture may be a hard one.

    The first view is the easy exemplar, and stands for the target itself; the second is the hard one. Without views the
    easy exemplar is the last of its list.
    """
    easy, hard, own = found.hard.copy(), np.full(len(targets), ANYTHING), found.own.copy()
    for i, target in enumerate(targets):
        for column, view in zip((easy, hard), views.get(target, ()), strict=False):
            column[i] = numbers[view]
        if views.get(target):
            own[i] = easy[i]
    return Exemplars(easy, hard, own)
