"""The graph of a network: what it calls, in which order."""

from torch import fx, nn

from apot_lit.models.input import PixelInput
from apot_lit.quant.absorb import AbsorbedReLU
from apot_lit.quant.layers import QuantConv2d, QuantLinear

NOTHING = (nn.Identity, nn.Dropout, AbsorbedReLU)
"""Modules that do nothing in evaluation mode."""
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
    """The graph of a network; its values have the names that the outputs of steps have."""
    return _Tracer().trace(network)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (*_LEAVES, *NOTHING)) or super().is_leaf_module(m, module_qualified_name)
