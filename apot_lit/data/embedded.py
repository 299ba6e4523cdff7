"""Reads and verifies the embedded MNIST files."""

import functools
import hashlib
import lzma
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from apot_lit.data.options import SET_SIZES, OfficialSet
from apot_lit.errors import UserError

MD5_SUMS = {
    "train-images-idx3-ubyte.xz": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte.xz": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte.xz": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte.xz": "27ae3e4e09519cfbb04c329615203637",
}
"""Name of each embedded file -> MD5 of its decompressed contents, in hexadecimal."""

_PREFIXES: dict[OfficialSet, str] = {"train": "train", "test": "t10k"}
_CHUNK_BYTES = 1 << 16
_MEMORY = 1 << 28  # of the decompressor: a header may ask for 4 GiB
_HOW_TO_DOWNLOAD = (
    "to download them there give data.download=true, or download=true to evaluate.py, export.py and report.py"
)


def load_idx_pair(directory: str | Path, split: OfficialSet, download: bool = False) -> tuple[Tensor, Tensor]:
    """Loads one official set of MNIST, from the embedded files or else by torchvision.

    Each set is unpacked once per process: later calls return the same tensors, which must not be written to.

    Args:
        directory: Holds the four embedded `.xz` files. Where it holds none of them (an installed wheel, say), it is
            the root given to `torchvision.datasets.MNIST`, which finds the set there if it was downloaded before.
        split: "train" (60,000 images) or "test" (10,000 images).
        download: Whether torchvision may download the set to the directory.

    Returns:
        Images `[N, 1, 28, 28]`, uint8 pixels 0..255, and labels `[N]`, int64 digits 0..9, both on the CPU.

    Raises:
        UserError: If a file is damaged or some of the four are missing, if there are none and no download was asked
            for, or if the download fails.
    """
    return _load(Path(directory).expanduser().resolve(), split, download)


def has_embedded_files(directory: str | Path) -> bool:
    """Tells whether the directory holds the embedded files.

    Args:
        directory: Where to look.

    Returns:
        True where all four files are there, False where none is.

    Raises:
        UserError: If only some of them are there.
    """
    directory = Path(directory).expanduser().resolve()
    missing = [name for name in MD5_SUMS if not (directory / name).exists()]
    if missing and len(missing) < len(MD5_SUMS):
        raise UserError(f"{directory}: missing {', '.join(missing)}, while the other files of MNIST are there")
    return not missing


def read_verified(path: Path, expected_md5: str, size: int) -> bytes:
    """Decompresses an xz file in memory and verifies what it holds.

    No more than `size` bytes and one are ever unpacked, however many the file would give.

    Args:
        path: The `.xz` file.
        expected_md5: MD5 of the decompressed contents, in hexadecimal.
        size: Their number of bytes.

    Returns:
        The decompressed contents.

    Raises:
        UserError: If the file cannot be read, is not intact xz, or holds something else.
    """
    try:
        compressed = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {_one_line(error)}") from error
    contents, damage = _decompress(compressed, size)
    if len(contents) > size:
        raise UserError(f"{path}: damaged file: expected {size} bytes, found more")
    found_md5 = hashlib.md5(contents, usedforsecurity=False).hexdigest()
    if damage:
        found = f"{found_md5} over the {len(contents)} bytes that could be decompressed ({damage})"
    elif found_md5 != expected_md5:
        found = found_md5
    else:
        return contents
    raise UserError(f"{path}: damaged file: expected MD5 {expected_md5}, found {found}")


def parse_idx(contents: bytes) -> npt.NDArray[np.uint8]:
    """Parses an IDX file of unsigned bytes.

    Args:
        contents: Two zero bytes, the type code 8, the number of dimensions, each dimension as a big-endian 32-bit
            integer, then the elements in C order.

    Returns:
        A writable array of the shape that the header gives.

    Raises:
        ValueError: If this is not such a file, or its length does not match its header.

    Example:
        >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
        array([7, 8, 9], dtype=uint8)
    """
    if len(contents) < 4 or contents[:3] != b"\x00\x00\x08":
        raise ValueError("not an IDX file of unsigned bytes")
    dimensions = contents[3]
    start = 4 + 4 * dimensions
    if len(contents) < start:
        raise ValueError("IDX header cut short")
    shape = struct.unpack(f">{dimensions}I", contents[4:start])
    elements = np.frombuffer(contents, dtype=np.uint8, offset=start)
    if elements.size != int(np.prod(shape, dtype=np.int64)):
        raise ValueError(f"IDX header gives the shape {shape}, but {elements.size} elements follow")
    return elements.reshape(shape).copy()


@functools.lru_cache(maxsize=8)
def _load(directory: Path, split: OfficialSet, download: bool) -> tuple[Tensor, Tensor]:
    if has_embedded_files(directory):
        images, labels = _read_embedded(directory, split)
    else:
        images, labels = _read_by_torchvision(directory, split, download)
    size = SET_SIZES[split]
    if images.shape != (size, 28, 28) or labels.shape != (size,):
        raise UserError(
            f"{directory}: the {split} set of MNIST has {size} images of 28 x 28 pixels,"
            f" found images {list(images.shape)} and labels {list(labels.shape)}"
        )
    return images.unsqueeze(1), labels.long()


def _read_embedded(directory: Path, split: OfficialSet) -> tuple[Tensor, Tensor]:
    prefix = _PREFIXES[split]
    images, labels = (
        torch.from_numpy(parse_idx(read_verified(directory / name, MD5_SUMS[name], header + elements)))
        for name, header, elements in (
            (f"{prefix}-images-idx3-ubyte.xz", 16, SET_SIZES[split] * 28 * 28),
            (f"{prefix}-labels-idx1-ubyte.xz", 8, SET_SIZES[split]),
        )
    )
    return images, labels


def _read_by_torchvision(directory: Path, split: OfficialSet, download: bool) -> tuple[Tensor, Tensor]:
    missing = f"{directory}: holds no MNIST files (looked for {', '.join(MD5_SUMS)})"
    if not download and not (directory / "MNIST").is_dir():
        raise UserError(f"{missing}; {_HOW_TO_DOWNLOAD}")
    try:
        # Imported here because it is slow to import and seldom needed.
        from torchvision import datasets

        dataset: Any = datasets.MNIST(root=str(directory), train=split == "train", download=download)
    except Exception as error:  # whatever goes wrong (network, disk, permissions), the user needs one line
        if not download:
            raise UserError(
                f"{directory}/MNIST: an incomplete download: {_one_line(error)}; {_HOW_TO_DOWNLOAD}"
            ) from error
        raise UserError(f"{missing}, and their download failed: {_one_line(error)}") from error
    return dataset.data, dataset.targets


def _decompress(compressed: bytes, size: int) -> tuple[bytes, str | None]:
    """Returns what could be decompressed, at most one byte more than `size`, and what stopped it (None: its end)."""
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
    contents = bytearray()
    start = 0
    try:
        # In chunks, so that the part ahead of the damage is kept.
        while not decompressor.eof and len(contents) <= size:
            chunk = b""
            if decompressor.needs_input:
                chunk = compressed[start : start + _CHUNK_BYTES]
                start += _CHUNK_BYTES
                if not chunk:
                    return bytes(contents), "cut short"
            contents += decompressor.decompress(chunk, min(_CHUNK_BYTES, size + 1 - len(contents)))
    except lzma.LZMAError as error:
        return bytes(contents), _one_line(error)
    return bytes(contents), None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
