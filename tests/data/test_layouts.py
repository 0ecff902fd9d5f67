"""Data sets of pictures that are files: which pictures, which exemplars, which maps."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import made_data
import numpy as np
import pytest
import torch
from made_data import number_of, pairs_of, seeded, solid
from PIL import Image

from midms.conditions.ade20k_segmentation import ADE20KSegmentation
from midms.conditions.celebahq_edge import CelebaHQEdge
from midms.conditions.edges import Edges
from midms.data.errors import DatasetError
from midms.data.files import Names


def both(name: str, path: object, **more: Any) -> tuple[Any, Any]:
    return pairs_of(name, path, split="train", **more), pairs_of(name, path, split="validation", **more)


def targets(dataset: Any) -> list[int]:
    return [number_of(dataset[i].target) for i in range(len(dataset))]


def test_every_picture_of_a_folder_is_in_one_split_and_stays_there(tmp_path: Path) -> None:
    solid(tmp_path, 40)
    first = [targets(one) for one in both("folder", tmp_path)]
    assert sorted(first[0] + first[1]) == [*range(40)] and 1 <= len(first[1]) <= 8
    solid(tmp_path / "00", 10)  # before the others, and of the first ten greys
    second = [targets(one) for one in both("folder", tmp_path)]
    assert sum(map(len, second)) == 50
    assert all({*a} - {*range(10)} == {*b} - {*range(10)} for a, b in zip(first, second, strict=True))
    shutil.rmtree(tmp_path)
    solid(tmp_path, 2)
    assert [len(one) for one in both("folder", tmp_path)] == [1, 1]


def test_pictures_are_upright_cut_in_the_middle_and_in_srgb_of_files_below(tmp_path: Path) -> None:
    (tmp_path / "a" / ".hidden").mkdir(parents=True)
    pixels = np.arange(32 * 48 * 3).reshape(32, 48, 3) % 256
    turned = Image.fromarray(np.rot90(pixels).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that rows are columns
    turned.save(tmp_path / "a" / "turned.png", exif=exif)
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "straight.PNG")
    Image.new("RGB", (32, 32)).save(tmp_path / "a" / ".hidden" / "x.png")
    shown = [pair.target for dataset in both("folder", tmp_path, size=32) for pair in dataset]
    middle = torch.from_numpy(pixels[:, 8:40]).movedim(-1, 0)[None] / 127.5 - 1
    assert len(shown) == 2
    for picture in shown:
        assert torch.allclose(picture, middle.float(), atol=1e-6)


def test_a_random_map_shows_what_its_picture_shows(tmp_path: Path) -> None:
    """Drawings that are the pictures: crops and mirrors are the same for both, others for the exemplar."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 30, 3)).astype(np.uint8)
    for name in ("a.png", "b.png"):
        Image.fromarray(noise).save(tmp_path / name)
    rows = "\n".join(f"{a}.png,{a}.png,{b}.png,{b}.png" for a, b in ("ab", "ba"))
    (tmp_path / "table.csv").write_text(f"target,condition,exemplar,exemplar_condition\n{rows}")
    dataset = pairs_of("pairs", tmp_path / "table.csv", size=24)
    versions = [dataset.draw(0, seeded(seed)) for seed in range(12)]
    for pair in versions:
        near = [
            (asked - shown / 2 - 0.5).abs().mean()
            for asked, shown in ((pair.condition, pair.target), (pair.exemplar_condition, pair.exemplar))
        ]
        assert max(near) < 1e-6 < (pair.condition - pair.exemplar_condition).abs().mean()
    assert len({pair.target.numpy().tobytes() for pair in versions}) == len(versions)


def test_exemplars_of_a_list_are_hard_easy_and_own_as_often_as_in_cocosnet(tmp_path: Path) -> None:
    names = solid(tmp_path / "pictures", 8)
    (tmp_path / "list_ref.txt").write_text(
        "\n".join(",".join([names[i], *names[:i], *names[i + 1 :]]) for i in range(8))
    )
    dataset = pairs_of("folder", tmp_path / "pictures", pairs=tmp_path / "list_ref.txt")
    generator = seeded(0)
    own = number_of(dataset[0].target)
    kept = [i for i in targets(dataset) if i != own]
    drawn = Counter(number_of(dataset.draw(0, generator).exemplar) for _ in range(300))
    assert drawn.keys() == {own, kept[0], kept[-1]} and number_of(dataset[0].exemplar) == kept[0]
    for number, share in ((kept[-1], 0.2), (kept[0], 0.5), (own, 0.3)):
        assert abs(drawn[number] / 300 - share) < 0.1
    assert dataset[0].flow is None


def test_exemplars_that_are_held_out_are_passed_over_in_training(tmp_path: Path) -> None:
    names = solid(tmp_path, 40)
    held_out = targets(pairs_of("folder", tmp_path, split="validation"))
    first = names[held_out[0]]
    lines = [f"{name},{first},{name}" for name in names]
    (tmp_path / "ref.txt").write_text("\n".join(lines))
    train, validation = both("folder", tmp_path, pairs=tmp_path / "ref.txt")
    assert all(number_of(pair.exemplar) == number_of(pair.target) for pair in train)
    assert {number_of(pair.exemplar) for pair in validation} == {held_out[0]}


def test_a_table_of_pairs_is_read_by_a_folder_too(tmp_path: Path) -> None:
    names = solid(tmp_path / "pictures", 6)
    rows = [f"pictures/{name},pictures/{names[(i + k) % 6]},0.9" for i, name in enumerate(names) for k in (1, 2)]
    rows[0] = rows[0].replace("pictures/", f"{tmp_path}/pictures/")
    (tmp_path / "pairs.csv").write_text("target,exemplar,similarity\n" + "\n".join(rows))
    dataset = pairs_of("folder", tmp_path / "pictures", split="validation", pairs=tmp_path / "pairs.csv")
    assert all(number_of(pair.exemplar) == (number_of(pair.target) + 1) % 6 for pair in dataset)
    listed = [pair for one in both("pairs", tmp_path / "pairs.csv") for pair in one]
    assert len(listed) == 12
    assert {(number_of(pair.exemplar) - number_of(pair.target)) % 6 for pair in listed} == {1, 2}


@pytest.mark.parametrize("name", made_data.CONDITIONS)
def test_every_layout_goes_through_workers_in_little_memory(name: str, tmp_path: Path) -> None:
    """All pairs of both splits can be made; what is kept of a picture is about its name."""
    made, condition = made_data.made(name), made_data.CONDITIONS[name]()
    for dataset in both(name, made, size=64, condition=condition):
        content = pickle.dumps(dataset)
        assert len(content) < 2000 + 150 * len(dataset.files) and len(pickle.loads(content)) == len(dataset)
        pair = dataset.draw(len(dataset) - 1, seeded(0))
        assert pair.exemplar_condition is not None and pair.condition.shape[1] == condition.channels


def test_names_take_the_memory_of_their_letters() -> None:
    names = Names(f"folder/picture {i} é.jpg" for i in range(1000))
    assert [*names] == [f"folder/picture {i} é.jpg" for i in range(1000)] and names[-1] == "folder/picture 999 é.jpg"
    assert len(pickle.dumps(names)) < 1000 * (len("folder/picture 999 é.jpg") + 12)
    with pytest.raises(IndexError):
        names[1000]


def test_how_pairs_are_made_is_in_the_log_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    solid(tmp_path, 20)
    with caplog.at_level(logging.INFO, "midms"):
        dataset = pairs_of("folder", tmp_path)
        dataset.draw(0, seeded(0))
    (line,) = caplog.messages
    held_out = 20 - len(dataset)
    assert line == f"{tmp_path}: {dataset.note}"
    assert dataset.note == (
        f"{20 - held_out} of 20 pictures for train, by a hash of their names; the exemplar of each picture is itself"
        " under a smooth warp that is known"
    )


def test_members_of_tar_files_that_are_passed_over_are_named(tmp_path: Path) -> None:
    solid(tmp_path, 4)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for i, picture in enumerate(sorted(tmp_path.glob("*.png"))):
            archive.add(picture, f"{i}.png")
            archive.add(picture, f"{i}.5.condition.png")
    passed = "passed over: 0.5.condition.png, 1.5.condition.png, 2.5.condition.png and 1 more, for a key ends at the"
    assert pairs_of("webdataset", tmp_path).note.endswith(f"{passed} first dot")


def test_the_whole_samples_of_a_tar_file_that_is_cut_short_are_used(tmp_path: Path) -> None:
    """It ends within a drawing, whose picture is left out too; where nothing can be read, it is said why."""
    solid(tmp_path, 40)
    for name, numbers in (("a", range(20)), ("b", range(20, 40))):
        with tarfile.open(tmp_path / f"{name}.tar", "w") as archive:
            for number in numbers:
                for part in ("", ".condition"):
                    archive.add(tmp_path / f"{number}.png", f"{number:02}{part}.png")
            end = archive.offset
    whole = sum(len(one) for one in both("webdataset", tmp_path / "?.tar"))
    content = (tmp_path / "b.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(content[: end - 600])
    train, held_out = both("webdataset", tmp_path / "?.tar")
    assert len(train) + len(held_out) == whole - 1 == 39 and train.left_out == held_out.left_out
    assert len(train.left_out) == 1 and train.left_out[0].startswith(f"{tmp_path / 'b.tar'}: ")
    (tmp_path / "b.tar").write_bytes(content[:700])
    with pytest.raises(DatasetError, match=r"b\.tar: is cut short after 700 bytes"):
        both("webdataset", tmp_path / "b.tar")


def test_celebahq_has_the_maps_of_its_masks_and_the_exemplars_of_its_lists() -> None:
    root = made_data.made("celebahq-edge")
    train, validation = both("celebahq-edge", root, size=80, condition=CelebaHQEdge())
    assert (len(train), len(validation)) == (36, 4)
    for i in range(3):
        pair, first = train[i], 0 if i else 1
        photo = root / "CelebA-HQ-img" / f"{i}.jpg"
        assert torch.equal(pair.condition, CelebaHQEdge().read(photo, "", lambda shape: shape))
        shown = torch.from_numpy(np.array(Image.open(root / "CelebA-HQ-img" / f"{first}.jpg"))).movedim(-1, 0)
        assert torch.allclose(pair.exemplar[0], shown / 127.5 - 1, atol=1e-6)
    assert torch.equal(validation[1].exemplar, train_picture(root, 36))


def train_picture(root: Path, number: int) -> torch.Tensor:
    pixels = torch.from_numpy(np.array(Image.open(root / "CelebA-HQ-img" / f"{number}.jpg")))
    return pixels.movedim(-1, 0)[None] / 255 * 2 - 1


def test_a_layout_with_annotations_serves_conditions_of_pictures_too() -> None:
    dataset = pairs_of("celebahq-edge", made_data.made("celebahq-edge"), size=64, condition=Edges())
    assert torch.equal(dataset[0].condition, Edges().photo(dataset[0].target))
    assert dataset.note.endswith("conditions made of the pictures")


def test_deepfashion_has_other_views_and_any_picture_as_a_hard_exemplar(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    names = [f"img\\{name}" for name in solid(tmp_path / "img", 12)]
    (tmp_path / "train.txt").write_text("\n".join(names[:10]))
    (tmp_path / "val.txt").write_text("\n".join(names[10:]))
    (tmp_path / "deepfashion_ref.txt").write_text("\n".join(f"{names[i]},{names[(i + 3) % 10]}" for i in range(10)))
    (tmp_path / "deepfashion_self_pair.txt").write_text(
        f"{names[1]},{names[2]}\n{names[4]},{names[5]},{names[6]},{names[7]}\n"
    )
    dataset = pairs_of("deepfashion-pose", tmp_path)
    drawn = {i: Counter(number_of(dataset.draw(i, seeded(s)).exemplar) for s in range(100)) for i in (0, 1, 4)}
    assert number_of(dataset[0].exemplar) == 3 and len(drawn[0]) > 5 and abs(drawn[0][3] - 52) < 20
    assert abs(drawn[0][0] - 32) < 18  # itself
    assert number_of(dataset[1].exemplar) == 2 and drawn[1][2] > 65 and len(drawn[1]) > 5
    assert number_of(dataset[4].exemplar) == 5 and drawn[4].keys() == {5, 6} and abs(drawn[4][6] - 20) < 16


def test_segmented_exemplars_of_the_validation_are_looked_for_in_the_training_too(tmp_path: Path) -> None:
    for folder, numbers in (("training", range(4)), ("validation", range(4, 6))):
        (tmp_path / folder).mkdir()
        for i in numbers:
            Image.new("RGB", (24, 24), (5 * i,) * 3).save(tmp_path / folder / f"{i}.jpg", quality=100)
            Image.new("L", (24, 24), i).save(tmp_path / folder / f"{i}.png")
    (tmp_path / "ade20k_ref_test.txt").write_text("4.jpg,1.jpg\n5.jpg,4.jpg")
    dataset = pairs_of("ade20k", tmp_path, split="validation", condition=ADE20KSegmentation())
    assert [number_of(pair.exemplar) for pair in dataset] == [1, 4]
    assert [int(pair.exemplar_condition[0, :, 0, 0].argmax()) for pair in dataset] == [1, 4]
    assert pairs_of("ade20k", tmp_path, condition=ADE20KSegmentation())[0].flow is not None


def test_annotations_of_exemplars_are_those_of_the_row_whose_target_they_are(tmp_path: Path) -> None:
    names = solid(tmp_path, 4)
    for i, name in enumerate(names):
        Image.new("L", (24, 24), 10 + i).save(tmp_path / f"labels-{name}")
    lines = [{"file_name": name, "condition_file_name": f"labels-{name}"} for name in names]
    (tmp_path / "metadata.jsonl").write_text(
        "\n".join(json.dumps(line | {"exemplar": names[(i + 1) % 4]}) for i, line in enumerate(lines))
    )
    for dataset in both("imagefolder", tmp_path, condition=ADE20KSegmentation()):
        for pair in dataset:
            found = int(pair.exemplar_condition[0, :, 0, 0].argmax()) - 10
            assert found == number_of(pair.exemplar) == (number_of(pair.target) + 1) % 4
