"""What conditions are given from Python: tensors of another kind, joints of another order, pictures without edges."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from midms.conditions.ade20k_segmentation import ADE20KSegmentation
from midms.conditions.celebahq_edge import FACE_PARTS, LABELS, CelebaHQEdge
from midms.conditions.deepfashion_pose import DeepFashionPose
from midms.images import PictureError
from midms.images.annotations import keypoints, label_map

MASKS = torch.zeros(len(FACE_PARTS), 24, 20, dtype=torch.bool)
MASKS[0, 4:20, 4:16] = True
MISSHAPEN: dict[str, tuple[Callable[[], Tensor], str]] = {
    "twelve masks": (lambda: CelebaHQEdge().map(MASKS[None, :12], None), r"parts are .*\(1, 12, .*bool \[b, 13"),
    "masks of floats": (lambda: CelebaHQEdge().map(MASKS[None].float(), None), "parts are torch.float32"),
    "a photo of another size": (
        lambda: CelebaHQEdge().map(MASKS[None], torch.zeros(1, 3, 8, 8)),
        r"photo is \(1, 3, 8, 8\), expected \(1, 3, ",
    ),
    "joints of another order": (
        lambda: DeepFashionPose().map(torch.rand(1, 25, 2) * 64, (64, 64)),
        r"joints are torch.float32 \(1, 25, 2\), expected floats \[b, 18, 2\]",
    ),
    "joints of whole numbers": (lambda: DeepFashionPose().map(torch.ones(1, 18, 2).long(), (64, 64)), "int64"),
    "labels of floats": (lambda: ADE20KSegmentation().map(torch.zeros(1, 8, 8)), "labels are torch.float32"),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("case", MISSHAPEN)
def test_tensors_of_another_kind_are_named(case: str) -> None:
    call, why = MISSHAPEN[case]
    with pytest.raises(ValueError, match=why):
        call()


@pytest.mark.parametrize("from_one", [False, True])
def test_labels_of_any_whole_numbers(from_one: bool) -> None:
    labels = torch.tensor([[0, 1, 150, 255]]).repeat(8, 2)[None]
    expected = ADE20KSegmentation(from_one).map(labels)
    for dtype in (torch.uint8, torch.int16, torch.int32):
        assert torch.equal(ADE20KSegmentation(from_one).map(labels.to(dtype)), expected)


TRUNK = ["nose", "neck", "r-shoulder", "r-elbow", "r-wrist", "l-shoulder", "l-elbow", "l-wrist"]
LEGS = ["r-hip", "r-knee", "r-ankle", "l-hip", "l-knee", "l-ankle"]
HEAD = ["r-eye", "l-eye", "r-ear", "l-ear"]
FEET = ["l-big-toe", "l-small-toe", "l-heel", "r-big-toe", "r-small-toe", "r-heel"]
BODY_25, COCO = [*TRUNK, "mid-hip", *LEGS, *HEAD, *FEET], [*TRUNK, *LEGS, *HEAD]
"""Joints as OpenPose's documentation lists them for its two models."""


def test_joints_of_25_are_the_18_of_the_same_names() -> None:
    numbers = [number for i in range(25) for number in (float(i), 2.0 * i, 0.9)]
    joints, _ = keypoints({"people": [{"pose_keypoints_2d": numbers}]})
    assert [BODY_25[int(x)] for x in joints[:, 0]] == COCO
    assert torch.equal(joints[:, 1], 2 * joints[:, 0])


def test_an_even_photo_is_blamed_not_its_labels(tmp_path: Path) -> None:
    labels = np.zeros((32, 32), np.uint8)
    labels[8:24, 8:24] = LABELS.index("skin")
    Image.fromarray(labels).save(tmp_path / "labels.png")
    Image.new("RGB", (32, 32), (90, 90, 90)).save(tmp_path / "even.png")
    pair = tmp_path / "labels.png", tmp_path / "even.png"
    with pytest.raises(PictureError, match=r"^\S*even.png: photo has no edges"):
        CelebaHQEdge().read(pair, "condition", lambda shape: shape)


FILES: dict[str, tuple[dict[str, object], bool]] = {
    "jpg": ({"quality": 100}, True),
    "webp": ({"quality": 100}, True),
    "lossless.webp": ({"lossless": True}, False),
    "jp2": ({}, True),
    "packed.tiff": ({"compression": "jpeg"}, True),
    "tiff": ({"compression": "tiff_lzw"}, False),
    "png": ({}, False),
}
"""How a label map is saved, and whether that changes labels."""


@pytest.mark.parametrize("kind", FILES)
def test_label_maps_of_lossy_files_are_refused(kind: str, tmp_path: Path) -> None:
    labels = torch.randint(len(LABELS), (32, 24), generator=torch.Generator().manual_seed(0))
    options, lossy = FILES[kind]
    path = tmp_path / f"labels.{kind}"
    Image.fromarray(labels.numpy().astype(np.uint8)).save(path, **options)
    loaded, held = Image.open(path), Image.open(io.BytesIO(path.read_bytes()))
    loaded.load()
    for source in (path, Image.open(path), loaded, held):
        if lossy:
            with pytest.raises(PictureError, match=r"is a lossy .*, which changes labels; save the label map as PNG"):
                label_map(source)
        else:
            assert torch.equal(label_map(source)[0], labels)


def test_a_webp_of_which_nobody_knows_whether_it_is_lossless_is_refused() -> None:
    file = io.BytesIO()
    Image.new("L", (32, 32), 3).save(file, "WEBP", lossless=True)
    image = Image.open(file)
    image.load()
    with pytest.raises(PictureError, match="is a lossy WEBP, or may be, which changes labels"):
        label_map(image)
    assert (label_map(np.asarray(image)[..., 0]) == 3).all()


@pytest.mark.parametrize(("scale", "low", "high"), [(3, 0.0, 1.0), (4, -1.0, 1.0)])
def test_keypoints_that_are_not_in_pixels_are_refused(scale: int, low: float, high: float) -> None:
    share = torch.rand(18, 2, generator=torch.Generator().manual_seed(scale))
    joints = torch.cat([low + (high - low) * share, torch.ones(18, 1)], 1)
    joints[4] = 0  # was not found
    with pytest.raises(PictureError, match=r"all joints lie in .* to 0.9.*, expected pixels .*keypoint_scale 0"):
        keypoints({"people": [{"pose_keypoints_2d": joints.flatten().tolist()}]})
    joints[:, :2] *= 256
    found, _ = keypoints(joints)
    assert torch.equal(found[:4], joints[:4, :2])
