"""One conversion of steps on floats to steps on integers."""

import math
from collections.abc import Sequence

import numpy as np

from apot_lit.errors import UserError
from apot_lit.graph.shapes import Shape, infer_shapes
from apot_lit.graph.steps import (
    INPUT,
    Add,
    Affine,
    AveragePool,
    Clamp,
    Codes,
    Concatenate,
    Convolution,
    Flatten,
    Linear,
    MaxPool,
    Normalize,
    Quantize,
    Relu,
    Repeat,
    Step,
)
from apot_lit.integer.fixed_point import (
    Range,
    Reals,
    check_accumulator,
    check_logits,
    check_product,
    rescaling,
    sum_range,
)
from apot_lit.integer.network import (
    Accumulate,
    Clip,
    Head,
    IntegerNetwork,
    Rescale,
    SumPositions,
    SumWindows,
    Threshold,
)
from apot_lit.integer.pooling import of_windows
from apot_lit.integer.thresholding import thresholds

MAX_CODE = 255
MAX_WINDOW = 2**15
_ON_STREAM = (Relu, Add, MaxPool, Flatten, Concatenate, Repeat)
_ONE = ((1, 1), (0, 0), (1, 1), 1)
"""Stride, padding, dilation and groups of a linear layer, which is a convolution of one position."""


class Converter:
    """Converts steps for one choice of the stream."""

    def __init__(self, steps: Sequence[Step], shape: Shape, fraction: int, stream_bit: int) -> None:
        self.floats, self.input_shape = of_windows(steps, shape), shape
        self.shapes = infer_shapes(self.floats, shape)
        self.fraction, self.stream_bit = fraction, stream_bit
        self.limit = 2 ** (stream_bit - 1)
        self.producers = {step.output: step for step in self.floats}
        self.steps: list[Step] = []
        self.sums: dict[str, Range] = {}
        self.positions: dict[str, int] = {}
        self.logit_scale = 1.0

    def convert(self) -> IntegerNetwork:
        """The network."""
        for step in self.floats:
            if isinstance(step, Convolution):
                self._sums(step, _codes(step), (step.stride, step.padding, step.dilation, step.groups))
            elif isinstance(step, Linear) and step is not self.floats[-1]:
                if not isinstance(self.producers.get(step.inputs[0]), Quantize):
                    raise UserError(f"layer {step.layer}: a linear layer that is not the last one must read codes")
                self._sums(step, _codes(step)[:, :, None, None], _ONE)
            elif isinstance(step, Linear):
                self._head(step)
            elif isinstance(step, Affine):
                self._affine(step)
            elif isinstance(step, Quantize):
                self._quantize(step)
            elif isinstance(step, AveragePool):
                self._average(step)
            elif isinstance(step, SumPositions):
                self._refuse_sums(step)
                self.positions[step.output] = step.positions
                self.steps.append(step)
            elif isinstance(step, Clamp):
                self._refuse_sums(step)
                self.steps.append(Clip(step.output, step.inputs, *self._ends(step)))
            elif isinstance(step, _ON_STREAM):
                self._on_stream(step)
        if not isinstance(self.steps[-1], Head):
            raise UserError("the network: must end with a linear layer to become integers")
        return IntegerNetwork(_needed(self.steps), self.input_shape, self.stream_bit, self.fraction, self.logit_scale)

    def _readers(self, name: str) -> list[Step]:
        return [step for step in self.floats if name in step.inputs]

    def _sums(
        self,
        step: Convolution | Linear,
        weight: Codes,
        geometry: tuple[tuple[int, int], tuple[int, int], tuple[int, int], int],
    ) -> None:
        """Sums of products, and the batch norm that alone reads them, or their scale and bias."""
        source, multiplier, offset, largest, scale = self._input(step)
        producer = self.producers.get(source)
        signed = isinstance(producer, Quantize) and producer.signed
        name = f"{step.output}_sums"
        numbers = multiplier, offset, largest, signed
        sums = Accumulate(name, (source,), weight, *geometry, step.levels, step.layer, *numbers)
        self.steps.append(sums)
        self.sums[name] = sum_range(weight, *sums.ends)
        check_accumulator(self.sums[name], step.layer)
        factor = np.broadcast_to(np.asarray(scale, np.float64), len(weight))
        bias = np.zeros(len(factor)) if step.bias is None else step.bias.astype(np.float64)
        readers = self._readers(step.output)
        if len(readers) == 1 and isinstance(readers[0], Affine):
            norm = readers[0]
            output, factor, bias = norm.output, factor * norm.factor, bias * norm.factor + norm.offset
        else:
            output = step.output
        self._rescale(output, name, factor, bias, step.layer, self.sums[name])

    def _input(self, step: Convolution | Linear) -> tuple[str, int, int, int, float | Reals]:
        """What a layer reads: name, multiplier, offset, largest value, and the scale of its sums."""
        (source,) = step.inputs
        producer = self.producers.get(source)
        scale = 1.0 if step.scale is None else step.scale
        if source == INPUT and isinstance(step, Convolution):
            return INPUT, 1, step.zero_point, 255, scale
        if isinstance(producer, Normalize):
            if producer.multiplier is None:
                raise UserError(
                    f"layer {step.layer}: {producer.offset / 255:g} as mean of the pixels is no fraction of integers; "
                    "33/255 or 0.131 are"
                )
            q = producer.multiplier
            return INPUT, q, round(producer.offset * q), 255, scale * producer.scale / q
        if isinstance(producer, Quantize):
            return source, 1, 0, producer.unit, scale
        raise UserError(f"layer {step.layer}: its input stays float; integers need activations of 2 to 8 bits")

    def _rescale(self, output: str, source: str, factor: Reals, offset: Reals, layer: str, values: Range) -> None:
        integers = rescaling(factor * 2.0**self.fraction, offset * 2.0**self.fraction, layer)
        step = Rescale(output, (source,), *integers, layer)
        check_product(step, values)
        self.steps.append(step)

    def _affine(self, step: Affine) -> None:
        (source,) = step.inputs
        if isinstance(self.producers.get(source), Convolution | Linear) and self._readers(source) == [step]:
            return  # part of that layer's rescaling
        self._refuse_sums(step)
        ends = np.full(len(step.factor), -self.limit, np.int64), np.full(len(step.factor), self.limit - 1, np.int64)
        # Already on the stream: only the offset is in real numbers.
        factor = step.factor / 2.0**self.fraction
        self._rescale(step.output, source, factor.astype(np.float64), step.offset.astype(np.float64), step.output, ends)

    def _quantize(self, step: Quantize) -> None:
        self._refuse_sums(step)
        if step.codes[-1] > MAX_CODE // 2 ** int(step.signed):
            raise UserError(
                f"layer {step.layer}: activation codes up to {step.levels.codes[-1]} don't fit into 8 bits "
                f"({step.levels.scheme}); fewer bits or other levels would"
            )
        found, (source,) = thresholds(step, self.fraction), step.inputs
        clamp = self.producers[source]
        if isinstance(clamp, Clamp):  # what it clips to reaches as many thresholds or fewer, which these tell as well
            lowest, highest = self._ends(clamp)
            found = np.where(found > highest, self.limit, np.where(found <= lowest, -self.limit, found))
            (source,) = clamp.inputs
        # At 32 bits, for trial, what no value reaches is the largest number.
        within = np.clip(found, -self.limit, min(self.limit, 2**31 - 1)).astype(np.int32)
        self.steps.append(Threshold(step.output, (source,), within, step.codes, step.levels, step.layer))

    def _ends(self, step: Clamp) -> tuple[int, int]:
        """The bounds of what clips, on the stream."""
        bounds = (-math.inf if step.lowest is None else step.lowest, math.inf if step.highest is None else step.highest)
        if not bounds[0] <= bounds[1]:
            raise UserError(f"{step.output}: clips to {bounds[0]:g} at least and {bounds[1]:g} at most")
        low, high = (max(-self.limit, min(self.limit - 1, bound * 2.0**self.fraction)) for bound in bounds)
        return math.floor(low + 0.5), math.floor(high + 0.5)

    def _average(self, step: AveragePool) -> None:
        self._refuse_sums(step)
        count, channels = math.prod(step.kernel), self.shapes[step.output][0]
        if count > MAX_WINDOW:
            raise UserError(f"{step.output}: a mean over windows of {count:,} positions; at most {MAX_WINDOW:,} can be")
        sums = SumWindows(f"{step.output}_sums", step.inputs, step.kernel, step.stride, step.padding)
        self.steps.append(sums)
        ends = np.full(channels, -count * self.limit, np.int64), np.full(channels, count * self.limit, np.int64)
        # The sums are on the stream already.
        factor = np.full(channels, 2.0**-self.fraction / count)
        self._rescale(step.output, sums.output, factor, np.zeros(channels), step.output, ends)

    def _on_stream(self, step: Step) -> None:
        (source, *_) = step.inputs
        if isinstance(step, Flatten) and source in self.positions:
            self.positions[step.output] = self.positions[source]
        else:
            self._refuse_sums(step)
        self.steps.append(step)

    def _refuse_sums(self, step: Step) -> None:
        for name in step.inputs:
            if name in self.positions:
                raise UserError(f"{step.output}: can't read sums over positions")
            if name == INPUT or isinstance(self.producers.get(name), Normalize):
                raise UserError(f"{step.output}: pixels can be read by a convolution alone")

    def _head(self, step: Linear) -> None:
        weight, (source,) = _codes(step), step.inputs
        assert step.scale is not None
        if np.ndim(step.scale) > 0:
            raise UserError(
                f"layer {step.layer}: the last layer must have one scale for all outputs to become integers"
            )
        scale, producer = float(step.scale), self.producers.get(source)
        if isinstance(producer, Quantize):
            self.logit_scale, reach = scale, producer.unit
        else:
            positions = self.positions.get(source, 1)
            self.logit_scale, reach = scale / (2.0**self.fraction * positions), self.limit * positions
        bias = np.zeros(len(step.weight)) if step.bias is None else step.bias.astype(np.float64)
        integers = np.array([round(value / self.logit_scale) for value in bias.tolist()], dtype=np.int64)
        head = Head(step.output, step.inputs, weight, step.layer, integers)
        check_logits(head, reach)
        self.steps.append(head)


def _codes(step: Convolution | Linear) -> Codes:
    """The weights of a layer, which must be codes."""
    if step.weight.dtype != np.int8:
        raise UserError(f"layer {step.layer}: has float weights; integers need weights of 2 to 8 bits")
    return step.weight.astype(np.int8, copy=False)


def _needed(steps: Sequence[Step]) -> list[Step]:
    """Without those whose value nothing reads."""
    kept: list[Step] = []
    read: set[str] = set()
    for step in reversed(steps):
        if not kept or step.output in read:
            kept.append(step)
            read.update(step.inputs)
    return kept[::-1]
