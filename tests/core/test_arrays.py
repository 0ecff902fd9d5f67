"""Pictures, label maps, masks and keypoints come by one road from whatever holds numbers."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pytest
import torch

from midms.images import PictureError, read_image
from midms.images.annotations import keypoints, label_map
from midms.images.frame import Frame
from midms.images.inputs import masked


class Table:
    """What pandas, xarray and others offer numpy."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return self.array


class Unreadable:
    """What arrays on a GPU do."""

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        raise TypeError("implicit conversion is not allowed,\nuse .get()")


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def strided(array: np.ndarray) -> np.ndarray:
    wide = np.zeros((array.shape[0], 2 * array.shape[1], *array.shape[2:]), array.dtype)
    wide[:, ::2] = array
    return wide[:, ::2]


HELD: dict[str, Callable[[np.ndarray], object]] = {
    "flipped": lambda array: np.flipud(np.flipud(array).copy()),
    "mirrored": lambda array: np.fliplr(np.fliplr(array).copy()),
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "objects": lambda array: array.astype(object),
    "read-only": read_only,
    "column after column": np.asfortranarray,
    "every other column": strided,
    "an unmasked masked array": lambda array: np.ma.masked_array(array, np.zeros(array.shape, bool)),
    "a table": Table,
    "a view of memory": lambda array: memoryview(np.ascontiguousarray(array)),
    "lists": lambda array: array.tolist(),
    "rows in a list": list,
    "rows in a tuple": lambda array: tuple(map(tuple, array.tolist())),
    "objects of the standard library": np.frompyfunc(lambda x: Decimal(float(x)), 1, 1),
}
"""Numbers held in another way."""
TENSORS: dict[str, Callable[[torch.Tensor], object]] = {
    "transposed": lambda tensor: tensor.mT.contiguous().mT,
    "expanded": lambda tensor: tensor[None].expand(1, *tensor.shape),
    "sparse": torch.Tensor.to_sparse,
    "a parameter": lambda tensor: torch.nn.Parameter(tensor, requires_grad=tensor.is_floating_point()),
    "of a graph": lambda tensor: tensor.clone().requires_grad_() * 1 if tensor.is_floating_point() else tensor,
    "negated lazily": lambda tensor: torch._neg_view(-tensor),
    "made for inference": torch.inference_mode()(lambda tensor: tensor + 0),
}
PICTURE = np.random.default_rng(0).integers(0, 256, (12, 16, 3))
FRAME = Frame((6, 8), (8, 8))
LABELS = np.random.default_rng(1).integers(0, 5, (12, 16))
JOINTS = np.random.default_rng(2).integers(0, 60, (18, 2)) / 4.0


@pytest.mark.parametrize("held", HELD)
def test_an_array_is_its_numbers_however_they_are_held(held: str) -> None:
    hold = HELD[held]
    for numbers in (PICTURE, PICTURE.astype(np.uint8), PICTURE / 256):
        plain = np.ascontiguousarray(numbers)
        if held != "objects of the standard library" or numbers.dtype == np.float64:  # such are taken as floats
            assert torch.equal(read_image(hold(plain)), read_image(plain))
    joints, canvas = keypoints(hold(JOINTS))
    assert canvas is None and torch.equal(joints, torch.from_numpy(JOINTS).float())
    if held != "objects of the standard library":
        for numbers in (LABELS, LABELS.astype(np.uint8), LABELS.astype(np.uint16)):
            assert torch.equal(label_map(hold(numbers)), torch.from_numpy(LABELS)[None])
        assert torch.equal(masked([hold(PICTURE)] * 2, FRAME, 2)[1], masked([PICTURE] * 2, FRAME, 2)[1])


@pytest.mark.parametrize("held", TENSORS)
def test_a_tensor_is_its_numbers_however_they_are_held(held: str) -> None:
    hold = TENSORS[held]
    picture = torch.from_numpy(PICTURE / 256).movedim(-1, 0)
    assert torch.equal(read_image(hold(picture)), read_image(picture.clone()))
    assert torch.equal(label_map(hold(torch.from_numpy(LABELS))), torch.from_numpy(LABELS)[None])
    if held != "expanded":
        assert torch.equal(keypoints(hold(torch.from_numpy(JOINTS)))[0], torch.from_numpy(JOINTS).float())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float64])
def test_floats_of_any_width(dtype: torch.dtype) -> None:
    steps = torch.tensor([0.0, 0.25, 0.5, 1.0]).repeat(3, 12, 4).to(dtype)
    assert torch.equal(read_image(steps), read_image(steps.float()))
    joints = torch.tensor([1.0, 2.0, 8.0]).repeat(18, 1).to(dtype)
    assert torch.equal(keypoints(joints)[0], joints[:, :2].float())


def test_what_is_masked_or_missing() -> None:
    gone = np.zeros(JOINTS.shape, bool)
    gone[3] = True
    expected = torch.from_numpy(JOINTS).float()
    expected[3] = torch.nan
    for joints in (np.ma.masked_array(JOINTS, gone), np.where(gone, None, JOINTS.astype(object))):
        assert torch.equal(keypoints(joints)[0].nan_to_num(-1), expected.nan_to_num(-1))
    unsure = np.column_stack([JOINTS[:, :2], np.where(gone[:, 0], np.nan, 1)])
    assert torch.equal(keypoints(unsure)[0].nan_to_num(-1), expected[:, :2].nan_to_num(-1))
    for far in (np.inf, 1e300):
        with pytest.raises(PictureError, match="mine: holds joints that are infinitely far away"):
            keypoints(np.where(gone[:, :2], far, JOINTS[:, :2]), "mine")
    hole = np.ma.masked_equal(PICTURE, PICTURE[0, 0, 0])
    with pytest.raises(PictureError, match="photo: holds values that are not finite"):
        read_image(hole, "photo")
    with pytest.raises(PictureError, match="labels: expected whole numbers"):
        label_map(np.ma.masked_equal(LABELS, 3), "labels")


POSE = np.column_stack([JOINTS, np.ones(18)])
NUMBERED: dict[str, object] = {
    "an array": POSE.ravel(),
    "triples": POSE.astype(np.float32),
    "a tensor": torch.from_numpy(POSE.ravel()),
    "of half precision": torch.from_numpy(POSE).bfloat16().double(),
    "numbers of float32": list(POSE.ravel().astype(np.float32)),
    "numbers of int64": list((4 * POSE).ravel().astype(np.int64)),
    "numbers of tensors": list(torch.from_numpy(POSE.ravel())),
    "a big-endian array": POSE.ravel().astype(">f4"),
}


@pytest.mark.parametrize("held", NUMBERED)
def test_numbers_of_a_dictionary_of_keypoints(held: str) -> None:
    pose = {"people": [{"pose_keypoints_2d": NUMBERED[held]}], "canvas_height": np.int64(90), "canvas_width": 80}
    joints, canvas = keypoints(pose)
    expected = torch.tensor([float(x) for x in np.ravel(NUMBERED[held])]).view(18, 3)[:, :2]
    assert canvas == (90, 80) and torch.equal(joints, expected)


def test_what_a_dictionary_of_keypoints_may_not_hold() -> None:
    for held in (np.full(54, "a"), [np.str_("a")] * 54, np.zeros(54, complex), np.ones(54, bool)[None].astype(str)):
        with pytest.raises(PictureError, match=r"^mine: .*pose_keypoints_2d.*number") as caught:
            keypoints({"people": [{"pose_keypoints_2d": held}]}, "mine")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "came"),
    [
        (torch.zeros(1, 9, 8, dtype=torch.float16), "torch.float16 [1, 9, 8]"),
        (torch.zeros(1, 1, 3, 9, 8, dtype=torch.int32), "torch.int32 [1, 1, 3, 9, 8]"),
        (np.zeros((9, 8), ">f4"), ">f4 [9, 8]"),
        (np.ma.masked_array(np.ones((9, 8), np.int16), np.eye(9, 8)), "int16, some of them masked, [9, 8]"),
        ([[0.5] * 8] * 9, "float64 [9, 8]"),
        (np.full((9, 8), 0.5, object), "float64 [9, 8]"),
    ],
)
def test_what_is_no_label_map_is_told_as_it_came(source: object, came: str) -> None:
    with pytest.raises(PictureError) as error:
        label_map(source)
    assert str(error.value) == f"label map: expected whole numbers [height, width], got {came}"


def test_no_label_wraps_around() -> None:
    labels = LABELS.astype(np.uint64)
    assert torch.equal(label_map(labels), torch.from_numpy(LABELS)[None])
    labels[3, 4] = 2**63 - 1
    assert label_map(labels)[0, 3, 4] == 2**63 - 1
    labels[3, 4] = 2**64 - 1
    for held in (labels, torch.from_numpy(labels)):
        with pytest.raises(PictureError, match=rf"mine: holds the label {2**64 - 1}, expected at most {2**63 - 1}"):
            label_map(held, "mine")


NO_NUMBERS = {
    "ragged": [[1, 2], [3]],
    "words": [["a"] * 8] * 8,
    "words as objects": np.full((8, 8), "a", object),
    "dates": np.zeros((8, 8), "datetime64[s]"),
    "records": np.zeros((8, 8), [("x", "f4")]),
    "complex": np.zeros((8, 8), complex),
    "nothing behind it": torch.empty(8, 8, device="meta"),
    "on another device": Unreadable(),
    "a list of dictionaries": [[{}]],
}


@pytest.mark.parametrize("case", NO_NUMBERS)
def test_what_holds_no_numbers_is_refused_by_all_alike(case: str) -> None:
    for road in (read_image, label_map, keypoints):
        with pytest.raises(PictureError, match=r"^mine: .*numbers") as caught:
            road(NO_NUMBERS[case], "mine")
        assert "\n" not in str(caught.value)
