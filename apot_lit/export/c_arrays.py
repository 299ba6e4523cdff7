"""Constants of C source: arrays that are written once, and weights in the order in which the runtime reads them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from apot_lit.export.c_operations import QUAD
from apot_lit.quant.terms import Terms

BLOCK = 16
MAX_TERMS = 4
_LINE = 116
_BYTES = {"int8_t": 1, "apot_weight": 1, "uint8_t": 1, "int16_t": 2, "uint16_t": 2, "int32_t": 4, "int64_t": 8}

Array = npt.NDArray[Any]


class Constants:
    """Arrays as lines of C.

    Attributes:
        lines: of the definitions.
        bytes: that all constants take.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.bytes = 0
        self._known: dict[tuple[str, bytes], str] = {}

    def array(self, kind: str, values: Array, name: str) -> str:
        """Defines an array, unless one of the same content is there; returns the name of it.

        Args:
            kind: type of an element in C.
            values: integers.
            name: for a new one, made unique by a number.
        """
        key = (kind, values.astype(np.int64).tobytes())
        if key not in self._known:
            self._known[key] = unique = f"{name}_{len(self._known)}"
            size = {
                "int8_t": 1,
                "apot_weight": 1,
                "uint8_t": 1,
                "int16_t": 2,
                "uint16_t": 2,
                "int32_t": 4,
                "int64_t": 8,
            }.get(kind)
            self.bytes += values.size * (size or values.itemsize)
            rows = _rows([str(value) for value in values.ravel().tolist()])
            self.lines += [f"static const APOT_ALIGNED {kind} {unique}[{values.size}] = {{", *rows, "};", ""]
        return self._known[key]

    def ranges(self, values: list[tuple[int, ...]], name: str) -> str:
        """Defines an `apot_ranges`, as initialiser."""
        key = ("apot_range", repr(values).encode())
        if key not in self._known:
            self._known[key] = unique = f"{name}_{len(self._known)}"
            self.bytes += 16 * len(values)
            rows = _rows(["{" + ", ".join(map(str, value)) + "}" for value in values])
            self.lines += [f"static const apot_range {unique}[{len(values)}] = {{", *rows, "};", ""]
        return f"{{{len(values)}, {self._known[key]}}}"

    def terms(self, split: dict[int, Terms]) -> tuple[str, int]:
        """Defines the terms of magnitudes 0 to the largest; returns the expression for them, and how many there are."""
        key = ("apot_terms", repr(sorted(split.items())).encode())
        count = max(split, default=0) + 1
        if key not in self._known:
            self._known[key] = unique = f"terms_{len(self._known)}"
            rows = []
            for magnitude in range(count):
                terms = split.get(magnitude, ())
                assert len(terms) <= MAX_TERMS
                padding = [0] * (MAX_TERMS - len(terms))
                shifts = ", ".join(map(str, [*(shift for _, shift in terms), *padding]))
                signs = ", ".join(map(str, [*(sign for sign, _ in terms), *padding]))
                rows.append(f"    {{{len(terms)}, {{{shifts}}}, {{{signs}}}}}, /* {magnitude} */")
            definition = [f"static const apot_terms {unique}[{count}] = {{", *rows, "};"]
            self.lines += ["#ifdef APOT_SHIFT_ADD", *definition, "#endif", ""]
        return f"APOT_TERMS({self._known[key]})", count


def lanes_of(outputs: int, groups: int) -> list[int]:
    """What is given per output, in order of the blocks: the number of the output, or -1 for one that fills up.

    Examples:
        >>> lanes_of(outputs=4, groups=2)
        [0, 1, -1, -1, 2, 3, -1, -1]
    """
    group = outputs // groups
    width = -(-group // QUAD) * QUAD
    return [g * group + o if o < group else -1 for g in range(groups) for o in range(width)]


def per_lane(values: Array, lanes: list[int], filling: int = 0) -> Array:
    """Values ``[output, ...]`` as ``[lane, ...]``."""
    extended = np.concatenate([values.astype(np.int64), np.full((1, *values.shape[1:]), filling, np.int64)])
    return extended[np.array(lanes)]


def taps_of(weight: Array, is_merged: bool) -> Array:
    """Weights ``[O, I, H, W]`` as ``[O, tap, input]``, inputs filled up to whole quads; see `pack_weights`."""
    taps = weight.transpose(0, 2, 3, 1)
    taps = taps.reshape(len(weight), weight.shape[2], -1) if is_merged else taps.reshape(len(weight), -1, taps.shape[3])
    return np.pad(taps, [(0, 0), (0, 0), (0, -taps.shape[2] % QUAD)])


def pack_weights(weight: Array, groups: int, is_merged: bool) -> Array:
    """Weights ``[O, I, H, W]`` as ``[group][block][tap][quad][output in the block][input in the quad]``.

    Args:
        weight: codes.
        groups: of the convolution.
        is_merged: whether a whole row of taps is read as one, column after column.
    """
    lanes = per_lane(taps_of(weight, is_merged), lanes_of(len(weight), groups))
    parts = []
    for group in np.split(lanes, groups):
        for start in range(0, len(group), BLOCK):
            block = group[start : start + BLOCK]
            quads = block.reshape(len(block), block.shape[1], -1, QUAD)
            parts.append(quads.transpose(1, 2, 0, 3).ravel())
    return np.concatenate(parts)


def pack_blocks(values: Array, groups: int) -> Array:
    """Values ``[lane, threshold]`` as ``[group][block][threshold][output of the block]``."""
    parts = []
    for group in np.split(values, groups):
        parts += [group[start : start + BLOCK].T.ravel() for start in range(0, len(group), BLOCK)]
    return np.concatenate(parts)


def _rows(texts: list[str]) -> list[str]:
    rows, row = [], ""
    for text in texts:
        if row and len(row) + len(text) + 2 > _LINE:
            rows.append(f"    {row}")
            row = ""
        row += f"{text}, "
    return [line.rstrip() for line in (*rows, f"    {row}")]
