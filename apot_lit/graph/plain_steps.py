"""Operations without weights: what torch's modules, functions and methods mean as steps."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import fx, nn

from apot_lit.errors import UserError
from apot_lit.graph.steps import (
    AdaptiveAveragePool,
    Add,
    AveragePool,
    Clamp,
    Concatenate,
    Flatten,
    GlobalAveragePool,
    MaxPool,
    Relu,
    Step,
)


class Plain(NamedTuple):
    """A step without its names.

    Attributes:
        kind: class of the step.
        attributes: what it holds besides names.
    """

    kind: type[Step]
    attributes: Mapping[str, Any] = {}


def plain_module(module: nn.Module, layer: str) -> Plain | None:
    """What a module without weights does; None for one of another kind.

    Raises:
        UserError: naming the layer, for options of pooling that can't be exported.
    """
    options = {name: getattr(module, name) for name in _OPTIONS if hasattr(module, name)}
    if isinstance(module, nn.ReLU):
        return Plain(Relu)
    if isinstance(module, nn.Hardtanh):  # ReLU6 is one
        return _clamp({"min": module.min_val, "max": module.max_val}, layer)
    if isinstance(module, nn.MaxPool2d):
        return _max_pool(options, layer)
    if isinstance(module, nn.AvgPool2d):
        return _average_pool(options, layer)
    if isinstance(module, nn.AdaptiveAvgPool2d):
        return _adaptive(options, layer)
    if isinstance(module, nn.Flatten):
        return _flatten({"start_dim": module.start_dim, "end_dim": module.end_dim}, layer)
    return None


def plain_function(node: fx.Node) -> Plain | None:
    """What a call of a function or method does with the values that it is given; None for one of another kind.

    Raises:
        UserError: as `plain_module`.
    """
    for targets, names, meaning in _FUNCTIONS:
        if node.target in targets and len(node.args) <= len(names) + 1:
            options = {**dict(zip(names, node.args[1:], strict=False)), **node.kwargs}
            return meaning({name: value for name, value in options.items() if name != "inplace"}, node.name)
    return None


_OPTIONS = (
    *("kernel_size", "stride", "padding", "dilation", "ceil_mode", "count_include_pad", "divisor_override"),
    "output_size",
)


def _relu(_: Mapping[str, Any], __: str) -> Plain:
    return Plain(Relu)


def _relu6(_: Mapping[str, Any], __: str) -> Plain:
    return Plain(Clamp, {"lowest": 0.0, "highest": 6.0})


def _clamp(options: Mapping[str, Any], layer: str) -> Plain:
    bounds = [options.get("min"), options.get("max")]
    _require(all(bound is None or isinstance(bound, int | float) for bound in bounds), layer, "bounds must be numbers")
    lowest, highest = (None if bound is None else float(bound) for bound in bounds)
    return Plain(Clamp, {"lowest": lowest, "highest": highest})


def _add(options: Mapping[str, Any], _: str) -> Plain | None:
    return Plain(Add) if [*map(type, options.values())] == [fx.Node] else None


def _concatenate(options: Mapping[str, Any], layer: str) -> Plain:
    _require(options.get("dim", 0) in (1, -3), layer, "only channels can be joined, dim=1")
    return Plain(Concatenate)


def _flatten(options: Mapping[str, Any], layer: str) -> Plain:
    ends = options.get("start_dim", 0), options.get("end_dim", -1)
    _require(ends in ((1, -1), (1, 3)), layer, "only all but the first dimension can be flattened, start_dim=1")
    return Plain(Flatten)


def _view(options: Mapping[str, Any], layer: str) -> Plain:
    _require(options.get("size") == -1, layer, "only a view of [N, -1] can be exported")
    return Plain(Flatten)


def _mean(options: Mapping[str, Any], layer: str) -> Plain:
    found = options.get("dim")
    dimensions = sorted(d % 4 for d in found) if isinstance(found, list | tuple) else None
    _require(dimensions == [2, 3], layer, "only a mean over height and width can be exported, dim=(2, 3)")
    return Plain(GlobalAveragePool)


def _max_pool(options: Mapping[str, Any], layer: str) -> Plain:
    _require(not options.get("ceil_mode"), layer, "max-pooling with ceil_mode can't be exported")
    _require(_pair(options.get("dilation", 1)) == (1, 1), layer, "max-pooling with dilation can't be exported")
    return Plain(MaxPool, _windows(options))


def _average_pool(options: Mapping[str, Any], layer: str) -> Plain:
    _require(not options.get("ceil_mode"), layer, "average pooling with ceil_mode can't be exported")
    _require(options.get("divisor_override") is None, layer, "average pooling with divisor_override can't be exported")
    windows = _windows(options)
    counts = options.get("count_include_pad", True) or windows["padding"] == (0, 0)
    _require(counts, layer, "average pooling that leaves the edge out of its means can't be exported")
    return Plain(AveragePool, windows)


def _adaptive(options: Mapping[str, Any], layer: str) -> Plain:
    found = options["output_size"]
    size = (found, found) if isinstance(found, int) or found is None else tuple(found)
    _require(None not in size, layer, "adaptive pooling must say height and width")
    return Plain(GlobalAveragePool) if size == (1, 1) else Plain(AdaptiveAveragePool, {"size": size})


def _windows(options: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    stride = options.get("stride")
    kernel = _pair(options["kernel_size"])
    return {
        "kernel": kernel,
        "stride": kernel if stride in (None, []) else _pair(stride),
        "padding": _pair(options.get("padding", 0)),
    }


def _pair(value: Any) -> tuple[int, int]:
    return (int(value), int(value)) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _require(holds: bool, layer: str, what: str) -> None:
    if not holds:
        raise UserError(f"layer {layer}: {what}")


_POOL = ("kernel_size", "stride", "padding")
_FUNCTIONS: tuple[tuple[tuple[Any, ...], tuple[str, ...], Callable[[Mapping[str, Any], str], Plain | None]], ...] = (
    ((F.relu, F.relu_, torch.relu, torch.relu_, "relu", "relu_"), (), _relu),
    ((F.relu6,), (), _relu6),
    ((torch.clamp, "clamp", "clamp_", torch.clip, "clip"), ("min", "max"), _clamp),
    ((operator.add, operator.iadd, torch.add, "add", "add_"), ("other",), _add),
    ((torch.cat, torch.concat, torch.concatenate), ("dim",), _concatenate),
    ((torch.flatten, "flatten"), ("start_dim", "end_dim"), _flatten),
    (("view", "reshape"), ("batch", "size"), _view),
    ((torch.mean, "mean"), ("dim", "keepdim"), _mean),
    ((F.max_pool2d, torch.max_pool2d), (*_POOL, "dilation", "ceil_mode"), _max_pool),
    ((F.avg_pool2d,), (*_POOL, "ceil_mode", "count_include_pad", "divisor_override"), _average_pool),
    ((F.adaptive_avg_pool2d,), ("output_size",), _adaptive),
)
