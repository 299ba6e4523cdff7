"""How many fractional bits the stream may have, by images that the network was trained with."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from apot_lit.errors import UserError
from apot_lit.graph.steps import Add, Relu, Step
from apot_lit.integer.executor import Executor
from apot_lit.integer.network import Clip, IntegerNetwork, Rescale, Threshold

MAX_FRACTION = 15
CALIBRATION_IMAGES = 1000
"""So many of the training images, the first ones, choose the stream."""
TRIAL_FRACTION, TRIAL_BIT = 8, 32
_BATCH = 500


def choose_fraction(convert: Callable[[int, int], IntegerNetwork], images: Tensor, stream_bit: int) -> int:
    """The largest number of fractional bits with which no value that matters is saturated on some images.

    A value matters from the first threshold to the last where quantisers alone read it, above zero where ReLU or
    quantisers without a sign alone do, and within its bounds where what clips it does. Values are measured on a stream
    of 32 bits, which none leaves.

    Args:
        convert: makes the network for a number of fractional bits and of bits of the stream, thresholds not folded.
        images: uint8 ``[N, C, H, W]``.
        stream_bit: bits of the stream.

    Raises:
        UserError: where even whole numbers saturate.
    """
    wide = convert(TRIAL_FRACTION, TRIAL_BIT)
    largest = largest_values(wide, images)
    most = max(largest.values(), default=0)
    fraction = min(MAX_FRACTION, math.floor(math.log2((2 ** (stream_bit - 1) - 1) * 2**TRIAL_FRACTION / max(most, 1))))
    if fraction < 0:
        step = next(step for step in wide.steps if largest.get(step.output) == most)
        where = f"layer {step.layer}" if isinstance(step, Rescale) else f"sum {step.output}"
        raise UserError(
            f"{where}: reaches {most / 2**TRIAL_FRACTION:.4g}, which a stream of {stream_bit} bits can't hold; "
            "more bits would (stream_bit up to 16)"
        )
    return fraction


def largest_values(network: IntegerNetwork, images: Tensor) -> dict[str, int]:
    """By name of what goes onto the stream, the largest magnitude that matters; see `choose_fraction`."""
    found: dict[str, int] = {}
    readers: dict[str, list[Step]] = {}
    for step in network.steps:
        for name in step.inputs:
            readers.setdefault(name, []).append(step)

    def watch(step: Step, value: Tensor) -> None:
        if isinstance(step, Rescale | Add):
            reach = _reach(value, readers[step.output])
            found[step.output] = max(found.get(step.output, 0), reach)

    executor = Executor(network, images.device, watch)
    with torch.no_grad():
        for batch in images.split(_BATCH):
            executor(batch)
    return found


def _reach(value: Tensor, readers: list[Step]) -> int:
    low, high = int(value.min()), int(value.max())
    found = 0
    for step in readers:
        lowest, highest = _bounds(step)
        found = max(found, min(high, highest), min(-low, -lowest))
    return found


def _bounds(step: Step) -> tuple[int, int]:
    """Beyond which a reader does not tell values apart."""
    far = 2**TRIAL_BIT
    if isinstance(step, Relu):
        return 0, far
    if isinstance(step, Clip):
        return step.lowest, step.highest
    if isinstance(step, Threshold):
        reachable = step.thresholds[step.thresholds < 2 ** (TRIAL_BIT - 1) - 1]
        return min(0, int(step.thresholds.min()) - 1), int(reachable.max(initial=0))
    return -far, far
