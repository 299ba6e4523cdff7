"""What a network must be made of to become a list of steps."""

import pytest
from torch import nn

from apot_lit.errors import UserError
from apot_lit.graph.steps import Convolution
from apot_lit.graph.trace import build_steps
from apot_lit.models import PixelInput, ResNet
from apot_lit.quant import QuantSpec, quantize_model
from tests.export.conftest import PIXELS


@pytest.mark.parametrize(
    ("network", "part"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.GELU(), nn.Conv2d(2, 2, 3)), "layer 2: GELU"),
        (nn.Sequential(nn.Conv2d(1, 2, 3, padding_mode="reflect", padding=1)), "layer 1: only zero padding"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.AvgPool2d(3, ceil_mode=True)), "layer 2: average pooling with ceil_mode"),
    ],
)
def test_what_cannot_be_exported_is_named(network, part):
    with pytest.raises(UserError, match=part):
        build_steps(nn.Sequential(PixelInput(*PIXELS), *network).eval())


def test_a_network_that_does_not_say_what_its_pixels_are_is_refused():
    with pytest.raises(UserError, match="needs one PixelInput"):
        build_steps(quantize_model(ResNet("resnet10", width=4), QuantSpec(bit=4)).eval())


def pixel_network():
    return ResNet("resnet10", width=4, input=PixelInput(*PIXELS))


def test_codes_that_do_not_fit_into_bytes_are_refused():
    for bit, power in ((6, 1), (8, 1)):
        network = quantize_model(pixel_network(), QuantSpec(bit=bit, power=power))
        with pytest.raises(UserError, match=r"layer layer1\.0\.conv1: .* don't fit into 8 bits"):
            build_steps(network.eval())
    network = quantize_model(pixel_network(), QuantSpec(bit=8, power=0))
    assert any(isinstance(step, Convolution) for step in build_steps(network.eval()))
