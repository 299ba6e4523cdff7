"""Training's rule for codes as comparisons of integers, on the stream and on accumulators."""

import numpy as np

from apot_lit.graph.steps import Quantize
from apot_lit.integer.fixed_point import Range
from apot_lit.integer.network import ChannelThreshold, Int64, Rescale

_NEVER = 2**31


def thresholds(step: Quantize, fraction: int) -> Int64:
    """For each level but the first, the smallest value of the stream that training's rule gives it or a larger one.

    Training's rule is run as it stands, on float32: ``v / 2^f`` is exact there up to 24 bits. The rule never falls as v
    grows, so halving the interval finds the first v of each level.

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
    return high


def codes_of(step: Quantize, values: Int64, fraction: int) -> Int64:
    """Codes that training's rule gives to values of a stream."""
    real = np.ldexp(values.astype(np.float32), -fraction)
    half = np.clip(real * np.float32(step.factor), 0, 2 * step.unit)
    return np.asarray(step.table)[half.astype(np.int64)]


def folded(rescale: Rescale, step: Quantize, found: Int64, sums: Range) -> ChannelThreshold:
    """A batch norm and the quantiser behind it as thresholds on the accumulator: the same code for each of its values.

    For M > 0, ``(x M + B) >> S >= t`` is ``x >= ceil((t 2^S - B) / M)``. For M < 0 the same holds of -x and -M. For
    M = 0 all x are on one side.

    Args:
        rescale: the batch norm.
        step: the quantiser that alone reads it.
        found: its `thresholds`.
        sums: ranges of the accumulators.
    """
    reach = 1 + max(int(-sums[0].min()), int(sums[1].max()))
    channels = zip(rescale.multiplier.tolist(), rescale.bias.tolist(), rescale.shift.tolist(), strict=True)
    rows = [[_first(abs(m), b, s, t, reach) for t in found.tolist()] for m, b, s in channels]
    sign = np.where(rescale.multiplier < 0, -1, 1).astype(np.int32)
    return ChannelThreshold(
        step.output, rescale.inputs, np.array(rows, np.int64), sign, step.levels.codes, step.levels, step.layer
    )


def _first(multiplier: int, bias: int, shift: int, threshold: int, reach: int) -> int:
    """The smallest x with ``(x * multiplier + bias) >> shift >= threshold``, within -reach (all) and reach (none)."""
    missing = (threshold << shift) - bias
    if multiplier == 0:
        return -reach if missing <= 0 else reach
    return max(-reach, min(reach, -(-missing // multiplier)))
