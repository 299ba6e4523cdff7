"""What a network costs: parameters, multiplications, size, bit operations and shift-adds, per layer and in total.

Source of the figures to compare with: Li, Dong, Wang, "Additive Powers-of-Two Quantization", ICLR 2020 (arXiv
1909.13144), whose sizes and FixOPS of uniform ResNet-18 come out exactly. Their rules, found by that comparison:
shortcut convolutions are quantised layers like others; the size has the batch norms' running statistics in it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from apot_lit.quant.layers import QuantLayer
from apot_lit.quant.quantizers import ActivationQuantizer, InputCodes, MaxWeightQuantizer, WeightQuantizer
from apot_lit.quant.spec import FULL_PRECISION
from apot_lit.runs.text import text_table

_FLOATS_PER_KIB = 256


@dataclass(frozen=True)
class LayerCost:
    """What one convolution or linear layer costs.

    Attributes:
        name: the layer's name in the model.
        parameters: numbers in weight and bias, and its learned clipping thresholds.
        macs: multiply-accumulate operations.
        weight_bit: bit width of the weights, 32 for float.
        act_bit: bit width of the input; of pixels that of the integers they are read as, 8 where their mean is a pixel
            value; 32 for float.
        float_kib: size of weight and bias in float32, in KiB.
        quantized_kib: size with the weights in `weight_bit` bits each, bias and thresholds in float32, in KiB.
        bit_operations: ``macs * weight_bit * act_bit``.
        shift_adds: shifts with an addition per MAC, ``terms of a weight * terms of an input``: additive terms of the
            level set; for uniform values, magnitude bits, each a power of two. None if either is float.
    """

    name: str
    parameters: int
    macs: int
    weight_bit: int
    act_bit: int
    float_kib: float
    quantized_kib: float
    bit_operations: int
    shift_adds: int | None


@dataclass(frozen=True)
class Cost:
    """What a network costs for one input of a given shape.

    Attributes:
        input_shape: shape of the input, the batch included.
        layers: the convolutions and linear layers, in order of registration.
        other_parameters: parameters outside these, such as those of batch norms; float32.
        statistics: running statistics of batch norms; float32, part of the size but no parameters.
    """

    input_shape: tuple[int, ...]
    layers: tuple[LayerCost, ...]
    other_parameters: int
    statistics: int

    @property
    def parameters(self) -> int:
        """Numbers that training learns, clipping thresholds included."""
        return self.other_parameters + sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations of all layers."""
        return sum(layer.macs for layer in self.layers)

    @property
    def float_kib(self) -> float:
        """Size of the float network in KiB, running statistics included."""
        return (self.other_parameters + self.statistics) / _FLOATS_PER_KIB + sum(item.float_kib for item in self.layers)

    @property
    def quantized_kib(self) -> float:
        """The same with quantised weights; the paper's "MB" are 1024 of these."""
        rest = (self.other_parameters + self.statistics) / _FLOATS_PER_KIB
        return rest + sum(layer.quantized_kib for layer in self.layers)

    @property
    def quantized_bytes(self) -> float:
        """The same in bytes."""
        return self.quantized_kib * 1024

    @property
    def bit_operations(self) -> int:
        """Sum of ``macs * weight_bit * act_bit``."""
        return sum(layer.bit_operations for layer in self.layers)

    @property
    def shift_adds(self) -> int:
        """Shifts with an addition of all MACs between integers; layers that read or hold floats have none."""
        return sum(layer.macs * layer.shift_adds for layer in self.layers if layer.shift_adds is not None)

    @property
    def fixops(self) -> float:
        """The paper's FixOPS: a MAC of b_w by b_a bits counts ``b_w * b_a / 64``, one of 8 by 8 bits or more counts 1.

        So the first layer, of 8-bit weights and pixels, and the last, of a float input, count their plain MACs. This
        is the rule for uniform levels and is applied to all. The paper gives APoT less, for ResNet-18 616 M instead
        of 781 M at 5 bits and 298 M instead of 357 M at 3, by a rule that these two figures do not tell.
        """
        return sum(layer.macs * min(1.0, layer.weight_bit * layer.act_bit / 64) for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Returns the table in plain containers, for JSON."""
        totals = ("parameters", "macs", "float_kib", "quantized_kib", "bit_operations", "shift_adds", "fixops")
        plain = {"input_shape": list(self.input_shape), "layers": [asdict(layer) for layer in self.layers]}
        other = {"other_parameters": self.other_parameters, "statistics": self.statistics}
        return {**plain, **other, "total": {name: getattr(self, name) for name in totals}}


@torch.no_grad()
def measure_cost(model: nn.Module, input_shape: Sequence[int]) -> Cost:
    """Counts what a model costs, in one forward pass of zeros that leaves it as it was.

    Layers are modules of `torch.nn.Conv2d` and `torch.nn.Linear`, quantised or float. A layer called several times
    counts each call's MACs; parameters that several layers share count for the first.

    Args:
        model: float model or what `apot_lit.quant.quantize_model` returned.
        input_shape: shape of the input with its batch dimension, e.g. ``(1, 1, 28, 28)``; MACs are of this batch.

    Examples:
        >>> measure_cost(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4, 2)), (1, 1, 3, 3)).macs
        44
    """
    layers = {
        name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear)
    }
    macs = _macs(model, list(layers.values()), input_shape)
    counted: set[int] = set()
    costs = tuple(_layer_cost(name, layer, macs[layer], counted) for name, layer in layers.items())
    other = sum(value.numel() for value in model.parameters() if id(value) not in counted)
    kept = model.state_dict()  # holds no table that is rebuilt from the configuration
    buffers = (value for name, value in model.named_buffers() if name in kept)
    return Cost(tuple(input_shape), costs, other, sum(value.numel() for value in buffers if value.is_floating_point()))


def _macs(
    model: nn.Module, layers: list[nn.Conv1d | nn.Conv2d | nn.Linear], input_shape: Sequence[int]
) -> dict[nn.Module, int]:
    macs: dict[nn.Module, int] = dict.fromkeys(layers, 0)

    def count(layer: nn.Module, _: Any, output: Tensor) -> None:
        assert isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear)
        macs[layer] += output.numel() * layer.weight[0].numel()  # each output sums over one filter or row

    modes = [(module, module.training) for module in model.modules()]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    like = next(model.parameters(), torch.empty(0))
    try:
        model.eval()(torch.zeros(tuple(input_shape), device=like.device, dtype=like.dtype))
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training
    return macs


def _layer_cost(name: str, layer: nn.Conv1d | nn.Conv2d | nn.Linear, macs: int, counted: set[int]) -> LayerCost:
    own = {leaf: value.numel() for leaf, value in layer.named_parameters() if id(value) not in counted}
    counted.update(map(id, layer.parameters()))
    weight, parameters = own.get("weight", 0), sum(own.values())
    quantizers = (layer.weight_quantizer, layer.act_quantizer) if isinstance(layer, QuantLayer) else (None, None)
    (weight_bit, weight_terms), (act_bit, act_terms) = map(_bit_and_terms, quantizers)
    float_kib = (weight + own.get("bias", 0)) / _FLOATS_PER_KIB
    quantized_kib = weight * weight_bit / (8 * 1024) + (parameters - weight) / _FLOATS_PER_KIB
    shift_adds = None if weight_terms is None or act_terms is None else weight_terms * act_terms
    operations = macs * weight_bit * act_bit
    return LayerCost(name, parameters, macs, weight_bit, act_bit, float_kib, quantized_kib, operations, shift_adds)


def _bit_and_terms(quantizer: nn.Module | None) -> tuple[int, int | None]:
    if isinstance(quantizer, WeightQuantizer | ActivationQuantizer):
        return quantizer.bit, len(quantizer.levels.terms)  # a uniform set has a term per magnitude bit
    if isinstance(quantizer, MaxWeightQuantizer):
        return quantizer.bit, quantizer.bit - 1
    if isinstance(quantizer, InputCodes):
        return quantizer.bit, quantizer.bit
    return FULL_PRECISION, None


def cost_table(cost: Cost) -> str:
    """Formats a cost as a table for the terminal."""
    headers = ["layer", "parameters", "MACs", "bits w/a", "KiB float", "KiB", "bit operations", "shift-adds per MAC"]
    rows = []
    for layer in cost.layers:
        row = [layer.name, f"{layer.parameters:,}", f"{layer.macs:,}", f"{layer.weight_bit}/{layer.act_bit}"]
        row += [f"{layer.float_kib:.2f}", f"{layer.quantized_kib:.2f}", f"{layer.bit_operations:,}"]
        rows.append([*row, "-" if layer.shift_adds is None else str(layer.shift_adds)])
    for name, numbers in (("other", cost.other_parameters), ("running statistics", cost.statistics)):
        kib = f"{numbers / _FLOATS_PER_KIB:.2f}"
        rows.append([name, f"{numbers:,}" if name == "other" else "-", "-", "32/32", kib, kib, "-", "-"])
    total = [f"{cost.float_kib:.2f}", f"{cost.quantized_kib:.2f}", f"{cost.bit_operations:,}", "-"]
    rows.append(["total", f"{cost.parameters:,}", f"{cost.macs:,}", "-", *total])
    shift_adds = f"{cost.shift_adds / 1e6:.2f} M shift-adds in integer layers"
    return f"{text_table(rows, headers)}\n\n{cost.fixops / 1e6:.2f} M FixOPS (as for uniform levels), {shift_adds}"
