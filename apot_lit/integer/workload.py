"""What a network of integers does for one image, and what it holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from apot_lit.graph.shapes import infer_shapes
from apot_lit.graph.steps import INPUT, AnyConvolution, AnyLinear, Flatten, Step
from apot_lit.integer.network import (
    Accumulate,
    ChannelThreshold,
    Head,
    IntegerNetwork,
    Rescale,
    SumPositions,
    SumWindows,
    Threshold,
)
from apot_lit.quant.terms import terms_of_codes

_BYTE = 8


@dataclass(frozen=True)
class Operations:
    """What one layer does and holds, for one image.

    Attributes:
        layer: its name.
        macs: multiply-accumulate operations, those with padding included.
        shift_adds: additions of a shifted input that take their place: one for each power of two of each weight.
        multiplications: what is left of them: one for each output of a batch norm that is not within thresholds.
        comparisons: of the values that become the codes that this layer reads, one for each threshold.
        weight_bytes: of the codes, in `weight_bit` bits each.
        constant_bytes: of thresholds (as wide as the stream, or 4 where they are on accumulators), multipliers (2),
            shifts (1) and biases (8).
    """

    layer: str
    macs: int
    shift_adds: int
    multiplications: int
    comparisons: int
    weight_bytes: int
    constant_bytes: int


def count_operations(network: IntegerNetwork) -> list[Operations]:
    """The operations of each layer, in the order of computation."""
    shapes = infer_shapes(network.steps, network.input_shape)
    weighted = {step.layer for step in network.steps if isinstance(step, AnyConvolution | AnyLinear)}
    found = []
    for step in network.steps:
        if isinstance(step, Rescale) and step.layer not in weighted:  # a mean, or a batch norm of what is on the stream
            constants = _constant_bytes(step, network)
            found.append(Operations(step.layer, 0, 0, prod(shapes[step.output]), 0, 0, constants))
        if not isinstance(step, AnyConvolution | AnyLinear):
            continue
        positions = prod(shapes[step.output]) // len(step.weight)
        around = [other for other in network.steps if getattr(other, "layer", None) == step.layer and other is not step]
        rescaled = [prod(shapes[other.output]) for other in around if isinstance(other, Rescale)]
        compared = [other for other in around if isinstance(other, Threshold | ChannelThreshold)]
        found.append(
            Operations(
                step.layer,
                step.weight.size * positions,
                _terms(step) * positions,
                sum(rescaled),
                sum(prod(shapes[other.output]) * (len(other.codes) - 1) for other in compared),
                -(-step.weight.size * weight_bit(step) // _BYTE),
                sum(_constant_bytes(other, network) for other in [step, *around]),
            )
        )
    return found


def working_bytes(network: IntegerNetwork) -> int:
    """Most bytes of values that are alive at once, the pixels included; accumulators are not kept.

    Codes take a byte, values of the stream one or two, sums over positions four and logits eight.
    """
    shapes = infer_shapes(network.steps, network.input_shape)
    steps = [step for step in network.steps if not isinstance(step, Accumulate | SumWindows)]
    sources = {step.output: step.inputs for step in network.steps if isinstance(step, Accumulate | SumWindows)}
    reads = [[source for name in step.inputs for source in sources.get(name, (name,))] for step in steps]
    last = {name: index for index, names in enumerate(reads) for name in names}
    widths, most = {INPUT: 1}, 0
    alive = {INPUT: prod(network.input_shape)}
    for index, step in enumerate(steps):
        widths[step.output] = _value_bytes(step, network.stream_bit, widths)
        alive[step.output] = prod(shapes[step.output]) * widths[step.output]
        most = max(most, sum(alive.values()))
        alive = {name: size for name, size in alive.items() if last.get(name, -1) > index}
    return most


def weight_bit(step: AnyConvolution | AnyLinear) -> int:
    """Bits that each weight code of a layer is stored in: those of its level set and the sign, or of the largest."""
    if isinstance(step, AnyConvolution) and step.levels is not None:
        return step.levels.bits + 1
    return int(np.abs(step.weight.astype(int)).max(initial=0)).bit_length() + 1


def _terms(step: AnyConvolution | AnyLinear) -> int:
    magnitudes = np.abs(step.weight.astype(int))
    levels = step.levels if isinstance(step, AnyConvolution) else None
    split = terms_of_codes(levels, int(magnitudes.max(initial=0)))
    values, counts = np.unique(magnitudes, return_counts=True)
    return sum(len(split[value]) * count for value, count in zip(values.tolist(), counts.tolist(), strict=True))


def _value_bytes(step: Step, stream_bit: int, widths: Mapping[str, int]) -> int:
    if isinstance(step, Threshold | ChannelThreshold):
        return 1
    if isinstance(step, Flatten):
        return widths[step.inputs[0]]
    if isinstance(step, SumPositions | Head):
        return 4 if isinstance(step, SumPositions) else 8
    return -(-stream_bit // _BYTE)


def _constant_bytes(step: Step, network: IntegerNetwork) -> int:
    stream = -(-network.stream_bit // _BYTE)
    if isinstance(step, Threshold):
        return step.thresholds.size * stream
    if isinstance(step, ChannelThreshold):
        return step.thresholds.size * 4
    if isinstance(step, Rescale):
        return step.multiplier.size * 2 + step.shift.size + step.bias.size * 8
    return step.bias.size * 8 if isinstance(step, Head) else 0
