"""What networks make of pixels, in exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from apot_lit.models import PixelInput, ResNet
from apot_lit.models.build import build_network
from apot_lit.quant import QuantSpec, dequantize_model, quantize_model
from apot_lit.quant.quantizers import Codes, FloatPassthrough, InputCodes

PIXELS = torch.arange(256, dtype=torch.uint8)


def giving_codes(mean, std):
    pixels = PixelInput(mean, std)
    pixels.gives_codes = True
    return pixels


@pytest.mark.parametrize("std", [0.3081, 0.25, 1.0, 0.7])
def test_normalised_pixels_are_exact_integers_times_the_step(std):
    pixels = PixelInput(mean=33 / 255, std=std)
    result = pixels(PIXELS)
    integers = np.arange(-33, 223)
    assert result.dtype == torch.float32
    assert result[33] == 0
    # The product of two exact numbers, rounded once to float32.
    assert pixels.step is not None
    expected = (integers * np.float64(np.float32(pixels.step))).astype(np.float32)
    assert np.array_equal(result.numpy(), expected)
    assert np.array_equal(np.round(result.double().numpy() * 255 * std), integers)
    assert np.allclose(result.double().numpy() * 255 * std, integers, rtol=2e-7, atol=0)


@pytest.mark.parametrize(
    ("mean", "fraction", "bit"),
    [
        (33 / 255, Fraction(33), 8),
        (0.12941176470588237, Fraction(33), 8),
        (0.0, Fraction(0), 8),
        (1.0, Fraction(255), 8),
        (0.131, Fraction(6681, 200), 16),
        (0.5, Fraction(255, 2), 9),
        (0.13, Fraction(663, 20), 13),
    ],
)
def test_integers_of_every_pixel_are_those_of_exact_fractions(mean, fraction, bit):
    std = Fraction(308, 1000)
    pixels = giving_codes(mean, float(std))
    assert Fraction(int(pixels.offset), pixels.multiplier) == fraction
    assert pixels.bit == bit
    codes = pixels(PIXELS)
    assert isinstance(codes, Codes)
    assert codes.scale == pixels.step == pytest.approx(float(1 / (255 * fraction.denominator * std)), rel=1e-15)
    for pixel, code in enumerate(codes.values.tolist()):
        assert code == int(code)
        assert Fraction(int(code)) / (255 * fraction.denominator) == Fraction(pixel, 255) - fraction / 255


def test_a_mean_of_many_digits_gives_floats():
    pixels = PixelInput(0.1307, 0.3081)
    assert (pixels.step, pixels.multiplier, pixels.bit) == (None, 1, 32)
    expected = (PIXELS.double() / 255 - 0.1307) / 0.3081
    torch.testing.assert_close(pixels(PIXELS).double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mean", [33 / 255, 0.131, 0.1307])
def test_float_images_are_taken_as_torchvision_gives_them(mean):
    images = PIXELS.float() / 255
    torch.testing.assert_close(PixelInput(mean, 0.3)(images), PixelInput(mean, 0.3)(PIXELS), rtol=1e-5, atol=1e-5)
    between = torch.tensor([0.1234567])
    expected = (between.double() - mean) / 0.3
    torch.testing.assert_close(PixelInput(mean, 0.3)(between).double(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.int16])
def test_pixels_may_be_integers_of_any_type(kind):
    pixels = torch.arange(256)
    for made in (PixelInput(33 / 255, 0.25), PixelInput(0.1307, 0.25)):
        assert torch.equal(made(pixels.to(kind)), made(pixels.to(torch.uint8)))
    assert torch.equal(giving_codes(33 / 255, 0.25)(pixels.to(kind)).values, pixels - 33.0)


@pytest.mark.parametrize("mean", [33 / 255, 0.131])
def test_a_first_layer_in_integers_gets_the_nearest_pixel_and_passes_the_gradient(mean):
    pixels = giving_codes(mean, 0.3)
    images = torch.tensor([0.0, 0.4 / 255, 0.6 / 255, 33.4 / 255, 1.0], requires_grad=True)
    codes = pixels(images)
    expected = pixels(torch.tensor([0, 0, 1, 33, 255], dtype=torch.uint8))
    assert torch.equal(codes.values, expected.values)
    codes.fake_quantized().sum().backward()
    torch.testing.assert_close(images.grad, torch.full((5,), 1 / 0.3), rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        (33.0, 1.0, "mean=33.0: must be a number from 0 to 1"),
        (float("nan"), 1.0, "mean=nan: must be a number from 0 to 1"),
        (True, 1.0, "mean=true: must be a number from 0 to 1"),
        (0.5, 0.0, "std=0.0: must be a number from 0.001 to 1000"),
        (0.5, 1e308, "std=1e+308: must be a number from 0.001 to 1000"),
        (0.5, float("inf"), "std=inf: must be a number from 0.001 to 1000"),
        (0.5, "wide", "std=wide: must be a number from 0.001 to 1000"),
    ],
)
def test_arguments_out_of_range(mean, std, message):
    with pytest.raises(ValueError, match="must be") as error:
        PixelInput(mean, std)
    assert str(error.value) == message


def built(mean=33 / 255, **quant):
    torch.manual_seed(0)
    config = {"model": {"name": "resnet10", "width": 4}, "quant": quant, "data": {"mean": mean, "std": 0.3081}}
    return build_network(config).eval()


@pytest.mark.parametrize(("mean", "kind"), [(33 / 255, InputCodes), (0.131, InputCodes), (0.1307, FloatPassthrough)])
def test_a_quantised_network_takes_pixels_and_goes_back_to_a_float_one(mean, kind):
    digits = torch.randint(0, 256, (3, 1, 28, 28), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    network = built(mean, bit=4)
    assert type(network.conv1.act_quantizer) is kind
    assert network(digits).shape == (3, 10)
    back = dequantize_model(network)
    assert torch.equal(back(digits), built(mean, bit=32)(digits))
    assert type(network.conv1.act_quantizer) is kind
    torch.testing.assert_close(network(digits.float() / 255), network(digits), rtol=1e-4, atol=1e-4)


def test_the_input_has_no_state_and_the_original_is_untouched():
    assert not PixelInput(0.5, 1.0).state_dict()
    network = ResNet("resnet10", width=4, input=PixelInput(33 / 255, 1.0))
    assert list(network.state_dict()) == list(ResNet("resnet10", width=4).state_dict())
    quantize_model(network, QuantSpec(bit=4))
    assert not network.input.gives_codes
    assert "PixelInput(mean=0.129412, std=1)" in repr(network)


def test_only_the_first_layer_reads_its_integers():
    model = nn.Sequential(PixelInput(33 / 255, 1.0), nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3), nn.Conv2d(2, 2, 3))
    quantized = quantize_model(model, QuantSpec(bit=4))
    readers = [name for name, module in quantized.named_modules() if isinstance(module, InputCodes)]
    assert readers == ["1.act_quantizer"]
    assert "InputCodes(bit=8)" in repr(quantized)
