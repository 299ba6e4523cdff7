import itertools
from fractions import Fraction

import hypothesis.strategies as st
import torch
from hypothesis import given, settings

from apot_lit.quant.levels import level_set
from apot_lit.quant.quantizers import ActivationQuantizer, MaxWeightQuantizer, WeightQuantizer
from tests.quant import exact

quick = settings(max_examples=60, deadline=None)
scheme_names = st.sampled_from(exact.SCHEMES)
bit_counts = st.integers(1, 8)
alphas = st.floats(2.0**-9, 1000, width=32)
values = st.floats(-2000, 2000, width=32)
ratios = st.floats(-1.25, 1.25, width=32)


@st.composite
def quantisers(draw, signed=None):
    levels = level_set(draw(scheme_names), draw(bit_counts))
    is_signed = draw(st.booleans()) if signed is None else signed
    alpha = draw(alphas)
    return WeightQuantizer(levels, alpha, normalize=False) if is_signed else ActivationQuantizer(levels, alpha)


@st.composite
def tensors(draw, alpha):
    """Half of the values anywhere, half in proportion to alpha."""
    anywhere = draw(st.lists(values, max_size=6))
    scaled = draw(st.lists(ratios, min_size=1, max_size=20))
    return torch.cat([torch.tensor(anywhere), torch.tensor(scaled) * alpha])


@quick
@given(st.data(), quantisers())
def test_idempotent(data, quantizer):
    once = quantizer(data.draw(tensors(quantizer.alpha)))
    twice = quantizer(once.fake_quantized().detach())
    assert torch.equal(once.values, twice.values)
    assert torch.equal(once.fake_quantized(), twice.fake_quantized())


@quick
@given(st.data(), quantisers())
def test_monotone(data, quantizer):
    x = data.draw(tensors(quantizer.alpha)).sort().values
    assert (quantizer(x).fake_quantized().diff() >= 0).all()


@quick
@given(st.data(), quantisers(signed=True))
def test_weights_are_odd(data, quantizer):
    x = data.draw(tensors(quantizer.alpha))
    assert torch.equal(quantizer(-x).values, -quantizer(x).values)


@quick
@given(st.data(), quantisers(signed=False))
def test_activations_are_not_negative_and_are_weights_above_zero(data, quantizer):
    x = data.draw(tensors(quantizer.alpha))
    signed = WeightQuantizer(quantizer.levels, quantizer.alpha.item(), normalize=False)
    assert torch.equal(quantizer(x).values, signed(x).values.clamp(min=0))


@quick
@given(st.data(), quantisers())
def test_bounded_by_alpha(data, quantizer):
    out = quantizer(data.draw(tensors(quantizer.alpha))).fake_quantized()
    assert (out.abs().double() <= quantizer.alpha.double() * (1 + 2.0**-22)).all()


@quick
@given(st.data(), quantisers())
def test_codes_are_on_the_grid(data, quantizer):
    codes = quantizer(data.draw(tensors(quantizer.alpha))).values
    levels = set(exact.levels(quantizer.levels.scheme, quantizer.levels.bits))
    found = {Fraction(abs(code)) / quantizer.unit for code in codes.tolist()}
    assert all(level in levels for level in found)


@quick
@given(st.data(), quantisers())
def test_error_is_at_most_half_a_gap(data, quantizer):
    x = data.draw(tensors(quantizer.alpha))
    x = x.clamp(-quantizer.alpha if quantizer.signed else 0, quantizer.alpha)
    level_list = exact.levels(quantizer.levels.scheme, quantizer.levels.bits)
    widest = max(high - low for low, high in itertools.pairwise(level_list))
    error = (quantizer(x).fake_quantized() - x).abs().max().item()
    assert error <= (float(widest) / 2 + 4e-7) * quantizer.alpha.item()  # plus float32 rounding


@quick
@given(st.data(), quantisers(), st.integers(-6, 6))
def test_powers_of_two_scale_through(data, quantizer, shift):
    x = data.draw(tensors(quantizer.alpha))
    x = torch.where(x.abs() < 1e-30, 0, x)  # no subnormal numbers
    with torch.no_grad():
        quantizer.raw_alpha.fill_(max(quantizer.alpha.item(), 0.125))
        before = quantizer(x)
        quantizer.raw_alpha.mul_(2.0**shift)
    after = quantizer(x * 2.0**shift)
    assert torch.equal(before.values, after.values)
    assert torch.equal(before.fake_quantized() * 2.0**shift, after.fake_quantized())


@quick
@given(
    st.lists(values.filter(lambda value: value == 0 or abs(value) > 1e-30), min_size=1, max_size=20), st.integers(2, 8)
)
def test_max_weight_quantiser_keeps_the_largest_and_the_sign(weights, bit):
    weight = torch.tensor(weights)
    quantizer = MaxWeightQuantizer(bit)
    codes, scale = quantizer(weight)
    limit = 2 ** (bit - 1) - 1
    assert codes.abs().max() == (limit if weight.any() else 0)
    assert torch.equal(codes, codes.round())
    assert torch.equal(quantizer(-weight).values, -codes)
    assert ((codes * scale - weight).abs() <= scale * (0.5 + 1e-4)).all()
