"""Which layers of a float model read negative numbers, by watching it compute or by its structure."""

import operator
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from apot_lit.quant.absorb import InputTracer

NEGLIGIBLE = 1e-3
"""Negative numbers below this part of the largest magnitude count as 0: half a step of 8 uniform bits is twice that."""

_NEGATIVE = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.LayerNorm, nn.GroupNorm),
    *(nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm),
    *(nn.Hardswish, nn.SiLU, nn.GELU, nn.Mish, nn.ELU, nn.CELU, nn.SELU, nn.LeakyReLU, nn.PReLU, nn.Tanh, nn.Hardtanh),
)
# What is never negative, or perhaps not.
_NEITHER = (nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Hardsigmoid, nn.Softplus, nn.Softmax, nn.Threshold, nn.LPPool2d)
_NEGATIVE_FUNCTIONS = (
    *(F.hardswish, F.silu, F.gelu, F.mish, F.elu, F.leaky_relu, F.layer_norm, F.group_norm, F.batch_norm),
    *(torch.tanh, F.tanh, "tanh", operator.neg, torch.neg),
)
_NEITHER_FUNCTIONS = (
    *(F.relu, torch.relu, "relu", "relu_", F.relu6, F.sigmoid, torch.sigmoid, "sigmoid", F.hardsigmoid, F.threshold),
    *(F.softmax, torch.softmax, "softmax", F.softplus, torch.abs, "abs", torch.exp, "exp", torch.square, "square"),
    *(operator.pow, torch.pow, "pow", torch.clamp, "clamp", "clamp_", "clip", torch.norm, "norm", "var", torch.var),
)


class Inputs(NamedTuple):
    """What is known of the inputs of a model's layers.

    Attributes:
        signed: names of the layers whose inputs are negative in places.
        idle: names of the layers that were not computed as modules: nothing called them, or code reads their weights
            past their forward.
    """

    signed: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()


@torch.no_grad()
def watched(model: nn.Module, layers: Mapping[str, nn.Module], images: Any) -> Inputs:
    """Watches the inputs of layers in one forward pass in evaluation mode.

    Args:
        model: a float model; left as it was.
        layers: layers of the model by name.
        images: what its forward takes.
    """
    lowest: dict[str, float] = {}

    def watcher(name: str) -> Any:
        def watch(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].detach()
            low, high = (float(value) for value in x.aminmax()) if x.numel() else (0.0, 0.0)
            lowest[name] = min(lowest.get(name, 0.0), low + NEGLIGIBLE * max(high, -low))

        return watch

    modes = [(module, module.training) for module in model.modules()]
    hooks = [layer.register_forward_pre_hook(watcher(name)) for name, layer in layers.items()]
    try:
        model.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training
    signed = tuple(name for name in layers if lowest.get(name, 0.0) < 0)
    return Inputs(signed, tuple(name for name in layers if name not in lowest))


def by_structure(model: nn.Module, layers: Mapping[str, nn.Module]) -> Inputs:
    """Finds the layers whose input is certainly negative in places, as that of a batch norm or GELU is.

    Args:
        model: a float model. One whose control flow depends on its input can't be traced: nothing is found then.
        layers: layers of the model by name.
    """
    try:
        nodes = InputTracer().trace(model).nodes
    except Exception:  # whatever code that can't be traced raises
        return Inputs()
    modules = dict(model.named_modules(remove_duplicate=False))
    names = {layer: name for name, layer in layers.items()}
    negative: dict[fx.Node, bool] = {}
    signed: set[str] = set()
    for node in nodes:
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        sources = any(negative[source] for source in node.all_input_nodes)
        if module in names and sources:
            signed.add(names[module])
        negative[node] = _gives_negative(node, module, sources)
    return Inputs(tuple(name for name in layers if name in signed))


def _gives_negative(node: fx.Node, module: nn.Module | None, sources: bool) -> bool:
    """Whether a value is certainly negative in places, given whether one of those that it is made of is."""
    if isinstance(module, _NEITHER) or (module is None and _among(node.target, _NEITHER_FUNCTIONS)):
        return False
    return sources or isinstance(module, _NEGATIVE) or (module is None and _among(node.target, _NEGATIVE_FUNCTIONS))


def _among(target: Any, functions: Collection[Any]) -> bool:
    return any(target is one or (isinstance(one, str) and target == one) for one in functions)
