"""A network of integers as plain containers and arrays, and back.

What is read may have been written by anybody: it is held to a declared description, and to `check`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from apot_lit.errors import UserError
from apot_lit.graph.steps import Add, Concatenate, Flatten, MaxPool, Relu, Repeat, Step, mirrored
from apot_lit.integer.checking import check
from apot_lit.integer.network import (
    Accumulate,
    ChannelThreshold,
    Clip,
    Head,
    IntegerNetwork,
    Rescale,
    SumPositions,
    SumWindows,
    Threshold,
)
from apot_lit.quant.levels import MAX_MAGNITUDE_BITS, LevelSet, level_set
from apot_lit.runs.schema import Fields, Integer, Items, Number, OrNull, Schema, Text, misfit

Integers = npt.NDArray[Any]

_MAX_SIZE = 4096  # of kernels, strides and images
_WIDTHS = (np.int8, np.int16, np.int32, np.int64)
_NAME = Text(r"[^\x00-\x1f\x7f]{1,200}", "a name")
_LAYER = {"layer": _NAME}
_SIZES, _PADDING = Items(Integer(1, _MAX_SIZE), 2), Items(Integer(0, _MAX_SIZE), 2)
_WINDOWS = {"kernel": _SIZES, "stride": _SIZES, "padding": _PADDING}
_VALUE = Integer(-(2**15), 2**15 - 1)  # of a stream
_LEVELS = Fields({"scheme": Text("apot|pot|uniform", "apot, pot or uniform"), "bits": Integer(1, MAX_MAGNITUDE_BITS)})


class Description(NamedTuple):
    """A network of integers, taken apart.

    Attributes:
        plain: for JSON: all that is no array.
        arrays: by output of the step and attribute, ``conv1_sums.bias``, in the narrowest type that holds them.
        weights: codes by name of the layer.
    """

    plain: dict[str, Any]
    arrays: dict[str, Integers]
    weights: dict[str, Integers]


@dataclass(frozen=True)
class _Kind:
    """A kind of steps: its class, what is plain in it besides names, the types of its arrays, and what is always so."""

    step: type[Step]
    plain: Mapping[str, Schema]
    arrays: Mapping[str, type[np.signedinteger[Any]]]
    always: Mapping[str, Any] = field(default_factory=dict)


_KINDS = {
    "accumulate": _Kind(
        Accumulate,
        {
            **_LAYER,
            **{"stride": _SIZES, "padding": _PADDING, "dilation": _SIZES, "groups": Integer(1, 2**20)},
            "levels": OrNull(_LEVELS),
            **{"multiplier": Integer(1, 2**15), "offset": Integer(0, 2**23), "largest": Integer(0, 255)},
        },
        {"weight": np.int8},
    ),
    "rescale": _Kind(Rescale, _LAYER, {"multiplier": np.int32, "bias": np.int64, "shift": np.int32}),
    "threshold": _Kind(Threshold, {**_LAYER, "levels": _LEVELS}, {"thresholds": np.int32}),
    "channel_threshold": _Kind(
        ChannelThreshold, {**_LAYER, "levels": _LEVELS}, {"thresholds": np.int64, "sign": np.int32}
    ),
    "relu": _Kind(Relu, {}, {}),
    "add": _Kind(Add, {}, {}),
    "clip": _Kind(Clip, {"lowest": _VALUE, "highest": _VALUE}, {}),
    "concatenate": _Kind(Concatenate, {}, {}),
    "repeat": _Kind(Repeat, {"size": _SIZES}, {}),
    "max_pool": _Kind(MaxPool, _WINDOWS, {}),
    "sum_windows": _Kind(SumWindows, _WINDOWS, {}),
    "sum_positions": _Kind(SumPositions, {"positions": Integer(1, _MAX_SIZE**2)}, {}),
    "flatten": _Kind(Flatten, {}, {}),
    "head": _Kind(Head, _LAYER, {"weight": np.int8, "bias": np.int64}),
}
_NAMES = {kind.step: name for name, kind in _KINDS.items()}
_SIGNED = "signed_"
_KINDS |= {
    _SIGNED + name: replace(_KINDS[name], always={key: True})
    for name, key in (
        ("accumulate", "is_signed"),
        ("threshold", "is_mirrored"),
        ("channel_threshold", "is_mirrored"),
    )
}
_NETWORK = Fields(
    {
        "input_shape": Items(Integer(1, _MAX_SIZE), 3),
        "stream_bit": Integer(8, 16),
        "fraction": Integer(0, 15),
        "logit_scale": Number(0),
        "steps": Items(
            Fields(
                {
                    "kind": Text("|".join(_KINDS), f"one of {', '.join(_KINDS)}"),
                    "output": _NAME,
                    "inputs": Items(_NAME),
                }
            )
        ),
    }
)


def describe(network: IntegerNetwork) -> Description:
    """Takes a network apart.

    Raises:
        UserError: as `check`.
    """
    check(network)
    steps: list[dict[str, Any]] = []
    description = Description({}, {}, {})
    for step in network.steps:
        name = _name_of(step)
        kind = _KINDS[name]
        plain = {key: _plain(getattr(step, key)) for key in kind.plain}
        steps.append({"kind": name, "output": step.output, "inputs": list(step.inputs), **plain})
        for key in kind.arrays:
            array = getattr(step, key)
            if key == "weight":
                description.weights[getattr(step, "layer")] = array  # noqa: B009 - whatever has weights has a layer
            else:
                description.arrays[f"{step.output}.{key}"] = _narrowed(array)
    whole = {field.name: _plain(getattr(network, field.name)) for field in fields(network) if field.name != "steps"}
    description.plain.update(whole, steps=steps)
    return description


def restore(description: Description) -> IntegerNetwork:
    """Puts together what `describe` took apart.

    Args:
        description: arrays may be of any integer type; weights of layers that no step names are left out.

    Raises:
        UserError: for whatever is missing, left over, of another kind, or does not pass `check`.
    """
    plain, arrays, weights = description
    _require(plain, _NETWORK, "")
    if unknown := sorted(plain.keys() - _NETWORK.required.keys()):
        raise UserError(f"{unknown[0]}: unknown here")
    left, steps = dict(arrays), []
    for index, entry in enumerate(plain["steps"]):
        kind, place = _KINDS[entry["kind"]], f"steps[{index}]"
        _require(entry, Fields(kind.plain), place)
        if unknown := sorted(entry.keys() - {"kind", "output", "inputs", *kind.plain}):
            raise UserError(f"{place}: {entry['kind']} has no {unknown[0]}")
        values = {key: _value(entry[key]) for key in kind.plain}
        for key, width in kind.arrays.items():
            name = f"{entry['layer']}.{key}" if key == "weight" else f"{entry['output']}.{key}"
            found = weights.get(entry["layer"]) if key == "weight" else left.pop(name, None)
            values[key] = _widened(found, width, name)
            if kind.step is Accumulate and values[key].ndim == 2:  # a linear layer
                values[key] = values[key][:, :, None, None]
        values |= kind.always
        if "codes" in kind.step.__dataclass_fields__:
            levels: LevelSet = values["levels"]
            values["codes"] = mirrored(levels) if values.pop("is_mirrored", False) else levels.codes
        steps.append(kind.step(entry["output"], tuple(entry["inputs"]), **values))
    if left:
        raise UserError(f"{min(left)}: belongs to no step")
    channels, height, width_ = plain["input_shape"]
    network = IntegerNetwork(
        steps, (channels, height, width_), plain["stream_bit"], plain["fraction"], float(plain["logit_scale"])
    )
    check(network)
    return network


def _name_of(step: Step) -> str:
    is_signed = getattr(step, "is_signed", False) or getattr(step, "codes", (0,))[0] < 0
    return (_SIGNED if is_signed else "") + _NAMES[type(step)]


def _require(value: Any, schema: Schema, place: str) -> None:
    wrong = misfit(value, schema, place)
    if wrong is not None:
        raise UserError(wrong)


def _plain(value: Any) -> Any:
    if isinstance(value, LevelSet):
        return {"scheme": value.scheme, "bits": value.bits}
    return list(value) if isinstance(value, tuple) else value


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return level_set(value["scheme"], value["bits"])
    return tuple(value) if isinstance(value, list) else value


def _narrowed(array: Integers) -> Integers:
    low, high = int(array.min(initial=0)), int(array.max(initial=0))
    return array.astype(next(kind for kind in _WIDTHS if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max))


def _widened(array: Integers | None, kind: type[np.signedinteger[Any]], name: str) -> Integers:
    if array is None:
        raise UserError(f"{name}: is missing")
    limits = np.iinfo(kind)
    if array.dtype.kind not in "iu" or array.min(initial=0) < limits.min or array.max(initial=0) > limits.max:
        raise UserError(f"{name}: must be integers of at most {limits.bits} bits")
    return np.ascontiguousarray(array, dtype=kind)
