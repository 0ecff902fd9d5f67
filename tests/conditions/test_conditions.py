"""Conditions of the released models: against what their data loaders made, and what is wrong with a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from picture_files import written
from PIL import Image, ImageOps
from safetensors.torch import load_file
from scipy.ndimage import distance_transform_cdt
from standins import ToyPipeline
from torch import Tensor

from midms.conditions.ade20k_segmentation import ADE20KSegmentation
from midms.conditions.canny import canny
from midms.conditions.celebahq_edge import FACE_PARTS, LABELS, CelebaHQEdge, part_outlines
from midms.conditions.deepfashion_pose import DeepFashionPose
from midms.conditions.strokes import city_block
from midms.core.protocols import AnnotationReader, ConditionExtractor
from midms.features.midm import MidmFeatures
from midms.images import PictureError
from midms.images.annotations import label_map
from midms.pipeline.jobs.plan import plan_jobs

NUMBERS = load_file(Path(__file__).parents[1] / "golden" / "conditions.safetensors")
MASKS, PHOTO = NUMBERS["face/parts"], NUMBERS["face/photo"].numpy()
JOINTS = NUMBERS["pose/joints"]
NUMBERED = {"pose_keypoints_2d": torch.cat([JOINTS, JOINTS[:, :1].isfinite()], 1).nan_to_num(0).flatten().tolist()}
EXTRACTORS: list[Any] = [CelebaHQEdge(), DeepFashionPose(), ADE20KSegmentation()]
every_extractor = pytest.mark.parametrize("extractor", EXTRACTORS, ids=lambda extractor: type(extractor).__name__)


def same(shape: tuple[int, int]) -> tuple[int, int]:
    return shape


def levels(planes: Tensor) -> Tensor:
    return (planes * 255).round().byte()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """CelebAMask-HQ's folders, with one face, a part of which has no file."""
    for folder in ("CelebA-HQ-img", "CelebAMask-HQ-mask-anno/1"):
        (tmp_path / folder).mkdir(parents=True)
    Image.fromarray(PHOTO).save(tmp_path / "CelebA-HQ-img" / "2007.png")
    for part, mask in zip(FACE_PARTS, MASKS, strict=True):
        if mask.any():
            Image.fromarray(mask.numpy()).convert("L").save(
                tmp_path / "CelebAMask-HQ-mask-anno" / "1" / f"02007_{part}.png"
            )
    return tmp_path


def test_face_is_as_released() -> None:
    photo = torch.from_numpy(PHOTO).movedim(-1, 0)[None] / 127.5 - 1
    assert torch.equal(levels(CelebaHQEdge().map(MASKS[None], photo))[0], NUMBERS["face/map"])


def test_pose_is_as_released() -> None:
    """But for where a polygon of whole pixels is not quite an ellipse."""
    found, wanted = levels(DeepFashionPose().map(JOINTS[None], (80, 80)))[0], NUMBERS["pose/map"]
    assert (found[:3] != wanted[:3]).float().mean() < 0.002
    assert (found[3:].int() - wanted[3:].int()).abs().max() <= 1
    assert torch.equal(found[3:] == 255, wanted[3:] == 255)  # limbs that are missing


def test_city_block_is_scipys() -> None:
    mask = torch.rand(3, 2, 11, 17, generator=torch.Generator().manual_seed(0)) < 0.05
    for plane, distance in zip(mask.flatten(0, 1), city_block(mask).flatten(0, 1), strict=True):
        assert np.array_equal(distance.numpy(), distance_transform_cdt(~plane.numpy(), "taxicab"))
    assert (city_block(torch.zeros(1, 1, 3, 4, dtype=torch.bool)) > 1e5).all()


def test_canny_of_a_disc() -> None:
    """One closed contour near the circle, whatever the contrast from the upper threshold on; nothing below it."""
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(60.0), indexing="ij")
    radius = ((x - 25.3).square() + (y - 18.6).square()).sqrt()[None, None]
    for contrast in (1.0, 0.2):
        edge = canny(contrast * (radius < 11).float())
        assert (radius[edge] - 11).abs().max() < 1.5 and 60 < edge.sum() < 110
    assert not canny(0.04 * (radius < 11).float()).any()
    together = canny(torch.cat([(radius < 11).float(), (radius < 6).float()]))
    assert torch.equal(together[1:], canny((radius < 6).float()))


def test_outlines_are_two_pixels_wide() -> None:
    mask = torch.zeros(1, 1, 6, 7, dtype=torch.bool)
    mask[..., 3:] = True
    assert part_outlines(mask)[0, 0].any(0).tolist() == [False, False, True, True, False, False, False]


def test_a_face_from_the_data_sets_folders(tree: Path) -> None:
    condition, photo = CelebaHQEdge(), tree / "CelebA-HQ-img" / "2007.png"
    found = condition.read(photo, "condition", same)
    assert torch.equal(levels(found)[0], NUMBERS["face/map"])
    folder = tree / "CelebAMask-HQ-mask-anno" / "1"
    assert torch.equal(condition.read((folder, PHOTO), "condition", same), found)
    alone = condition.read(folder, "condition", same)
    assert torch.equal(alone[:, 1:], found[:, 1:]) and torch.equal(alone[:, 0], found[:, 14])


def test_a_face_from_a_label_map(tmp_path: Path) -> None:
    """The skin of a label map ends where other parts lie on it, which its mask does not."""
    labels = torch.zeros(80, 80, dtype=torch.uint8)
    for label, part in enumerate(LABELS):
        if part in FACE_PARTS:
            labels[MASKS[FACE_PARTS.index(part)]] = label
    Image.fromarray(labels.numpy()).save(tmp_path / "labels.png")
    found = CelebaHQEdge().read(tmp_path / "labels.png", "condition", same)[0]
    assert torch.equal(found, CelebaHQEdge().drawing((labels / 127.5 - 1).expand(1, 3, 80, 80), (80, 80))[0])
    whole = FACE_PARTS.index("skin"), FACE_PARTS.index("nose")
    assert torch.equal(levels(found)[[1 + i for i in whole]], NUMBERS["face/map"][[1 + i for i in whole]])


@pytest.mark.parametrize("orientation", range(1, 10))
def test_a_label_map_is_turned_upright_as_a_picture_is(orientation: int, tmp_path: Path) -> None:
    labels, exif = Image.fromarray(np.random.default_rng(0).integers(0, 19, (12, 20), np.uint8)), Image.Exif()
    exif[0x0112] = orientation
    turned = ImageOps.exif_transpose(Image.open(written(labels, exif=exif)))
    expected = torch.from_numpy(np.array(turned)).long()[None]
    for mode, kind in (("L", "png"), ("P", "png"), ("RGB", "png"), ("L", "tiff")):
        file = written(labels.convert(mode), kind, exif=exif)
        (tmp_path / "labels").write_bytes(file.getvalue())
        assert torch.equal(label_map(tmp_path / "labels"), expected)
        assert torch.equal(label_map(Image.open(file)), expected)


@pytest.mark.parametrize(("mode", "size"), [("L", (12, 20)), ("P", (12, 20)), ("RGB", (5, 9)), ("I;16", (24, 31))])
def test_labels_are_one_hot(tmp_path: Path, mode: str, size: tuple[int, int]) -> None:
    labels = np.random.default_rng(0).integers(0, 151, (12, 20)).astype(np.uint8)
    labels[0, 0] = 255
    image = Image.fromarray(labels)
    if mode == "P":
        image.putpalette([i * 7 % 256 for i in range(768)])
    elif mode == "I;16":
        image = Image.fromarray(labels.astype(np.uint16))
    else:
        image = image.convert(mode)
    image.save(tmp_path / "labels.png")
    found = ADE20KSegmentation().read(tmp_path / "labels.png", "condition", lambda shape: size)
    small = np.minimum(np.asarray(Image.fromarray(labels).resize(size[::-1], Image.Resampling.NEAREST)), 150)
    assert np.array_equal(found[0].numpy(), np.eye(151)[small].transpose(2, 0, 1))


def test_labels_from_one() -> None:
    labels = torch.tensor([[0, 1, 150, 255]]).repeat(8, 2)
    found = ADE20KSegmentation(from_one=True).read(labels, "condition", same).argmax(1)[0, 0, :4]
    assert found.tolist() == [150, 0, 149, 150]
    drawn = ADE20KSegmentation(from_one=True).drawing((labels / 127.5 - 1).expand(1, 3, 8, 8), (8, 8))
    assert drawn.argmax(1)[0, 0, :4].tolist() == [150, 0, 149, 150]


def test_keypoints_of_every_kind(tmp_path: Path) -> None:
    pose = DeepFashionPose(canvas=(80, 80))
    wanted = pose.map(JOINTS[None], (80, 80))
    people = {"people": [{"pose_keypoints_2d": [1.0, 1.0, 0.9, *[0.0] * 51]}, NUMBERED]}
    (tmp_path / "pose.json").write_text(json.dumps(people))
    triples = torch.tensor(NUMBERED["pose_keypoints_2d"]).view(18, 3)
    of_25 = torch.zeros(25, 3)
    of_25[[*range(8), *range(9, 19)]] = triples
    sized = [{"people": [{"pose_keypoints_2d": of_25.flatten().tolist()}], "canvas_height": 80, "canvas_width": 80}]
    assert torch.equal(pose.read(tmp_path / "pose.json", "condition", same), wanted)
    assert torch.equal(DeepFashionPose().read(sized, "condition", same), wanted)
    assert torch.equal(pose.read(JOINTS, "condition", same), wanted)
    assert torch.equal(pose.read(triples.numpy(), "condition", same), wanted)
    doubled = pose.read(JOINTS, "condition", lambda shape: (160, 40))
    assert torch.equal(doubled, pose.map(JOINTS[None] * torch.tensor([0.5, 2.0]), (160, 40)))


@every_extractor
def test_maps_are_told_by_annotations_alone(extractor: Any) -> None:
    assert isinstance(extractor, ConditionExtractor) and isinstance(extractor, AnnotationReader)
    with pytest.raises(ValueError, match="exemplar_condition must be given"):
        extractor.photo(torch.zeros(1, 3, 16, 16))
    pipe = ToyPipeline(condition=extractor)
    with pytest.raises(ValueError, match="exemplar_condition must be given"):
        pipe(torch.zeros(1, extractor.channels, 16, 16), torch.zeros(1, 3, 16, 16))


SOURCES = {
    "CelebaHQEdge": torch.where(MASKS[-1], 13, MASKS[0].long()),
    "DeepFashionPose": JOINTS,
    "ADE20KSegmentation": MASKS[0].long() + 3,
}


@every_extractor
def test_maps_are_in_range_and_show_something(extractor: Any) -> None:
    condition = extractor.read(SOURCES[type(extractor).__name__], "condition", lambda shape: (64, 48))
    assert condition.shape == (1, extractor.channels, 64, 48)
    assert condition.min() >= 0 and condition.max() == 1
    picture = extractor.picture(condition)
    assert picture.shape == (1, 3, 64, 48) and picture.min() >= -1 and picture.max() <= 1
    assert picture.flatten(2).std(-1).max() > 0.1


@every_extractor
def test_annotations_translate(extractor: Any) -> None:
    source = SOURCES[type(extractor).__name__]
    pipe = ToyPipeline(condition=extractor)
    with pytest.raises(PictureError, match="exemplar: exemplar_condition must be given"):
        pipe.translate(source, PHOTO, size=32)
    result = pipe.translate(source, PHOTO, exemplar_condition=source, seed=0, size=32)
    assert result.image.size == result.condition.size


def test_an_annotation_of_other_proportions_is_refused() -> None:
    pipe = ToyPipeline(condition=ADE20KSegmentation())
    with pytest.raises(
        PictureError, match=r"exemplar_condition: is 40 x 80 pixels, expected the exemplar's proportions"
    ):
        pipe.translate(SOURCES["ADE20KSegmentation"], PHOTO, exemplar_condition=torch.zeros(80, 40).long(), size=32)


BLANK, LABELLED = torch.zeros(16, 16, dtype=torch.long), torch.eye(16, dtype=torch.long)
WRONG = {
    "a face without parts": (CelebaHQEdge(), BLANK, "shows no face"),
    "labels of another set": (CelebaHQEdge(), LABELLED * 40, "has labels 40; known are 0 to 18"),
    "an even photo": (CelebaHQEdge(), (LABELLED, np.full((16, 16, 3), 99, np.uint8)), "photo has no edges"),
    "no such folder": (CelebaHQEdge(), "gone/CelebA-HQ-img/3.jpg", "00003_: no masks, expected files such as"),
    "colours": (ADE20KSegmentation(), Image.fromarray(PHOTO), "expected one channel of whole numbers"),
    "fractions": (ADE20KSegmentation(), torch.rand(16, 16), "expected whole numbers"),
    "unknown labels": (ADE20KSegmentation(), LABELLED * 200, "has labels 200; known are 0 to 150 and 255"),
    "no label map": (ADE20KSegmentation(), "gone.png", "gone.png: no such file"),
    "nothing": (ADE20KSegmentation(), None, "expected a path, an image, an array or a tensor, got NoneType"),
    "nobody": (DeepFashionPose(), {"people": []}, "nobody is in it"),
    "no people": (DeepFashionPose(), {"person": []}, "has no people"),
    "hands": (DeepFashionPose(), {"people": [{"pose_keypoints_2d": [0.0] * 63}]}, "has 63 numbers a person"),
    "words": (
        DeepFashionPose(),
        {"people": [{"pose_keypoints_2d": ["left"]}]},
        r"_2d.0: .*number, got 'left'",
    ),
    "not seen": (DeepFashionPose(), {"people": [{"pose_keypoints_2d": [0.0] * 54}]}, "no joint was found"),
    "one joint": (DeepFashionPose(), torch.full((18, 2), torch.nan).index_fill(0, torch.tensor(3), 5), "has no limb"),
    "outside": (DeepFashionPose(canvas=(40, 40)), JOINTS, "outside its canvas of 40 x 40 pixels"),
    "no joints": (DeepFashionPose(), torch.zeros(17, 2), "expected 18 joints of x and y"),
    "no file": (DeepFashionPose(), "gone.json", "gone.json: .*No such file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_in_a_line(case: str) -> None:
    extractor, source, message = WRONG[case]
    with pytest.raises(PictureError, match=message) as caught:
        extractor.read(source, "condition", same)
    assert "\n" not in str(caught.value)


def test_damaged_files(tree: Path) -> None:
    masks = tree / "CelebAMask-HQ-mask-anno" / "1"
    photo = tree / "CelebA-HQ-img" / "2007.png"
    (tree / "text.json").write_text("{")
    with pytest.raises(PictureError, match=r"text\.json: cannot be read as JSON"):
        DeepFashionPose().read(tree / "text.json", "condition", same)
    Image.new("L", (80, 80), 3).save(masks / "02007_nose.png")
    with pytest.raises(PictureError, match=r"02007_nose\.png: holds other numbers than 0 and 255"):
        CelebaHQEdge().read(photo, "condition", same)
    Image.new("L", (40, 80)).save(masks / "02007_nose.png")
    with pytest.raises(PictureError, match="expected one size"):
        CelebaHQEdge().read(photo, "condition", same)
    Image.new("L", (80, 80)).save(masks / "02008_nose.png")
    with pytest.raises(PictureError, match=r"masks of several pictures \(02007_, 02008_, \.\.\.\)"):
        CelebaHQEdge().read(masks, "condition", same)
    with pytest.raises(PictureError, match=r"no masks such as skin\.png"):
        CelebaHQEdge().read(tree, "condition", same)


def test_folders_of_keypoints(tmp_path: Path) -> None:
    for folder, suffix in (("poses", "json"), ("pictures", "png"), ("their-poses", "json")):
        (tmp_path / folder).mkdir()
        for name in ("a", "b"):
            (tmp_path / folder / f"{name}.{suffix}").touch()
    jobs = plan_jobs(tmp_path / "poses", [tmp_path / "pictures"], tmp_path / "out", None, tmp_path / "their-poses")
    assert [job.condition.name for job in jobs] == ["a.json", "b.json"]
    assert [job.exemplar_conditions for job in jobs] == [(tmp_path / "their-poses" / f"{n}.json",) for n in "ab"]
    (tmp_path / "their-poses" / "b.json").unlink()
    with pytest.raises(PictureError, match=r"their-poses: no condition of the exemplar b\.png"):
        plan_jobs(tmp_path / "poses", [tmp_path / "pictures"], tmp_path / "out", None, tmp_path / "their-poses")


@pytest.mark.parametrize("antialias", [False, True])
def test_thin_lines_reach_the_grid_if_asked(antialias: bool) -> None:
    """A line between the pixels that the released resizing picks is lost without averaging."""
    torch.manual_seed(0)
    network = MidmFeatures(2, 3, 4, 8, (4, 8, 8), 4, 1, antialias=antialias).eval()
    blank = torch.zeros(1, 2, 32, 32)
    line = blank.clone()
    line[..., 10] = 1
    with torch.no_grad():
        features = [network.condition(condition).rematch for condition in (blank, line)]
    assert torch.equal(*features) is not antialias
