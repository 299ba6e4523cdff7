"""The steps of a network as an ONNX model that standard engines run."""

import json
from collections.abc import Mapping, Sequence
from functools import singledispatchmethod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from apot_lit.export.onnx_checksum import add_checksum
from apot_lit.graph.steps import (
    INPUT,
    Add,
    Affine,
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

OPSET, IR_VERSION = 17, 9
OUTPUT = "logits"


def build_onnx(
    steps: Sequence[Step],
    input_shape: tuple[int, int, int],
    metadata: Mapping[str, Any],
) -> onnx.ModelProto:
    """Builds an ONNX model: uint8 pixels ``[N, C, H, W]`` in, float32 logits out.

    A quantised convolution is ``ConvInteger`` on uint8 activation codes and int8 weight codes with int32 accumulators,
    followed by its scale and the batch norm as one multiplication and one addition. Activation codes are looked up in
    a table of half-grid indices: multiply, clip, cast (which truncates), gather.

    Args:
        steps: from `build_steps`.
        input_shape: C, H and W.
        metadata: kept in the model, as JSON where it is not text; a checksum over the whole model is added.

    Returns:
        A model that passes ``onnx.checker`` with full shape inference.
    """
    writer = _Writer(steps)
    graph = helper.make_graph(
        writer.nodes,
        "apot_lit",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["N", *input_shape])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", None])],
        writer.constants,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="apot_lit"
    )
    helper.set_model_props(
        model, {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
    )
    add_checksum(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def float_layers(steps: Sequence[Step]) -> list[str]:
    """Layers whose products are those of floats: their input, or input and weights, are no integers."""
    return [
        step.layer for step in steps if isinstance(step, Linear) or (isinstance(step, Convolution) and not step.integer)
    ]


class _Writer:
    def __init__(self, steps: Sequence[Step]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._names: set[str] = set()
        # An affine step that alone reads a convolution takes over its scale: one multiplication for both.
        readers = {name: [step for step in steps if name in step.inputs] for step in steps for name in step.inputs}
        self.scales = {
            step.output: np.float32(1 if step.scale is None else step.scale)
            for step in steps
            if isinstance(step, Convolution)
            and step.bias is None
            and all(isinstance(reader, Affine) for reader in readers.get(step.output, [None]))
        }
        last = steps[-1].output
        for step in steps:
            self.write(step)
        self.nodes.append(helper.make_node("Identity", [last], [OUTPUT]))

    @singledispatchmethod
    def write(self, step: Step) -> None:
        """Adds the nodes of a step."""
        raise NotImplementedError(type(step))

    @write.register
    def _(self, step: Normalize) -> None:
        floats = self._node("Cast", [step.inputs[0]], f"{step.output}_float", to=TensorProto.FLOAT)
        shifted = self._node("Sub", [floats, self._scalar(step.offset)], f"{step.output}_shifted")
        self._node("Mul", [shifted, self._scalar(step.scale)], step.output)

    @write.register
    def _(self, step: Quantize) -> None:
        name = step.output
        half = self._node("Mul", [step.inputs[0], self._scalar(step.factor)], f"{name}_half")
        clipped = self._node("Clip", [half, self._scalar(0.0), self._scalar(2.0 * step.unit)], f"{name}_clipped")
        index = self._node("Cast", [clipped], f"{name}_index", to=TensorProto.INT32)
        table = self._constant(f"table_{step.levels.scheme}_{step.levels.bits}", np.array(step.table, np.uint8))
        self._node("Gather", [table, index], name)

    @write.register
    def _(self, step: Convolution) -> None:
        weight = self._constant(f"{step.layer}.weight", step.weight)
        attributes = {
            "strides": list(step.stride),
            "pads": [*step.padding, *step.padding],
            "dilations": list(step.dilation),
            "group": step.groups,
        }
        name = step.output
        if step.integer:
            zero = self._constant(f"zero_point_{step.zero_point}", np.array(step.zero_point, np.uint8))
            sums = self._node("ConvInteger", [step.inputs[0], weight, zero], f"{name}_sums", **attributes)
            value = self._node("Cast", [sums], name if name in self.scales else f"{name}_float", to=TensorProto.FLOAT)
        else:
            source = step.inputs[0]
            if step.weight.dtype == np.int8:
                weight = self._node("Cast", [weight], f"{name}_weight", to=TensorProto.FLOAT)
            value = self._node("Conv", [source, weight], name if name in self.scales else f"{name}_sums", **attributes)
        if name not in self.scales:
            scale = 1.0 if step.scale is None else step.scale
            bias = np.zeros(len(step.weight), np.float32) if step.bias is None else step.bias
            scaled = self._node("Mul", [value, self._scalar(scale)], f"{name}_scaled")
            self._node("Add", [scaled, self._constant(f"{step.layer}.bias", bias.reshape(-1, 1, 1))], name)

    @write.register
    def _(self, step: Affine) -> None:
        factor = step.factor * self.scales.get(step.inputs[0], np.float32(1))
        factors = self._constant(f"{step.output}_factor", factor.reshape(-1, 1, 1).astype(np.float32))
        offsets = self._constant(f"{step.output}_offset", step.offset.reshape(-1, 1, 1))
        product = self._node("Mul", [step.inputs[0], factors], f"{step.output}_product")
        self._node("Add", [product, offsets], step.output)

    @write.register
    def _(self, step: Linear) -> None:
        name = step.output
        weight = self._constant(f"{step.layer}.weight", np.ascontiguousarray(step.weight.T))
        if step.weight.dtype == np.int8:
            weight = self._node("Cast", [weight], f"{name}_weight", to=TensorProto.FLOAT)
        value = self._node("MatMul", [step.inputs[0], weight], f"{name}_sums")
        if step.scale is not None:
            value = self._node("Mul", [value, self._scalar(step.scale)], f"{name}_scaled")
        bias = np.zeros(len(step.weight), np.float32) if step.bias is None else step.bias
        self._node("Add", [value, self._constant(f"{step.layer}.bias", bias)], name)

    @write.register
    def _(self, step: Relu) -> None:
        self._node("Relu", list(step.inputs), step.output)

    @write.register
    def _(self, step: Add) -> None:
        self._node("Add", list(step.inputs), step.output)

    @write.register
    def _(self, step: MaxPool) -> None:
        pads = [*step.padding, *step.padding]
        shape = {"kernel_shape": list(step.kernel), "strides": list(step.stride), "pads": pads}
        self._node("MaxPool", list(step.inputs), step.output, **shape)

    @write.register
    def _(self, step: GlobalAveragePool) -> None:
        self._node("GlobalAveragePool", list(step.inputs), step.output)

    @write.register
    def _(self, step: Flatten) -> None:
        self._node("Flatten", list(step.inputs), step.output)

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{kind}_{output}", **attributes))
        return output

    def _constant(self, name: str, array: npt.NDArray[Any]) -> str:
        if name not in self._names:
            self._names.add(name)
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _scalar(self, value: float) -> str:
        rounded = np.array(value, np.float32)
        return self._constant(f"scalar_{rounded.tobytes().hex()}", rounded)
