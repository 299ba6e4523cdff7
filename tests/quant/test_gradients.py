import numpy as np
import pytest
import torch
from torch import nn

from apot_lit.quant.alpha import positive_alpha, positive_alpha_slope
from apot_lit.quant.layers import QuantConv2d, QuantLinear
from apot_lit.quant.levels import level_set
from apot_lit.quant.normalize import normalize_weight
from apot_lit.quant.quantizers import ActivationQuantizer, FloatPassthrough, WeightQuantizer
from apot_lit.quant.spec import ALPHA_MIN
from tests.quant import exact

schemes = pytest.mark.parametrize("scheme", exact.SCHEMES)
cases = pytest.mark.parametrize("bits", exact.ALL_BITS)


def gradients(quantizer, x, grad_out):
    """Gradients of x and of the threshold when the fake-quantised x has the gradient grad_out."""
    x = x.clone().requires_grad_()
    quantizer(x).fake_quantized().backward(grad_out)
    return x.grad.double().numpy(), quantizer.raw_alpha.grad.item()


@pytest.mark.parametrize("alpha", [1.0, 0.7310585975646973])
@cases
@schemes
def test_activation_gradients_follow_the_definition(scheme, bits, alpha):
    x, grad_out = exact.gaussian(600, seed=bits, scale=0.8), exact.gaussian(600, seed=bits + 50)
    _, _, certain = exact.project64(x, alpha, scheme, bits, signed=False)
    assert certain.sum() > 590
    x, grad_out = x[certain], grad_out[certain]
    grad_x, grad_alpha = gradients(ActivationQuantizer(level_set(scheme, bits), alpha), x, grad_out)
    expected_x, expected_alpha, size = exact.clipping_gradients(x, alpha, grad_out, scheme, bits, signed=False)
    assert 0 < (expected_x == 0).sum() < len(x)
    np.testing.assert_allclose(grad_x, expected_x, rtol=1e-6, atol=0)
    assert abs(grad_alpha - expected_alpha) <= 1e-6 * size


@pytest.mark.parametrize("alpha", [1.0, 0.7310585975646973])
@cases
@schemes
def test_weight_gradients_follow_the_definition(scheme, bits, alpha):
    x, grad_out = exact.gaussian(600, seed=bits, scale=0.6), exact.gaussian(600, seed=bits + 50)
    _, _, certain = exact.project64(x, alpha, scheme, bits, signed=True)
    assert certain.sum() > 590
    x, grad_out = x[certain], grad_out[certain]
    quantizer = WeightQuantizer(level_set(scheme, bits), alpha, normalize=False)
    grad_x, grad_alpha = gradients(quantizer, x, grad_out)
    calibrated = bits == 1  # 2-bit weights: the gradient passes everywhere
    expected_x, expected_alpha, size = exact.clipping_gradients(
        x, alpha, grad_out, scheme, bits, signed=True, straight_through=calibrated
    )
    outside = (x.abs() > alpha).numpy()
    assert 10 < outside.sum() < len(x)
    assert (expected_x[outside] != 0).all() == calibrated
    np.testing.assert_allclose(grad_x, expected_x, rtol=1e-6, atol=0)
    assert abs(grad_alpha - expected_alpha) <= 1e-6 * size


@schemes
def test_activation_gradients_at_the_borders(scheme):
    x = torch.tensor([-1.0, 0.0, 1.5, 1.6, 1e-6])
    grad_x, _ = gradients(ActivationQuantizer(level_set(scheme, 3), 1.5), x, torch.ones(5))
    assert grad_x[3] == 0
    assert grad_x[[0, 2, 4]] == pytest.approx([0, 1, 1], abs=1e-6)  # the clip includes alpha itself
    _, above = gradients(ActivationQuantizer(level_set(scheme, 3), 1.5), torch.tensor([1.51]), torch.ones(1))
    assert above == pytest.approx(1)
    _, below = gradients(ActivationQuantizer(level_set(scheme, 3), 1.5), torch.tensor([-4.0]), torch.ones(1))
    assert below == 0


@schemes
def test_nan_shows_up_in_the_gradient_of_alpha(scheme):
    _, grad_alpha = gradients(
        ActivationQuantizer(level_set(scheme, 3), 1.5), torch.tensor([0.1, np.nan]), torch.ones(2)
    )
    assert np.isnan(grad_alpha)


@pytest.mark.parametrize("signed", [True, False], ids=["weight", "act"])
@schemes
def test_grad_scale_multiplies_the_gradient_of_alpha_alone(scheme, signed):
    def build(**options):
        if signed:
            return WeightQuantizer(level_set(scheme, 3), 1.1, normalize=False, **options)
        return ActivationQuantizer(level_set(scheme, 3), 1.1, **options)

    x, grad_out = exact.gaussian(200), exact.gaussian(200, seed=1)
    grad_x, grad_alpha = gradients(build(), x, grad_out)
    scaled_x, scaled_alpha = gradients(build(grad_scale=0.01), x, grad_out)
    assert scaled_alpha == pytest.approx(0.01 * grad_alpha, rel=1e-5)
    assert grad_alpha != 0
    assert np.array_equal(grad_x, scaled_x)


def output_slope(layer, x, raw_alpha, grad_out, step):
    """Central difference of sum(grad_out * layer(x)) with respect to a threshold."""
    results = []
    before = raw_alpha.item()
    for value in (before - step, before + step):
        with torch.no_grad():
            raw_alpha.fill_(value)
            results.append((layer(x).double() * grad_out.double()).sum().item())
    with torch.no_grad():
        raw_alpha.fill_(before)
    return (results[1] - results[0]) / (2 * step)


def conv_layer(scheme, bit, weight_alpha=3.0, act_alpha=1.0, normalize=False):
    conv = nn.Conv2d(3, 4, 3, padding=1)
    with torch.no_grad():
        conv.weight.copy_(exact.gaussian(4, 3, 3, 3, seed=3))
    return QuantConv2d.from_float(
        conv,
        WeightQuantizer(level_set(scheme, bit - 1), weight_alpha, normalize),
        ActivationQuantizer(level_set(scheme, bit), act_alpha),
    )


@pytest.mark.parametrize("bit", [2, 3, 5, 8])
@schemes
def test_where_everything_is_clipped_alpha_gradients_are_true_derivatives(scheme, bit):
    # Outside the clip q(x) = alpha sign(x): the formula is the derivative itself.
    layer = conv_layer(scheme, bit, weight_alpha=0.5, act_alpha=1.0)
    with torch.no_grad():
        layer.weight.copy_(torch.sign(layer.weight) * (layer.weight.abs() + 1))
    x = exact.gaussian(2, 3, 5, 5, seed=4).abs() + 2
    grad_out = exact.gaussian(2, 4, 5, 5, seed=5)
    layer(x).backward(grad_out)
    for quantizer in (layer.weight_quantizer, layer.act_quantizer):
        slope = output_slope(layer, x, quantizer.raw_alpha, grad_out, step=0.25)
        assert abs(slope) > 0.1
        assert quantizer.raw_alpha.grad.item() == pytest.approx(slope, rel=2e-5)


@pytest.mark.parametrize("bit", [2, 4, 6])
@schemes
def test_inside_the_clip_alpha_gradients_differ_from_derivatives_by_the_straight_through_part(scheme, bit):
    # With fixed codes the derivative is sum(g project(x / alpha)); the formula subtracts sum(g x / alpha) from it.
    alpha = 2.0
    x = exact.gaussian(6, 8, seed=6).abs().clamp(max=1.9)
    _, _, certain = exact.project64(x, alpha, scheme, bit, signed=False, tolerance=2e-3)
    x[torch.from_numpy(~certain)] = 0  # so that a step of a thousandth changes no code
    linear = nn.Linear(8, 5, bias=False)
    with torch.no_grad():
        linear.weight.copy_(exact.gaussian(5, 8))
    layer = QuantLinear.from_float(linear, FloatPassthrough(), ActivationQuantizer(level_set(scheme, bit), alpha))
    grad_out = exact.gaussian(6, 5, seed=7)
    layer(x).backward(grad_out)
    slope = output_slope(layer, x, layer.act_quantizer.raw_alpha, grad_out, step=1e-3 * alpha)
    straight_through = ((grad_out @ linear.weight.detach()).double() * x.double()).sum().item() / alpha
    assert layer.act_quantizer.raw_alpha.grad.item() == pytest.approx(slope - straight_through, abs=2e-3)
    assert abs(slope) > 0.1


@pytest.mark.parametrize("shape", [(4, 3, 3, 3), (5, 7), (2,)])
def test_weight_normalisation_and_its_gradient(shape):
    weight = (exact.gaussian(*shape) * 0.2 + 0.1).requires_grad_()
    grad_out = exact.gaussian(*shape, seed=1)
    normalized = normalize_weight(weight)
    normalized.backward(grad_out)

    plain = weight.detach().double().requires_grad_()
    count = plain.numel()
    mean = plain.sum() / count
    variance = ((plain - mean) ** 2).sum() / (count - 1)
    expected = (plain - mean) / variance.sqrt()
    expected.backward(grad_out.double())
    torch.testing.assert_close(normalized.double(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(weight.grad.double(), plain.grad, rtol=1e-4, atol=2e-5)


def test_weight_normalisation_passes_gradcheck():
    weight = exact.gaussian(3, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(normalize_weight, weight)


@pytest.mark.parametrize("weight", [torch.zeros(3, 3), torch.full((2, 2), 0.7), torch.tensor([[5.0]])])
def test_weights_without_spread_give_zeros_and_finite_gradients(weight):
    weight = weight.clone().requires_grad_()
    quantizer = WeightQuantizer(level_set("apot", 3), 3.0)
    quantizer(weight).fake_quantized().sum().backward()
    assert (quantizer(weight).values == 0).all()
    assert weight.grad.isfinite().all()
    assert quantizer.raw_alpha.grad.isfinite()


@schemes
def test_gradients_flow_through_the_normalisation(scheme):
    weight = exact.gaussian(6, 5, scale=0.3).requires_grad_()
    grad_out = exact.gaussian(6, 5, seed=2)
    quantizer = WeightQuantizer(level_set(scheme, 3), 1.2)
    quantizer(weight).fake_quantized().backward(grad_out)

    plain = weight.detach().double().requires_grad_()
    normalized = (plain - plain.mean()) / plain.std()
    ratio = normalized.detach().numpy()
    inner, grad_alpha, size = exact.clipping_gradients(ratio, 1.2, grad_out, scheme, 3, signed=True)
    normalized.backward(torch.from_numpy(np.array(inner)))
    torch.testing.assert_close(weight.grad.double(), plain.grad, rtol=1e-4, atol=1e-5)
    assert abs(quantizer.raw_alpha.grad.item() - grad_alpha) < 1e-5 * size
    assert abs(weight.grad.sum()) < 1e-4  # what mean and deviation take out has no gradient
    assert abs((weight.grad * weight.detach()).sum()) < 1e-4


def test_positive_alpha_is_the_identity_above_its_minimum_and_positive_below():
    above = torch.tensor([ALPHA_MIN, 2 * ALPHA_MIN, 0.5, 3.0, 6.0, 1e6])
    assert torch.equal(positive_alpha(above), above)
    below = torch.tensor([0.999 * ALPHA_MIN, 1e-4, 0.0, -1e-3, -1.0, -1e5, -1e6, -1e20, -3e38])
    values = positive_alpha(below)
    assert (values > 0).all()
    assert (values < ALPHA_MIN).all()
    assert (values[1:-2] < values[:-3]).all()
    assert (values[-3:] > 0.99e-12).all()  # the floor that keeps 1 / alpha finite


def test_positive_alpha_is_continuous_with_its_slope():
    minimum = torch.tensor(ALPHA_MIN, dtype=torch.float64)
    for distance in (1e-6, 1e-9):
        step = distance * minimum
        low, high = positive_alpha(minimum - step), positive_alpha(minimum + step)
        assert abs(high - low) < 3 * step
        assert positive_alpha_slope(low) == pytest.approx(1, abs=3 * distance)
        assert positive_alpha_slope(high) == 1


@pytest.mark.parametrize("raw", [-3.0, -0.02, -1e-3, 0.0, 2e-4, 9.9e-4, 1.1e-3, 0.5, 4.0])
def test_positive_alpha_slope_is_its_finite_difference(raw):
    point = torch.tensor(raw, dtype=torch.float64)
    step = 1e-6 * max(abs(raw), ALPHA_MIN)
    slope = (positive_alpha(point + step) - positive_alpha(point - step)) / (2 * step)
    assert positive_alpha_slope(positive_alpha(point)) == pytest.approx(float(slope), rel=1e-4)


@pytest.mark.parametrize("raw", [0.5, 9e-4, 0.0, -0.01])
def test_gradient_of_the_raw_parameter_includes_the_slope(raw):
    # all inputs above the clip: sum(q) = count * positive_alpha(raw)
    quantizer = ActivationQuantizer(level_set("apot", 4), 1.0)
    with torch.no_grad():
        quantizer.raw_alpha.fill_(raw)
    _, grad_raw = gradients(quantizer, torch.full((10,), 2.0), torch.ones(10))
    point = torch.tensor(raw, dtype=torch.float64)
    step = 1e-6 * max(abs(raw), ALPHA_MIN)
    slope = (positive_alpha(point + step) - positive_alpha(point - step)) / (2 * step)
    assert grad_raw == pytest.approx(10 * slope, rel=1e-4)


@pytest.mark.parametrize(("lr", "momentum"), [(0.1, 0.0), (10.0, 0.9), (1e6, 0.99), (1e12, 0.0)])
@pytest.mark.parametrize("bit", [2, 5])
@schemes
def test_sgd_cannot_push_a_threshold_to_zero_or_below(scheme, bit, lr, momentum):
    layer = conv_layer(scheme, bit, normalize=True)
    thresholds = [layer.weight_quantizer.raw_alpha, layer.act_quantizer.raw_alpha]
    optimizer = torch.optim.SGD(thresholds, lr=lr, momentum=momentum)
    with torch.no_grad():
        layer.weight.abs_()
    x = exact.gaussian(2, 3, 6, 6, seed=1).abs()
    for _ in range(8):
        optimizer.zero_grad()
        loss = layer(x).square().sum()  # smaller thresholds, smaller loss
        loss.backward()
        assert all(parameter.grad.isfinite() for parameter in thresholds)
        optimizer.step()
        assert layer.weight_quantizer.alpha > 0
        assert layer.act_quantizer.alpha > 0
        assert layer(x).isfinite().all()
    assert min(parameter.item() for parameter in thresholds) < 0 or lr < 1  # it was pushed indeed


@pytest.mark.parametrize("signed", [True, False], ids=["weight", "act"])
@schemes
def test_quantisers_stay_finite_for_very_negative_raw_thresholds(scheme, signed):
    levels = level_set(scheme, 3)
    quantizer = WeightQuantizer(levels, 1.0) if signed else ActivationQuantizer(levels, 1.0)
    x = torch.cat([torch.zeros(3), exact.gaussian(50)])
    for raw in (0.0, -1.0, -1e6, -1e12, -1e24, -1e30):
        with torch.no_grad():
            quantizer.raw_alpha.fill_(raw)
        assert quantizer.alpha > 0
        codes = quantizer(x)
        assert codes.values.isfinite().all()
        assert (codes.values[0] == 0) or signed
        assert codes.fake_quantized().isfinite().all()
