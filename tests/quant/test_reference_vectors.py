"""Outputs and gradients of the reference implementation, as it was seen to compute them."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from apot_lit.quant.layers import QuantConv2d, QuantLinear
from apot_lit.quant.levels import level_set
from apot_lit.quant.quantizers import ActivationQuantizer, FloatPassthrough, MaxWeightQuantizer, WeightQuantizer
from tests.quant import exact

VECTORS = dict(np.load(Path(__file__).parent / "layer_vectors.npz"))
cases = pytest.mark.parametrize("bit", range(2, 7))
schemes = pytest.mark.parametrize("scheme", ["apot", "uniform"])


def vectors(*path):
    prefix = "/".join(path) + "/"
    return {key.removeprefix(prefix): torch.from_numpy(v) for key, v in VECTORS.items() if key.startswith(prefix)}


def assert_close(found, expected, scale=None, tolerance=1e-5):
    """Equal within 1e-5 of the scale, by default of the largest expected magnitude."""
    scale = expected.abs().max() if scale is None else scale
    assert found.shape == expected.shape
    assert (found.detach() - expected).abs().max() <= tolerance * scale


@pytest.mark.parametrize("kind", ["weight", "act"])
@cases
@schemes
def test_quantiser(scheme, bit, kind):
    data, signed = vectors(f"{scheme}{bit}", kind), kind == "weight"
    levels = level_set(scheme, bit - 1 if signed else bit)
    alpha = data["alpha"].item()
    quantizer = WeightQuantizer(levels, alpha, normalize=False) if signed else ActivationQuantizer(levels, alpha)
    x = data["x"].clone().requires_grad_()
    out = quantizer(x).fake_quantized()
    out.backward(data["grad_out"])

    projection, _, certain = exact.project64(data["x"], alpha, scheme, levels.bits, signed)
    assert certain.sum() >= len(certain) - 3
    assert len(np.unique(projection)) == (2 ** (levels.bits + 1) - 1 if signed else 2**levels.bits)
    certain = torch.from_numpy(certain)
    # on another level it would differ by a gap, which is a thousand times the tolerance
    assert_close(out[certain], data["out"][certain], scale=alpha, tolerance=1e-6)
    assert_close(data["out"][certain], alpha * torch.from_numpy(projection)[certain], scale=alpha, tolerance=1e-6)
    relative = ((x.grad - data["grad_x"]).abs() / data["grad_out"].abs().clamp(min=1e-12))[certain]
    assert relative.max() <= 1e-5
    _, _, size = exact.clipping_gradients(data["x"], alpha, data["grad_out"], scheme, levels.bits, signed)
    excused = (data["grad_out"].abs()[~certain]).sum().item()  # a level of its own moves alpha's gradient a little
    assert abs(quantizer.raw_alpha.grad - data["grad_alpha"]) <= 1e-5 * size + excused


@cases
@schemes
def test_layer(scheme, bit):
    data = vectors(f"{scheme}{bit}", "layer")
    conv = nn.Conv2d(8, 12, 3, stride=2, padding=1, bias=False)
    conv.weight = nn.Parameter(data["weight"].clone())
    layer = QuantConv2d.from_float(
        conv,
        WeightQuantizer(level_set(scheme, bit - 1), data["weight_alpha"].item()),
        ActivationQuantizer(level_set(scheme, bit), data["act_alpha"].item()),
    )
    x = data["x"].clone().requires_grad_()
    out = layer(x)
    out.backward(data["grad_out"])
    assert_close(out, data["out"])
    assert_close(x.grad, data["grad_x"])
    assert_close(layer.weight.grad, data["grad_weight"])

    # The gradients of thresholds are sums with cancellation: their scale is the sum of the absolute terms.
    weight = (data["weight"] - data["weight"].mean()) / data["weight"].std()
    sizes = {}
    for kind, values, bits in (("act", data["x"], bit), ("weight", weight, bit - 1)):
        operand = {"act": layer.act_quantizer(data["x"]), "weight": layer.weight_quantizer(data["weight"])}
        fake = {name: codes.fake_quantized().detach() for name, codes in operand.items()}
        leaf = fake[kind].requires_grad_()
        F.conv2d(fake["act"], fake["weight"], stride=2, padding=1).backward(data["grad_out"])
        alpha = data[f"{kind}_alpha"].item()
        _, _, sizes[kind] = exact.clipping_gradients(values, alpha, leaf.grad, scheme, bits, kind == "weight")
    assert_close(layer.act_quantizer.raw_alpha.grad, data["grad_act_alpha"], sizes["act"])
    assert_close(layer.weight_quantizer.raw_alpha.grad, data["grad_weight_alpha"], sizes["weight"])


@pytest.mark.parametrize("name", ["first_conv", "last_fc"])
def test_edge_layer(name):
    data = vectors(name)
    weight = data["weight"].double()
    ratio = 127 * weight / weight.max()  # the reference's scale: the largest weight, not the largest magnitude
    certain = ((ratio.abs() % 1 - 0.5).abs() > 1e-6).flatten(1).all(1)
    assert certain.sum() >= len(certain) - 1  # one weight of the linear layer lies on a midpoint, within float32
    quantizer = MaxWeightQuantizer(8, magnitude=False)
    if name == "first_conv":
        conv = nn.Conv2d(1, 16, 7, stride=2, padding=3, bias=False)
        conv.weight = nn.Parameter(data["weight"])
        layer = QuantConv2d.from_float(conv, quantizer, FloatPassthrough())
    else:
        linear = nn.Linear(128, 10)
        linear.weight, linear.bias = nn.Parameter(data["weight"]), nn.Parameter(data["bias"])
        layer = QuantLinear.from_float(linear, quantizer, FloatPassthrough())
    codes = quantizer(data["weight"]).values
    assert torch.equal(codes[certain], ratio.round().float()[certain])
    assert_close(layer(data["x"])[:, certain], data["out"][:, certain])
    assert_close(layer(data["x"]), data["out"], tolerance=2e-3)  # one code more or less
