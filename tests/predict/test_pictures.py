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


@pytest.mark.parametrize(("values", "largest"), [(GREYS / 255, 1), (GREYS, 255), (GREYS * 257.0, 65535)])
def test_floats_of_a_picture_are_scaled_by_their_range(tmp_path, values, largest):
    Image.fromarray(values.astype(np.float32)).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_pictures(tmp_path / "a.tif")[0].pixels, GREYS)


@pytest.mark.parametrize("suffix", ["tif", "gif"])
def test_all_pictures_of_a_file_are_read(tmp_path, suffix):
    frames = [Image.fromarray(np.full((3, 4), value, np.uint8)) for value in (10, 200, 90)]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    found = read_pictures(tmp_path / f"a.{suffix}")
    assert [picture.name for picture in found] == [f"a.{suffix}[{index}]" for index in range(3)]
    assert [int(picture.pixels.mean()) for picture in found] == [10, 200, 90]


def test_three_grey_pictures_of_an_idx_file_are_three_for_a_network_in_colour_too(tmp_path):
    path = tmp_path / "own-idx3-ubyte"
    path.write_bytes(idx(np.stack([GREYS, GREYS + 1, GREYS + 2])))
    found = read_pictures(path, colour=True)
    assert len(found) == 3
    np.testing.assert_array_equal(found[1].pixels, np.stack([GREYS + 1] * 3, -1))


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
    "strips.npy": (np.zeros((28, 28, 3)), "of grey"),
    "several.npy": ("npz", "holds several arrays"),
    "huge.npy": ("huge", "can't be read as an array"),
    "cut-idx3-ubyte.gz": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xff\xff\xff", "can't be read as an IDX file"),
    "nan.tif": (np.array([[np.nan]], np.float32), "pixels must be from 0 to 65535"),
    "negative.tif": (np.array([[-1.0]], np.float32), "pixels must be from 0 to 65535"),
    "deep.tif": (np.array([[65536]], np.int32), "pixels must be from 0 to 65535"),
    "objects.npy": (np.array([[None]]), "can't be read as an array"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read(tmp_path, name):
    contents, message = BAD[name]
    path = tmp_path / name
    if isinstance(contents, np.ndarray) and path.suffix == ".tif":
        Image.fromarray(contents).save(path)
    elif isinstance(contents, np.ndarray):
        np.save(path, contents, allow_pickle=True)
    elif contents == "npz":
        with path.open("wb") as file:
            np.savez(file, GREYS, GREYS)
    elif contents == "huge":
        np.save(path, np.zeros((1,) * 7, np.uint8))
        small, large = str((1,) * 7).encode(), str((10**18 - 1,)).encode()
        assert len(small) == len(large)
        path.write_bytes(path.read_bytes().replace(small, large))
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
