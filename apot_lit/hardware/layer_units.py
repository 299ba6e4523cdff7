"""The units that a layer of a network of integers needs, and what their memories hold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from apot_lit.errors import UserError
from apot_lit.graph.steps import Step
from apot_lit.hardware.after_sum import MULTIPLIER_BITS, SHIFT_BITS, limit_word, rescale_unit, threshold_unit
from apot_lit.hardware.expressions import bits_of
from apot_lit.hardware.operands import Operand
from apot_lit.hardware.products import Multiplication, Way
from apot_lit.hardware.units import accumulator_width, dot_product
from apot_lit.hardware.verilog import Unit
from apot_lit.integer.network import Accumulate, ChannelThreshold, IntegerNetwork, Rescale, Threshold
from apot_lit.integer.widths import accumulator_range
from apot_lit.quant.levels import LevelSet

_BY_SHIFTS, _BY_MULTIPLICATION = Way("shift", "fields", "code"), Way("multiply", "code", "code")


@dataclass(frozen=True)
class Layer:
    """A convolution that reads codes, and what makes codes or values of the stream of its sums.

    Attributes:
        name: of the layer.
        sums: the convolution.
        after: what reads its sums.
        activations: level set of the codes that it reads.
        network: what it is a part of.
        lanes: products per clock.
    """

    name: str
    sums: Accumulate
    after: ChannelThreshold | Rescale
    activations: LevelSet
    network: IntegerNetwork
    lanes: int

    @property
    def multiplication(self) -> Multiplication:
        """How products are written: shifts by the terms of the weights; of uniform levels, multiplications."""
        assert self.sums.levels is not None
        way = _BY_MULTIPLICATION if self.sums.levels.scheme == "uniform" else _BY_SHIFTS
        return Multiplication(self.sums.levels, self.activations, way)

    @property
    def fan_in(self) -> int:
        """Products that an output is a sum of."""
        return int(self.sums.weight[0].size)

    @property
    def chunks(self) -> int:
        """Clocks that an output takes."""
        return -(-self.fan_in // self.lanes)

    @property
    def width(self) -> int:
        """Bits of the sums, which thresholds out of their reach fit into as well."""
        return accumulator_width(self.multiplication, self.fan_in + 1)

    @property
    def dot(self) -> Unit:
        """The dot product."""
        weights, activations, way = self.multiplication.weights, self.activations, self.multiplication.way
        return dot_product(weights, activations, way, self.fan_in + 1, self.lanes)

    @property
    def bias_width(self) -> int:
        """Bits of a sum times a multiplier, plus a bias."""
        assert isinstance(self.after, Rescale)
        low, high = (max(abs(int(end)) for end in ends) for ends in accumulator_range(self.sums))
        bias = max(abs(part) for part in self.after.bias.tolist())
        return max(bits_of(max(low, high) * (1 << (MULTIPLIER_BITS - 1)) + bias) + 1, self.width + MULTIPLIER_BITS)

    @property
    def behind(self) -> Unit:
        """The unit that reads the sums."""
        if isinstance(self.after, ChannelThreshold):
            return threshold_unit(self.after.levels, "code", self.width, "thresholds")
        return rescale_unit(self.width, self.bias_width, self.network.stream_bit, "batch_norm")

    @property
    def parameters(self) -> list[tuple[str, int]]:
        """Names and widths of the ports of `behind` that have a value for each channel, the last one lowest."""
        return [(port.text, port.width) for port in self.behind.inputs if port.text != "value"]

    def channel_words(self) -> list[int]:
        """For each output channel the word of these ports."""
        return [_joined(values, self.parameters) for values in self._channel_values()]

    def _channel_values(self) -> list[dict[str, int]]:
        after = self.after
        if isinstance(after, ChannelThreshold):
            rows = zip(after.thresholds.tolist(), after.sign.tolist(), strict=True)
            return [{"thresholds": limit_word(row, self.width), "negate": int(sign < 0)} for row, sign in rows]
        assert set(after.shift.tolist()) <= set(range(1 << SHIFT_BITS))
        columns = zip(after.multiplier.tolist(), after.bias.tolist(), after.shift.tolist(), strict=True)
        return [{"multiplier": m, "bias": b, "shift": s} for m, b, s in columns]

    def weight_words(self) -> list[int]:
        """For each output channel and clock the weights of all lanes, lane 0 lowest; 0 where there are no more."""
        weight, _ = self.multiplication.operands()
        words = {code: weight.word(code) for code in weight.codes()}
        rows = self.sums.weight.reshape(len(self.sums.weight), -1).astype(int).tolist()
        return [
            _side_by_side([words[code] for code in row[first : first + self.lanes]], weight.width)
            for row in rows
            for first in range(0, self.chunks * self.lanes, self.lanes)
        ]

    def activation_words(self, codes: npt.NDArray[np.int64]) -> list[int]:
        """What the codes of all images are as words, in the order ``[N, C, H, W]``."""
        return _words(self.multiplication.operands()[1], codes)

    def result_words(self, values: npt.NDArray[np.int64]) -> list[int]:
        """The same for what the layer gives: codes, or values of the stream in two's complement."""
        if isinstance(self.after, ChannelThreshold):
            return _words(Operand("code", self.after.levels, False, "code"), values)
        most = self.network.largest
        mask = (1 << self.network.stream_bit) - 1
        return [int(value) & mask for value in values.clip(-most - 1, most).ravel().tolist()]


def layers_of(network: IntegerNetwork, lanes: int) -> list[Layer]:
    """Every layer that reads codes, in the order of computation."""
    producers = {step.output: step for step in network.steps}
    readers: dict[str, Step] = {name: step for step in network.steps for name in step.inputs}
    found = []
    for step in network.steps:
        if isinstance(step, Accumulate) and step.levels is not None:
            source, after = producers.get(step.inputs[0]), readers[step.output]
            if isinstance(source, Threshold | ChannelThreshold):
                assert isinstance(after, ChannelThreshold | Rescale)
                found.append(Layer(step.layer, step, after, source.levels, network, lanes))
    return found


def chosen_layers(network: IntegerNetwork, name: str | None, lanes: int) -> list[Layer]:
    """The layer of a name, or all for None.

    Raises:
        UserError: if there is none of that name that reads codes.
    """
    found = layers_of(network, lanes)
    chosen = [layer for layer in found if name in (None, layer.name)]
    if not chosen:
        raise UserError(f"layer={name}: must be a layer that reads codes: {', '.join(one.name for one in found)}")
    return chosen


def _words(operand: Operand, codes: npt.NDArray[np.int64]) -> list[int]:
    words = {code: operand.word(code) for code in operand.codes()}
    return [words[code] for code in codes.ravel().tolist()]


def _side_by_side(words: Sequence[int], width: int) -> int:
    return sum(word << (width * place) for place, word in enumerate(words))


def _joined(values: dict[str, int], ports: Sequence[tuple[str, int]]) -> int:
    word = 0
    for name, width in ports:
        word = (word << width) | (values[name] & ((1 << width) - 1))
    return word
