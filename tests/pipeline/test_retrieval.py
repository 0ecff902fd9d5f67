"""Nearest pictures: against closed form, in blocks, kept, and whatever is interrupted or broken."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path

import pytest
import torch
from command_line import complaint, run
from made_data import made, pairs_of, solid, truncated

import midms.pipeline.retrieval as retrieval
from midms.core.types import Features
from midms.images import read_image, resize
from midms.pipeline.retrieval import Embedding, RetrievalError, embed, nearest_of, sight, write_pairs

STEP = 0.1
"""Angle between pictures that follow each other; they differ by 5 of 255 in lightness."""


class Angle:
    """Features that say how light a picture is, as an angle: the cosine of two falls with their difference."""

    def __init__(self) -> None:
        self.calls = 0

    def condition(self, condition: torch.Tensor) -> Features:
        self.calls += len(condition)
        light = condition.mean(1, keepdim=True) * STEP * 51
        seen = torch.cat([light.cos(), light.sin()], 1)
        return Features(seen, seen)

    def exemplar(self, latent: torch.Tensor, condition: torch.Tensor) -> Features:
        return self.condition(condition)

    def rematch_query(self, x0: torch.Tensor, condition: Features) -> torch.Tensor:
        return condition.rematch


def embedding(extractor: Angle, key: str = "angle") -> Embedding:
    return Embedding(sight(extractor), key, 32)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in (("PER_FILE", 7), ("_AT_ONCE", 2), ("_BATCH", 3)):
        monkeypatch.setattr(retrieval, name, count)


def found(root: Path, names: list[str], out: Path, count: int = 3, extractor: Angle | None = None) -> str:
    vectors = embed(root, names, embedding(extractor or Angle()), out.with_suffix(".features"))
    write_pairs(nearest_of(vectors, count), root, names, out, out.with_suffix(".txt"))
    return out.read_text()


def test_the_nearest_are_those_of_the_closed_form_most_alike_first(tmp_path: Path) -> None:
    """Picture i is of lightness 5 i, so its nearest are i - 1 and i + 1; itself is no exemplar of itself."""
    names = solid(tmp_path / "pictures", 40)
    found(tmp_path / "pictures", names, tmp_path / "pairs.csv")
    lines = [
        [int(name.split(".")[0]) for name in line.split(",")]
        for line in (tmp_path / "pairs.txt").read_text().splitlines()
    ]
    assert [line[0] for line in lines] == [*range(40)] and all(len(line) == 4 for line in lines)
    for target, *others in lines[3:-3]:
        assert {*others[:2]} == {target - 1, target + 1} and others[2] in (target - 2, target + 2)
    assert lines[0][1:] == [1, 2, 3] and lines[-1][1:] == [38, 37, 36]
    rows = [*csv.DictReader((tmp_path / "pairs.csv").read_text().splitlines())]
    numbers = [[int(Path(row[name]).stem) for name in ("target", "exemplar")] for row in rows]
    assert rows[0]["target"] == "pictures/0.png" and numbers[:2] == [[0, 1], [0, 2]]
    angles = [STEP * (target - exemplar) for target, exemplar in numbers]
    cosines = torch.tensor(angles, dtype=torch.float64).cos()
    kept = torch.tensor([float(row["similarity"]) for row in rows], dtype=torch.float64)
    assert (cosines - kept).abs().max() < 1.5e-3  # half precision


def test_what_was_interrupted_goes_on_and_gives_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = solid(tmp_path / "pictures", 30)
    whole = found(tmp_path / "pictures", names, tmp_path / "whole.csv")
    read, seen = retrieval.read_image, list[Path]()

    def interrupted(path: Path) -> torch.Tensor:
        seen.append(path)
        if len(seen) == 17:
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(retrieval, "read_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        found(tmp_path / "pictures", names, tmp_path / "pairs.csv")
    assert len([*(tmp_path / "pairs.features").glob("*.safetensors")]) == 2 and not (tmp_path / "pairs.csv").exists()
    extractor = Angle()
    assert found(tmp_path / "pictures", names, tmp_path / "pairs.csv", extractor=extractor) == whole
    assert extractor.calls == 30 - 14


def test_only_what_changed_is_looked_at_again(tmp_path: Path) -> None:
    root, out = tmp_path / "pictures", tmp_path / "pairs.csv"
    names = solid(root, 30)
    first, second, third, fourth = (Angle() for _ in range(4))
    found(root, names, out, extractor=first)
    found(root, names, out, count=5, extractor=second)
    kept = sorted((tmp_path / "pairs.features").glob("*.safetensors"))
    kept[1].write_bytes(kept[1].read_bytes()[:-1])
    (root / names[29]).write_bytes((root / names[0]).read_bytes())
    found(root, names, out, extractor=third)
    assert (first.calls, second.calls, third.calls) == (30, 0, 7 + 2)
    assert len([*(tmp_path / "pairs.features").glob("*.safetensors")]) == 5  # what is stale is gone
    embed(root, names, embedding(fourth, "another"), tmp_path / "pairs.features")
    assert fourth.calls == 30


def test_a_broken_picture_is_named_and_takes_no_part(tmp_path: Path) -> None:
    names = solid(tmp_path, 20)
    truncated(tmp_path / names[9])
    for _ in range(2):  # as it is read, and as it was kept
        vectors = embed(tmp_path, names, embedding(Angle()), tmp_path / "kept")
        assert [*vectors.broken] == [9] and str(tmp_path / names[9]) in vectors.broken[9]
        pairs = {number: others.tolist() for number, _, others in nearest_of(vectors, 2)}
        assert 9 not in pairs and len(pairs) == 19 and {*pairs[8]} == {7, 10}
    for name in names:
        truncated(tmp_path / name)
    with pytest.raises(RetrievalError, match="none of 7 pictures can be read"):
        embed(tmp_path, names, embedding(Angle()), tmp_path / "kept")


def test_a_link_to_nothing_is_named_and_takes_no_part(tmp_path: Path) -> None:
    names = solid(tmp_path, 3)
    (tmp_path / names[1]).unlink()
    (tmp_path / names[1]).symlink_to("nowhere.png")
    assert [*embed(tmp_path, names, embedding(Angle()), tmp_path / "kept").broken] == [1]


def test_there_are_as_many_exemplars_as_others(tmp_path: Path) -> None:
    names = solid(tmp_path, 3)
    vectors = embed(tmp_path, names, embedding(Angle()), tmp_path / "kept")
    assert [len(others) for _, _, others in nearest_of(vectors, 10)] == [2, 2, 2]


def test_the_command_writes_both_files_with_features_that_come_with_midms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = solid(tmp_path / "pictures", 9)
    truncated(tmp_path / "pictures" / names[8])
    assert run("pairs", "pictures", "--out", "pairs.csv", "--ref-txt", "pictures_ref.txt", "--top-k", 2) == 0
    shown = capsys.readouterr()
    assert shown.out == (
        "8 pictures with up to 2 exemplars each, written to pairs.csv and pictures_ref.txt; their features are in"
        " pairs.csv.features\n"
    )
    assert "midms: note: left out: pictures/8.png: " in shown.err
    assert len((tmp_path / "pairs.csv").read_text().splitlines()) == 17
    assert all(len(line.split(",")) == 3 for line in (tmp_path / "pictures_ref.txt").read_text().splitlines())
    first = (tmp_path / "pairs.csv").read_bytes()
    assert run("pairs", "pictures", "--out", "pairs.csv", "--top-k", 2) == 0
    assert (tmp_path / "pairs.csv").read_bytes() == first


def test_a_layout_reads_the_lists_that_were_written_for_it(tmp_path: Path) -> None:
    """Churches beside whose photos there are label maps, which are pictures too; the lists of the drawn set go."""
    root = tmp_path / "made"
    shutil.copytree(made("lsun-church"), root, ignore=shutil.ignore_patterns("*_ref*.txt"))
    for folder, end in (("training", "ref"), ("validation", "ref_test")):
        listing = root / f"lsun_church_{end}.txt"
        words = ("--glob", "*.jpg", "--top-k", 3, "--out", tmp_path / f"{folder}.csv", "--ref-txt", listing)
        assert run("pairs", root / folder, *words) == 0
        split = "train" if folder == "training" else folder
        dataset = pairs_of("lsun-church", root, split=split, size=64)
        first, exemplar, *others = listing.read_text().splitlines()[0].split(",")
        assert len(others) == 2 and len(listing.read_text().splitlines()) == len(dataset)
        shown = read_image(root / folder / exemplar)
        assert first.startswith("picture_") and torch.equal(dataset[0].exemplar, resize(shown, (64, 64)).clamp(-1, 1))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("absent --out a.csv", "midms: absent: there is no such folder"),
        ("pictures --out no/a.csv", "midms: --out no/a.csv: cannot be written (the folder "),
        ("pictures --out a.csv.d/b.csv", "midms: --out a.csv.d/b.csv: cannot be written (the folder "),
        ("pictures --out pictures/0.png", "midms: --out pictures/0.png: expected the name of a file called *.csv"),
        ("pictures --out a.csv --ref-txt a.csv", "midms: --ref-txt a.csv: expected the name of a file called *.txt"),
        ("pictures --out pipe.csv", "midms: --out pipe.csv: cannot be written (is a pipe, expected a regular file)"),
        ("pictures --out round.csv", "midms: --out round.csv: cannot be written (a link that leads round to itself)"),
        ("pictures --out a.csv --ref-txt lost.txt", "midms: --ref-txt lost.txt: cannot be written (the folder "),
        ("one --out a.csv", "midms: one: has 1 of *, expected at least two pictures"),
        ("pictures --out a.csv --features vg", "midms: --features: no features is called 'vg'. Did you mean 'vgg'"),
        ("pictures --out a.csv --features timm:resnet1", "midms: --features: timm knows no backbone 'resnet1'"),
        (
            "pictures --out a.csv --features pyramid",
            "midms: --features pyramid: takes maps of 2 channels,",
        ),
        ("pictures --out a.csv --preset midm-face", "midms: --preset: no preset is called 'midm-face'. Did you mean "),
        (
            "commas --out a.csv --ref-txt b.txt",
            "midms: --ref-txt: divides names by commas, and a picture is called 'a,b",
        ),
    ],
)
def test_what_cannot_be_paired_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    solid(tmp_path / "pictures", 2)
    solid(tmp_path / "one", 1)
    solid(tmp_path / "commas", 1)
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "round.csv").symlink_to("round.csv")
    (tmp_path / "lost.txt").symlink_to("gone/b.txt")
    (tmp_path / "commas" / "0.png").rename(tmp_path / "commas" / "a,b.png")
    assert run("pairs", *words.split()) == 2
    assert complaint(capsys).startswith(message)
    assert not [*tmp_path.glob("a.csv*")]
