"""Quantisers, quantised layers and the conversion of whole models; needs torch alone."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apot_lit.quant.convert import (
        clipping_thresholds,
        dequantize_model,
        expose_attention,
        find_inputs,
        quant_layers,
        quantize_model,
    )
    from apot_lit.quant.layers import QuantConv1d, QuantConv2d, QuantLinear
    from apot_lit.quant.levels import LevelSet, level_set
    from apot_lit.quant.quantizers import ActivationQuantizer, Codes, MaxWeightQuantizer, WeightQuantizer
    from apot_lit.quant.signs import Inputs
    from apot_lit.quant.spec import QuantSpec
    from apot_lit.quant.sums import keep_sums_exact

__all__ = [
    "ActivationQuantizer",
    "Codes",
    "Inputs",
    "LevelSet",
    "MaxWeightQuantizer",
    "QuantConv1d",
    "QuantConv2d",
    "QuantLinear",
    "QuantSpec",
    "WeightQuantizer",
    "clipping_thresholds",
    "dequantize_model",
    "expose_attention",
    "find_inputs",
    "keep_sums_exact",
    "level_set",
    "quant_layers",
    "quantize_model",
]

_MODULES = {
    "convert": (
        "clipping_thresholds",
        "dequantize_model",
        "expose_attention",
        "find_inputs",
        "quant_layers",
        "quantize_model",
    ),
    "layers": ("QuantConv1d", "QuantConv2d", "QuantLinear"),
    "levels": ("LevelSet", "level_set"),
    "quantizers": ("ActivationQuantizer", "Codes", "MaxWeightQuantizer", "WeightQuantizer"),
    "signs": ("Inputs",),
    "spec": ("QuantSpec",),
    "sums": ("keep_sums_exact",),
}


def __getattr__(name: str) -> Any:
    """Imports a module when it is asked for: options are read before torch is there, which takes seconds to load."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
