"""Multipliers, biases and thresholds in numbers of 16 bits, where they fit."""

from typing import NamedTuple

import numpy as np

from apot_lit.export.c_arrays import BLOCK, Array, pack_blocks, per_lane
from apot_lit.integer.fixed_point import Range
from apot_lit.integer.network import Rescale

_LOW = 15
_LARGEST = 2**_LOW - 1
_BITS = 46
"""What is below ``2^46`` is, without its lowest 15 bits, a number of 32 bits."""


class _Scaling(NamedTuple):
    """What is done to one sum, and how far from 0 that may be."""

    multiplier: int
    bias: int
    shift: int
    reach: int


def pack_parts(step: Rescale, sums: Range, lanes: list[int], groups: int) -> Array:
    """Multipliers and biases as the runtime multiplies pairs of 16 bits.

    All outputs of a block are shifted by the same, the largest S of them, 15 at least: ``(x M + B) >> S`` is
    ``(x M 2^e + B 2^e) >> (S + e)``. With ``m = M 2^e = m_0 + 2^15 m_1`` and the same of ``B 2^e``, the parts of an
    output are ``m_0 + 2^16 b_0``, ``m_1 + 2^16 m_0``, ``b_1`` and what is left of the shift without those 15 bits.

    Args:
        step: the batch norm.
        sums: range of what it reads.
        lanes: see `lanes_of`.
        groups: of the convolution.

    Returns:
        int32 ``[group][block][part][output of the block]``; the shift is -1 in blocks of which something would not fit.
    """
    reach = np.maximum(-sums[0], sums[1])
    columns = (per_lane(values, lanes).tolist() for values in (step.multiplier, step.bias, step.shift, reach))
    scalings = [_Scaling(*numbers) for numbers in zip(*columns, strict=True)]
    width = len(lanes) // groups
    parts: list[list[int]] = []
    for group in range(0, len(lanes), width):
        for start in range(group, group + width, BLOCK):
            parts += _block(scalings[start : min(start + BLOCK, group + width)])
    return pack_blocks(np.array(parts), groups)


def _block(scalings: list[_Scaling]) -> list[list[int]]:
    # Without a multiplier, only what the bias comes to matters; its shift is as large as there is one.
    moving = [scaling.shift for scaling in scalings if scaling.multiplier]
    shift, parts = max([_LOW, *moving]), []
    for multiplier, bias, own, reach in scalings:
        m = multiplier << shift - own if multiplier else 0
        b = bias << shift - own if multiplier else (bias >> own) << shift
        if reach >= 1 << 2 * _LOW or abs(m) >= 1 << 2 * _LOW or reach * abs(m) + abs(b) >= 1 << _BITS:
            return [[0, 0, 0, -1]] * len(scalings)
        low = m & _LARGEST
        parts.append([low | (b & _LARGEST) << 16, (m >> _LOW) & 0xFFFF | low << 16, b >> _LOW, shift - _LOW])
    return parts


def fit_into_16_bits(thresholds: Array) -> bool:
    """Whether sums can be compared with thresholds after they have been cut to 16 bits: what is beyond stays beyond.

    Examples:
        >>> fit_into_16_bits(np.array([-(2**15)])), fit_into_16_bits(np.array([2**15 - 1]))
        (False, True)
    """
    return bool(np.abs(thresholds).max(initial=0) <= _LARGEST)


def quads_within_16_bits(taps: Array, largest: int) -> int:
    """How many quads of products can be added up in 16 bits, two sums to a quad, whichever quads these are.

    With P_q the positive weights of one half of quad q added up, n of them reach at most ``largest`` times the sum of
    the n largest P_q, and so do negative ones; what comes between two additions is within the same bounds.

    Args:
        taps: weights as `taps_of` gives them.
        largest: of the inputs, the smallest of which is 0.

    Returns:
        The number for the output and half where it is smallest: 0 if not even one fits, and one more than there are
        quads if all do.

    Examples:
        >>> quads_within_16_bits(np.array([[[100, 28, 0, 0], [1, -1, 0, 0]]]), largest=255)
        1
    """
    halves = taps.astype(np.int64).reshape(len(taps), -1, 2, 2)
    quads, found = halves.shape[1], halves.shape[1] + 1
    for sign in (1, -1):
        reach = np.sort((sign * halves).clip(min=0).sum(3), axis=1)[:, ::-1].cumsum(1) * largest
        fitting = int((reach <= _LARGEST).sum(1).min(initial=quads))
        found = min(found, fitting if fitting < quads else found)
    return found
