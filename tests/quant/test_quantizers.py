import numpy as np
import pytest
import torch

from apot_lit.quant.functional import round_codes
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

schemes = pytest.mark.parametrize("scheme", exact.SCHEMES)


def half_away(x):
    """Round to nearest, halves away from zero."""
    return np.sign(x) * np.floor(np.abs(x) + 0.5)


@schemes
@pytest.mark.parametrize("bit", [2, 3, 4, 5, 8])
def test_scale_is_the_value_of_one_code(scheme, bit):
    x = exact.gaussian(500, seed=bit)
    quantizer = ActivationQuantizer(level_set(scheme, bit), 1.7)
    codes = quantizer(x)
    projection, _, certain = exact.project64(x, quantizer.alpha, scheme, bit, signed=False)
    np.testing.assert_allclose(codes.fake_quantized().detach()[certain], 1.7 * projection[certain], rtol=1e-6)
    assert certain.mean() > 0.99
    assert torch.equal(codes.fake_quantized(), codes.values * (quantizer.alpha.item() / quantizer.unit))


@schemes
@pytest.mark.parametrize("bit", [2, 3, 4, 5, 8])
def test_weight_quantiser_normalises_over_the_whole_tensor(scheme, bit):
    weight = exact.gaussian(8, 4, 3, 3, seed=bit) * 0.05 + 0.02
    plain = weight.double().numpy()
    normalized = (plain - plain.mean()) / np.sqrt(((plain - plain.mean()) ** 2).sum() / (plain.size - 1))
    projection, _, certain = exact.project64(normalized, 1.5, scheme, bit - 1, signed=True, tolerance=1e-5)
    quantizer = WeightQuantizer(level_set(scheme, bit - 1), 1.5)
    out = quantizer(weight).fake_quantized().detach().numpy()
    assert certain.mean() > 0.98
    np.testing.assert_allclose(out[certain], 1.5 * projection[certain], rtol=1e-6, atol=0)


@schemes
def test_two_bit_weights_are_ternary(scheme):
    quantizer = WeightQuantizer(level_set(scheme, 1), 2.0, normalize=False)
    x = torch.tensor([-9.0, -2.0, -1.0, -0.999, 0.0, 0.999, 1.0, 1.5, 2.0, 9.0])
    assert quantizer(x).fake_quantized().tolist() == [-2, -2, -2, 0, 0, 0, 2, 2, 2, 2]


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("scheme", ["apot", "uniform"])
def test_codes_up_to_five_bits_are_small_integers(scheme, bits):
    quantizer = ActivationQuantizer(level_set(scheme, bits), 1.0)
    codes = quantizer(torch.linspace(0, 1, 4001)).values
    assert torch.equal(codes, codes.to(torch.uint8).float())
    assert len(codes.unique()) == 2**bits


def test_bit_counts_the_sign():
    assert WeightQuantizer(level_set("apot", 3), 1.0).bit == 4
    assert ActivationQuantizer(level_set("apot", 3), 1.0).bit == 3


def test_representation_names_bit_scheme_and_threshold():
    assert repr(WeightQuantizer(level_set("apot", 3), 2.5)) == "WeightQuantizer(bit=4, scheme=apot, alpha=2.5)"
    assert "normalize=False" in repr(WeightQuantizer(level_set("apot", 3), 2.5, normalize=False))
    assert repr(ActivationQuantizer(level_set("pot", 3), 6.0)) == "ActivationQuantizer(bit=3, scheme=pot, alpha=6)"
    assert "bit=8" in repr(MaxWeightQuantizer(8))
    assert "bit=8" in repr(InputCodes(8))


def test_only_the_threshold_is_trained_and_saved():
    quantizer = ActivationQuantizer(level_set("apot", 4), 6.0)
    assert list(quantizer.state_dict()) == ["raw_alpha"]
    assert [parameter.item() for parameter in quantizer.parameters()] == [6.0]
    assert not quantizer.alpha.requires_grad


def test_passthrough_returns_its_input():
    x = exact.gaussian(3)
    codes = FloatPassthrough()(x)
    assert codes.values is x
    assert codes.scale is None
    assert codes.fake_quantized() is x
    assert Codes(x, torch.tensor(2.0)).fake_quantized().tolist() == (2 * x).tolist()


@pytest.mark.parametrize("bit", range(2, 9))
@pytest.mark.parametrize("sign", [1, -1])
def test_max_weight_quantiser_formula(bit, sign):
    weight = sign * exact.gaussian(7, 3, 5, 5, seed=bit, scale=0.1).abs() + exact.gaussian(7, 3, 5, 5, scale=0.01)
    plain = weight.double().numpy()
    limit, scale = 2 ** (bit - 1) - 1, np.abs(plain).max()
    expected = half_away(limit * plain / scale)
    certain = np.abs(np.abs(limit * plain / scale) % 1 - 0.5) > 1e-5
    codes = MaxWeightQuantizer(bit)(weight)
    assert certain.mean() > 0.99
    assert np.array_equal(codes.values.numpy()[certain], expected[certain])
    assert codes.values.abs().max() == limit
    values = codes.fake_quantized().double().numpy()
    np.testing.assert_allclose(values[certain], (expected * scale / limit)[certain], rtol=1e-6)


@pytest.mark.parametrize("bit", range(2, 9))
def test_max_weight_quantiser_rounds_halves_away_from_zero(bit):
    limit = 2 ** (bit - 1) - 1
    halves = torch.arange(-limit, limit) + 0.5
    weight = torch.cat([halves, torch.tensor([float(-limit)])]) / 4  # scale 1/4: everything is exact
    expected = [*half_away(halves.numpy()), -limit]
    assert MaxWeightQuantizer(bit)(weight).values.tolist() == expected


@pytest.mark.parametrize("bit", [4, 8])
def test_max_weight_quantiser_by_the_largest_value(bit):
    weight = -exact.gaussian(300, scale=0.2).abs() + 0.1  # the largest magnitude is negative
    plain, limit = weight.double().numpy(), 2 ** (bit - 1) - 1
    expected = half_away(limit * plain / plain.max())
    codes, scale = MaxWeightQuantizer(bit, magnitude=False)(weight)
    assert codes.numpy() == pytest.approx(expected)
    assert codes.max() == limit
    assert codes.min() < -2 * limit  # beyond the signed range, as the rule has it
    assert scale == pytest.approx(plain.max() / limit)


def test_rounding_can_be_limited():
    x = torch.tensor([-9.0, -3.4, -0.5, 0.49, 2.5, 3.0, 9.0])
    assert round_codes(x, torch.tensor(1.0), limit=3).tolist() == [-3, -3, -1, 0, 3, 3, 3]
    assert round_codes(x, torch.tensor(0.5)).tolist() == [-18, -7, -1, 1, 5, 6, 18]
    assert round_codes(x, torch.tensor(2.0), limit=2).tolist() == [-2, -2, 0, 0, 1, 2, 2]


def test_max_weight_quantiser_of_zeros_and_its_gradient():
    weight = torch.zeros(4, requires_grad=True)
    out = MaxWeightQuantizer(8)(weight).fake_quantized()
    assert out.tolist() == [0] * 4
    out.sum().backward()
    assert weight.grad.isfinite().all()

    weight = exact.gaussian(50).requires_grad_()
    grad_out = exact.gaussian(50, seed=1)
    MaxWeightQuantizer(8)(weight).fake_quantized().backward(grad_out)
    torch.testing.assert_close(weight.grad, grad_out)  # straight through, the largest weight too


def test_input_codes_are_handed_on():
    given = Codes(torch.tensor([-33.0, 222.0]), 0.25)
    assert InputCodes(8)(given) is given
    assert not InputCodes(8).state_dict()


def test_rounding_to_a_grid_is_to_nearest_and_passes_the_gradient():
    x = torch.tensor([-0.5, -0.24, 0.12, 0.125, 0.375, 1.1, 1000.0], requires_grad=True)
    codes = round_codes(x, 0.25)
    assert codes.tolist() == [-2, -1, 0, 1, 2, 4, 4000]
    (codes * 0.25).sum().backward()
    assert x.grad.tolist() == [1] * 7
