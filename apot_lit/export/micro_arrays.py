"""Constants for microcontrollers: weights in few bits, numbers in few bytes, arrays that are written once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from apot_lit.export.micro_plan import EIGHT

# The runtime reads four bytes at a time.
_SLACK = 3
_BYTE = 8
_LINE = 116

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class PackedWeights:
    """Rows of weights in few bits.

    Attributes:
        bits: of each.
        rows: bytes, and those that are read beyond the end.
        levels: weights of the indices; None where weights are bytes, two's complement.
    """

    bits: int
    rows: Array
    levels: Array | None


def pack_rows(weight: Array) -> PackedWeights:
    """Packs weights ``[output, input]`` in as few bytes as the values that occur allow.

    A row takes `bits` bytes for each eight weights, the first in the lowest bits; missing ones have index 0, and are
    multiplied with 0.
    """
    rows = np.pad(weight.astype(np.int64), [(0, 0), (0, -weight.shape[1] % EIGHT)])
    levels = np.unique(weight.astype(np.int64))
    bits = max(1, int(len(levels) - 1).bit_length())
    if bits * rows.size // EIGHT + len(levels) >= rows.size:
        return PackedWeights(_BYTE, _with_slack(rows.astype(np.int8).view(np.uint8).ravel()), None)
    filled = np.where(np.arange(rows.shape[1]) < weight.shape[1], rows, levels[0])
    return PackedWeights(bits, _with_slack(pack_bits(np.searchsorted(levels, filled).ravel(), bits)), levels)


def pack_bits(values: Array, bits: int) -> Array:
    """Unsigned numbers of so many bits one after the other, the first in the lowest bits of the first byte.

    Examples:
        >>> pack_bits(np.array([1, 2, 7, 0]), bits=3).tolist()
        [209, 1]
    """
    single = values.astype(np.int64)[:, None] >> np.arange(bits) & 1
    return np.packbits(single.ravel().astype(np.uint8), bitorder="little")


def bytes_of(numbers: list[int], count: int) -> list[list[int]]:
    """Signed numbers in so many bytes, low bytes first.

    Examples:
        >>> bytes_of([-2, 300], count=2)
        [[254, 255], [44, 1]]
    """
    return [list(number.to_bytes(count, "little", signed=True)) for number in numbers]


def bytes_needed(numbers: list[int]) -> int:
    """The fewest bytes that hold every one of some signed numbers.

    Examples:
        >>> bytes_needed([127, -128]), bytes_needed([128])
        (1, 2)
    """
    return max((number if number >= 0 else ~number).bit_length() // _BYTE + 1 for number in numbers)


class MicroConstants:
    """Arrays as lines of C, each content once.

    Attributes:
        lines: of the definitions.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._known: dict[tuple[str, bytes], str] = {}

    def array(self, kind: str, values: Array, name: str) -> str:
        """Defines an array, unless one of the same content is there; returns its name.

        Args:
            kind: type of an element in C.
            values: integers.
            name: for a new one, made unique by a number.
        """
        key = kind, values.astype(np.int64).tobytes()
        if key not in self._known:
            self._known[key] = unique = f"{name}_{len(self._known)}"
            self.lines += [f"static const {kind} {unique}[{values.size}] = {{", *_rows(values), "};", ""]
        return self._known[key]


def _with_slack(values: Array) -> Array:
    return np.concatenate([values, np.zeros(_SLACK, values.dtype)])


def _rows(values: Array) -> list[str]:
    rows, row = [], ""
    for value in values.ravel().tolist():
        if row and len(row) + len(str(value)) + 2 > _LINE:
            rows.append(f"    {row.rstrip()}")
            row = ""
        row += f"{value}, "
    return [*rows, f"    {row.rstrip()}"]
