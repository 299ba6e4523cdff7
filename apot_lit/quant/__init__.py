"""Quantisers, quantised layers and the conversion of whole models; needs torch alone."""

from apot_lit.quant.convert import clipping_thresholds, dequantize_model, quant_layers, quantize_model
from apot_lit.quant.layers import QuantConv2d, QuantLinear
from apot_lit.quant.levels import LevelSet, level_set
from apot_lit.quant.quantizers import ActivationQuantizer, Codes, MaxWeightQuantizer, WeightQuantizer
from apot_lit.quant.spec import QuantSpec
from apot_lit.quant.sums import keep_sums_exact

__all__ = [
    "ActivationQuantizer",
    "Codes",
    "LevelSet",
    "MaxWeightQuantizer",
    "QuantConv2d",
    "QuantLinear",
    "QuantSpec",
    "WeightQuantizer",
    "clipping_thresholds",
    "dequantize_model",
    "keep_sums_exact",
    "level_set",
    "quant_layers",
    "quantize_model",
]
