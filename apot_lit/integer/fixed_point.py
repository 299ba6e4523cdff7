"""From real factors to integer multipliers and shifts, and the widths that sums and products need."""

import math

import numpy as np
import numpy.typing as npt

from apot_lit.errors import UserError
from apot_lit.graph.steps import Codes
from apot_lit.integer.network import Head, Int32, Int64, Rescale

MAX_MULTIPLIER = 2**15 - 1
MAX_SHIFT = 40
_INT32, _INT64 = 2**31 - 1, 2**63 - 1
_EXACT_LOGITS = 2**53  # float64, which computes them where there are no fast products of int64, holds these

Reals = npt.NDArray[np.float64]
Range = tuple[Int64, Int64]
"""Smallest and largest value of each channel."""


def rescaling(factor: Reals, offset: Reals, layer: str) -> tuple[Int32, Int64, Int32]:
    """Integers M, B and S of ``(x * M + B) >> S``, which is nearest to ``x * factor + offset`` within what M resolves.

    S is the largest up to 40 for which M has at most 16 bits with its sign; ``B = round(offset * 2^S) + 2^(S - 1)``.
    A factor that needs more than 16 bits for S = 0 is cut: what it multiplies is 0, or leaves the stream.

    Args:
        factor: per channel.
        offset: per channel.
        layer: name of the layer, for messages.

    Raises:
        UserError: for numbers that are not finite, or an offset that is too large.
    """
    multiplier, shift = np.zeros(len(factor), np.int32), np.zeros(len(factor), np.int32)
    bias = np.zeros(len(factor), np.int64)
    for channel, (a, b) in enumerate(zip(factor.tolist(), offset.tolist(), strict=True)):
        if not (math.isfinite(a) and math.isfinite(b)):
            raise UserError(f"layer {layer}: channel {channel} has a batch norm that is no finite number")
        if abs(b) > (_INT32 if abs(a) <= MAX_MULTIPLIER else MAX_MULTIPLIER):
            raise UserError(
                f"layer {layer}: channel {channel} is multiplied by {a:.3g} and moved by {b:.3g} steps of the stream, "
                "which fixed point can't follow; its batch norm has seen next to no variance in training"
            )
        # What is multiplied by more saturates the stream anyway, unless it is 0: a channel without any weight.
        a = max(-MAX_MULTIPLIER, min(MAX_MULTIPLIER, a))
        power = MAX_SHIFT
        while power and round(abs(a) * 2**power) > MAX_MULTIPLIER:
            power -= 1
        multiplier[channel], shift[channel] = round(a * 2**power), power
        # A scaling by a power of two is exact, so this is the only rounding.
        bias[channel] = round(b * 2**power) + (2**power >> 1)
    return multiplier, bias, shift


def sum_range(weight: Codes, smallest: int, largest: int) -> Range:
    """Range of the sums of each output channel for inputs of a range that includes 0."""
    rows = weight.reshape(len(weight), -1).astype(np.int64)
    positive, negative = rows.clip(min=0).sum(1), rows.clip(max=0).sum(1)
    return smallest * positive + largest * negative, largest * positive + smallest * negative


def check_accumulator(sums: Range, layer: str) -> None:
    """Raises `UserError` where a sum could leave int32."""
    reach = max(int(-sums[0].min()), int(sums[1].max()))
    if reach > _INT32:
        raise UserError(f"layer {layer}: sums of codes reach {reach:,}, more than int32 holds ({_INT32:,})")


def check_product(step: Rescale, sums: Range) -> int:
    """The bits, sign included, that ``x * M + B`` needs.

    Raises:
        UserError: where these are more than 64.
    """
    corners = [
        abs(int(x) * int(m) + part)
        for low, high, m, b in zip(*(end.tolist() for end in sums), step.multiplier, step.bias.tolist(), strict=True)
        for x in (low, high)
        for part in (0, b)
    ]
    reach = max(corners, default=0)
    if reach > _INT64:
        raise UserError(f"layer {step.layer}: its batch norm needs {reach.bit_length() + 1} bits, more than 64")
    return reach.bit_length() + 1


def check_logits(step: Head, largest: int) -> int:
    """The bits, sign included, that logits need whose inputs reach `largest`.

    Raises:
        UserError: where these are more than 54.
    """
    rows = np.abs(step.weight.astype(np.int64)).sum(1).tolist()
    reach = max((largest * row + abs(part) for row, part in zip(rows, step.bias.tolist(), strict=True)), default=0)
    if reach > _EXACT_LOGITS:
        raise UserError(f"layer {step.layer}: logits need {reach.bit_length() + 1} bits, more than 54")
    return reach.bit_length() + 1
