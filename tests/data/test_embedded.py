"""The embedded files: contents, damage, and the fallback to torchvision."""

import hashlib
import lzma
import resource
import shutil
import struct
from pathlib import Path
from typing import ClassVar

import pytest
import torch
import torchvision

from apot_lit.data import embedded
from apot_lit.data.datamodule import build_datamodule
from apot_lit.data.embedded import has_files, load_idx_pair
from apot_lit.data.idx import parse_idx
from apot_lit.errors import UserError

MNIST_DIR = Path(__file__).parents[2] / "data" / "mnist"
TEST_LABELS = "t10k-labels-idx1-ubyte.xz"

# As published with the data set.
MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
DIGIT_COUNTS = {
    "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the embedded files that a test may damage."""
    shutil.copytree(MNIST_DIR, tmp_path / "mnist")
    return tmp_path / "mnist"


def one_line_error(directory: Path, split: str = "test", download: bool = False) -> str:
    with pytest.raises(UserError) as caught:
        load_idx_pair(directory, split, download)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", MD5)
def test_checksums_of_the_checkout(name: str) -> None:
    contents = lzma.decompress((MNIST_DIR / f"{name}.xz").read_bytes())
    assert hashlib.md5(contents).hexdigest() == MD5[name]
    assert MD5[name] in (MNIST_DIR / "README.md").read_text()


@pytest.mark.parametrize("split", ["train", "test"])
def test_shapes_and_digit_counts(split: str) -> None:
    images, labels = load_idx_pair(MNIST_DIR, split)
    assert images.shape == (sum(DIGIT_COUNTS[split]), 1, 28, 28)
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert labels.bincount().tolist() == DIGIT_COUNTS[split]


def test_one_image_decoded_by_hand() -> None:
    contents = lzma.decompress((MNIST_DIR / "t10k-images-idx3-ubyte.xz").read_bytes())
    assert struct.unpack_from(">4I", contents) == (0x803, 10_000, 28, 28)
    pixels = struct.unpack_from("784B", contents, 16 + 1234 * 784)
    label = lzma.decompress((MNIST_DIR / TEST_LABELS).read_bytes())[8 + 1234]
    images, labels = load_idx_pair(MNIST_DIR, "test")
    assert images[1234].flatten().tolist() == list(pixels)
    assert labels[1234] == label


def test_mean_pixel_matches_the_known_one() -> None:
    images, _ = load_idx_pair(MNIST_DIR, "train")
    pixels = images.double() / 255
    assert pixels.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert pixels.std().item() == pytest.approx(0.3081, abs=5e-5)


def test_unpacks_once_however_the_directory_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_idx_pair(MNIST_DIR, "test")
    monkeypatch.setattr(embedded, "read_verified", None)
    again = load_idx_pair(str(MNIST_DIR / ".." / "mnist"), "test")
    assert again[0] is first[0]
    assert again[1] is first[1]


@pytest.mark.parametrize("position", [0.0, 0.3, 0.5, 0.999])
def test_a_flipped_bit(copy: Path, position: float) -> None:
    path = copy / "t10k-images-idx3-ubyte.xz"
    damaged = bytearray(path.read_bytes())
    damaged[int(position * len(damaged))] ^= 4
    path.write_bytes(damaged)
    message = one_line_error(copy)
    assert str(path) in message
    assert f"expected MD5 {MD5['t10k-images-idx3-ubyte']}, found " in message
    assert "could be decompressed" in message


def test_a_truncated_file_reports_the_checksum_of_what_is_left(copy: Path) -> None:
    path = copy / "t10k-images-idx3-ubyte.xz"
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(half)
    left = lzma.LZMADecompressor().decompress(half)
    assert len(left) > 1_000_000
    message = one_line_error(copy)
    assert str(path) in message
    assert MD5["t10k-images-idx3-ubyte"] in message
    assert f"found {hashlib.md5(left).hexdigest()} over the {len(left)} bytes" in message
    assert "cut short" in message


@pytest.mark.parametrize("contents", [b"", b"<html>\nnot found\n</html>\n"])
def test_a_file_that_is_not_xz(copy: Path, contents: bytes) -> None:
    (copy / TEST_LABELS).write_bytes(contents)
    message = one_line_error(copy)
    assert str(copy / TEST_LABELS) in message
    assert MD5["t10k-labels-idx1-ubyte"] in message
    assert f"found {hashlib.md5(b'').hexdigest()} over the 0 bytes" in message


def test_intact_xz_of_something_else(copy: Path) -> None:
    (copy / TEST_LABELS).write_bytes(lzma.compress(b"other"))
    message = one_line_error(copy)
    assert message.endswith(
        f"{TEST_LABELS}: damaged file: expected MD5 {MD5['t10k-labels-idx1-ubyte']},"
        f" found {hashlib.md5(b'other').hexdigest()}"
    )


def bomb(size: int, preset: int) -> bytes:
    """An intact xz file of so many zeros."""
    compressor = lzma.LZMACompressor(lzma.FORMAT_XZ, preset=preset)
    return b"".join(compressor.compress(bytes(1 << 24)) for _ in range(size >> 24)) + compressor.flush()


@pytest.mark.parametrize("name", ["t10k-images-idx3-ubyte.xz", TEST_LABELS])
def test_no_more_is_unpacked_than_the_set_has(copy: Path, name: str) -> None:
    (copy / name).write_bytes(bomb(1 << 29, preset=0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    message = one_line_error(copy)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
    assert f"{name}: damaged file: expected {10_008 if name == TEST_LABELS else 7_840_016} bytes, found more" in message


def test_a_dictionary_out_of_all_bounds_is_refused(copy: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 29}]
    (copy / TEST_LABELS).write_bytes(lzma.compress(bytes(10_008), filters=filters))
    assert "Memory usage limit" in one_line_error(copy)


def test_an_error_is_not_remembered(copy: Path) -> None:
    (copy / TEST_LABELS).write_bytes(b"")
    one_line_error(copy)
    shutil.copy(MNIST_DIR / TEST_LABELS, copy)
    assert len(load_idx_pair(copy, "test")[1]) == 10_000


@pytest.mark.parametrize("name", [f"{name}.xz" for name in MD5])
def test_one_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    assert f"missing {name}," in one_line_error(copy)


def test_a_file_that_cannot_be_read(copy: Path) -> None:
    (copy / TEST_LABELS).unlink()
    (copy / TEST_LABELS).mkdir()
    message = one_line_error(copy)
    assert str(copy / TEST_LABELS) in message
    assert "cannot be read" in message


@pytest.mark.parametrize(
    "contents",
    [b"", b"\x00\x00\x09\x01\x00\x00\x00\x00", b"\x00\x00\x08\x02\x00\x00", b"\x00\x00\x08\x01\x00\x00\x00\x03ab"],
)
def test_malformed_idx(contents: bytes) -> None:
    with pytest.raises(ValueError, match="IDX"):
        parse_idx(contents)


class FakeMNIST:
    """Stands for torchvision's, which needs a network: it "downloads" sets of seven, and finds them there later."""

    asked: ClassVar[list[tuple[bool, bool]]] = []

    def __init__(self, root: str, train: bool, download: bool) -> None:
        self.asked.append((train, download))
        folder = Path(root) / "MNIST" / ("train" if train else "test")
        if download:
            folder.mkdir(parents=True, exist_ok=True)
        if not folder.is_dir():
            raise RuntimeError("Dataset not found. You can use download=True to download it")
        self.data = torch.full((60_000 if train else 10_000, 28, 28), 7, dtype=torch.uint8)
        self.targets = torch.ones(len(self.data), dtype=torch.int64)


@pytest.fixture
def torchvisions(monkeypatch: pytest.MonkeyPatch) -> type[FakeMNIST]:
    monkeypatch.setattr(FakeMNIST, "asked", [])
    monkeypatch.setattr(torchvision.datasets, "MNIST", FakeMNIST)
    return FakeMNIST


def test_a_download_that_was_asked_for(tmp_path: Path, torchvisions: type[FakeMNIST]) -> None:
    assert not has_files(tmp_path)
    images, labels = load_idx_pair(tmp_path, "test", download=True)
    assert images.shape == (10_000, 1, 28, 28)
    assert labels.sum() == 10_000
    load_idx_pair(tmp_path, "train", download=True)
    load_idx_pair(tmp_path, "train", download=True)
    assert torchvisions.asked == [(False, True), (True, True)]


@pytest.mark.parametrize("name", ["", "mnits"])
def test_nothing_is_downloaded_unasked(tmp_path: Path, torchvisions: type[FakeMNIST], name: str) -> None:
    message = one_line_error(tmp_path / name)
    assert str(tmp_path / name) in message
    assert TEST_LABELS in message
    assert "data.download=true" in message
    assert torchvisions.asked == []
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_download_is_found(tmp_path: Path, torchvisions: type[FakeMNIST]) -> None:
    load_idx_pair(tmp_path, "test", download=True)
    images, _ = load_idx_pair(tmp_path, "test")
    assert images.shape == (10_000, 1, 28, 28)
    assert torchvisions.asked == [(False, True), (False, False)]
    message = one_line_error(tmp_path, "train")
    assert str(tmp_path / "MNIST") in message
    assert "data.download=true" in message


def test_the_data_module_downloads_when_asked(tmp_path: Path, torchvisions: type[FakeMNIST]) -> None:
    module = build_datamodule({"seed": 0, "data": {"data_dir": str(tmp_path), "val_split": 0}})
    with pytest.raises(UserError, match=r"data\.download=true"):
        module.prepare_data()
    module = build_datamodule({"seed": 0, "data": {"data_dir": str(tmp_path), "val_split": 0, "download": True}})
    module.prepare_data()
    assert next(iter(module.test_dataloader()))[0].eq(7).all()
    assert torchvisions.asked == [(True, True), (False, True)]


def test_a_download_of_the_wrong_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Small:
        def __init__(self, root: str, train: bool, download: bool) -> None:
            self.data = torch.zeros(3, 28, 28, dtype=torch.uint8)
            self.targets = torch.zeros(3, dtype=torch.int64)

    monkeypatch.setattr(torchvision.datasets, "MNIST", Small)
    assert "[3, 1, 28, 28]" in one_line_error(tmp_path, download=True)


def test_a_failed_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("Error downloading x.gz:\nTried mirror, got:\n<urlopen error no route to host>\n")

    monkeypatch.setattr(torchvision.datasets, "MNIST", fail)
    message = one_line_error(tmp_path, download=True)
    assert message.startswith(f"{tmp_path}: ")
    assert "download failed: Error downloading x.gz: Tried mirror" in message
    assert message.endswith("no route to host>")
