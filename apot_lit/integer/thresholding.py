"""Training's rule for codes as comparisons of integers, on the stream."""

import numpy as np

from apot_lit.graph.steps import Quantize
from apot_lit.integer.network import Int64

_NEVER = 2**31


def thresholds(step: Quantize, fraction: int) -> Int64:
    """For each level but the first, the smallest value of the stream that training's rule gives it or a larger one.

    Training's rule is run as it stands, on float32: ``v / 2^f`` is exact there up to 24 bits. The rule never falls as v
    grows, so halving the interval finds the first v of each level. With a sign, v has a level below 0 where -v has its
    magnitude, so the level above it begins right above.

    Args:
        step: the quantiser.
        fraction: fractional bits f of the stream.
    """
    wanted = np.array(step.levels.codes[1:])
    low, high = np.zeros(len(wanted), np.int64), np.full(len(wanted), _NEVER, np.int64)
    while (low < high).any():
        middle = (low + high) // 2
        reached = codes_of(step, middle, fraction) >= wanted
        high = np.where(reached, middle, high)
        low = np.where(reached, low, np.minimum(middle + 1, high))
    return np.concatenate([1 - high[::-1], high]) if step.signed else high


def codes_of(step: Quantize, values: Int64, fraction: int) -> Int64:
    """Codes that training's rule gives to values of a stream, of which none is below 0."""
    real = np.ldexp(values.astype(np.float32), -fraction)
    half = np.clip(real * np.float32(step.factor), 0, 2 * step.unit)
    return np.asarray(step.table)[half.astype(np.int64)]
