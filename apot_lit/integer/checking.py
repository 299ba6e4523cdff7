"""Whether a network of integers is one: every value of the kind that its reader takes, every width proved."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apot_lit.errors import UserError
from apot_lit.graph.shapes import Shape, infer_shapes
from apot_lit.graph.steps import (
    INPUT,
    Add,
    AnyConvolution,
    AnyLinear,
    Concatenate,
    Flatten,
    MaxPool,
    OverWindows,
    Relu,
    Repeat,
    Step,
    mirrored,
)
from apot_lit.integer.fixed_point import (
    MAX_MULTIPLIER,
    MAX_SHIFT,
    Range,
    check_accumulator,
    check_logits,
    check_product,
    sum_range,
)
from apot_lit.integer.network import (
    Accumulate,
    ChannelThreshold,
    Clip,
    Head,
    IntegerNetwork,
    Rescale,
    SumPositions,
    SumWindows,
    Threshold,
)

MAX_VALUES = 2**24  # of one image in one step
_PIXELS, _CODES, _SUMS, _WINDOWS, _STREAM, _TOTAL, _LOGITS = (
    "pixels",
    "codes",
    "sums",
    "sums of windows",
    "the stream",
    "sums of positions",
    "logits",
)
_READS: dict[type[Step], tuple[str, ...]] = {
    Accumulate: (_PIXELS, _CODES),
    Rescale: (_SUMS, _WINDOWS, _STREAM),
    Threshold: (_STREAM,),
    ChannelThreshold: (_SUMS,),
    **dict.fromkeys((Relu, Clip, Add, Concatenate, Repeat, MaxPool, SumWindows, SumPositions), (_STREAM,)),
    Flatten: (_STREAM, _TOTAL),
    Head: (_STREAM, _TOTAL, _CODES),
}


@dataclass(frozen=True)
class _Value:
    """What is known of a value: its kind, the range of each channel, and how many positions are added up in it."""

    kind: str
    values: Range
    positions: int = 1


def check(network: IntegerNetwork) -> None:
    """Proves that a network can be computed, and that no value leaves its type.

    Raises:
        UserError: naming the first step that is wrong.
    """
    _check_names(network.steps)
    for step in network.steps:
        _check_geometry(step)
    shapes = infer_shapes(network.steps, network.input_shape)
    limit = network.largest + 1
    known = {INPUT: _Value(_PIXELS, _constant(0, 255, network.input_shape[0]))}
    for step in network.steps:
        _require(min(shapes[step.output]) > 0, step, "does not fit its input")
        _require(math.prod(shapes[step.output]) <= MAX_VALUES, step, f"computes more than {MAX_VALUES:,} values")
        inputs = [known[name] for name in step.inputs]
        for value in inputs:
            _require(value.kind in _READS[type(step)], step, f"can't read {value.kind}")
        known[step.output] = _value(step, inputs[0], [shapes[name] for name in step.inputs], limit)
    _require(isinstance(network.steps[-1], Head), network.steps[-1], "can't be the last step")


def _value(step: Step, x: _Value, shapes: Sequence[Shape], limit: int) -> _Value:
    channels, height, width = shapes[0]
    stream = _Value(_STREAM, _constant(-limit, limit - 1, 1))
    if isinstance(step, Accumulate):
        return _Value(_SUMS, _sums(step, x))
    if isinstance(step, Rescale):
        _check_rescale(step, x, channels)
        return stream
    if isinstance(step, Threshold | ChannelThreshold):
        _check_thresholds(step, channels)
        return _Value(_CODES, _constant(step.codes[0], step.codes[-1], 1))
    if isinstance(step, SumWindows):
        size = math.prod(step.kernel)
        _require(size * limit < 2**31, step, "adds up more than int32 holds")
        return _Value(_WINDOWS, _constant(-size * limit, size * (limit - 1), 1))
    if isinstance(step, Clip):
        _require(-limit <= step.lowest <= step.highest < limit, step, "must have bounds on the stream")
    if isinstance(step, Repeat):
        _require((height, width) == (1, 1), step, "can repeat one position alone")
    if isinstance(step, SumPositions):
        _require(step.positions == height * width, step, f"must add up {height * width} positions")
        return _Value(_TOTAL, x.values, step.positions)
    if isinstance(step, Add):
        _require(shapes[0] == shapes[1], step, f"can't add {shapes[0]} and {shapes[1]}")
    if isinstance(step, Flatten):
        return x
    if isinstance(step, Head):
        _require(step.bias.shape == (len(step.weight),), step, "must have a bias for each class")
        check_logits(step, limit * x.positions if x.kind != _CODES else int(x.values[1].max()))
        return _Value(_LOGITS, _constant(0, 0, 1))
    return stream


def _sums(step: Accumulate, x: _Value) -> Range:
    largest = int(x.values[1].max())
    _require(step.largest == largest, step, f"must expect inputs up to {largest}")
    _require(step.is_signed == (x.values[0].min() < 0), step, "must know whether codes have a sign")
    scaled = x.kind == _PIXELS and step.multiplier > 0 and 0 <= step.offset <= step.multiplier * largest
    _require(scaled or (step.multiplier, step.offset) == (1, 0), step, "must read codes as they are")
    if step.levels is not None:
        allowed = [*step.levels.codes, *(-code for code in step.levels.codes)]
        _require(np.isin(step.weight, allowed).all(), step, "has weights that are no levels")
    sums = sum_range(step.weight, *step.ends)
    check_accumulator(sums, step.layer)
    return sums


def _check_rescale(step: Rescale, x: _Value, channels: int) -> None:
    arrays = (step.multiplier, step.bias, step.shift)
    _require(all(array.shape == (channels,) for array in arrays), step, f"must have numbers for {channels} channels")
    within = -MAX_MULTIPLIER <= step.multiplier.min() <= step.multiplier.max() <= MAX_MULTIPLIER
    _require(within, step, "must have multipliers of at most 16 bits")
    _require(0 <= step.shift.min() <= step.shift.max() <= MAX_SHIFT, step, f"must have shifts of 0 to {MAX_SHIFT}")
    low, high = (np.broadcast_to(end, (channels,)) for end in x.values)
    check_product(step, (low, high))


def _check_thresholds(step: Threshold | ChannelThreshold, channels: int) -> None:
    count = len(step.codes) - 1
    shape = (channels, count) if isinstance(step, ChannelThreshold) else (count,)
    _require(step.codes in (step.levels.codes, mirrored(step.levels)), step, "must give the codes of its levels")
    _require(step.codes[-1] <= (127 if step.codes[0] < 0 else 255), step, "gives codes of more than 8 bits")
    _require(step.thresholds.shape == shape, step, f"must have thresholds {list(shape)}")
    _require((np.sort(step.thresholds, -1) == step.thresholds).all(), step, "must have thresholds that ascend")
    if isinstance(step, ChannelThreshold):
        signs = step.sign.shape == (channels,) and np.isin(step.sign, (-1, 1)).all()
        _require(signs, step, f"must have {channels} signs, 1 or -1")


def _check_names(steps: Sequence[Step]) -> None:
    known = {INPUT}
    for step in steps:
        wanted = 2 if isinstance(step, Add) else 1 if not isinstance(step, Concatenate) else max(1, len(step.inputs))
        _require(len(step.inputs) == wanted, step, f"must read {wanted}, not {len(step.inputs)}")
        for name in step.inputs:
            _require(name in known, step, f"reads {name}, which is not there")
        _require(step.output not in known, step, "is there twice")
        known.add(step.output)
    if not steps:
        raise UserError("the network: has no steps")


def _check_geometry(step: Step) -> None:
    if isinstance(step, AnyConvolution):
        _require(step.weight.ndim == 4 and step.weight.size > 0, step, "must have weights of four dimensions")
        _require(len(step.weight) % step.groups == 0, step, "must have as many outputs in each group")
    elif isinstance(step, AnyLinear):
        _require(step.weight.ndim == 2 and step.weight.size > 0, step, "must have weights of two dimensions")
    elif isinstance(step, OverWindows):
        inside = all(2 * padding <= kernel for padding, kernel in zip(step.padding, step.kernel, strict=True))
        _require(inside, step, "must have windows that reach the map")


def _constant(low: int, high: int, channels: int) -> Range:
    return np.full(channels, low, np.int64), np.full(channels, high, np.int64)


def _require(holds: bool | np.bool_, step: Step, what: str) -> None:
    if not holds:
        raise UserError(f"{step.output}: {what}")
