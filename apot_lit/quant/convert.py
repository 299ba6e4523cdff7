"""Turning any torch model into a quantised one, and back."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn

from apot_lit.quant.absorb import AbsorbedReLU, absorbable_relus
from apot_lit.quant.attention import Attention
from apot_lit.quant.channel_thresholds import ChannelWeightQuantizer
from apot_lit.quant.layers import QuantConv1d, QuantConv2d, QuantLayer, QuantLinear
from apot_lit.quant.quantizers import (
    ActivationQuantizer,
    FloatPassthrough,
    InputCodes,
    MaxWeightQuantizer,
    NetworkInput,
    WeightQuantizer,
)
from apot_lit.quant.signs import Inputs, by_structure, watched
from apot_lit.quant.spec import FULL_PRECISION, QuantSpec

_QUANTIZED = {nn.Conv1d: QuantConv1d, nn.Conv2d: QuantConv2d, nn.Linear: QuantLinear}


def quantize_model(model: nn.Module, spec: QuantSpec, images: Any = None, inputs: Inputs | None = None) -> nn.Module:
    """Returns a copy of `model` with every Conv1d, Conv2d and Linear layer quantised as `spec` says.

    The first and the last of these layers, in order of registration, keep 8-bit (``spec.first_bit``,
    ``spec.last_bit``) uniform weights and an unquantised input; all others quantise weight and own input, and so do
    those two in what ``spec.overrides`` gives them bits for. Where the model has a `NetworkInput` with a step, the
    first layer computes on its integers in any case. Attention of class `torch.nn.MultiheadAttention` becomes one whose
    projections are linear layers, see `expose_attention`. Parameters are copied, never re-initialised.

    An input that is never negative, as after a ReLU, has unsigned levels, which clip at 0; ReLUs that this makes
    superfluous are left out. One that is negative in places has the levels of one bit less, mirrored. These are those
    that come from a layer, a norm or an activation function like GELU, by the model's structure where it can be traced;
    with `images` also those that are seen to be negative in a forward pass of the float model. All others are taken as
    unsigned. ``{"layer": {"signed": true}}`` in ``spec.overrides`` decides by hand.

    Quantisation happens in the layers' forward: code that reads ``layer.weight`` past it, as torchvision's Swin
    transformers do, computes in full precision. With `images` such layers are found, and stay float layers.

    Args:
        model: any module; layers of exactly these classes are replaced, at any depth.
        spec: what to quantise; with ``bit=32`` the copy is the float model itself.
        images: a batch for the model's forward, to see which inputs are negative.
        inputs: what `find_inputs` found before, for the same without images.

    Raises:
        ValueError: if the model is quantised already, has no layer to quantise, or none that a pattern of
            ``spec.overrides`` matches.

    Examples:
        >>> net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(8, 2))
        >>> quantize_model(net, QuantSpec(bit=4))[2].weight_quantizer
        WeightQuantizer(bit=4, scheme=apot, alpha=3)
    """
    if any(True for _ in quant_layers(model)):
        raise ValueError("the model is quantised already; dequantize_model gives the float model back")
    model = copy.deepcopy(model)
    if spec.full_precision:
        return model
    model = _exposed(model)
    layers = _layers(model)
    if not layers:
        raise ValueError("the model has no Conv1d, Conv2d or Linear layer to quantise")
    spec.refuse_unused_overrides(layers)
    found = _find_inputs(model, layers, images) if inputs is None else inputs
    layers = {name: layer for name, layer in layers.items() if name not in found.idle}
    steps = [module for module in model.modules() if isinstance(module, NetworkInput) and module.step is not None]
    for network_input in steps:
        network_input.gives_codes = True
    replacements: dict[nn.Module, Any] = {}
    first, last = next(iter(layers)), next(reversed(layers))
    edge_bits = {last: spec.last_bit, first: spec.first_bit}
    for name, layer in layers.items():
        settled = InputCodes(steps[0].bit) if steps and name == first else None
        negative, channels = name in found.signed, len(layer.weight)  # type: ignore[arg-type]
        weight_quantizer, act_quantizer = _quantizers(name, spec, edge_bits, settled, negative, channels)
        quantized: Any = _QUANTIZED[type(layer)]
        replacements[layer] = quantized.from_float(layer, weight_quantizer, act_quantizer)
    acts = {old: new.act_quantizer for old, new in replacements.items()}
    clipping = {old for old, act in acts.items() if isinstance(act, ActivationQuantizer) and not act.signed}
    for relu in absorbable_relus(model, clipping):
        replacements[relu] = AbsorbedReLU(relu.inplace).train(relu.training)
    return _replace(model, lambda module: replacements.get(module, module))


def find_inputs(model: nn.Module, images: Any = None) -> Inputs:
    """Finds the layers of a float model whose inputs are negative in places, as `quantize_model` does.

    Args:
        model: what `quantize_model` takes.
        images: a batch for its forward; None: by its structure alone.
    """
    model = expose_attention(model)
    return _find_inputs(model, _layers(model), images)


def _find_inputs(model: nn.Module, layers: Mapping[str, nn.Module], images: Any) -> Inputs:
    found = by_structure(model, layers)
    if images is None:
        return found
    seen = watched(model, layers, images)  # an untrained batch norm after a ReLU is not negative yet
    return Inputs(tuple(name for name in layers if name in {*found.signed, *seen.signed}), seen.idle)


def dequantize_model(model: nn.Module) -> nn.Module:
    """Returns a float copy of a quantised model, with the latent weights that training updates.

    The inverse of `quantize_model` up to the clipping thresholds, which are dropped.
    """

    def to_float(module: nn.Module) -> nn.Module:
        if isinstance(module, QuantLayer):
            return module.to_float()
        if isinstance(module, AbsorbedReLU):
            return nn.ReLU(module.inplace).train(module.training)
        if isinstance(module, NetworkInput):
            module.gives_codes = False
        return module

    def whole(module: nn.Module) -> nn.Module:
        return module.to_float() if isinstance(module, Attention) else module

    return _replace(_replace(copy.deepcopy(model), to_float), whole)


def quant_layers(model: nn.Module) -> Iterator[tuple[str, QuantLayer]]:
    """Yields the name and module of every quantised layer, in order of registration."""
    for name, module in model.named_modules():
        if isinstance(module, QuantLayer):
            yield name, module


def clipping_thresholds(model: nn.Module) -> dict[str, dict[str, float]]:
    """Returns the learned clipping thresholds of every layer that has any.

    Returns:
        ``{layer name: {"weight": alpha, "act": alpha}}``; a tensor kind that has no learned threshold is left
        out, and of thresholds of channels there is their mean.
    """
    thresholds: dict[str, dict[str, float]] = {}
    for name, layer in quant_layers(model):
        kinds = {"weight": layer.weight_quantizer, "act": layer.act_quantizer}
        learned = {
            kind: quantizer.alpha.mean().item()
            for kind, quantizer in kinds.items()
            if isinstance(quantizer, WeightQuantizer | ActivationQuantizer)
        }
        if learned:
            thresholds[name] = learned
    return thresholds


def expose_attention(model: nn.Module) -> nn.Module:
    """Returns a copy of a float model in which `Attention` stands where `torch.nn.MultiheadAttention` did.

    It computes the same up to rounding; torch's fast paths for transformers in evaluation, which read weights past
    their layers' forward, are off.
    """
    return _exposed(copy.deepcopy(model))


def _exposed(model: nn.Module) -> nn.Module:
    def expose(module: nn.Module) -> nn.Module:
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False  # its layers must be ready for their own fast path
        return Attention.from_float(module) if type(module) is nn.MultiheadAttention else module

    return _replace(model, expose)


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in model.named_modules() if type(module) in _QUANTIZED}


def _quantizers(
    name: str, spec: QuantSpec, edge_bits: Mapping[str, int], act: nn.Module | None, negative: bool, channels: int
) -> tuple[nn.Module, nn.Module]:
    """Those of weight and input.

    Args:
        name: of the layer.
        spec: of the network.
        edge_bits: bits of the first and last layer's weights where no pattern gives others.
        act: that of the input where it is settled.
        negative: whether the input is negative in places, for all that is known without patterns.
        channels: that the layer gives.
    """
    given, own = spec.options_of_layer(name), spec.of_layer(name)
    signed = given.get("signed", negative)
    weight_levels, act_levels = own.weight_levels(), own.act_levels(signed)
    weight: nn.Module = FloatPassthrough()
    if name in edge_bits and "weight_bit" not in given:
        bit = edge_bits[name]
        weight = FloatPassthrough() if bit == FULL_PRECISION else MaxWeightQuantizer(bit, spec.edge_scale == "absmax")
    elif weight_levels is not None:
        weight = WeightQuantizer(weight_levels, own.weight_alpha, own.weight_norm, spec.grad_scale)
        if own.weight_per_channel:
            rest = own.weight_alpha, channels, own.weight_norm, spec.grad_scale
            weight = ChannelWeightQuantizer(weight_levels, *rest)
    if act is not None:
        return weight, act
    if act_levels is None or (name in edge_bits and "act_bit" not in given):
        return weight, FloatPassthrough()
    return weight, ActivationQuantizer(act_levels, own.act_alpha, spec.grad_scale, signed)


def _replace(model: nn.Module, substitute: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """Applies `substitute` to the model and to every child, keeping shared modules shared."""
    done: dict[nn.Module, nn.Module] = {}

    def visit(module: nn.Module) -> nn.Module:
        if module not in done:
            done[module] = replaced = substitute(module)
            if replaced is module:
                for name, child in module._modules.items():  # named_children() would skip a second name of a child
                    if child is not None:
                        setattr(module, name, visit(child))
        return done[module]

    return visit(model)


def act_quantizers(network: nn.Module) -> dict[str, ActivationQuantizer]:
    """The quantisers of activations by the name of the layer whose input they quantise."""
    return {
        name: layer.act_quantizer
        for name, layer in quant_layers(network)
        if isinstance(layer.act_quantizer, ActivationQuantizer)
    }
