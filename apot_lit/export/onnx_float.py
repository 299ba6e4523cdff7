"""A network in full precision as an ONNX model: float32 throughout."""

from collections.abc import Mapping, Sequence
from functools import singledispatchmethod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from apot_lit.errors import UserError
from apot_lit.export.onnx_checksum import seal
from apot_lit.export.onnx_writer import OUTPUT, WEIGHT
from apot_lit.graph.shapes import Shape
from apot_lit.graph.steps import (
    INPUT,
    Add,
    Affine,
    AnyConvolution,
    AveragePool,
    Clamp,
    Concatenate,
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

_OPSET, _IR = 21, 10
_SAME_NAME = (Relu, Add, GlobalAveragePool, Flatten)


def build_float_onnx(steps: Sequence[Step], input_shape: Shape, metadata: Mapping[str, Any]) -> onnx.ModelProto:
    """Builds an ONNX model: uint8 pixels ``[N, C, H, W]`` in, float32 logits out.

    Args:
        steps: from `build_steps`.
        input_shape: C, H and W.
        metadata: as in `build_onnx`.

    Raises:
        UserError: for a layer that is quantised.
    """
    for step in steps:
        if isinstance(step, Quantize) or (isinstance(step, AnyConvolution | Linear) and step.weight.dtype == np.int8):
            raise UserError(f"layer {step.layer}: is quantised; only full precision is written as floats")
    writer = _Writer()
    for step in steps:
        writer.write(step)
    writer.add("Identity", [steps[-1].output], OUTPUT)
    graph = helper.make_graph(
        writer.nodes,
        "apot_lit",
        [helper.make_tensor_value_info(INPUT, TensorProto.UINT8, ["N", *input_shape])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", None])],
        writer.constants,
    )
    opsets = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR, producer_name="apot_lit")
    seal(model, metadata)
    return model


class _Writer:
    """Nodes and constants of a network."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    @singledispatchmethod
    def write(self, step: Step) -> None:
        """Adds the nodes of a step."""
        if not isinstance(step, _SAME_NAME):
            raise UserError(f"{step.output}: {type(step).__name__} can't be written as floats")
        self.add(type(step).__name__, list(step.inputs), step.output)

    @write.register
    def _(self, step: Normalize) -> None:
        floats = self.add("Cast", [step.inputs[0]], f"{step.output}_float", to=TensorProto.FLOAT)
        offset = self._constant(f"{step.output}_offset", np.float32(step.offset))
        shifted = self.add("Sub", [floats, offset], f"{step.output}_shifted")
        self.add("Mul", [shifted, self._constant(f"{step.output}_scale", np.float32(step.scale))], step.output)

    @write.register
    def _(self, step: Convolution) -> None:
        geometry = {
            "strides": list(step.stride),
            "pads": [*step.padding, *step.padding],
            "dilations": list(step.dilation),
            "group": step.groups,
        }
        weight = self._constant(f"{step.layer}{WEIGHT}", step.weight)
        bias = [] if step.bias is None else [self._constant(f"{step.layer}.bias", step.bias)]
        self.add("Conv", [step.inputs[0], weight, *bias], step.output, **geometry)

    @write.register
    def _(self, step: Affine) -> None:
        factor = self._constant(f"{step.output}_factor", step.factor.reshape(-1, 1, 1))
        offset = self._constant(f"{step.output}_offset", step.offset.reshape(-1, 1, 1))
        product = self.add("Mul", [step.inputs[0], factor], f"{step.output}_product")
        self.add("Add", [product, offset], step.output)

    @write.register
    def _(self, step: Linear) -> None:
        weight = self._constant(f"{step.layer}{WEIGHT}", step.weight)
        bias = [] if step.bias is None else [self._constant(f"{step.layer}.bias", step.bias)]
        self.add("Gemm", [step.inputs[0], weight, *bias], step.output, transB=1)

    @write.register
    def _(self, step: MaxPool | AveragePool) -> None:
        pads = [*step.padding, *step.padding]
        shape = {"kernel_shape": list(step.kernel), "strides": list(step.stride), "pads": pads}
        whole = {"count_include_pad": 1} if isinstance(step, AveragePool) else {}
        self.add(type(step).__name__, list(step.inputs), step.output, **shape, **whole)

    @write.register
    def _(self, step: Concatenate) -> None:
        self.add("Concat", list(step.inputs), step.output, axis=1)

    @write.register
    def _(self, step: Clamp) -> None:
        bounds = {"lowest": step.lowest, "highest": step.highest}
        ends = [
            "" if value is None else self._constant(f"{step.output}_{key}", np.float32(value))
            for key, value in bounds.items()
        ]
        self.add("Clip", [step.inputs[0], *ends], step.output)

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Adds a node, and returns the name of its output."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def _constant(self, name: str, array: npt.NDArray[Any] | np.float32) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name
