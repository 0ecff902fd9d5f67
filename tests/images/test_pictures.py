"""Every kind of picture that people have, and every kind of file that is none."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from midms.images import PictureError, check_target, native_size, read_image, resize, save_images, to_pil

GRADIENT = np.stack(np.meshgrid(np.arange(24) * 10, np.arange(16) * 15, indexing="xy"), -1)
COLOUR = np.concatenate([GRADIENT, 255 - GRADIENT[..., :1]], -1).astype(np.uint8)
EXPECTED = torch.from_numpy(COLOUR.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


def assert_close(found: torch.Tensor, expected: torch.Tensor = EXPECTED, tolerance: float = 1e-6) -> None:
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    "picture",
    [
        Image.fromarray(COLOUR),
        COLOUR,
        COLOUR.astype(np.int64),
        COLOUR.astype(np.uint16) * 257,
        COLOUR.astype(np.float64) / 255,
        COLOUR.astype(np.float32) / 127.5 - 1,
        torch.from_numpy(COLOUR).permute(2, 0, 1),
        EXPECTED,
        EXPECTED[0].double(),
    ],
    ids=lambda p: f"{type(p).__name__}-{getattr(p, 'dtype', '')}",
)
def test_all_kinds_of_pictures_are_one_tensor(picture: object) -> None:
    assert_close(read_image(picture))


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".bmp", ".webp", ".jpg"])
def test_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    save_images({path: Image.fromarray(COLOUR)})
    assert_close(read_image(str(path)), tolerance=0.25 if suffix in (".jpg", ".webp") else 1e-6)


def test_grey_pictures_of_all_depths(tmp_path: Path) -> None:
    grey = COLOUR[..., 0]
    expected = (torch.from_numpy(grey).float() / 127.5 - 1).expand(1, 3, -1, -1)
    deep = grey.astype(np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(deep).save(tmp_path / "deep.tiff")
    Image.fromarray(grey / np.float32(255)).save(tmp_path / "float.tiff")
    for picture in (grey, grey[..., None], deep, Image.fromarray(grey), Image.fromarray(deep.astype(np.int32))):
        assert_close(read_image(picture), expected)
    for name in ("deep.png", "deep.tiff", "float.tiff"):
        assert_close(read_image(tmp_path / name), expected)
    assert_close(read_image(grey > 100), (torch.from_numpy(grey > 100).float() * 2 - 1).expand(1, 3, -1, -1))


@pytest.mark.parametrize(("numbers", "white"), [([0, 100, 255], 255), ([0, 25700, 65535], 65535)])
def test_grey_pictures_of_32_bits_are_the_arrays_of_their_numbers(numbers: list[int], white: int) -> None:
    image = Image.fromarray(np.tile(np.array(numbers, np.int32), (8, 4)))
    assert image.mode == "I"
    expected = np.tile(np.array(numbers) / white, (8, 4))
    np.testing.assert_allclose((read_image(image)[0, 0].numpy() + 1) / 2, expected, atol=1e-6)


def test_palette_and_cmyk(tmp_path: Path) -> None:
    four = Image.fromarray(COLOUR).quantize(4)
    four.save(tmp_path / "palette.png")
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "cmyk.tiff")
    assert_close(read_image(tmp_path / "palette.png"), read_image(np.asarray(four.convert("RGB"))))
    assert_close(read_image(tmp_path / "cmyk.tiff"))
    big = Image.fromarray(COLOUR).resize((96, 64))
    big.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert_close(read_image(tmp_path / "cmyk.jpg"), read_image(big), tolerance=0.15)


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:], duration=50)
    red = torch.tensor([1.0, -1, -1]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    assert_close(read_image(tmp_path / "moving.gif"), red)


def test_photos_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees clockwise
    Image.fromarray(COLOUR).save(tmp_path / "turned.png", exif=exif)
    assert_close(read_image(tmp_path / "turned.png"), EXPECTED.rot90(-1, (2, 3)))


def test_transparency_is_laid_on_white() -> None:
    half = np.concatenate([COLOUR, np.full((16, 24, 1), 128, np.uint8)], -1)
    assert_close(read_image(half), (EXPECTED + 1) * 128 / 255 + 2 * (127 / 255) - 1, tolerance=1e-5)
    clear = np.zeros((16, 24, 4), np.uint8)
    assert (read_image(clear) == 1).all()
    assert (read_image(Image.fromarray(clear)) == 1).all()
    grey = np.stack([COLOUR[..., 0], np.full((16, 24), 255, np.uint8)], -1)
    assert_close(read_image(grey), read_image(COLOUR[..., 0]))


def test_white_strokes_on_nothing_are_laid_on_black() -> None:
    strokes = np.full((16, 24, 4), 255, np.uint8)
    strokes[..., 3] = 0
    strokes[8, :, 3] = 255
    found = read_image(strokes)
    assert (found[..., 8, :] == 1).all()
    assert (found[..., :8, :] == -1).all()


def test_transparent_palette(tmp_path: Path) -> None:
    image = Image.new("P", (16, 16), 0)
    image.putpalette([10, 20, 30, 200, 0, 0])
    image.paste(1, (0, 0, 8, 16))
    image.save(tmp_path / "palette.png", transparency=0)
    found = read_image(tmp_path / "palette.png")
    assert (found[..., 8:] == 1).all()
    assert found[0, 0, 0, 0] == pytest.approx(200 / 127.5 - 1)


def test_huge_pictures_are_reduced() -> None:
    assert read_image(Image.new("L", (9000, 8200), 255)).shape == (1, 3, 2734, 3000)


def damaged(folder: Path) -> dict[str, Path]:
    """Files that are no usable pictures, by what their error should say."""
    whole = folder / "whole.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(whole)
    (folder / "truncated.png").write_bytes(whole.read_bytes()[:4000])
    (folder / "text.png").write_text("this is not a picture\n")
    (folder / "empty.png").write_bytes(b"")
    Image.new("RGB", (1, 1)).save(folder / "one.png")
    Image.new("RGB", (20000, 20)).save(folder / "strip.png")
    Image.new("1", (14000, 14000)).save(folder / "bomb.png")
    return {
        "no such file": folder / "missing.png",
        "is a folder, expected a regular file": folder,
        "damaged picture": folder / "truncated.png",
        "not a picture": folder / "text.png",
        "not a picture of a known": folder / "empty.png",
        "is 1 x 1 pixels": folder / "one.png",
        "is 20000 x 20 pixels": folder / "strip.png",
        "has too many pixels to be read safely": folder / "bomb.png",
    }


def test_damaged_files_are_refused_in_one_line_with_their_name(tmp_path: Path) -> None:
    for message, path in damaged(tmp_path).items():
        with pytest.raises(PictureError, match=re.escape(message)) as caught:
            read_image(path)
        assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.full((16, 16, 3), np.nan), "not finite"),
        (torch.full((3, 16, 16), torch.inf), "not finite"),
        (np.zeros((16, 16, 5)), "1 to 4 channels"),
        (np.zeros((16,)), "1 to 4 channels"),
        (torch.zeros(2, 3, 16, 16), r"got \[2, 3, 16, 16\]"),
        (torch.zeros(1, 3, 4, 16), "at least 8 x 8"),
        (np.full((16, 16), 300), "integers must be in 0..255"),
        (np.full((16, 16), -3.0), "floats must be in"),
        (np.full((16, 16), 1j), "expected numbers"),
        (np.full((16, 16), "a"), "expected numbers"),
        (np.zeros((0, 16, 3)), "is 16 x 0 pixels"),
        (b"bytes", "got bytes"),
        (None, "got NoneType"),
    ],
)
def test_arrays_that_are_no_pictures(picture: object, message: str) -> None:
    with pytest.raises(PictureError, match=f"exemplar: .*{message}"):
        read_image(picture, "exemplar")


def test_a_failed_save_leaves_the_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tmp_path / "one.png", tmp_path / "other.png"
    one.write_bytes(b"old")
    written, fine = [], Image.Image.save

    def fail(self: Image.Image, path: object, *kind: str) -> None:
        if kind:  # a try whether the format holds colours, which is made once
            return fine(self, path, *kind)
        if not written:
            return written.append(fine(self, str(path)))
        Path(str(path)).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(PictureError, match=r"other\.png: .*disk full"):
        save_images(dict.fromkeys((one, other), Image.fromarray(COLOUR)))
    assert written and one.read_bytes() == b"old", "both or none"
    assert os.listdir(tmp_path) == ["one.png"]


def test_targets_are_checked_beforehand(tmp_path: Path) -> None:
    for name, message in [
        ("a.xyz", "named .xyz"),
        ("a.xbm", "named .xbm"),  # holds black and white alone
        ("a", "without a suffix"),
        ("no/a.png", "does not exist"),
    ]:
        with pytest.raises(PictureError, match=message):
            check_target(tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(PictureError, match="is a folder"):
        check_target(tmp_path / "folder.png")
    check_target(tmp_path / "fine.png")
    assert os.listdir(tmp_path) == ["folder.png"]


def test_a_picture_comes_back_from_a_tensor() -> None:
    assert (np.asarray(to_pil(EXPECTED)) == COLOUR).all()
    too_bright = torch.full((1, 1, 8, 8), 1.3)
    assert (np.asarray(to_pil(too_bright)) == 255).all()


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [((64, 64), 64, (64, 64)), ((300, 400), 64, (64, 80)), ((1000, 500), 64, (128, 64)), ((10, 10), 96, (96, 96))],
)
def test_native_sizes(shape: tuple[int, int], size: int, expected: tuple[int, int]) -> None:
    assert native_size(shape, size, multiple=16) == expected


def test_reducing_averages() -> None:
    checks = torch.zeros(1, 3, 64, 64)
    checks[..., ::2, ::2] = checks[..., 1::2, 1::2] = 1
    torch.testing.assert_close(resize(checks, (16, 16))[..., 2:-2, 2:-2], torch.full((1, 3, 12, 12), 0.5))


def linked(link: Path, target: str) -> Path:
    link.symlink_to(target)
    return link


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "shelf").mkdir()
    kept = tmp_path / "shelf" / "kept"
    kept.write_bytes(b"old")
    direct, chain = linked(tmp_path / "link.png", "shelf/kept"), linked(tmp_path / "chain.jpg", "middle")
    linked(tmp_path / "middle", "shelf/new.jpg")
    for link in (direct, chain):
        check_target(link)
    save_images(dict.fromkeys((direct, chain), Image.fromarray(COLOUR)))
    assert direct.is_symlink() and os.readlink(direct) == "shelf/kept" and os.readlink(chain) == "middle"
    assert_close(read_image(kept))  # in the format of the link's suffix
    with Image.open(tmp_path / "shelf" / "new.jpg") as image:
        assert image.format == "JPEG"
    assert sorted(os.listdir(tmp_path / "shelf")) == ["kept", "new.jpg"]


def test_links_that_lead_nowhere_are_refused_beforehand(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    bad = {
        linked(tmp_path / "self.png", "self.png"): "a link that leads round to itself",
        linked(tmp_path / "there.png", "back.png"): "a link that leads round to itself",
        linked(tmp_path / "back.png", "there.png"): "a link that leads round to itself",
        linked(tmp_path / "lost.png", "gone/picture.png"): "the folder .*gone does not exist",
        linked(tmp_path / "folder.png", "folder"): "is a folder",
        linked(tmp_path / "pipe.png", "pipe"): "is a pipe, expected a regular file",
        linked(tmp_path / "null.png", "/dev/null"): "is a device, expected a regular file",
    }
    before = sorted(os.listdir(tmp_path))
    for path, message in bad.items():
        for refuse in (check_target, lambda path: save_images({path: Image.fromarray(COLOUR)})):
            with pytest.raises(PictureError, match=f"{path.name}: .*{message}") as caught:
                refuse(path)
            assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == before and all(path.is_symlink() for path in bad)
