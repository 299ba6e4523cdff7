"""Multipliers, shifts and thresholds against exact fractions and training's own quantisers."""

from bisect import bisect_right
from fractions import Fraction

import numpy as np
import pytest
import torch

from apot_lit.errors import UserError
from apot_lit.graph.steps import Quantize
from apot_lit.integer.fixed_point import check_accumulator, check_logits, check_product, rescaling, sum_range
from apot_lit.integer.folding import fold_batch_norms
from apot_lit.integer.network import Accumulate, Head, IntegerNetwork, Rescale, Threshold
from apot_lit.integer.thresholding import thresholds
from apot_lit.quant.levels import level_set
from apot_lit.quant.quantizers import ActivationQuantizer

KINDS = [(scheme, bit) for scheme in ("apot", "uniform") for bit in (2, 3, 4, 5)]
KINDS += [("uniform", 8), ("pot", 2), ("pot", 3)]


def quantizing(scheme, bit, alpha):
    """A quantiser of training, and the step that stands for it."""
    levels = level_set(scheme, bit)
    quantizer = ActivationQuantizer(levels, alpha)
    factor = float(np.float32(2 * quantizer.unit / float(quantizer.alpha)))
    return quantizer, Quantize("codes", ("norm",), factor, quantizer.unit, levels.half_grid(), levels, "layer")


@pytest.mark.parametrize(("scheme", "bit"), KINDS)
@pytest.mark.parametrize(("alpha", "fraction"), [(4.0, 11), (2.7182818, 12), (0.33, 3), (6.5, 8)])
def test_thresholds_give_every_value_of_the_stream_the_code_of_training(scheme, bit, alpha, fraction):
    quantizer, step = quantizing(scheme, bit, alpha)
    found = thresholds(step, fraction).tolist()
    values = torch.arange(-(2**15), 2**15)
    expected = quantizer(values.float() / 2**fraction).values.detach().long().tolist()
    assert [step.levels.codes[bisect_right(found, value)] for value in values.tolist()] == expected


@pytest.mark.parametrize(("scheme", "bit"), [("apot", 2), ("apot", 4), ("uniform", 7), ("pot", 3)])
@pytest.mark.parametrize(("alpha", "fraction"), [(4.0, 11), (2.7182818, 12), (0.33, 3)])
def test_thresholds_of_codes_with_a_sign_are_those_of_training(scheme, bit, alpha, fraction):
    levels = level_set(scheme, bit)
    quantizer = ActivationQuantizer(levels, alpha, signed=True)
    factor = float(np.float32(2 * quantizer.unit / float(quantizer.alpha)))
    step = Quantize("codes", ("norm",), factor, quantizer.unit, levels.half_grid(), levels, "layer", signed=True)
    found = thresholds(step, fraction).tolist()
    values = torch.arange(-(2**15), 2**15)
    expected = quantizer(values.float() / 2**fraction).values.detach().long().tolist()
    assert min(expected) == -max(expected) < 0
    assert [step.codes[bisect_right(found, value)] for value in values.tolist()] == expected


def test_a_tie_below_zero_goes_to_the_larger_magnitude():
    """At alpha 4 uniform levels of 2 bits and a sign are midway at 2/3, 2 and 10/3; -2 has the code of -8/3."""
    levels = level_set("uniform", 2)
    step = Quantize("codes", ("norm",), 1.5, 3, levels.half_grid(), levels, "layer", signed=True)
    assert thresholds(step, 0).tolist() == [-3, -1, 0, 1, 2, 4]


def test_a_tie_goes_to_the_larger_level():
    """At alpha 4 uniform 2-bit levels lie at 0, 4/3, 8/3, 4, and 2/3, 2, 10/3 are midway; 2 is on the stream."""
    _, step = quantizing("uniform", 2, 4.0)
    assert thresholds(step, 0).tolist() == [1, 2, 4]


def test_rescaling_is_as_near_as_sixteen_bits_allow():
    generator = np.random.default_rng(0)
    factors = np.concatenate([generator.normal(size=50) * 10.0 ** generator.integers(-6, 4, 50), [0.0, 1.0, -1.0]])
    offsets = np.concatenate([generator.normal(size=50) * 1000, [0.5, -0.5, 0.0]])
    multiplier, bias, shift = rescaling(factors, offsets, "layer")
    assert np.abs(multiplier).max() <= 2**15 - 1
    for a, b, m, c, s in zip(factors, offsets, multiplier.tolist(), bias.tolist(), shift.tolist(), strict=True):
        assert abs(Fraction(m, 2**s) - Fraction(a)) <= Fraction(1, 2 ** (s + 1))
        if s < 40:
            assert abs(m) >= 2**14 - 1  # one bit more would not fit
        half = Fraction(1, 2) if s else 0
        assert abs(Fraction(c, 2**s) - Fraction(b) - half) <= Fraction(1, 2 ** (s + 1))


def test_a_factor_beyond_all_multipliers_saturates_what_is_not_zero():
    multiplier, bias, shift = rescaling(np.array([4e6, -4e6]), np.array([123.0, -7.0]), "layer")
    assert multiplier.tolist() == [32767, -32767]
    assert bias.tolist() == [123, -7]
    assert shift.tolist() == [0, 0]


def test_halves_are_rounded_up():
    multiplier, bias, shift = rescaling(np.array([0.5]), np.array([0.0]), "layer")
    rounded = [(x * int(multiplier[0]) + int(bias[0])) >> int(shift[0]) for x in range(-4, 5)]
    assert rounded == [-2, -1, -1, 0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(("a", "b"), [(4e4, 4e4), (1.0, 3e9), (float("nan"), 0.0), (1.0, float("inf"))])
def test_what_no_multiplier_can_be_is_refused(a, b):
    with pytest.raises(UserError, match="layer conv7: channel 1 "):
        rescaling(np.array([1.0, a]), np.array([1.0, b]), "conv7")


@pytest.mark.parametrize("top", [2**15 - 1, 2**11 - 1])
@pytest.mark.parametrize(("scheme", "bit"), KINDS)
def test_folded_thresholds_give_every_accumulator_its_code(scheme, bit, top):
    """Every accumulator of channels with positive, negative, small and no slope, also beyond the stream."""
    _, step = quantizing(scheme, bit, 3.1)
    factors, offsets = (
        np.array([0.9, -1.7, 0.003, -0.0004, 0.0, 0.0, 900.0]),
        np.array([5.0, 99.5, -3.0, 7.0, 2e3, -1.0, 0.4]),
    )
    rescale = Rescale("norm", ("sums",), *rescaling(factors, offsets, "layer"), "layer")
    weight = np.full((len(factors), 1, 1, 1), 60, np.int8)
    within = np.minimum(thresholds(step, 10), top + 1).astype(np.int32)
    steps = [
        Accumulate("sums", ("pixels",), weight, (1, 1), (0, 0), (1, 1), 1, None, "layer", 1, 100, 200),
        rescale,
        Threshold("codes", ("norm",), within, step.levels.codes, step.levels, "layer"),
    ]
    _, fold = fold_batch_norms(IntegerNetwork(steps, (1, 1, 1), top.bit_length() + 1, 10, 1.0)).steps
    plain = thresholds(step, 10).tolist()
    for channel in range(len(factors)):
        m, b, s = (int(array[channel]) for array in (rescale.multiplier, rescale.bias, rescale.shift))
        row, sign = fold.thresholds[channel].tolist(), int(fold.sign[channel])
        for x in range(-6000, 6001):
            y = max(-top - 1, min(top, (x * m + b) >> s))
            assert bisect_right(row, sign * x) == bisect_right(plain, y), (channel, x)


def test_ranges_of_sums_are_reached_and_not_passed():
    weight = np.array([[[[3, -2], [0, 1]]], [[[-1, -1], [-1, -1]]]], np.int8)
    low, high = sum_range(weight, -5, 7)
    inputs = np.stack(np.meshgrid(*[[-5, 0, 7]] * 4), -1).reshape(-1, 4)
    sums = inputs @ weight.reshape(2, 4).T.astype(int)
    assert low.tolist() == sums.min(0).tolist()
    assert high.tolist() == sums.max(0).tolist()


def test_widths_are_refused_where_nothing_holds_them():
    with pytest.raises(UserError, match="layer a: sums of codes reach 2,147,483,648"):
        check_accumulator((np.array([-(2**31)]), np.array([1])), "a")
    check_accumulator((np.array([-(2**31) + 1]), np.array([2**31 - 1])), "a")
    step = Rescale("y", ("x",), np.array([2**15 - 1], np.int32), np.array([2**62]), np.array([0], np.int32), "b")
    assert check_product(step, (np.array([0]), np.array([1]))) == 64
    with pytest.raises(UserError, match="layer b: its batch norm needs 65 bits"):
        check_product(step, (np.array([0]), np.array([2**48])))
    head = Head("y", ("x",), np.array([[100, -100]], np.int8), "c", np.array([7]))
    assert check_logits(head, 2**15) == (200 * 2**15 + 7).bit_length() + 1
    with pytest.raises(UserError, match="layer c: logits need"):
        check_logits(head, 2**47)
