"""A quantised convolution as one operation of autograd, against the same layer as many."""

import pytest
import torch
from torch import nn

from apot_lit.quant import QuantConv2d, QuantSpec, quantize_model
from apot_lit.quant.cpu import native
from tests.quant.test_convolution import FORMATS, ONE_PIXEL, OTHERS, POINTWISE


@pytest.fixture(autouse=True)
def way():
    """Not each way in turn, as elsewhere in this package."""


def layer_of(geometry, bit=4, quantised_edges=False, **options):
    """A quantised convolution between two others; the first one of the network if `quantised_edges`."""
    torch.manual_seed(0)
    _, kernel, stride, padding = geometry
    convolution = nn.Conv2d(4, 6, kernel, stride, padding, **options)
    others = [nn.Conv2d(4, 4, 1), nn.Conv2d(6, 6, 1)]
    network = nn.Sequential(others[0], convolution, others[1]) if not quantised_edges else nn.Sequential(convolution)
    return quantize_model(network, QuantSpec(bit=bit))[0 if quantised_edges else 1]


def watch(layer):
    """Lets each quantiser be a module that is called, as for whoever looks at its codes."""
    for quantizer in (layer.act_quantizer, layer.weight_quantizer):
        quantizer.register_forward_hook(lambda *_: None)


def outcome(layer, x):
    layer.zero_grad()
    x = x.detach().requires_grad_()
    y = torch.relu_(layer(x))  # in place: the result must be no view that autograd refuses to change
    y.backward(torch.linspace(-1, 2, y.numel()).view(y.shape))
    return y.detach(), {"x": x.grad, **{name: value.grad for name, value in layer.named_parameters()}}


def input_of(geometry, memory_format):
    size = (geometry[0],) * 2 if isinstance(geometry[0], int) else geometry[0]
    x = torch.randn(3, 4, *size, generator=torch.Generator().manual_seed(1)) * 2
    return x.contiguous(memory_format=memory_format)


@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("geometry", ONE_PIXEL + POINTWISE + OTHERS, ids=str)
def test_one_operation_does_what_many_do(geometry, memory_format):
    layer, x = layer_of(geometry), input_of(geometry, memory_format)
    y, gradients = outcome(layer, x)
    watch(layer)
    expected, references = outcome(layer, x)
    assert torch.equal(y, expected)
    assert gradients.keys() == references.keys() == {
        *("x", "weight", "bias", "act_quantizer.raw_alpha", "weight_quantizer.raw_alpha")
    }  # fmt: skip
    for name, reference in references.items():
        torch.testing.assert_close(gradients[name], reference, rtol=1e-4, atol=1e-4 * float(reference.abs().max()))


@pytest.mark.parametrize("options", [{"groups": 2}, {"dilation": 2}, {"padding_mode": "circular"}], ids=str)
def test_other_options(options):
    geometry = (5, 3, 1, 1)
    layer, x = layer_of(geometry, **options), input_of(geometry, torch.channels_last)
    y, gradients = outcome(layer, x)
    watch(layer)
    expected, references = outcome(layer, x)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(gradients, references, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("frozen", ["weight", "weight_quantizer.raw_alpha", "act_quantizer.raw_alpha"])
def test_what_is_frozen_gets_no_gradient_and_the_rest_its_own(frozen):
    geometry = (4, 3, 1, 1)
    layer, x = layer_of(geometry), input_of(geometry, torch.channels_last)
    _, references = outcome(layer, x)
    layer.get_parameter(frozen).requires_grad_(False)
    layer.get_parameter(frozen).grad = None
    _, gradients = outcome(layer, x)
    assert gradients.pop(frozen) is None
    assert all(torch.equal(gradient, references[name]) for name, gradient in gradients.items())


def test_a_first_layer_has_the_gradients_of_its_fake_quantised_weight():
    """In float64, by torch alone: the gradient of the weight is straight through."""
    geometry = (5, 3, 2, 1)
    layer, x = layer_of(geometry, quantised_edges=True), input_of(geometry, torch.contiguous_format)
    assert isinstance(layer, QuantConv2d)
    y, gradients = outcome(layer, x)
    weight = layer.weight_quantizer(layer.weight).fake_quantized().detach().double().requires_grad_()
    leaf = x.double().requires_grad_()
    expected = torch.relu(nn.functional.conv2d(leaf, weight, layer.bias.double(), 2, 1))
    expected.backward(torch.linspace(-1, 2, y.numel()).view(y.shape).double())
    torch.testing.assert_close(y.double(), expected.detach(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradients["weight"].double(), weight.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(gradients["x"].double(), leaf.grad, rtol=1e-4, atol=1e-4)


def test_which_layers_are_one_operation():
    """With a bias, the convolution is what the sum comes from."""

    def made_by(layer):
        y = layer(input_of((4, 3, 1, 1), torch.channels_last))
        return y.grad_fn.next_functions[0][0].name()

    layer = layer_of((4, 3, 1, 1))
    assert made_by(layer) == ("ScaledConvolutionBackward" if native.load() is None else "NativeConvolutionBackward")
    watch(layer)
    assert made_by(layer) == "ScaledConvolutionBackward"
    assert made_by(layer_of((4, 3, 1, 1), padding_mode="circular")) == "MulBackward0"
