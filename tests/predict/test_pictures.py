"""Pictures are read from every kind of file; what can't be read is told in one line."""

import gzip
import lzma

import numpy as np
import pytest
from PIL import Image

from apot_lit.errors import UserError
from apot_lit.predict.pictures import read_pictures
from tests.conftest import ROOT
from tests.export.conftest import digits

GREYS = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


def idx(array):
    shape = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes()


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "pgm", "webp"])
def test_grey_pictures(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(GREYS).save(path, **({"lossless": True} if suffix == "webp" else {}))
    (picture,) = read_pictures(path)
    assert picture.name == path.name
    np.testing.assert_array_equal(picture.pixels, GREYS)


def test_colours_become_their_luminance_and_transparent_pixels_white(tmp_path):
    colours = np.array([[[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255], [9, 9, 9, 0]]], np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    (picture,) = read_pictures(tmp_path / "a.png")
    expected = [0.299 * 255, 0.587 * 255, 0.114 * 255, 255]  # ITU-R 601-2
    np.testing.assert_allclose(picture.pixels[0], expected, atol=1)


def test_sixteen_bits_a_pixel_are_scaled_not_clipped(tmp_path):
    Image.fromarray(GREYS.astype(np.uint16) * 257).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_pictures(tmp_path / "a.png")[0].pixels, GREYS)


def test_a_photograph_is_turned_as_its_camera_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter clockwise
    Image.fromarray(GREYS).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_pictures(tmp_path / "a.png")[0].pixels, np.rot90(GREYS, -1))


def test_a_folder_is_read_by_name_and_other_files_are_left(tmp_path):
    for name, value in (("b.png", 2), ("a.JPG", 1), ("c.bmp", 3)):
        Image.fromarray(np.full((2, 2), value, np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    found = read_pictures(tmp_path)
    assert [(picture.name, int(picture.pixels[0, 0])) for picture in found] == [
        ("a.JPG", 1),
        ("b.png", 2),
        ("c.bmp", 3),
    ]


@pytest.mark.parametrize(
    "array",
    [GREYS, GREYS[None], GREYS[None, None], GREYS.astype(np.int64), GREYS.astype(np.float32) / 255],
    ids=["2d", "3d", "4d", "int64", "float"],
)
def test_arrays(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    (picture,) = read_pictures(tmp_path / "a.npy")
    np.testing.assert_array_equal(picture.pixels, GREYS)


def test_booleans_are_black_and_white(tmp_path):
    np.save(tmp_path / "a.npy", GREYS > 100)
    np.testing.assert_array_equal(read_pictures(tmp_path / "a.npy")[0].pixels, np.where(GREYS > 100, 255, 0))


@pytest.mark.parametrize(("end", "pack"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)])
def test_idx_files(tmp_path, end, pack):
    path = tmp_path / f"own-idx3-ubyte{end}"
    path.write_bytes(pack(idx(np.stack([GREYS, GREYS + 1]))))
    first, second = read_pictures(path)
    assert (first.name, second.name) == (f"{path.name}[0]", f"{path.name}[1]")
    np.testing.assert_array_equal(second.pixels, GREYS + 1)


def test_the_embedded_digits():
    found = read_pictures(ROOT / "data/mnist/t10k-images-idx3-ubyte.xz")
    np.testing.assert_array_equal(np.stack([picture.pixels for picture in found]), digits()[0][:, 0].numpy())


BAD = {
    "nothing.png": (None, "there is no such file or folder"),
    "text.png": (b"hello", "can't be read as a picture"),
    "cut.png": ("png", "can't be read as a picture"),
    "empty.jpg": (b"", "can't be read as a picture"),
    "text.npy": (b"hello", "can't be read as an array"),
    "text-idx3-ubyte": (b"hello", "can't be read as an IDX file"),
    "text-idx3-ubyte.gz": (b"hello", "can't be read as an IDX file"),
    "text-idx3-ubyte.xz": (b"hello", "can't be read as an IDX file"),
    "labels-idx1-ubyte": (idx(np.arange(5)), "must be [H, W], [N, H, W] or [N, 1, H, W]"),
    "notes.txt": (b"hello", "must be a picture"),
    "negative.npy": (np.array([[-1]]), "integers must be from 0 to 255"),
    "large.npy": (np.array([[256]]), "integers must be from 0 to 255"),
    "float.npy": (np.array([[1.5]]), "floats must be from 0 to 1"),
    "nan.npy": (np.array([[np.nan]]), "floats must be from 0 to 1"),
    "colours.npy": (np.zeros((1, 3, 2, 2)), "has the shape [1, 3, 2, 2]"),
    "none.npy": (np.zeros((0, 28, 28)), "has the shape [0, 28, 28]"),
    "words.npy": (np.array([["a"]]), "must be integers, floats or booleans"),
    "objects.npy": (np.array([[None]]), "can't be read as an array"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read(tmp_path, name):
    contents, message = BAD[name]
    path = tmp_path / name
    if isinstance(contents, np.ndarray):
        np.save(path, contents, allow_pickle=True)
    elif contents == "png":
        Image.effect_noise((64, 64), 50).save(path)
        path.write_bytes(path.read_bytes()[:500])
    elif contents is not None:
        path.write_bytes(contents)
    with pytest.raises(UserError) as raised:
        read_pictures(path)
    assert str(raised.value).startswith(f"images={path}: ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_folder_without_pictures(tmp_path):
    with pytest.raises(UserError, match="the folder holds no picture"):
        read_pictures(tmp_path)
