from fractions import Fraction

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from apot_lit.quant.levels import level_set
from apot_lit.quant.projection import _project_to_power_of_two, _search_power_of_two
from apot_lit.quant.quantizers import ActivationQuantizer, WeightQuantizer
from tests.quant import exact

FLOAT32_SMALLEST = Fraction(1, 2**126)  # plain powers of two of 8 bits go down to 2^-254: what is below is 0
kinds = pytest.mark.parametrize("signed", [True, False], ids=["weight", "act"])
schemes = pytest.mark.parametrize("scheme", exact.SCHEMES)
cases = pytest.mark.parametrize("bits", exact.ALL_BITS)


def quantizer_of(scheme, bits, signed, alpha=1.0):
    levels = level_set(scheme, bits)
    if signed:
        return WeightQuantizer(levels, alpha, normalize=False)
    return ActivationQuantizer(levels, alpha)


def exact_levels(scheme, bits):
    return [level for level in exact.levels(scheme, bits) if level == 0 or level >= FLOAT32_SMALLEST]


def projected(quantizer, x):
    """What a quantiser makes of x, as exact fractions of alpha."""
    return [Fraction(code) / quantizer.unit for code in quantizer(x).values.flatten().tolist()]


@kinds
@cases
@schemes
def test_every_value_goes_to_the_nearest_level(scheme, bits, signed):
    brute_force = exact.BruteForce(exact_levels(scheme, bits))
    for alpha in (1.0, 2.7182817459106445, 0.037):
        quantizer = quantizer_of(scheme, bits, signed, alpha)
        alpha32 = Fraction(quantizer.raw_alpha.item())
        x = torch.cat([exact.gaussian(40, seed=bits, scale=alpha / 2), torch.linspace(-1.3, 1.3, 24) * alpha])
        small = exact.gaussian(16, seed=bits + 8, scale=alpha) * 2.0 ** -torch.arange(16.0)  # where pot is dense
        x = torch.cat([x, small])
        ratios = [Fraction(value) / alpha32 for value in x.tolist()]
        compared = 0
        for ratio, found in zip(ratios, projected(quantizer, x), strict=True):
            if not brute_force.near_midpoint(ratio):
                assert found == brute_force.nearest(ratio, signed), (alpha, float(ratio))
                compared += 1
        assert compared >= 75  # of 80: excused are those within 1e-6 of a midpoint alone


@kinds
@cases
@schemes
def test_ties_go_to_the_larger_magnitude(scheme, bits, signed):
    # alpha = denominator * 2^k makes x * (2 * denominator / alpha) an exact float32 operation, and midpoints exact.
    levels, level_list = level_set(scheme, bits), exact_levels(scheme, bits)
    middles = exact.midpoints(level_list)
    for shift in (0, -3, 5) if levels.denominator < 2**20 else (0,):
        alpha = Fraction(levels.denominator) * Fraction(2) ** shift if levels.denominator < 2**20 else Fraction(1)
        quantizer = quantizer_of(scheme, bits, signed, float(alpha))
        x = torch.tensor([float(middle * alpha) for middle in middles], dtype=torch.float64)
        keep = x >= 2.0**-126
        assert torch.equal(x.float().double(), x), "the construction is not exact"
        assert keep.sum() >= len(middles) - 1
        larger = [level for level, kept in zip(level_list[1:], keep.tolist(), strict=True) if kept]
        assert projected(quantizer, x[keep].float()) == larger
        expected_below = [-level for level in larger] if signed else [Fraction(0)] * len(larger)
        assert projected(quantizer, -x[keep].float()) == expected_below


@kinds
@cases
@schemes
def test_just_below_a_midpoint_goes_to_the_smaller_magnitude(scheme, bits, signed):
    levels, level_list = level_set(scheme, bits), exact_levels(scheme, bits)
    alpha = float(levels.denominator) if levels.denominator < 2**20 else 1.0
    x = torch.tensor([float(middle * Fraction(alpha)) for middle in exact.midpoints(level_list)])
    keep = x > 2.0**-120
    below = torch.nextafter(x, torch.tensor(0.0))[keep]
    smaller = [level for level, kept in zip(level_list[:-1], keep.tolist(), strict=True) if kept]
    quantizer = quantizer_of(scheme, bits, signed, alpha)
    assert projected(quantizer, below) == smaller
    if signed:
        assert projected(quantizer, -below) == [-level for level in smaller]


@kinds
@cases
@schemes
def test_the_levels_themselves_stay(scheme, bits, signed):
    level_list = exact_levels(scheme, bits)
    for alpha in (1.0, 0.3, 77.7):
        quantizer = quantizer_of(scheme, bits, signed, alpha)
        x = torch.tensor([float(level) for level in level_list], dtype=torch.float64) * quantizer.alpha.double()
        keep = x >= 2.0**-125
        values = [level for level, kept in zip(level_list, keep.tolist(), strict=True) if kept]
        assert projected(quantizer, x[keep].float()) == values


@kinds
@cases
@schemes
def test_out_of_range_values_are_clipped_and_nan_stays(scheme, bits, signed):
    quantizer = quantizer_of(scheme, bits, signed, 1.5)
    inf, nan = float("inf"), float("nan")
    x = torch.tensor([1.5001, 2.0, 1e30, inf, -1.5001, -2.0, -1e30, -inf, nan, 0.0, -0.0])
    lowest = -1.5 if signed else 0.0
    out = quantizer(x).fake_quantized().detach()
    expected = torch.tensor([1.5] * 4 + [lowest] * 4 + [nan, 0.0, 0.0])
    torch.testing.assert_close(out, expected, rtol=3e-7, atol=0, equal_nan=True)


@kinds
@pytest.mark.parametrize(("scheme", "bits"), [("apot", 4), ("apot", 8), ("pot", 7), ("pot", 2), ("uniform", 3)])
def test_any_shape_and_memory_layout(scheme, bits, signed):
    quantizer = quantizer_of(scheme, bits, signed, 1.3)
    x = exact.gaussian(4, 6, 5, 3)
    reference = torch.stack([quantizer(value).values for value in x.flatten()]).view(x.shape)  # 0-d tensors
    assert len(reference.unique()) > 3
    assert torch.equal(quantizer(x).values, reference)
    assert torch.equal(quantizer(x.to(memory_format=torch.channels_last)).values, reference)
    assert torch.equal(quantizer(x.transpose(0, 3)).values, reference.transpose(0, 3))
    assert torch.equal(quantizer(x[::2, 1::3, :, ::2]).values, reference[::2, 1::3, :, ::2])
    assert torch.equal(quantizer(x[:1].expand(3, -1, -1, -1)).values, reference[:1].expand(3, -1, -1, -1))
    for shape in ((0,), (0, 3), (2, 0, 4)):
        assert quantizer(torch.empty(shape)).values.shape == shape


@kinds
@schemes
def test_input_is_not_modified_and_codes_are_float32(scheme, signed):
    quantizer = quantizer_of(scheme, 4, signed, 1.3)
    x = exact.gaussian(100)
    before = x.clone()
    assert quantizer(x).values.dtype == torch.float32
    assert torch.equal(x, before)
    assert torch.equal(quantizer(x.double()).values, quantizer(x).values)


class LargestTensor(TorchDispatchMode):
    """Records the number of elements of the largest tensor that any operation produces."""

    largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.largest = max(self.largest, tensor.numel())
        return result


@kinds
@pytest.mark.parametrize("bits", [2, 4, 8])
@schemes
def test_no_intermediate_is_larger_than_the_input(scheme, bits, signed):
    quantizer = quantizer_of(scheme, bits, signed)
    x = exact.gaussian(20_000).requires_grad_()
    with LargestTensor() as recorded:
        codes, scale = quantizer(x)
        (codes * scale).sum().backward()
    assert x.numel() <= recorded.largest <= 2 * x.numel()


@cases
def test_graphs_find_the_same_powers_of_two_by_arithmetic(bits):
    smallest = max(-(2**bits - 2), -126)
    powers = torch.tensor([2.0**exponent for exponent in range(-126, 1)])
    at = torch.cat([powers, 1.5 * powers, 0.75 * powers])  # levels and midpoints
    near = torch.cat([at, *(torch.nextafter(at, torch.tensor(end)) for end in (9.0, -9.0)), torch.rand(500)])
    x = torch.cat([near, -near, torch.tensor([0.0, torch.nan])]).clamp(-1, 1)
    found, expected = (search(x, smallest) for search in (_search_power_of_two, _project_to_power_of_two))
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    assert len(found.abs().unique()) >= min(2**bits, 100)
