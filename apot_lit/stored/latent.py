"""Weights that a quantiser sends to given codes, where only the codes were kept."""

import math
from collections.abc import Callable
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

Reals = npt.NDArray[np.float64]

_MARGINS = (0.2, 0.05, 0.01, 0.002)  # of a cell's width; float32 needs less than the last
_PLACES = 16  # within a cell
_GOLDEN = (math.sqrt(5) - 1) / 2
_FAR_A, _FAR_B = 2.0**40, 2.0**60  # b must reach a times any place


def latent_weights(codes: Reals, book: Reals, unit: float, alpha: float | Reals) -> Reals | None:
    """Finds normalised weights, of mean 0 and standard deviation 1, that a weight quantiser sends to given codes.

    The weights of one code spread over the cell of values that have it, in an order that has nothing to do with their
    place. Call them s, and v(a) the values within the cells, a little away from their ends, that are nearest to a s and
    have mean 0: ``clip(a s + b)`` with the b that makes the mean 0. Their deviation never falls as a grows, so the a
    that makes it 1 is found by bisection.

    Args:
        codes: of any shape.
        book: all codes that there are, as `apot_lit.stored.weight_codes.codebook` gives them.
        unit: the largest code.
        alpha: the clipping threshold, in standard deviations; or one for each index of the first dimension.

    Returns:
        The weights, None where none are found.
    """
    found, of_code = np.unique(codes, return_inverse=True)
    # The multiples of the golden ratio fill a unit interval evenly from the first on.
    places = np.floor(np.arange(codes.size) * _GOLDEN % 1 * _PLACES).astype(np.int64)
    alphas = np.atleast_1d(np.asarray(alpha, np.float64))
    channels = np.repeat(np.arange(alphas.size), codes.size // alphas.size)
    groups = (channels * found.size + of_code.reshape(-1)) * _PLACES + places
    counts = np.bincount(groups, minlength=alphas.size * found.size * _PLACES).astype(np.float64)
    for margin in _MARGINS:
        spreads = [_spread(found, np.unique(book), each / (2 * unit), margin) for each in alphas.tolist()]
        values = _solve(_Spread(*(np.concatenate(parts) for parts in zip(*map(astuple, spreads), strict=True))), counts)
        if values is not None:
            return values[groups].reshape(codes.shape)
    return None


@dataclass(frozen=True)
class _Spread:
    """Where groups of weights lie, and between which ends they may."""

    places: Reals
    low: Reals
    high: Reals

    def at(self, a: float, b: float) -> Reals:
        return np.clip(a * self.places + b, self.low, self.high)


def _spread(found: Reals, book: Reals, half_step: float, margin: float) -> _Spread:
    """The cells of codes: between midpoints, which are sums of two neighbours in half steps; the outermost are open."""
    middles = (book[1:] + book[:-1]) * half_step
    ends = np.concatenate(
        [[2 * book[0] * 2 * half_step - middles[0]], middles, [2 * book[-1] * 2 * half_step - middles[-1]]]
    )
    index = np.searchsorted(book, found)
    low, high = ends[index], ends[index + 1]
    width = high - low
    within = (np.arange(_PLACES) + 0.5) / _PLACES
    places = low[:, None] + width[:, None] * (margin + (1 - 2 * margin) * within)
    low, high = low + margin * width, high - margin * width
    low[found == book[0]], high[found == book[-1]] = -np.inf, np.inf
    return _Spread(places.reshape(-1), np.repeat(low, _PLACES), np.repeat(high, _PLACES))


def _solve(spread: _Spread, counts: Reals) -> Reals | None:
    used = counts > 0
    total = counts.sum()
    spread = _Spread(spread.places[used], spread.low[used], spread.high[used])

    def centred(a: float) -> Reals | None:
        b = _root(lambda b: float(counts[used] @ spread.at(a, b)), -1.0, 1.0, _FAR_B)
        return None if b is None else spread.at(a, b)

    def excess(a: float) -> float:
        values = centred(a)
        assert values is not None
        return float(counts[used] @ values**2) / max(1.0, total - 1) - 1

    if centred(0.0) is None or excess(0.0) > 0:
        return None
    a = _root(excess, 0.0, 1.0, _FAR_A)
    values = None if a is None else centred(a)
    if values is None:
        return None
    whole = np.zeros(used.shape)
    whole[used] = values
    return whole


def _root(function: Callable[[float], float], low: float, high: float, far: float) -> float | None:
    """Where a function that never falls is 0; the ends are moved out until it changes sign, not beyond `far`."""
    while function(high) < 0:
        if high > far:
            return None
        high *= 2
    while function(low) > 0:
        if low < -far:
            return None
        low *= 2
    root: float = brentq(function, low, high, xtol=1e-14, maxiter=500)
    return root
