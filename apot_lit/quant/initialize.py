"""Clipping thresholds from data."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from apot_lit.quant.channel_thresholds import ChannelWeightQuantizer
from apot_lit.quant.convert import quant_layers
from apot_lit.quant.normalize import normalize_weight
from apot_lit.quant.quantizers import ActivationQuantizer, WeightQuantizer

_CANDIDATES = 40


@torch.no_grad()
def initialize_alphas(model: nn.Module, images: Tensor) -> None:
    """Sets every clipping threshold to the one with the smallest squared quantisation error.

    For each quantised tensor, alpha is the best of ``max |x| * i / 40``, i = 1 .. 40, by
    ``sum((q(x) - x)^2)``. Activations are those of one forward pass in training mode, layer after layer: each sees
    what the layers before it, initialised already, give. Running statistics of batch norms are left as they were.

    Args:
        model: a quantised network, on the device of `images`.
        images: a batch for its forward.
    """
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    hooks = []
    for _, layer in quant_layers(model):
        if isinstance(layer.weight_quantizer, WeightQuantizer):
            weight, quantizer = layer.weight, layer.weight_quantizer
            target = normalize_weight(weight) if quantizer.normalize else weight
            if isinstance(quantizer, ChannelWeightQuantizer):
                _set_best_alphas(quantizer, weight, target)
            else:
                _set_best_alpha(quantizer, weight, target)
        if isinstance(layer.act_quantizer, ActivationQuantizer):
            hooks.append(layer.act_quantizer.register_forward_pre_hook(_before_quantizer()))
    training = model.training
    model.train()(images)
    model.train(training)
    for hook in hooks:
        hook.remove()
    for name, buffer in model.named_buffers():
        buffer.copy_(buffers[name])


def _before_quantizer() -> Callable[[Any, tuple[Tensor, ...]], None]:
    busy = False

    def hook(quantizer: Any, inputs: tuple[Tensor, ...]) -> None:
        nonlocal busy
        if not busy:  # choosing calls the quantiser, and this hook, again
            busy = True
            _set_best_alpha(quantizer, inputs[0], inputs[0] if quantizer.signed else inputs[0].clamp(min=0))
            busy = False

    return hook


def _set_best_alphas(quantizer: ChannelWeightQuantizer, x: Tensor, target: Tensor) -> None:
    """The same for each channel."""
    largest = target.abs().flatten(1).amax(1)
    best, smallest = quantizer.raw_alpha.detach().clone(), torch.full_like(largest, float("inf"))
    for step in range(1, _CANDIDATES + 1):
        alpha = largest * step / _CANDIDATES
        quantizer.raw_alpha.copy_(alpha)
        errors = (quantizer(x).fake_quantized() - target).square().flatten(1).sum(1)
        better = (errors < smallest) & (largest > 0)
        best, smallest = torch.where(better, alpha, best), torch.where(better, errors, smallest)
    quantizer.raw_alpha.copy_(best)


def _set_best_alpha(quantizer: WeightQuantizer | ActivationQuantizer, x: Tensor, target: Tensor) -> None:
    """Tries all candidates; `target` is what the quantised values of `x` should be near."""
    largest = float(target.abs().amax())
    if not 0 < largest < float("inf"):
        return
    best, smallest = largest, float("inf")
    for step in range(1, _CANDIDATES + 1):
        alpha = largest * step / _CANDIDATES
        quantizer.raw_alpha.fill_(alpha)
        error = float((quantizer(x).fake_quantized() - target).square().sum())
        if error < smallest:
            best, smallest = alpha, error
    quantizer.raw_alpha.fill_(best)
