import copy
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from apot_lit.quant.layers import QuantConv2d, QuantLinear
from apot_lit.quant.levels import level_set
from apot_lit.quant.quantizers import (
    ActivationQuantizer,
    Codes,
    FloatPassthrough,
    InputCodes,
    MaxWeightQuantizer,
    WeightQuantizer,
)
from tests.quant import exact

CONVOLUTIONS = {
    "plain": {},
    "no_bias": {"bias": False},
    "stride_padding": {"stride": 2, "padding": 1},
    "uneven": {"kernel_size": (3, 1), "stride": (1, 2), "padding": (0, 2)},
    "groups": {"groups": 2},
    "depthwise": {"groups": 4, "out_channels": 8},
    "dilation": {"dilation": 2, "padding": 2},
    "same": {"padding": "same"},
    "valid": {"padding": "valid"},
    "reflect": {"padding": 2, "padding_mode": "reflect"},
    "replicate": {"padding": (1, 2), "padding_mode": "replicate"},
    "circular": {"padding": 1, "padding_mode": "circular"},
}
schemes = pytest.mark.parametrize("scheme", exact.SCHEMES)


def float_conv(in_channels=4, out_channels=6, kernel_size=3, seed=0, **options):
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, **options)
    with torch.no_grad():
        conv.weight.copy_(exact.gaussian(*conv.weight.shape, seed=seed, scale=0.3) + 0.05)
        if conv.bias is not None:
            conv.bias.copy_(exact.gaussian(*conv.bias.shape, seed=seed + 1))
    return conv


def float_linear(in_features=12, out_features=5, bias=True):
    linear = nn.Linear(in_features, out_features, bias=bias)
    with torch.no_grad():
        linear.weight.copy_(exact.gaussian(out_features, in_features, seed=2, scale=0.3) - 0.05)
    return linear


def quantized(layer, scheme="apot", bit=4, weight_alpha=1.7, act_alpha=1.3):
    return {nn.Conv2d: QuantConv2d, nn.Linear: QuantLinear}[type(layer)].from_float(
        layer,
        WeightQuantizer(level_set(scheme, bit - 1), weight_alpha),
        ActivationQuantizer(level_set(scheme, bit), act_alpha),
    )


def certain_input(x, scheme, bit, act_alpha=1.3):
    """The input with values that float32 may send to either of two levels set to 0."""
    _, _, certain = exact.project64(x, act_alpha, scheme, bit, signed=False)
    return torch.where(torch.from_numpy(certain), x, 0)


def fake_quantized64(layer, x, scheme, bit, weight_alpha=1.7, act_alpha=1.3):
    """Input and weight after quantisation by the definitions, in float64."""
    weight = layer.weight.detach().double().numpy()
    normalized = (weight - weight.mean()) / weight.std(ddof=1)
    weights, _, certain = exact.project64(normalized, weight_alpha, scheme, bit - 1, signed=True, tolerance=1e-5)
    assert certain.all(), "choose another seed"
    inputs, _, _ = exact.project64(x, act_alpha, scheme, bit, signed=False)
    return torch.from_numpy(act_alpha * inputs), torch.from_numpy(weight_alpha * weights)


def convolve64(conv, x, weight):
    reference = nn.Conv2d(
        conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups,
        conv.bias is not None, conv.padding_mode, dtype=torch.float64,
    )  # fmt: skip
    with torch.no_grad():
        reference.weight.copy_(weight)
        if conv.bias is not None:
            reference.bias.copy_(conv.bias)
        return reference(x)


def assert_relative(found, expected, tolerance=1e-5):
    assert found.shape == expected.shape
    assert (found.double() - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolution_of_fake_quantised_tensors(options):
    conv = float_conv(**options)
    x = certain_input(exact.gaussian(2, 4, 7, 8, seed=3), "apot", 4)
    expected = convolve64(conv, *fake_quantized64(conv, x, "apot", 4))
    layer = quantized(conv)
    assert_relative(layer(x), expected)
    assert_relative(layer(x[0]), expected[0])  # without a batch dimension
    assert expected.abs().max() > 1


@pytest.mark.parametrize("bit", [2, 3, 5, 6])
@schemes
def test_convolution_with_every_scheme(scheme, bit):
    conv = float_conv()
    x = certain_input(exact.gaussian(2, 4, 6, 6, seed=4), scheme, bit)
    assert_relative(quantized(conv, scheme, bit)(x), convolve64(conv, *fake_quantized64(conv, x, scheme, bit)))


@pytest.mark.parametrize("shape", [(12,), (3, 12), (2, 3, 12)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_of_fake_quantised_tensors(shape, bias):
    linear = float_linear(bias=bias)
    x = certain_input(exact.gaussian(*shape, seed=5), "apot", 5)
    inputs, weight = fake_quantized64(linear, x, "apot", 5)
    expected = F.linear(inputs, weight, None if linear.bias is None else linear.bias.detach().double())
    assert_relative(quantized(linear, bit=5)(x), expected)


def test_first_and_last_layers_quantise_the_weight_alone():
    conv, linear = float_conv(3, 5), float_linear()
    for layer, x in ((conv, exact.gaussian(2, 3, 6, 6)), (linear, exact.gaussian(4, 12))):
        weight = layer.weight.detach().double()
        scale = weight.abs().max()
        rounded = weight.sign() * torch.floor((127 * weight / scale).abs() + 0.5) * scale / 127
        kind = QuantConv2d if layer is conv else QuantLinear
        operation = F.conv2d if layer is conv else F.linear
        expected = operation(x.double(), rounded, layer.bias.detach().double())
        assert_relative(kind.from_float(layer, MaxWeightQuantizer(8), FloatPassthrough())(x), expected)
    plain = QuantConv2d.from_float(conv, FloatPassthrough(), FloatPassthrough())
    x = exact.gaussian(2, 3, 6, 6)
    torch.testing.assert_close(plain(x), conv(x), rtol=1e-5, atol=1e-5)


def test_given_codes_are_convolved_as_integers():
    pixels = torch.randint(0, 256, (2, 3, 8, 8), generator=torch.Generator().manual_seed(0)) - 33
    step = 1 / (255 * 0.308)
    conv = float_conv(3, 5, padding=1, bias=False)
    layer = QuantConv2d.from_float(conv, MaxWeightQuantizer(8), InputCodes(8))
    codes = layer.weight_quantizer(conv.weight)
    expected = F.conv2d(pixels.double(), codes.values.detach().double(), padding=1) * codes.scale * step
    assert_relative(layer(Codes(pixels.float(), step)), expected, 1e-6)


def accumulating_layer(scheme, bit, **options):
    """A layer whose two scales are 1, so that its output is the accumulators, and its exact weight codes."""
    conv = float_conv(bias=False, **options)
    weights, inputs = level_set(scheme, bit - 1), level_set(scheme, bit)
    layer = QuantConv2d.from_float(
        conv,
        WeightQuantizer(weights, weights.denominator, normalize=False),
        ActivationQuantizer(inputs, inputs.denominator),
    )
    choice = torch.randint(len(weights.codes), conv.weight.shape, generator=torch.Generator().manual_seed(bit))
    sign = exact.gaussian(*conv.weight.shape, seed=bit).sign()
    with torch.no_grad():
        conv.weight.copy_(torch.tensor(weights.codes)[choice] * sign)
        conv.weight[::2].abs_()  # half of the channels add up to large sums
    return layer


def code_input(scheme, bit, *shape):
    codes = torch.tensor(level_set(scheme, bit).codes)
    return codes[torch.randint(len(codes), shape, generator=torch.Generator().manual_seed(99))].float()


def integer_convolution(x, weight, padding):
    """Stride 1 convolution in int64, one kernel position after the other."""
    x = np.pad(x.numpy().astype(np.int64), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    weight = weight.detach().numpy().astype(np.int64)
    height, width = x.shape[2] - weight.shape[2] + 1, x.shape[3] - weight.shape[3] + 1
    total = np.zeros((x.shape[0], weight.shape[0], height, width), np.int64)
    for row in range(weight.shape[2]):
        for column in range(weight.shape[3]):
            patch = x[:, :, row : row + height, column : column + width]
            total += np.einsum("nchw,oc->nohw", patch, weight[:, :, row, column])
    return total


@pytest.mark.parametrize(("scheme", "bit"), [(s, b) for s in ("apot", "uniform") for b in (2, 3, 4, 5)] + [("pot", 3)])
def test_accumulators_are_exact_integers(scheme, bit):
    # The largest layer of the networks in channels: 9 * 128 * 100 * 48 < 2^24.
    layer = accumulating_layer(scheme, bit, in_channels=128, out_channels=16, padding=1)
    x = code_input(scheme, bit, 2, 128, 6, 6)
    expected = integer_convolution(x, layer.weight, padding=1)
    assert np.array_equal(layer(x).detach().numpy(), expected)
    assert np.array_equal(layer(x.to(memory_format=torch.channels_last)).detach().numpy(), expected)
    assert np.abs(expected).max() > 500 * layer.weight.max() * x.max() / 4


def test_accumulators_do_not_depend_on_batch_size_or_threads():
    conv = float_conv(32, 16, padding=1)
    layer = quantized(conv, bit=5)
    x = exact.gaussian(12, 32, 10, 10, seed=7).abs()
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results += [
                layer(x),
                torch.cat([layer(part) for part in x.split(1)]),
                torch.cat([layer(x[:5]), layer(x[5:])]),
            ]
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(results[0], result) for result in results)
    assert len(results) == 6


@pytest.mark.parametrize("build", [float_conv, float_linear])
def test_from_float_and_to_float_share_parameters_and_leave_random_numbers_alone(build):
    layer = build()
    layer.eval()
    layer.weight.requires_grad_(False)
    state = torch.get_rng_state()
    wrapped = quantized(layer)
    back = wrapped.to_float()
    assert torch.equal(torch.get_rng_state(), state)
    assert type(back) is type(layer)
    for module in (wrapped, back):
        assert module.weight is layer.weight
        assert module.bias is layer.bias
        assert not module.training
        assert not module.weight.requires_grad
    assert wrapped.train().to_float().training
    assert repr(back) == repr(layer)
    assert list(back.state_dict()) == list(layer.state_dict())


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_to_float_computes_what_the_original_computed(options):
    conv = float_conv(**options)
    x = exact.gaussian(2, 4, 7, 8)
    assert torch.equal(quantized(conv).to_float()(x), conv(x))
    assert repr(quantized(conv).to_float()) == repr(conv)


@pytest.mark.parametrize("build", [float_conv, float_linear])
def test_copies_and_pickles_compute_the_same(build):
    layer = quantized(build())
    x = exact.gaussian(2, 4, 6, 6) if build is float_conv else exact.gaussian(3, 12)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))
        assert twin.weight is not layer.weight
        assert twin.weight_quantizer.raw_alpha is not layer.weight_quantizer.raw_alpha


def test_representation_shows_the_quantisers():
    text = repr(quantized(float_conv(stride=2), "apot", 4))
    assert "QuantConv2d(" in text
    assert "stride=(2, 2)" in text
    assert "WeightQuantizer(bit=4, scheme=apot, alpha=1.7)" in text
    assert "ActivationQuantizer(bit=4, scheme=apot, alpha=1.3)" in text


@pytest.mark.parametrize("build", [float_conv, float_linear])
def test_every_parameter_of_a_layer_gets_a_gradient(build):
    layer = quantized(build())
    x = (exact.gaussian(2, 4, 6, 6) if build is float_conv else exact.gaussian(3, 12)).requires_grad_()
    layer(x).square().sum().backward()
    for parameter in (x, *layer.parameters()):
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()
