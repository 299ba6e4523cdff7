"""What a trial costs, known before it is trained."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from apot_lit.errors import UserError
from apot_lit.evaluation.cost import LayerCost, measure_cost
from apot_lit.installed import only_in_clone
from apot_lit.models.build import fresh_network
from apot_lit.models.foreign import image_options
from apot_lit.quant import quant_layers
from apot_lit.quant.quantizers import ActivationQuantizer, WeightQuantizer
from apot_lit.report.unit_prices import FILES, GATES, Prices, read_prices
from apot_lit.runs.contents import NotUsable

UNITS = {"size": "bytes", "operations": "bit operations", "gates": "transistors x operations"}
"""What each cost is counted in."""

CostOf = Callable[[Mapping[str, Any]], float]


def cost_of(kind: str, prices: str) -> CostOf:
    """The function from a run's configuration to its cost.

    - ``size``: bytes of the network as `evaluate.py` shows them: weights in their bits, all else in float32.
    - ``operations``: the sum over all layers of ``multiply-accumulates * weight bits * input bits``.
    - ``gates``: the sum over the layers that read codes of ``multiply-accumulates * transistors``, with the transistors
      that the cheapest dot product of such levels takes for one multiplication with its addition. First and last layer,
      which read pixels and floats, are left out.

    Args:
        kind: one of `UNITS`.
        prices: directory with files of `hardware.py`, for ``gates``.

    Raises:
        UserError: if there are no prices.
    """
    known = _read_prices(Path(prices)) if kind == "gates" else None

    def cost(config: Mapping[str, Any]) -> float:
        network = fresh_network(config)
        channels, size, _ = image_options(config["data"])
        measured = measure_cost(network, (1, channels, size, size))
        if kind == "size":
            return measured.quantized_bytes
        if kind == "operations":
            return float(measured.bit_operations)
        assert known is not None
        modules = dict(quant_layers(network))
        return sum(layer.macs * _transistors(known, layer, modules.get(layer.name)) for layer in measured.layers)

    return cost


def _read_prices(directory: Path) -> Prices:
    try:
        prices = read_prices(directory)
    except (NotUsable, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"search.prices={directory}: {FILES} must be files that hardware.py wrote ({error})") from error
    if prices is None or not _priced_bits(prices):
        raise UserError(
            f"search.prices={directory}: has no prices of dot products in gates ({FILES}, by hardware.py "
            f"units=[mac,dot]), which search.cost=gates needs{only_in_clone(directory)}"
        )
    return prices


def _priced_bits(prices: Prices) -> list[int]:
    """Bit widths with a price of dot products of both kinds of levels."""
    schemes = ("apot", "uniform")
    return [bit for bit in prices.bits(GATES) if all(prices.per_operation(GATES, one, bit) for one in schemes)]


def _transistors(prices: Prices, layer: LayerCost, module: Any) -> float:
    weight, act = getattr(module, "weight_quantizer", None), getattr(module, "act_quantizer", None)
    if not isinstance(act, ActivationQuantizer):
        return 0.0
    schemes = [getattr(getattr(one, "levels", None), "scheme", "uniform") for one in (weight, act)]
    priced = prices.per_operation(GATES, schemes[1], act.bit) if isinstance(weight, WeightQuantizer) else None
    if priced is None or schemes[0] != schemes[1] or layer.weight_bit != layer.act_bit:
        known = ", ".join(map(str, _priced_bits(prices)))
        raise UserError(
            f"search.cost=gates: {layer.name} has {schemes[0]} weights of {layer.weight_bit} bits and {schemes[1]} "
            f"inputs of {layer.act_bit}; there are prices for apot or uniform levels of {known} bits, of both alike"
        )
    return priced
