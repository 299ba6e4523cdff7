"""Rounding chosen by what a layer gives, instead of each weight's nearest level."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from apot_lit.quant.convert import dequantize_model, quant_layers
from apot_lit.quant.functional import quantize_codes
from apot_lit.quant.initialize import batch_statistics
from apot_lit.quant.layers import QuantConv2d, QuantLayer
from apot_lit.quant.quantizers import Codes, WeightQuantizer

_PASSES = 10
_DAMPING = 0.01
_IMAGES = 256
"""How many images are unfolded at a time."""


@torch.no_grad()
def learn_all_roundings(model: nn.Module, images: Tensor) -> None:
    """Learns the rounding of every layer with quantised weights, one after the other in one forward pass.

    Each layer gets what the layers before it give, their rounding learned already, with the batch norms of the batch,
    and is to give what it gives in full precision.

    Args:
        model: a quantised network with fitted thresholds, on the device of `images`.
        images: a batch for its forward.

    Raises:
        ValueError: as `learn_rounding`.
    """
    layers = {name: one for name, one in quant_layers(model) if isinstance(one.weight_quantizer, WeightQuantizer)}
    in_floats = dequantize_model(model).eval()
    targets: dict[str, Tensor] = {}
    hooks = [in_floats.get_submodule(name).register_forward_hook(_keep(targets, name)) for name in layers]
    in_floats(images)
    hooks += [layer.register_forward_pre_hook(_learn(targets, name)) for name, layer in layers.items()]
    with batch_statistics(model):
        model(images)
    for hook in hooks:
        hook.remove()


def _keep(targets: dict[str, Tensor], name: str) -> Callable[..., None]:
    def hook(layer: Any, inputs: Any, output: Tensor) -> None:
        targets[name] = output

    return hook


def _learn(targets: dict[str, Tensor], name: str) -> Callable[..., None]:
    def hook(layer: Any, inputs: tuple[Tensor, ...]) -> None:
        learn_rounding(layer, inputs[0], targets.pop(name))

    return hook


@torch.no_grad()
def learn_rounding(layer: QuantLayer, inputs: Tensor, target: Tensor) -> None:
    """Replaces the weights of a layer by levels with which it gives nearly what is wanted.

    With rows x of the layer's quantised input, wanted sums y, and the weights w before, the levels q are to have a
    small ``sum (x q - y)^2 + d |q - w|^2``, where d is a hundredth of the mean of x^2 and keeps weights in place that
    hardly any input meets. Starting from the nearest levels, each weight in turn, of all output channels at once, moves
    to the level that is best while the others stay, which is the one nearest to the minimum of a parabola; this is
    repeated until no weight moves, at most 10 times. The sum never grows.

    Source: the sum is that of Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", ICML 2020,
    section 3; the search that of Zhang et al., "COMQ: A Backpropagation-Free Algorithm for Post-Training Quantization",
    2024.

    Args:
        layer: with a `WeightQuantizer` that does not normalise, without groups; its threshold stays.
        inputs: what its forward is given.
        target: what it should give, its bias included.

    Raises:
        ValueError: if the quantiser normalises weights: their levels could not be kept as weights.
    """
    quantizer = layer.weight_quantizer
    if not isinstance(quantizer, WeightQuantizer) or quantizer.normalize:
        raise ValueError("rounding can be learned only where weights are quantised, and not normalised before")
    weight = layer.weight.flatten(1)
    squares, products = _sums(layer, inputs, target)
    damping = _DAMPING * squares.diagonal().mean().clamp(min=torch.finfo(squares.dtype).tiny)
    squares += damping * torch.eye(len(squares), dtype=squares.dtype, device=squares.device)
    products += damping * weight
    levels = _nearest(quantizer, weight)
    gradient = levels @ squares - products
    for _ in range(_PASSES):
        moved = False
        for k, curvature in enumerate(squares.diagonal().tolist()):
            before = levels[:, k].clone()
            levels[:, k] = _nearest(quantizer, before - gradient[:, k] / curvature)
            change = levels[:, k] - before
            if change.any():
                gradient += change[:, None] * squares[k]
                moved = True
        if not moved:
            break
    layer.weight.copy_(levels.view_as(layer.weight))


def _nearest(quantizer: WeightQuantizer, values: Tensor) -> Tensor:
    codes = quantize_codes(
        values.contiguous(), quantizer.raw_alpha, quantizer.levels, signed=True, table=quantizer.table
    )
    return Codes(*codes).fake_quantized()


def _sums(layer: QuantLayer, inputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """``X^T X`` and ``Y^T X`` of all positions of all images."""
    fan_in, outputs = layer.weight[0].numel(), len(layer.weight)
    squares, products = inputs.new_zeros(fan_in, fan_in), inputs.new_zeros(outputs, fan_in)
    for some, wanted in zip(inputs.split(_IMAGES), target.split(_IMAGES), strict=True):
        rows = _rows(layer, layer.act_quantizer(some).fake_quantized())
        sums = wanted if layer.bias is None else wanted - layer.bias.view(-1, *[1] * (wanted.dim() - 2))
        squares += rows.T @ rows
        products += sums.transpose(0, 1).flatten(1) @ rows if sums.dim() > 2 else sums.T @ rows
    return squares, products


def _rows(layer: nn.Module, x: Tensor) -> Tensor:
    """What each sum of the layer is over, ``[positions, fan_in]``."""
    if not isinstance(layer, QuantConv2d):
        return x.flatten(0, -2)
    patches = F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # type: ignore[arg-type]
    return patches.transpose(1, 2).flatten(0, 1)
