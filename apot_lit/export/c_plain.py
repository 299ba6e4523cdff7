"""Steps without constant arrays as operations of the C runtime: means, bounds, copies of channels."""

from functools import singledispatch
from typing import Any, NamedTuple

from apot_lit.export.c_plan import Copy, Operation
from apot_lit.graph.steps import Repeat, Step
from apot_lit.integer.network import Clip, Rescale, SumWindows


class Parameters(NamedTuple):
    """What the runtime is told of an operation.

    Attributes:
        kind: its name in C.
        structure: type of the fields.
        fields: integers, maps, or fields of structures within.
    """

    kind: str
    structure: str
    fields: dict[str, Any]


@singledispatch
def plain_parameters(step: Step, operation: Operation, source: Operation, lowest: int) -> Parameters:
    """The parameters of a step.

    Args:
        step: what is done.
        operation: the operation that does it.
        source: the operation whose output it reads.
        lowest: of the values that it gives.
    """
    raise NotImplementedError(type(step))


@plain_parameters.register
def _(step: SumWindows, operation: Operation, source: Operation, lowest: int) -> Parameters:
    finish = operation.finish
    assert isinstance(finish, Rescale)
    windows = {
        **{"in": source.map, "out": operation.map, "height": step.kernel[0], "width": step.kernel[1]},
        **{"stride_y": step.stride[0], "stride_x": step.stride[1], "pad_y": step.padding[0], "pad_x": step.padding[1]},
    }
    numbers = {key: int(getattr(finish, key)[0]) for key in ("multiplier", "shift", "bias")}
    return Parameters("APOT_AVERAGE", "apot_average", {"windows": windows, **numbers, "lowest": lowest})


@plain_parameters.register
def _(step: Clip, operation: Operation, source: Operation, lowest: int) -> Parameters:
    ends = {"lowest": step.lowest, "highest": step.highest}
    return Parameters("APOT_CLIP", "apot_clip", {"length": operation.map.size, **ends})


@plain_parameters.register
def _(step: Copy, operation: Operation, source: Operation, lowest: int) -> Parameters:
    is_filled_up = operation.map.pitch > operation.map.channels
    fields = {"in": source.map, "out": operation.map, "first": step.first, "repeats": 0}
    return Parameters("APOT_COPY", "apot_copy", {**fields, "fills": int(is_filled_up and step.first == 0)})


@plain_parameters.register
def _(step: Repeat, operation: Operation, source: Operation, lowest: int) -> Parameters:
    is_filled_up = operation.map.pitch > operation.map.channels
    fields = {"in": source.map, "out": operation.map, "first": 0, "repeats": 1, "fills": int(is_filled_up)}
    return Parameters("APOT_COPY", "apot_copy", fields)
