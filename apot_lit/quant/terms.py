"""Integer weights as sums of few powers of two."""

from itertools import product

from apot_lit.quant.levels import LevelSet

Terms = tuple[tuple[int, int], ...]
"""Pairs of sign (1 or -1) and shift: the sum of ``sign * 2^shift``."""


def terms_of_codes(levels: LevelSet | None, largest: int) -> dict[int, Terms]:
    """Splits every magnitude that a weight code can have into powers of two.

    Codes of a level set of powers of two are split into the entries of its own terms (a sum with the fewest of them);
    others, uniform ones and those of the first layer, into the signed digits of their non-adjacent form, which has
    the fewest non-zero digits of all (Reitwiesner, "Binary Arithmetic", 1960).

    Args:
        levels: level set of the magnitudes; None for 8-bit weights of a first or last layer.
        largest: the largest magnitude there.

    Returns:
        The terms of every magnitude: those of the level set, or all from 0 to `largest`.
    """
    if levels is None or levels.scheme == "uniform":
        return {magnitude: non_adjacent_form(magnitude) for magnitude in range(largest + 1)}
    split: dict[int, Terms] = {}
    for entries in product(*levels.terms):
        used: Terms = tuple((1, entry.bit_length() - 1) for entry in entries if entry)
        code = sum(entries)
        if code not in split or len(used) < len(split[code]):
            split[code] = used
    return split


def non_adjacent_form(magnitude: int) -> Terms:
    """Signed binary digits of a number of at least 0, no two neighbours of which are non-zero.

    Examples:
        >>> non_adjacent_form(7)  # 8 - 1
        ((-1, 0), (1, 3))
    """
    digits = []
    shift = 0
    while magnitude:
        if magnitude % 2:
            sign = 2 - magnitude % 4
            digits.append((sign, shift))
            magnitude -= sign
        magnitude //= 2
        shift += 1
    return tuple(digits)
