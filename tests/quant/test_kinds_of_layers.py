"""Convolutions of one dimension, grouped and depthwise ones, against the definition of quantisation."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from apot_lit.quant import QuantConv1d, QuantSpec, dequantize_model, quantize_model
from apot_lit.quant.functional import fake_quantize
from apot_lit.quant.levels import level_set
from tests.quant import exact

BIT = 3
LAYERS = {
    "conv1d": nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2),
    "conv1d, depthwise": nn.Conv1d(4, 8, 3, padding=1, groups=4, bias=False),
    "conv1d, reflecting": nn.Conv1d(4, 4, 3, padding=2, padding_mode="reflect"),
    "conv1d, same": nn.Conv1d(4, 4, 3, padding="same"),
    "grouped": nn.Conv2d(4, 6, 3, padding=1, groups=2),
    "depthwise": nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4, bias=False),
    "depthwise, twice": nn.Conv2d(4, 8, 3, groups=4),
    "pixelwise groups": nn.Conv2d(4, 8, 1, groups=2),
}


def quantized(layer):
    network = nn.Sequential(nn.Conv2d(1, 1, 1), layer, nn.Linear(1, 1))
    return quantize_model(network, QuantSpec(bit=BIT, weight_alpha=2.0, act_alpha=2.0))[1]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", LAYERS)
def test_they_compute_the_definition_with_its_gradients(name, layout):
    layer = LAYERS[name]
    size = (2, 4, 9, 9) if isinstance(layer, nn.Conv2d) else (2, 4, 11)
    x = exact.gaussian(*size, seed=3)
    x = x.contiguous(memory_format=layout) if len(size) == 4 else x
    x = x.detach().requires_grad_()
    own = quantized(layer)
    assert type(own).__name__ == f"Quant{type(layer).__name__}"
    signed = own.act_quantizer.signed
    got = own(x)

    weight = own.weight.detach().double().requires_grad_()
    alphas = [torch.tensor(2.0, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    inputs = x.detach().double().requires_grad_()
    normalized = (weight - weight.mean()) / weight.std()
    codes_w = fake_quantize(normalized, alphas[0], level_set("apot", BIT - 1), signed=True)
    codes_x = fake_quantize(inputs, alphas[1], level_set("apot", BIT - signed), signed=signed)
    bias = None if own.bias is None else own.bias.detach().double()
    if isinstance(layer, nn.Conv1d) and layer.padding_mode == "reflect":
        expected = F.conv1d(F.pad(codes_x, (2, 2), mode="reflect"), codes_w, bias)
    else:
        convolve = F.conv2d if isinstance(layer, nn.Conv2d) else F.conv1d
        expected = convolve(codes_x, codes_w, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
    assert torch.allclose(got.double(), expected, atol=1e-5)

    direction = exact.gaussian(*got.shape, seed=5)
    (got * direction).sum().backward()
    (expected * direction.double()).sum().backward()
    for ours, theirs in (
        (x.grad, inputs.grad), (own.weight.grad, weight.grad),
        (own.weight_quantizer.raw_alpha.grad, alphas[0].grad), (own.act_quantizer.raw_alpha.grad, alphas[1].grad),
    ):  # fmt: skip
        assert torch.allclose(ours.double(), theirs, rtol=1e-3, atol=1e-3)


def test_a_layer_of_one_dimension_comes_back():
    layer = LAYERS["conv1d"]
    network = quantize_model(nn.Sequential(layer, nn.ReLU(), nn.Flatten(), nn.Linear(36, 2)), QuantSpec(bit=4))
    assert type(network[0]) is QuantConv1d
    back = dequantize_model(network)
    assert type(back[0]) is nn.Conv1d
    assert repr(back[0]) == repr(layer)
    assert torch.equal(back[0].weight, layer.weight)
