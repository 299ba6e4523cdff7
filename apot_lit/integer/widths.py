"""How many bits the values of a network of integers take."""

from dataclasses import dataclass

import numpy as np

from apot_lit.graph.steps import INPUT, Flatten, Step
from apot_lit.integer.fixed_point import Range, check_logits, check_product, sum_range
from apot_lit.integer.network import (
    Accumulate,
    ChannelThreshold,
    Head,
    IntegerNetwork,
    Rescale,
    SumPositions,
    Threshold,
)


@dataclass(frozen=True)
class Width:
    """Bits of the values around one layer, signs included; None where there is no such value.

    Attributes:
        layer: its name.
        input: of pixels or codes, with the sign if they have one; of the last layer that of the sums it reads, signed.
        weight: of the largest weight code.
        accumulator: of any sum that inputs in their range can give.
        product: of accumulator times multiplier plus bias; None where thresholds take its place.
        multiplications: per output: one for the batch norm, none with thresholds on the accumulator.
        thresholds: comparisons that make a code of an output, one set per channel if they are on the accumulator.
    """

    layer: str
    input: int
    weight: int
    accumulator: int
    product: int | None
    multiplications: int
    thresholds: int | None


def bit_widths(network: IntegerNetwork) -> list[Width]:
    """The widths of each layer, in the order of computation; those of sums and products are proved, not measured."""
    readers: dict[str, list[Step]] = {}
    for step in network.steps:
        for name in step.inputs:
            readers.setdefault(name, []).append(step)
    found = []
    for step in network.steps:
        if isinstance(step, Accumulate):
            (reader,) = readers[step.output]
            sums = accumulator_range(step)
            product = check_product(reader, sums) if isinstance(reader, Rescale) else None
            compared = next((r for r in (reader, *readers[reader.output]) if _is_threshold(r)), None)
            count = None if compared is None else len(compared.codes) - 1  # type: ignore[attr-defined]
            reach = max(-int(sums[0].min()), int(sums[1].max()))
            is_rescaled = int(isinstance(reader, Rescale))
            found.append(
                Width(
                    step.layer,
                    step.largest.bit_length() + step.is_signed,
                    _bits(step.weight),
                    reach.bit_length() + 1,
                    product,
                    is_rescaled,
                    count,
                )
            )
        elif isinstance(step, Head):
            reach = head_reach(network)
            width = check_logits(step, reach)
            found.append(Width(step.layer, reach.bit_length(), _bits(step.weight), width, None, 0, None))
    return found


def head_reach(network: IntegerNetwork) -> int:
    """The largest magnitude of what the last layer reads."""
    made = {step.output: step for step in network.steps}
    source = made[network.steps[-1].inputs[0]]
    while isinstance(source, Flatten):
        source = made[source.inputs[0]]
    if isinstance(source, Threshold | ChannelThreshold):
        return source.codes[-1]
    return (network.largest + 1) * (source.positions if isinstance(source, SumPositions) else 1)


def accumulator_range(step: Accumulate) -> Range:
    """Range of the sums of each output channel."""
    assert step.inputs[0] == INPUT or step.offset == 0
    return sum_range(step.weight, *step.ends)


def _is_threshold(step: Step) -> bool:
    return isinstance(step, Threshold | ChannelThreshold)


def _bits(weight: np.ndarray) -> int:
    return int(np.abs(weight.astype(np.int64)).max(initial=0)).bit_length() + 1
