"""Level sets of the quantisers as exact integers over a denominator; pure Python, no torch.

Source: Li, Dong, Wang, "Additive Powers-of-Two Quantization", ICLR 2020 (arXiv 1909.13144), section 2.2; an odd
number of bits takes an extra term.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from itertools import product
from typing import Literal

Scheme = Literal["apot", "pot", "uniform"]

MAX_MAGNITUDE_BITS = 8
_BASE_WIDTH = 2  # k of the paper's section 2.2: bits per APoT term


@dataclass(frozen=True)
class LevelSet:
    """The magnitudes a quantiser may take, as integers over a common denominator.

    A level is ``code / denominator`` with `code` in `codes`; the smallest is 0 and the largest exactly 1. Every
    code is a sum of one entry from each of `terms`, and every non-zero entry of a term is a power of two, which is
    what lets hardware replace a multiplication by shifts and adds.

    Attributes:
        scheme: ``"apot"``, ``"pot"`` or ``"uniform"``.
        bits: number of magnitude bits `B`; there are ``2 ** B`` levels.
        terms: per term its entries in ascending order, 0 first.

    Examples:
        >>> levels = level_set("apot", 4)
        >>> levels.denominator, levels.codes[:6]
        (48, (0, 1, 2, 3, 4, 6))
        >>> levels.project(Fraction(11, 96))  # a tie between 4/48 and 6/48 would be at 10/96
        6
    """

    scheme: Scheme
    bits: int
    terms: tuple[tuple[int, ...], ...]

    @cached_property
    def denominator(self) -> int:
        """The code of the largest level, so that ``denominator / denominator`` is 1."""
        return sum(max(term) for term in self.terms)

    @cached_property
    def codes(self) -> tuple[int, ...]:
        """The integer codes of all levels, ascending from 0 to `denominator`."""
        return tuple(sorted({sum(entries) for entries in product(*self.terms)}))

    @cached_property
    def levels(self) -> tuple[Fraction, ...]:
        """The levels themselves, ascending from 0 to 1."""
        return tuple(Fraction(code, self.denominator) for code in self.codes)

    def project(self, magnitude: Fraction) -> int:
        """Returns the code of the level nearest to `magnitude`; a tie goes to the larger level.

        This is the exact rule that the tensor code follows: midpoints between levels lie on the half grid
        ``m / (2 * denominator)``, so ``floor(2 * denominator * magnitude)`` decides alone.

        Args:
            magnitude: a value in [0, 1] (what is larger is clipped to 1).

        Raises:
            ValueError: if `magnitude` is negative.
        """
        if magnitude < 0:
            raise ValueError(f"magnitude must not be negative, got {magnitude}")
        half_steps = min(int(2 * self.denominator * magnitude), 2 * self.denominator)
        return self._nearest(half_steps)

    def half_grid(self) -> tuple[int, ...]:
        """Returns the nearest code for every index ``floor(2 * denominator * magnitude)``, 0 to 2 * denominator."""
        table = []
        position = 0
        for half_steps in range(2 * self.denominator + 1):
            while position + 1 < len(self.codes) and half_steps >= self.codes[position] + self.codes[position + 1]:
                position += 1
            table.append(self.codes[position])
        return tuple(table)

    def _nearest(self, half_steps: int) -> int:
        below = max(code for code in self.codes if 2 * code <= half_steps)
        above = min((code for code in self.codes if code > below), default=below)
        return above if half_steps >= below + above else below


@cache
def level_set(scheme: Scheme, bits: int) -> LevelSet:
    """Builds the level set of a scheme.

    With base width `k` and ``n = B / k`` terms, term `i` is ``{0} U {2^-(i + j n) : j = 0 .. 2^k - 2}`` (paper,
    section 2.2): ``k = 1`` is uniform, ``k = B`` plain powers of two, ``k = 2`` APoT. An odd `B` with ``k = 2`` has
    ``n = (B - 1) / 2`` terms ``{0, 2^-i, 2^-(i+n), 2^-(i+2n+1)}`` and an extra term ``{0, 2^-2n}``.

    Args:
        scheme: ``"apot"``, ``"pot"`` or ``"uniform"``.
        bits: magnitude bits `B`, 1 to 8: the bit width of unsigned activations, one less for signed weights.

    Raises:
        ValueError: if scheme or bits is not one of these.
    """
    if not 1 <= bits <= MAX_MAGNITUDE_BITS:
        raise ValueError(f"magnitude bits must be from 1 to {MAX_MAGNITUDE_BITS}, got {bits}")
    if scheme == "uniform":
        exponents = _term_exponents(bits, 1)
    elif scheme == "pot":
        exponents = _term_exponents(bits, bits)
    elif scheme == "apot":
        exponents = _term_exponents(bits, _BASE_WIDTH)
    else:
        raise ValueError(f"scheme must be 'apot', 'pot' or 'uniform', got {scheme!r}")
    finest = max(exponent for term in exponents for exponent in term)
    terms = tuple((0, *sorted(2 ** (finest - exponent) for exponent in term)) for term in exponents)
    return LevelSet(scheme, bits, terms)


def _term_exponents(bits: int, base_width: int) -> list[list[int]]:
    """Exponents e of the entries 2^-e of each term."""
    count, rest = divmod(bits, base_width)
    if rest == 0:
        return [[i + j * count for j in range(2**base_width - 1)] for i in range(count)]
    odd_terms = [[i, i + count, i + 2 * count + 1] for i in range(count)]
    return [*odd_terms, [2 * count]]
