"""The constants of a network in C: weights, thresholds, and the list of steps."""

from dataclasses import replace
from functools import singledispatchmethod
from typing import Any

import numpy as np

from apot_lit.errors import UserError
from apot_lit.export.c_arrays import Constants, lanes_of, pack_blocks, pack_weights, per_lane, taps_of
from apot_lit.export.c_offset import offsets_of
from apot_lit.export.c_operations import QUAD, Frame, Map, Operation, values_of
from apot_lit.export.c_parts import fit_into_16_bits, pack_parts, quads_within_16_bits
from apot_lit.export.c_plain import plain_parameters
from apot_lit.export.c_plan import plan, ranges
from apot_lit.export.workspace import Need, plan_workspace
from apot_lit.graph.steps import INPUT, Add, Relu, Step
from apot_lit.integer.fixed_point import check_logits, sum_range
from apot_lit.integer.network import Accumulate, ChannelThreshold, Head, IntegerNetwork, Rescale, Threshold
from apot_lit.integer.widths import head_reach
from apot_lit.quant.terms import terms_of_codes

_INT16, _INT32 = 2**15 - 1, 2**31 - 1
# Reading whole quads may reach beyond the last value.
_SLACK = QUAD - 1
_BEGIN = """#include "apot_inspect.h"

#ifdef APOT_SHIFT_ADD
#define APOT_TERMS(terms) terms
#else
#define APOT_TERMS(terms) 0
#endif
#if defined __x86_64__ || defined __aarch64__
#define APOT_ALIGNED _Alignas(64)
#else
#define APOT_ALIGNED
#endif
"""


class DataWriter:
    """Writes the constants of a network.

    Attributes:
        constants: all arrays.
        arena: bytes of working memory for one image.
        proved_bits: of a logit.
        logit_bits: of the type that holds one.
        classes: number of logits.
    """

    def __init__(self, network: IntegerNetwork) -> None:
        self.network, self.constants = network, Constants()
        self.operations = plan(network)
        self.values = values_of(self.operations)
        needs = [Need(o.output, self._bytes(o), o.inputs, o.is_in_place) for o in self.operations]
        self.offsets, self.arena = plan_workspace(needs)
        head = self.operations[-1].step
        assert isinstance(head, Head)
        self.proved_bits = check_logits(head, head_reach(network) * (1 + self.operations[-1].reads_signed))
        self.logit_bits, self.classes = 32 if self.proved_bits <= 32 else 64, len(head.weight)
        self.structures: list[str] = []
        self.steps: list[str] = []
        self.weight_layers: list[str] = []
        self.code_layers: list[str] = []
        for operation in self.operations:
            self._operation(operation)

    def source(self) -> str:
        """The whole of ``network.c`` behind its first line."""
        pixels = int(np.prod(self.network.input_shape))
        fields = f"APOT_MAGIC, APOT_VERSION, sizeof(apot_network), {self.arena}, {pixels}, {self.classes}"
        lines = [
            *(_BEGIN, *self.constants.lines, *self.structures),
            *("static const apot_step steps[] = {", *self.steps, "};", ""),
            f"const apot_network apot_exported = {{{fields}, {len(self.steps)}, steps}};",
        ]
        for kind, layers in (("weight", self.weight_layers), ("code", self.code_layers)):
            layers = layers or ["    {0, 0, {0}, {0}},"]
            lines += ["", f"const apot_layer apot_{kind}_layers[] = {{", *layers, "};"]
        counts = (("weight", len(self.weight_layers)), ("code", len(self.code_layers)))
        lines += ["", *(f"const uint32_t apot_{kind}_layer_count = {count};" for kind, count in counts)]
        return "\n".join(lines) + "\n"

    def _bytes(self, operation: Operation) -> int:
        return 0 if isinstance(operation.step, Head) else operation.map.size * operation.width + _SLACK

    def _operation(self, operation: Operation) -> None:
        index, source = len(self.steps), self.values.get(operation.inputs[-1])
        kind, structure, fields = self._parameters(operation.step, operation, source)
        first, second = (*operation.inputs, INPUT)[:2]
        places = ", ".join(str(self.offsets.get(name, 0)) for name in (first, second, operation.output))
        body = ", ".join(f".{name} = {value}" for name, value in fields.items())
        self.structures.append(f"/* {operation.output} */\nstatic const {structure} step_{index} = {{{body}}};\n")
        self.steps.append(f"    {{{kind}, {places}, &step_{index}}},")
        codes = operation.finish or operation.step
        if isinstance(codes, Threshold | ChannelThreshold):
            shape = (operation.map.channels, operation.map.height, operation.map.width, 1)
            self.code_layers.append(_layer(codes.layer, index, shape, operation.map))
        if isinstance(operation.step, Accumulate | Head):
            assert source is not None
            shape = (*operation.step.weight.shape, 1, 1)[:4]
            self.weight_layers.append(_layer(operation.step.layer, index, shape, source.map))

    @singledispatchmethod
    def _parameters(self, step: Step, operation: Operation, source: Operation | None) -> Any:
        """Kind, type and fields of an operation."""
        assert source is not None
        kind, structure, fields = plain_parameters(step, operation, source, self._lowest(operation.has_relu))
        return kind, structure, {name: _initializer(value) for name, value in fields.items()}

    @_parameters.register
    def _(self, step: Frame, operation: Operation, source: None) -> Any:
        _, height, width = self.network.input_shape
        numbers = {"height": height, "width": width, "pad_y": step.padding[0], "pad_x": step.padding[1]}
        return "APOT_FRAME", "apot_frame", {"out": _map(operation.map), **numbers, "value": step.value}

    @_parameters.register
    def _(self, step: Accumulate, operation: Operation, source: Operation) -> Any:
        into, out = source.map, operation.map
        rows, columns = step.weight.shape[2:]
        is_merged = isinstance(source.step, Frame) and step.groups == 1 and step.dilation[1] == 1
        inputs = step.weight.shape[1] * (columns if is_merged else 1)
        taps = 1 if is_merged else columns
        width = into.width - (columns - 1 if is_merged else 0)
        geometry = [(into.height, rows), (width, taps)]
        along = [
            ranges((out.height, out.width)[k], *geometry[k], step.stride[k], step.padding[k], step.dilation[k])
            for k in (0, 1)
        ]
        largest = int(np.abs(step.weight.astype(int)).max(initial=1))
        split = {m: terms for m, terms in terms_of_codes(step.levels, largest).items() if m <= largest}
        if not set(np.unique(np.abs(step.weight.astype(int))).tolist()) <= split.keys() | {0}:
            raise UserError(f"layer {step.layer}: has weights that are none of its levels")
        terms, magnitudes = self.constants.terms(split)
        packed = pack_weights(step.weight, step.groups, is_merged)
        fields = {
            **{"in": _map(into), "out": _map(out), "kernel_height": rows, "kernel_width": taps},
            **_pairs("stride", step.stride),
            **_pairs("pad", step.padding),
            **_pairs("dilation", step.dilation),
            "groups": step.groups,
            "rows": self.constants.ranges(along[0], "ranges"),
            "columns": self.constants.ranges(along[1], "ranges"),
            "inputs": -(-inputs // QUAD) * QUAD,
            "narrow": quads_within_16_bits(taps_of(step.weight, is_merged), step.largest * (1 + step.is_signed)),
            "factor": step.multiplier,
            "weights": self.constants.array("apot_weight", packed, "weights"),
            **{"terms": terms, "magnitudes": magnitudes},
        }
        lanes = lanes_of(len(step.weight), step.groups)
        frame: Frame | None = source.step if isinstance(source.step, Frame) else None
        size = self.network.input_shape[1], self.network.input_shape[2]
        if step.is_signed:  # codes lie in memory less their smallest one, and taps beyond the edge are left out
            frame, size = Frame("", (), step.padding, 0), (into.height, into.width)
            step = replace(step, offset=step.largest)
        if frame is not None:
            first, classes = offsets_of(step, frame, size, out)
            fields["first"] = self.constants.array("int32_t", per_lane(first.T, lanes).T, "first")
            if classes is not None:
                fields["classes"] = self.constants.array("uint16_t", classes, "classes")
        fields |= self._finish(operation, lanes, step.groups)
        return "APOT_CONVOLUTION", "apot_convolution", fields

    def _finish(self, operation: Operation, lanes: list[int], groups: int) -> dict[str, Any]:
        finish = operation.finish
        if isinstance(finish, Rescale):
            assert isinstance(operation.step, Accumulate)
            parts = pack_parts(finish, sum_range(operation.step.weight, *operation.step.ends), lanes, groups)
            rescaling = self._rescaling(finish, operation.has_relu, lanes)
            return {**rescaling, "parts": self.constants.array("int32_t", parts, "parts")}
        assert isinstance(finish, ChannelThreshold)
        if np.abs(finish.thresholds).max(initial=0) > _INT32:
            raise UserError(f"layer {finish.layer}: its thresholds don't fit into 32 bits")
        thresholds = pack_blocks(per_lane(finish.thresholds, lanes, _INT32), groups)
        short = np.minimum(thresholds, _INT16) if fit_into_16_bits(finish.thresholds) else None
        codes = self.constants.array("uint8_t", np.array(finish.codes) - finish.codes[0], "codes")
        return {
            "thresholds": self.constants.array("int32_t", thresholds, "thresholds"),
            "thresholds_16": 0 if short is None else self.constants.array("int16_t", short, "short_thresholds"),
            "signs": self.constants.array("int8_t", per_lane(np.minimum(finish.sign, 0), lanes), "signs"),
            "levels": f"{{{len(finish.codes) - 1}, 0, {codes}}}",
        }

    def _rescaling(self, step: Rescale, has_relu: bool, lanes: list[int]) -> dict[str, Any]:
        return {
            "multiplier": self.constants.array("int16_t", per_lane(step.multiplier, lanes), "multipliers"),
            "bias": self.constants.array("int64_t", per_lane(step.bias, lanes), "biases"),
            "shift": self.constants.array("uint8_t", per_lane(step.shift, lanes), "shifts"),
            "lowest": self._lowest(has_relu),
        }

    def _lowest(self, has_relu: bool) -> int:
        return 0 if has_relu else -self.network.largest - 1

    @_parameters.register
    def _(self, step: Rescale, operation: Operation, source: Operation) -> Any:
        lanes = lanes_of(source.map.channels, 1)
        fields = {"map": _map(operation.map), **self._rescaling(step, operation.has_relu, lanes)}
        return "APOT_RESCALE", "apot_rescale", fields

    @_parameters.register
    def _(self, step: Add, operation: Operation, source: Operation) -> Any:
        return "APOT_ADD", "apot_flat", {"length": operation.map.size, "lowest": self._lowest(operation.has_relu)}

    @_parameters.register
    def _(self, step: Relu, operation: Operation, source: Operation) -> Any:
        return "APOT_RELU", "apot_flat", {"length": operation.map.size, "lowest": 0}

    @_parameters.register
    def _(self, step: Threshold, operation: Operation, source: Operation) -> Any:
        below = step.thresholds.astype(np.int64) - 1
        if below.min(initial=0) < -self.network.largest - 1:
            raise UserError(f"layer {step.layer}: has a threshold below all values of the stream")
        name = self.constants.array("apot_stream", np.minimum(below, self.network.largest), "below")
        codes = self.constants.array("uint8_t", np.array(step.codes) - step.codes[0], "codes")
        levels = f"{{{len(step.codes) - 1}, {name}, {codes}}}"
        return "APOT_THRESHOLD", "apot_threshold", {"length": operation.map.size, "levels": levels}

    @_parameters.register
    def _(self, step: Head, operation: Operation, source: Operation) -> Any:
        map_ = source.map
        weight = step.weight.reshape(len(step.weight), map_.channels, -1).transpose(0, 2, 1)
        weight = np.pad(weight, [(0, 0), (0, 0), (0, map_.pitch - map_.channels)])
        terms, _ = self.constants.terms(terms_of_codes(None, int(np.abs(weight.astype(int)).max(initial=0))))
        fields = {
            **{"inputs": map_.size, "outputs": len(weight), "terms": terms},
            "weights": self.constants.array("int8_t", weight, "weights"),
            "bias": self.constants.array("apot_logit", step.bias, "biases"),
        }
        return "APOT_HEAD", "apot_head", fields


def _initializer(value: Any) -> Any:
    if isinstance(value, dict):
        return "{" + ", ".join(f".{name} = {_initializer(part)}" for name, part in value.items()) + "}"
    return _map(value) if isinstance(value, Map) else value


def _map(map_: Map) -> str:
    return f"{{{map_.height}, {map_.width}, {map_.channels}, {map_.pitch}}}"


def _pairs(name: str, values: tuple[int, int]) -> dict[str, int]:
    return {f"{name}_y": values[0], f"{name}_x": values[1]}


def _layer(name: str, step: int, shape: tuple[int, ...], map_: Map) -> str:
    sizes = ", ".join(map(str, shape))
    return f'    {{"{name}", {step}, {{{sizes}}}, {_map(map_)}}},'
