"""Weight codes as a stream of bits, `bit` of them for each weight."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from apot_lit.quant.levels import LevelSet
from apot_lit.quant.projection import projection_unit

Array = npt.NDArray[Any]


def pack_bits(values: Array, bit: int) -> npt.NDArray[np.uint8]:
    """Packs unsigned integers into a little-endian bit stream, `bit` (1 to 8) each; a ValueError if one does not fit.

    Examples:
        >>> [f"{byte:08b}" for byte in pack_bits(np.array([1, 2, 7], np.uint8), 3)]
        ['11010001', '00000001']
    """
    if values.size and not 0 <= values.min() <= values.max() < 2**bit:
        raise ValueError(f"values from {values.min()} to {values.max()} do not fit {bit} bits")
    bits = np.unpackbits(values.astype(np.uint8).reshape(-1, 1), axis=1, count=bit, bitorder="little")
    return np.packbits(bits, bitorder="little")


def unpack_bits(packed: npt.NDArray[np.uint8], bit: int, count: int) -> npt.NDArray[np.uint8]:
    """Returns the `count` integers that `pack_bits` packed; raises a ValueError for any other number of bytes."""
    if packed.size != (size := (count * bit + 7) // 8):
        raise ValueError(f"{count} values of {bit} bits take {size} bytes, not {packed.size}")
    bits = np.unpackbits(packed, count=count * bit, bitorder="little").reshape(count, bit)
    return np.packbits(bits, axis=1, bitorder="little")[:, 0]


def encode(codes: Array, bit: int, levels: LevelSet | None) -> npt.NDArray[np.uint8]:
    """The stream of a layer's codes, in C order.

    Args:
        codes: of any shape.
        bit: bits of each.
        levels: of the magnitudes, None for two's complement numbers.

    Raises:
        ValueError: if a code does not fit.
    """
    book, values = codebook(bit, levels), codes.reshape(-1)
    order = np.argsort(book, kind="stable")  # of two zeros the positive one is found
    indices: Array = order[np.searchsorted(book, values, sorter=order).clip(max=book.size - 1)]
    if not np.array_equal(book[indices], values):
        there, allowed = (f"{array.min():g} to {array.max():g}" for array in (values, book))
        raise ValueError(f"its codes, {there}, do not fit {bit} bits, {allowed}")
    return pack_bits(indices, bit)


def decode(stream: npt.NDArray[np.uint8], bit: int, levels: LevelSet | None, shape: Sequence[int]) -> Array:
    """The codes, float64, that `encode` gave a stream for.

    Raises:
        ValueError: if the stream has another length.
    """
    return codebook(bit, levels)[unpack_bits(stream, bit, math.prod(shape))].reshape(tuple(shape))


def codebook(bit: int, levels: LevelSet | None) -> npt.NDArray[np.float64]:
    """The code that each of the ``2 ** bit`` indices stands for; both zeros of sign and magnitude are 0."""
    if levels is None:
        return np.array([*range(2 ** (bit - 1)), *range(-(2 ** (bit - 1)), 0)], np.float64)
    magnitudes = np.array([float(level * projection_unit(levels)) for level in levels.levels])
    return np.concatenate([magnitudes, 0 - magnitudes])
