"""Steps without weights and levels, as calls of ONNX's own operations or of functions of the file."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

import numpy as np
import numpy.typing as npt

from apot_lit.errors import UserError
from apot_lit.export.onnx_forms import DOMAIN
from apot_lit.graph.shapes import Shape
from apot_lit.graph.steps import Concatenate, Flatten, MaxPool, OverWindows, Relu, Repeat, Step
from apot_lit.integer.network import Clip, SumPositions, SumWindows
from apot_lit.quant.sums import EXACT_INTEGERS


@dataclass(frozen=True)
class Call:
    """A node.

    Attributes:
        kind: the operation or function.
        domain: empty for ONNX's own.
        constants: what it reads besides the step's inputs, by what follows the step's name in theirs.
        attributes: the node's own.
    """

    kind: str
    domain: str = ""
    constants: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)


@singledispatch
def call_of(step: Step, shapes: Mapping[str, Shape], largest: int) -> Call:
    """The node of a step.

    Args:
        step: one without weights and levels.
        shapes: of all values.
        largest: value of the stream.

    Raises:
        UserError: for sums over windows that float32 can't hold.
    """
    raise NotImplementedError(type(step))


@call_of.register
def _(step: Relu, shapes: Mapping[str, Shape], largest: int) -> Call:
    return Call("Relu")


@call_of.register
def _(step: Flatten, shapes: Mapping[str, Shape], largest: int) -> Call:
    return Call("Flatten")


@call_of.register
def _(step: Clip, shapes: Mapping[str, Shape], largest: int) -> Call:
    return Call(
        "Clip", DOMAIN, {"lowest": np.array(step.lowest, np.int32), "highest": np.array(step.highest, np.int32)}
    )


@call_of.register
def _(step: Concatenate, shapes: Mapping[str, Shape], largest: int) -> Call:
    return Call("Concat", attributes={"axis": 1})


@call_of.register
def _(step: Repeat, shapes: Mapping[str, Shape], largest: int) -> Call:
    return Call("Expand", constants={"shape": np.array([1, 1, *step.size], np.int64)})


@call_of.register
def _(step: MaxPool, shapes: Mapping[str, Shape], largest: int) -> Call:
    return Call("MaxPool", attributes={"kernel_shape": list(step.kernel), **_geometry(step)})


@call_of.register
def _(step: SumPositions, shapes: Mapping[str, Shape], largest: int) -> Call:
    return Call("SumPositions", DOMAIN)


@call_of.register
def _(step: SumWindows, shapes: Mapping[str, Shape], largest: int) -> Call:
    channels, *size = shapes[step.inputs[0]]
    if (*step.kernel, *step.padding) == (*size, 0, 0):
        return Call("SumMap", DOMAIN)
    count = math.prod(step.kernel)
    if count * (largest + 1) > EXACT_INTEGERS:
        raise UserError(f"{step.output}: sums of {count:,} values are too large for format=onnx, at most 512 are not")
    shape = np.array([channels, 1, *step.kernel], np.int64)
    return Call("SumWindows", DOMAIN, {"shape": shape}, {"channels": channels, **_geometry(step)})


def _geometry(step: OverWindows) -> dict[str, list[int]]:
    return {"strides": list(step.stride), "pads": [*step.padding] * 2}
