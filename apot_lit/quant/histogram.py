"""How the weights of a layer lie among its levels."""

from typing import Any

import torch
from torch import nn

from apot_lit.quant.convert import quant_layers
from apot_lit.quant.normalize import normalize_weight
from apot_lit.quant.quantizers import WeightQuantizer

_BINS, _RANGE = 60, 1.5


@torch.no_grad()
def weight_histogram(model: nn.Module) -> dict[str, Any] | None:
    """Counts the weights of the middle quantised layer, before and after quantisation.

    Args:
        model: a quantised network.

    Returns:
        ``layer`` (its name), ``codes`` and ``code_counts`` (all codes that occur), ``unit`` (the code of level 1),
        and ``bin_edges`` and ``bin_counts`` of the normalised weights divided by alpha, from -1.5 to 1.5, what lies
        outside counted in the outermost bins. None if no layer has a learned weight quantiser.
    """
    layers = [
        (name, layer) for name, layer in quant_layers(model) if isinstance(layer.weight_quantizer, WeightQuantizer)
    ]
    if not layers:
        return None
    name, layer = layers[len(layers) // 2]
    quantizer = layer.weight_quantizer
    assert isinstance(quantizer, WeightQuantizer)
    weight = layer.weight.detach().float().cpu()
    normalized = normalize_weight(weight) if quantizer.normalize else weight
    alpha = quantizer.alpha.cpu()
    ratio = (normalized / alpha.view(-1, *[1] * (weight.dim() - 1))).clamp(-_RANGE, _RANGE)
    codes, counts = quantizer(layer.weight).values.unique(return_counts=True)
    return {
        "layer": name,
        "unit": quantizer.unit,
        "codes": codes.tolist(),
        "code_counts": counts.tolist(),
        "bin_edges": [round(-_RANGE + 2 * _RANGE * edge / _BINS, 6) for edge in range(_BINS + 1)],
        "bin_counts": [int(count) for count in torch.histc(ratio, _BINS, -_RANGE, _RANGE)],
    }
