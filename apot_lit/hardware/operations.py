"""How many operations networks take, by the measures that papers count in, to be priced by unit."""

from collections.abc import Sequence
from typing import Any

from apot_lit.evaluation.cost import measure_cost
from apot_lit.models import PixelInput, ResNet
from apot_lit.quant import QuantSpec, quantize_model

NETWORKS = ("resnet10", "resnet18", "resnet34", "resnet50")
_INPUT = (1, 1, 28, 28)
_MEAN, _STD = 33 / 255, 0.3081


def network_operations(bits: Sequence[int]) -> list[dict[str, Any]]:
    """Multiply-accumulates, FixOPS, bit operations and shift-adds of the networks of the tables.

    Args:
        bits: bit widths.

    Returns:
        An entry for each network, scheme and bit width. ``macs`` are those of the layers that read codes, with the
        other measures of these layers; ``other_macs`` those of the first and the last layer.
    """
    entries = []
    for name in NETWORKS:
        for bit in bits:
            for scheme, power in (("apot", 1), ("uniform", 0)):
                network = quantize_model(ResNet(name, input=PixelInput(_MEAN, _STD)), QuantSpec(bit=bit, power=power))
                layers = measure_cost(network, _INPUT).layers
                inner = layers[1:-1]
                entries.append(
                    {
                        "network": name,
                        "bit": bit,
                        "scheme": scheme,
                        "macs": sum(layer.macs for layer in inner),
                        "other_macs": sum(layer.macs for layer in (layers[0], layers[-1])),
                        "fixops": sum(layer.macs * bit * bit / 64 for layer in inner),
                        "bit_operations": sum(layer.bit_operations for layer in inner),
                        "shift_adds": sum(layer.macs * (layer.shift_adds or 0) for layer in inner),
                        "layers": [{"layer": layer.name, "macs": layer.macs} for layer in layers],
                    }
                )
    return entries
