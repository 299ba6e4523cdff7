"""What packed files of version 1, which had no network of integers, say of their layers."""

import re
from typing import Any

from torch import nn

from apot_lit.models.input import PixelInput
from apot_lit.quant import quant_layers
from apot_lit.quant.quantizers import FloatPassthrough, InputCodes


def version_1_facts(network: nn.Module) -> dict[str, Any]:
    """Shape and quantisers of every layer as texts; whole pixels are a grid of a step, other pixels are floats."""
    facts = {}
    steps = [module.step for module in network.modules() if isinstance(module, PixelInput) and module.multiplier == 1]
    for name, layer in quant_layers(network):
        weight, act = (re.sub(", alpha=[^,)]*", "", repr(q)) for q in (layer.weight_quantizer, layer.act_quantizer))
        step = steps[0] if steps and isinstance(layer.act_quantizer, InputCodes) else None
        if isinstance(layer.act_quantizer, InputCodes):
            act = repr(FloatPassthrough()) if step is None else f"InputGrid(step={step:.6g})"
        facts[name] = {"shape": [*layer.weight.shape], "weight": weight, "act": act, "step": step}
    return facts
