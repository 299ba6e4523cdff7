"""The nodes and constants that the steps of a network of integers become in ONNX."""

import math
from dataclasses import replace
from functools import singledispatchmethod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from apot_lit.export.onnx_forms import DOMAIN
from apot_lit.export.onnx_plain import call_of
from apot_lit.export.onnx_weights import stored_weight
from apot_lit.graph.shapes import infer_shapes
from apot_lit.graph.steps import INPUT, Add, AnyConvolution, AnyLinear, Flatten, Relu, Step
from apot_lit.integer.fixed_point import Range, check_product
from apot_lit.integer.network import (
    Accumulate,
    ChannelThreshold,
    Head,
    IntegerNetwork,
    Rescale,
    SumWindows,
    Threshold,
)
from apot_lit.integer.widths import accumulator_range
from apot_lit.quant.levels import LevelSet
from apot_lit.quant.sums import EXACT_INTEGERS

OUTPUT = "logits"
WEIGHT, CODES = ".weight", ".codes"
"""What follows the name of a layer in the names of its weights and of the codes that it reads."""

_DOUBLE = 53

Array = npt.NDArray[Any]


class Writer:
    """Nodes and constants of a network."""

    def __init__(self, network: IntegerNetwork) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.network = network
        self.shapes = infer_shapes(network.steps, network.input_shape)
        self.sums: dict[str, Range] = {}
        self.made = {step.output: step for step in network.steps}
        self.readers: dict[str, list[Step]] = {}
        for step in network.steps:
            for name in step.inputs:
                self.readers.setdefault(name, []).append(step)
        self.names = {network.steps[-1].output: OUTPUT}
        self.written: set[str] = set()
        for step in network.steps:
            if step.output not in self.written:
                self.write(step)

    @singledispatchmethod
    def write(self, step: Step) -> None:
        """Adds the nodes of a step."""
        self._plain(step)

    def _plain(self, step: Step) -> None:
        call = call_of(step, self.shapes, self.network.largest)
        constants = [self._constant(f"{step.output}.{key}", array) for key, array in call.constants.items()]
        inputs = [*map(self._value, step.inputs), *constants]
        self._add(call.kind, inputs, step.output, domain=call.domain, **call.attributes)

    @write.register
    def _(self, step: Accumulate) -> None:
        self.sums[step.output] = accumulator_range(step)
        rows = np.abs(step.weight.reshape(len(step.weight), -1).astype(np.int64)).sum(1)
        geometry: dict[str, Any] = {
            "strides": list(step.stride),
            "pads": [*step.padding, *step.padding],
            "dilations": list(step.dilation),
            "group": step.groups,
        }
        weight = self._weight(step)
        raw = step.multiplier == 1 and step.offset == 0
        name = step.output if raw else f"{step.layer}.pixels"
        largest = int(rows.max(initial=0))
        fits = step.largest * largest < EXACT_INTEGERS
        source = self._value(step.inputs[0])
        if fits and source == INPUT:
            source = self._add("Cast", [source], f"{step.layer}.input", domain="", to=TensorProto.FLOAT)
        form = "Conv" if fits else "WideSignedConv" if step.is_signed else "WideConv"
        self._add(form, [source, weight], name, domain="" if fits else DOMAIN, **geometry)
        if not raw:
            reach = max(step.offset, step.multiplier * step.largest - step.offset) * largest
            parts = step.multiplier * step.largest * largest, step.offset * largest
            kind = np.float32 if max(reach, *parts) < EXACT_INTEGERS else np.float64
            shape = self._constant("one_image", np.array([1, *self.network.input_shape], np.int64))
            border = self._add("Border", [weight, shape], f"{step.layer}.border", **geometry)
            q, r = (
                self._constant(f"{step.layer}.{key}", np.array(value, kind))
                for key, value in (("multiplier", step.multiplier), ("offset", step.offset))
            )
            self._add("Centre", [name, border, q, r], step.output)

    @write.register
    def _(self, step: Rescale) -> None:
        name = step.output
        within = np.full(len(step.multiplier), self.network.largest, np.int64)
        values = self.sums.get(step.inputs[0], (-within - 1, within))
        wide = max(check_product(step, values), *(b.bit_length() + 1 for b in step.bias.tolist())) > _DOUBLE
        shift = step.shift.astype(np.int64)
        arrays = {
            "multiplier": step.multiplier.astype(np.int16),
            "bias": step.bias & ((1 << shift) - 1) if wide else step.bias,
            "shift": step.shift.astype(np.uint8),
        }
        parts = [self._value(step.inputs[0]), *(self._constant(f"{name}.{key}", arrays[key]) for key in arrays)]
        readers = self.readers[name]
        if wide:
            added = self._constant(f"{name}.added", step.bias >> shift)
            self._saturated("WideRescale", step, [*parts, added])
        elif len(readers) == 1 and isinstance(readers[0], Threshold) and readers[0].thresholds[0] > 0:
            limits = self._thresholds(readers[0])
            self._codes("RescaleThreshold", readers[0], [*parts, *limits, self._largest()])
        else:
            self._saturated("Rescale", step, parts)

    @write.register
    def _(self, step: Threshold) -> None:
        source, first = self._value(step.inputs[0]), int(step.thresholds[0])
        if first < 1:  # codes are looked up from 0 on
            lowest = self._constant(f"{step.layer}.lowest", np.array(first - 1, np.float32))
            source = self._add("Sub", [source, lowest], f"{step.output}.above", domain="")
            step = replace(step, thresholds=step.thresholds - (first - 1))
        self._codes("Threshold", step, [source, *self._thresholds(step)])

    @write.register
    def _(self, step: ChannelThreshold) -> None:
        kind = np.int32 if np.abs(step.thresholds).max() < 2**31 else np.int64
        thresholds = self._constant(f"{step.layer}.thresholds", step.thresholds.astype(kind))
        sign = self._constant(f"{step.layer}.sign", step.sign.astype(np.int8))
        source = self._value(step.inputs[0])
        inputs = [source, thresholds, sign, self._levels(step)]
        if step.codes[0] == 0:
            self._codes("ChannelThreshold", step, inputs)
        else:
            above = self._add("ChannelThreshold", inputs, f"{step.output}.above")
            lowest = self._constant(f"{step.layer}.lowest", np.array(step.codes[0], np.float32))
            self.names[step.output] = f"{step.layer}{CODES}"
            self._add("Add", [above, lowest], step.output, domain="")

    @write.register
    def _(self, step: Add) -> None:
        self._saturated("SaturatingAdd", step, [*map(self._value, step.inputs)])

    @write.register
    def _(self, step: Flatten) -> None:
        # What is not read by the last layer is a map of one position to all others.
        if all(isinstance(reader, Head) for reader in self.readers[step.output]):
            self._plain(step)
        else:
            shape = self._constant(f"{step.output}.shape", np.array([-1, *self.shapes[step.output]], np.int64))
            self._add("Reshape", [self._value(step.inputs[0]), shape], step.output, domain="")

    @write.register
    def _(self, step: SumWindows) -> None:
        reach = math.prod(step.kernel) * (self.network.largest + 1)
        ends = np.full(self.shapes[step.output][0], reach, np.int64)
        self.sums[step.output] = -ends, ends
        self._plain(step)

    @write.register
    def _(self, step: Head) -> None:
        bias, source = self._constant(f"{step.layer}.bias", step.bias), self._value(step.inputs[0])
        if not isinstance(self.made.get(step.inputs[0]), Flatten):
            source = self._add("Flatten", [source], f"{step.output}_input", domain="")
        self._add("Head", [source, self._weight(step), bias], step.output)

    def _weight(self, step: AnyConvolution | AnyLinear) -> str:
        """Weights as float32."""
        array, levels = stored_weight(step)
        index, weight = self._constant(f"{step.layer}.index", array), f"{step.layer}{WEIGHT}"
        if levels is None:
            return self._add("CodeWeight", [index], weight)
        return self._add("LevelWeight", [index, self._magnitudes(levels)], weight)

    def _thresholds(self, step: Threshold) -> list[str]:
        return [self._constant(f"{step.layer}.thresholds", step.thresholds), self._levels(step)]

    def _levels(self, step: Threshold | ChannelThreshold) -> str:
        if step.codes[0] == 0:
            return self._magnitudes(step.levels)
        name = f"signed_{step.levels.scheme}_{step.levels.bits}_codes"
        return self._constant(name, np.array(step.codes, np.int8))

    def _magnitudes(self, levels: LevelSet) -> str:
        return self._constant(f"{levels.scheme}_{levels.bits}_codes", np.array(levels.codes, np.uint8))

    def _saturated(self, kind: str, step: Rescale | Add, inputs: list[str]) -> None:
        """Adds what saturates; at 0 from below where a ReLU alone reads it."""
        (reader, *others) = self.readers[step.output]
        if isinstance(reader, Relu) and not others:
            self.names[reader.output] = step.output
            self.written.add(reader.output)
            smallest = self._constant("zero", np.array(0, np.int32))
        else:
            smallest = self._constant("smallest", np.array(-self.network.largest - 1, np.int32))
        self._add(kind, [*inputs, smallest, self._largest()], step.output)

    def _largest(self) -> str:
        return self._constant("largest", np.array(self.network.largest, np.int32))

    def _codes(self, kind: str, step: Threshold | ChannelThreshold, inputs: list[str]) -> None:
        self.names[step.output] = f"{step.layer}{CODES}"
        shape: dict[str, Any] = {"shape": [-1, *self.shapes[step.output]]} if isinstance(step, Threshold) else {}
        self._add(kind, inputs, step.output, **shape)
        self.written.add(step.output)

    def _value(self, name: str) -> str:
        return self.names.get(name, name)

    def _add(self, kind: str, inputs: list[str], output: str, domain: str = DOMAIN, **attributes: Any) -> str:
        name = self._value(output)
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, domain=domain, **attributes))
        return name

    def _constant(self, name: str, array: Array) -> str:
        self.constants.setdefault(name, numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name
