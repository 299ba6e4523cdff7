"""The graph of a network: what it calls, in which order."""

import operator

import torch
import torch.nn.functional as F
from torch import fx, nn

from apot_lit.errors import UserError
from apot_lit.models.input import PixelInput
from apot_lit.quant.absorb import AbsorbedReLU
from apot_lit.quant.layers import QuantConv2d, QuantLinear

NOTHING = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, AbsorbedReLU)
"""Modules that do nothing in evaluation mode."""
_NOTHING = (F.dropout, F.dropout1d, F.dropout2d, torch.dropout, "contiguous")
_LEAVES = (
    PixelInput,
    QuantConv2d,
    QuantLinear,
    nn.Conv2d,
    nn.Linear,
    nn.BatchNorm2d,
    nn.ReLU,
    nn.MaxPool2d,
    nn.AdaptiveAvgPool2d,
)


def trace(network: nn.Module) -> fx.Graph:
    """The graph of a network; its values have the names that the outputs of steps have.

    Raises:
        UserError: for a network that can't be traced, as one whose control flow depends on its input.
    """
    try:
        return _Tracer().trace(network)
    except Exception as error:  # whatever code that can't be traced raises
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"the network: can't be traced: {reason}") from error


def is_call(module: nn.Module, name: str) -> bool:
    """Whether a module is one call in the graph, rather than those within it."""
    return _Tracer().is_leaf_module(module, name)


def is_nothing(node: fx.Node) -> bool:
    """Whether a call gives its first argument as it is, in evaluation mode."""
    return node.target in _NOTHING


def is_size(node: fx.Node) -> bool:
    """Whether a call tells a size: ``x.size(0)``, ``x.shape``, ``x.shape[0]``."""
    if node.target is operator.getitem:
        return isinstance(node.args[0], fx.Node) and is_size(node.args[0])
    return node.target == "size" or (node.target is getattr and node.args[1:] == ("shape",))


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (*_LEAVES, *NOTHING)) or super().is_leaf_module(m, module_qualified_name)
