"""Batch norms within thresholds: where a quantiser alone reads one, its comparisons are made on the accumulator."""

from dataclasses import replace

import numpy as np

from apot_lit.graph.steps import Step
from apot_lit.integer.fixed_point import Range
from apot_lit.integer.network import Accumulate, ChannelThreshold, Int64, IntegerNetwork, Rescale, Threshold
from apot_lit.integer.widths import accumulator_range


def fold_batch_norms(network: IntegerNetwork) -> IntegerNetwork:
    """The same function with fewer multiplications: each `Rescale` that a `Threshold` alone reads goes into it.

    Codes are the same for every accumulator, those included whose `Rescale` the stream would saturate.
    """
    made = {step.output: step for step in network.steps}
    folds: dict[str, Step] = {}
    for step in network.steps:
        rescale = made.get(step.inputs[0])
        if not isinstance(step, Threshold) or not isinstance(rescale, Rescale):
            continue
        sums = made.get(rescale.inputs[0])
        if isinstance(sums, Accumulate) and sum(rescale.output in other.inputs for other in network.steps) == 1:
            folds[step.output] = _folded(rescale, step, accumulator_range(sums), network.largest)
    folded = {made[output].inputs[0] for output in folds}
    return replace(network, steps=[folds.get(s.output, s) for s in network.steps if s.output not in folded])


def _folded(rescale: Rescale, step: Threshold, sums: Range, largest: int) -> ChannelThreshold:
    """Thresholds on the accumulators.

    For M > 0, ``(x M + B) >> S >= t`` is ``x >= ceil((t 2^S - B) / M)``. For M < 0 the same holds of -x and -M. For
    M = 0 all x are on one side. A threshold beyond the stream is reached by none, also where the shift alone would be;
    and its smallest value by all.
    """
    reach = 1 + max(int(-sums[0].min()), int(sums[1].max()))
    channels = zip(rescale.multiplier.tolist(), rescale.bias.tolist(), rescale.shift.tolist(), strict=True)
    wanted = step.thresholds.tolist()
    rows = [[_place(abs(m), b, s, t, reach, largest) for t in wanted] for m, b, s in channels]
    sign = np.where(rescale.multiplier < 0, -1, 1).astype(np.int32)
    thresholds: Int64 = np.array(rows, np.int64)
    return ChannelThreshold(step.output, rescale.inputs, thresholds, sign, step.codes, step.levels, step.layer)


def _place(multiplier: int, bias: int, shift: int, threshold: int, reach: int, largest: int) -> int:
    """Where a threshold on the stream lies among the accumulators."""
    if threshold > largest:
        return reach
    return -reach if threshold < -largest else _first(multiplier, bias, shift, threshold, reach)


def _first(multiplier: int, bias: int, shift: int, threshold: int, reach: int) -> int:
    """The smallest x with ``(x * multiplier + bias) >> shift >= threshold``, within -reach (all) and reach (none)."""
    missing = (threshold << shift) - bias
    if multiplier == 0:
        return -reach if missing <= 0 else reach
    return max(-reach, min(reach, -(-missing // multiplier)))
