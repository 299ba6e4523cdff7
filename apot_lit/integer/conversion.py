"""From a network in evaluation mode to a network of integers."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from apot_lit.errors import UserError
from apot_lit.graph.shapes import Shape, infer_shapes
from apot_lit.graph.steps import (
    INPUT,
    Add,
    Affine,
    Codes,
    Convolution,
    Flatten,
    GlobalAveragePool,
    Linear,
    MaxPool,
    Normalize,
    Quantize,
    Relu,
    Step,
)
from apot_lit.graph.trace import build_steps
from apot_lit.integer.calibration import TRIAL_BIT, TRIAL_FRACTION, choose_fraction
from apot_lit.integer.fixed_point import (
    Range,
    Reals,
    check_accumulator,
    check_logits,
    check_product,
    rescaling,
    sum_range,
)
from apot_lit.integer.folding import fold_batch_norms
from apot_lit.integer.network import Accumulate, Head, IntegerNetwork, Rescale, SumPositions, Threshold
from apot_lit.integer.thresholding import thresholds

STREAM_BIT = 16
MAX_CODE = 255
_ON_STREAM = (Relu, Add, MaxPool, Flatten)


def to_integers(network: nn.Module, images: Tensor, stream_bit: int = STREAM_BIT, fold: bool = True) -> IntegerNetwork:
    """Converts a trained network into one of integers.

    Batch norms become a multiplication, an addition and a shift, quantisers become comparisons. The stream has as many
    fractional bits as `choose_fraction` finds for some images.

    Args:
        network: in evaluation mode; see `build_steps`. Every convolution but the first reads quantised activations, and
            all weights are quantised.
        images: uint8 ``[N, C, H, W]``, of those that the network was trained with.
        stream_bit: bits of the stream, 8 to 16.
        fold: whether batch norms that a quantiser alone reads become thresholds on the accumulators, see
            `fold_batch_norms`. No bit of codes or logits depends on it.

    Raises:
        UserError: naming a layer that can't be integers, and what would help.
    """
    steps, shape = build_steps(network), _shape(images)

    def convert(fraction: int, bit: int) -> IntegerNetwork:
        return _Converter(steps, shape, fraction, bit).convert()

    integers = convert(choose_fraction(convert, images, stream_bit), stream_bit)
    return fold_batch_norms(integers) if fold else integers


def check_convertible(network: nn.Module, images: Tensor) -> None:
    """Raises `UserError` as `to_integers` does, except for what its values are too large for."""
    _Converter(build_steps(network), _shape(images), TRIAL_FRACTION, TRIAL_BIT).convert()


def _shape(images: Tensor) -> Shape:
    _, channels, height, width = images.shape
    return channels, height, width


class _Converter:
    """Converts steps for one choice of the stream."""

    def __init__(self, steps: Sequence[Step], shape: Shape, fraction: int, stream_bit: int) -> None:
        self.floats, self.input_shape = steps, shape
        self.shapes = infer_shapes(steps, shape)
        self.fraction, self.stream_bit = fraction, stream_bit
        self.limit = 2 ** (stream_bit - 1)
        self.producers = {step.output: step for step in steps}
        self.steps: list[Step] = []
        self.sums: dict[str, Range] = {}
        self.positions: dict[str, int] = {}
        self.logit_scale = 1.0

    def convert(self) -> IntegerNetwork:
        """The network."""
        for step in self.floats:
            if isinstance(step, Convolution):
                self._convolution(step)
            elif isinstance(step, Affine):
                self._affine(step)
            elif isinstance(step, Quantize):
                self._quantize(step)
            elif isinstance(step, GlobalAveragePool):
                _, height, width = self.shapes[step.inputs[0]]
                self.positions[step.output] = height * width
                self.steps.append(SumPositions(step.output, step.inputs, height * width))
            elif isinstance(step, Linear):
                self._linear(step)
            elif isinstance(step, _ON_STREAM):
                self._on_stream(step)
        if not isinstance(self.steps[-1], Head):
            raise UserError("the network: must end with a linear layer to become integers")
        return IntegerNetwork(_needed(self.steps), self.input_shape, self.stream_bit, self.fraction, self.logit_scale)

    def _readers(self, name: str) -> list[Step]:
        return [step for step in self.floats if name in step.inputs]

    def _convolution(self, step: Convolution) -> None:
        source, multiplier, offset, largest, scale = self._input(step)
        weight = _codes(step)
        name = f"{step.output}_sums"
        geometry = (step.stride, step.padding, step.dilation, step.groups)
        self.steps.append(
            Accumulate(name, (source,), weight, *geometry, step.levels, step.layer, multiplier, offset, largest)
        )
        self.sums[name] = sum_range(weight, min(0, -offset), multiplier * largest - offset)
        check_accumulator(self.sums[name], step.layer)
        factor = np.full(len(step.weight), scale)
        bias = np.zeros(len(factor)) if step.bias is None else step.bias.astype(np.float64)
        readers = self._readers(step.output)
        if len(readers) == 1 and isinstance(readers[0], Affine):
            norm = readers[0]
            output, factor, bias = norm.output, factor * norm.factor, bias * norm.factor + norm.offset
        else:
            output = step.output
        self._rescale(output, name, factor, bias, step.layer, self.sums[name])

    def _input(self, step: Convolution) -> tuple[str, int, int, int, float]:
        """What a convolution reads: name, multiplier, offset, largest value, and the scale of its sums."""
        (source,) = step.inputs
        producer = self.producers.get(source)
        scale = 1.0 if step.scale is None else step.scale
        if source == INPUT:
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
        if isinstance(self.producers.get(source), Convolution) and self._readers(source) == [step]:
            return  # part of that convolution's rescaling
        self._refuse_sums(step)
        ends = np.full(len(step.factor), -self.limit, np.int64), np.full(len(step.factor), self.limit - 1, np.int64)
        # Already on the stream: only the offset is in real numbers.
        factor = step.factor / 2.0**self.fraction
        self._rescale(step.output, source, factor.astype(np.float64), step.offset.astype(np.float64), step.output, ends)

    def _quantize(self, step: Quantize) -> None:
        self._refuse_sums(step)
        if step.levels.codes[-1] > MAX_CODE:
            raise UserError(
                f"layer {step.layer}: activation codes up to {step.levels.codes[-1]} don't fit into 8 bits "
                f"({step.levels.scheme}); fewer bits or other levels would"
            )
        within = np.minimum(thresholds(step, self.fraction), self.limit).astype(np.int32)
        self.steps.append(Threshold(step.output, step.inputs, within, step.levels.codes, step.levels, step.layer))

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
                raise UserError(f"{step.output}: a mean over positions can be read by the last layer alone")
            if name == INPUT or isinstance(self.producers.get(name), Normalize):
                raise UserError(f"{step.output}: pixels can be read by a convolution alone")

    def _linear(self, step: Linear) -> None:
        if step is not self.floats[-1]:
            raise UserError(f"layer {step.layer}: a linear layer that is not the last one can't be integers")
        weight = _codes(step)
        assert step.scale is not None
        (source,) = step.inputs
        self.logit_scale = step.scale / (2.0**self.fraction * self.positions.get(source, 1))
        bias = np.zeros(len(step.weight)) if step.bias is None else step.bias.astype(np.float64)
        integers = np.array([round(value / self.logit_scale) for value in bias.tolist()], dtype=np.int64)
        head = Head(step.output, step.inputs, weight, step.layer, integers)
        check_logits(head, self.limit * self.positions.get(source, 1))
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
