"""Steps without constant arrays as operations of the C runtime: means, bounds, copies of channels."""

from functools import singledispatch
from typing import Any, NamedTuple

from apot_lit.export.c_operations import Copy, Operation, Widen
from apot_lit.graph.steps import MaxPool, OverWindows, Repeat, Step
from apot_lit.integer.network import ChannelThreshold, Clip, Rescale, SumPositions, SumWindows, Threshold


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
    numbers = {key: int(getattr(finish, key)[0]) for key in ("multiplier", "shift", "bias")}
    fields = {"windows": _windows(step, operation, source), **numbers, "lowest": lowest}
    return Parameters("APOT_AVERAGE", "apot_average", fields)


@plain_parameters.register
def _(step: MaxPool, operation: Operation, source: Operation, lowest: int) -> Parameters:
    return Parameters("APOT_MAX_POOL", "apot_pool", _windows(step, operation, source))


@plain_parameters.register
def _(step: SumPositions | Widen, operation: Operation, source: Operation, lowest: int) -> Parameters:
    of_codes = isinstance(source.finish or source.step, Threshold | ChannelThreshold)
    positions = step.positions if isinstance(step, SumPositions) else 1
    fields = {"positions": positions, "length": operation.map.size}
    return Parameters("APOT_WIDEN" if of_codes else "APOT_SUM", "apot_sum", fields)


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


def _windows(step: OverWindows, operation: Operation, source: Operation) -> dict[str, Any]:
    return {
        **{"in": source.map, "out": operation.map, "height": step.kernel[0], "width": step.kernel[1]},
        **{"stride_y": step.stride[0], "stride_x": step.stride[1], "pad_y": step.padding[0], "pad_x": step.padding[1]},
    }
