"""What a packed file says of the network in floats, from which a training goes on: all but weights has full precision.

A quantised layer's ``weight`` becomes ``weight_codes``; and ``weight_std``, the deviation of its float weights, where
they are normalised, or ``weight_largest``, what their scale is made of, in the first and last layers.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from apot_lit.errors import UserError
from apot_lit.quant import MaxWeightQuantizer, WeightQuantizer, quant_layers
from apot_lit.quant.layers import QuantLayer
from apot_lit.quant.levels import LevelSet
from apot_lit.quant.quantizers import ActivationQuantizer, FloatPassthrough, InputCodes
from apot_lit.stored.latent import latent_weights
from apot_lit.stored.weight_codes import Array, codebook, decode, encode

CODES, LARGEST, STD = ".weight_codes", ".weight_largest", ".weight_std"

Quantizer = WeightQuantizer | MaxWeightQuantizer


def packed_layers(network: nn.Module) -> dict[str, tuple[QuantLayer, Quantizer]]:
    """The layers with quantised weights, and their quantisers, by name.

    Raises:
        UserError: for quantisers of another kind.
    """
    layers: dict[str, tuple[QuantLayer, Quantizer]] = {}
    for name, layer in quant_layers(network):
        quantizer = layer.weight_quantizer
        if isinstance(quantizer, WeightQuantizer | MaxWeightQuantizer):
            layers[name] = layer, quantizer
        elif not isinstance(quantizer, FloatPassthrough):
            raise UserError(f"layer {name}: its {type(quantizer).__name__} has no levels to pack weights by")
    return layers


def layer_facts(network: nn.Module) -> dict[str, Any]:
    """What a reader must know of every quantised layer, and a network to fill must agree in; plain containers."""
    return {
        name: {
            "shape": [*layer.weight.shape],
            "weight": _weight_facts(layer.weight_quantizer),
            "act": _act_facts(layer.act_quantizer),
        }
        for name, layer in quant_layers(network)
    }


def _weight_facts(quantizer: nn.Module) -> dict[str, Any] | None:
    if isinstance(quantizer, WeightQuantizer):
        return {"bit": quantizer.bit, "levels": quantizer.levels.scheme, "normalize": quantizer.normalize}
    if isinstance(quantizer, MaxWeightQuantizer):
        return {"bit": quantizer.bit, "levels": None, "scale": "absmax" if quantizer.magnitude else "max"}
    return None


def _act_facts(quantizer: nn.Module) -> dict[str, Any] | None:
    if isinstance(quantizer, ActivationQuantizer):
        signed = {"signed": True} if quantizer.signed else {}  # unsigned ones are as they were before there were others
        return {"bit": quantizer.bit, "levels": quantizer.levels.scheme, **signed}
    return {"bit": quantizer.bit, "levels": None} if isinstance(quantizer, InputCodes) else None


def blank_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Tensors of the shapes and types that a network's have in a file, on the network's device."""
    layers = packed_layers(network)
    packed = {id(layer) for layer, _ in layers.values()}
    tensors = {n: value.clone(memory_format=torch.contiguous_format) for n, value in network.state_dict().items()}
    for name, module in network.named_modules(remove_duplicate=False):  # a shared layer has several names
        if id(module) in packed:
            del tensors[f"{name}.weight".lstrip(".")]
    for name, (layer, quantizer) in layers.items():
        weight = layer.weight
        tensors[name + CODES] = weight.new_zeros((weight.numel() * quantizer.bit + 7) // 8, dtype=torch.uint8)
        if isinstance(quantizer, MaxWeightQuantizer):
            tensors[name + LARGEST] = weight.new_zeros((), dtype=torch.float32)
            if quantizer.bit == 8:
                tensors[name + CODES] = weight.new_zeros(weight.shape, dtype=torch.int8)
        elif quantizer.normalize:
            tensors[name + STD] = weight.new_zeros((), dtype=torch.float32)
    return tensors


def float_tensors(network: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network on the CPU.

    Raises:
        UserError: if codes do not fit their bit width.
    """
    tensors = blank_tensors(network)
    for name, (layer, quantizer) in packed_layers(network).items():
        try:
            stream = encode(quantizer(layer.weight).values.numpy(), quantizer.bit, _levels(quantizer))
        except ValueError as error:
            raise UserError(f"layer {name}: {error}") from error
        tensors[name + CODES].view(-1).view(torch.uint8).copy_(torch.from_numpy(stream))
        if isinstance(quantizer, MaxWeightQuantizer):
            tensors[name + LARGEST] = (layer.weight.abs() if quantizer.magnitude else layer.weight).amax().float()
        elif quantizer.normalize:
            tensors[name + STD] = _std(layer.weight)
    return tensors


def fill(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Gives a network weights that it quantises to the codes of a file, and everything else as it is there.

    Args:
        network: on the CPU; its `blank_tensors` are those of the file, but that deviations may be missing: then those
            of the weights that it has are kept.
        tensors: see `float_tensors`.

    Raises:
        UserError: naming a layer for whose codes no weights are found.
    """
    layers = packed_layers(network)
    stds = {name: tensors.get(name + STD, _std(layer.weight)) for name, (layer, _) in layers.items()}
    network.load_state_dict({name: tensors[name] for name in network.state_dict() if name in tensors}, strict=False)
    for name, (layer, quantizer) in layers.items():
        codes = read_codes(tensors[name + CODES], quantizer.bit, _levels(quantizer), layer.weight.shape)
        if isinstance(quantizer, MaxWeightQuantizer):
            weight = _scaled(codes, quantizer, float(tensors[name + LARGEST]))
        else:
            weight = _latent(codes, quantizer, float(stds[name]))
        found = torch.from_numpy(weight).to(layer.weight.dtype)
        if not np.array_equal(quantizer(found).values.numpy(), codes):
            raise UserError(f"layer {name}: no weights are quantised to its codes")
        layer.weight.copy_(found)


def read_codes(stream: Tensor, bit: int, levels: LevelSet | None, shape: tuple[int, ...]) -> Array:
    """The codes of a layer; a ValueError if they are not as many as the shape says."""
    return decode(stream.view(-1).view(torch.uint8).numpy(), bit, levels, shape)


def _scaled(codes: Array, quantizer: MaxWeightQuantizer, largest: float) -> Array:
    """Codes times their scale; those of the largest weight are exactly that, since the scale is made of it."""
    weight = codes * (largest / quantizer.unit)
    weight[codes == quantizer.unit] = largest
    weight[codes == -quantizer.unit] = -largest
    return weight


def _latent(codes: Array, quantizer: WeightQuantizer, std: float) -> Array:
    alpha = quantizer.alpha.double().numpy()  # one, or one for each channel
    if not quantizer.normalize:
        return codes * (alpha.reshape(-1, *[1] * (codes.ndim - 1)) / quantizer.unit)
    weight = (
        latent_weights(codes, codebook(quantizer.bit, quantizer.levels), quantizer.unit, alpha) if std > 0 else None
    )
    # A layer of one number, or of equal ones, has codes 0.
    return np.zeros(codes.shape) if weight is None else weight * std


def _levels(quantizer: Quantizer) -> LevelSet | None:
    return quantizer.levels if isinstance(quantizer, WeightQuantizer) else None


def _std(weight: Tensor) -> Tensor:
    """Unbiased standard deviation, 0 of one number."""
    centred = weight.double() - weight.double().mean()
    return (centred.square().sum() / max(1, weight.numel() - 1)).sqrt().float()
