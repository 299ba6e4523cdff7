"""IDX files, compressed by xz or gzip: what MNIST and the sets made after it are stored in."""

import gzip
import hashlib
import io
import lzma
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from apot_lit.errors import UserError

_CHUNK_BYTES = 1 << 16
_MEMORY = 1 << 28  # of the decompressor: a header may ask for 4 GiB


def read_verified(path: Path, expected_md5: str, size: int) -> bytes:
    """Decompresses a file in memory and verifies what it holds.

    No more than `size` bytes and one are ever unpacked, however many the file would give.

    Args:
        path: The file, `.xz` or `.gz`.
        expected_md5: MD5 of the decompressed contents, in hexadecimal.
        size: Their number of bytes.

    Returns:
        The decompressed contents.

    Raises:
        UserError: If the file cannot be read, is not intact, or holds something else.
    """
    try:
        compressed = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {one_line(error)}") from error
    contents, damage = (_gunzip if path.suffix == ".gz" else _unxz)(compressed, size)
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


def _unxz(compressed: bytes, size: int) -> tuple[bytes, str | None]:
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
        return bytes(contents), one_line(error)
    return bytes(contents), None


def _gunzip(compressed: bytes, size: int) -> tuple[bytes, str | None]:
    """The same of gzip."""
    contents = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(compressed)) as file:
            while part := file.read1(min(_CHUNK_BYTES, size + 1 - len(contents))):
                contents += part
    except (EOFError, OSError, zlib.error) as error:
        return bytes(contents), one_line(error)
    return bytes(contents), None


def one_line(error: BaseException) -> str:
    """What an error says, without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__
