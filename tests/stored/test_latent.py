"""Weights found for given codes: the quantiser gives exactly these codes again."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from apot_lit.quant.levels import level_set
from apot_lit.quant.quantizers import WeightQuantizer
from apot_lit.stored.latent import latent_weights
from apot_lit.stored.weight_codes import codebook

KINDS = [(scheme, bit) for scheme in ("apot", "uniform", "pot") for bit in (2, 3, 4, 5) if (scheme, bit) != ("pot", 5)]


def again(weight, scheme, bit, alpha):
    """Codes of weights, the weights found for these, and their codes."""
    levels = level_set(scheme, bit - 1)
    quantizer = WeightQuantizer(levels, alpha)
    with torch.no_grad():
        codes = quantizer(weight).values.numpy().astype(np.float64)
        found = latent_weights(codes, codebook(bit, levels), levels.denominator, float(quantizer.alpha))
        if found is None:
            return codes, None, None
        return codes, found, quantizer(torch.from_numpy(found).float()).values.numpy()


@pytest.mark.parametrize(("scheme", "bit"), KINDS)
@pytest.mark.parametrize("alpha", [0.001, 0.5, 2.5, 3.0])
@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (3, 5), (8, 4, 3, 3), (64, 32, 3, 3)])
def test_weights_of_training_are_found_by_their_codes(scheme, bit, alpha, shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(bit)) * 0.03 + 0.01
    codes, found, same = again(weight, scheme, bit, alpha)
    assert found is not None
    assert np.array_equal(codes, same)
    assert abs(found.mean()) < 1e-9
    assert abs(found.std(ddof=1) - 1) < 1e-9


@pytest.mark.parametrize(("scheme", "bit"), KINDS)
def test_few_and_lopsided_codes(scheme, bit):
    """One weight far out, two values, only the middle codes."""
    far = torch.full((9, 9), -0.01)
    far[4, 4] = 2.0
    two = torch.cat([torch.ones(30), -torch.ones(20)])
    skewed = torch.arange(100.0) ** 3
    for weight, alpha in ((far, 3.0), (two, 2.0), (skewed, 2.0), (skewed, 5.0), (torch.arange(50.0), 8.0)):
        codes, found, same = again(weight, scheme, bit, alpha)
        assert found is not None
        assert np.array_equal(codes, same), (alpha, weight.shape)


def test_all_codes_zero_of_large_thresholds():
    for count in (2, 3, 10, 1001):
        weight = torch.randn(count, generator=torch.Generator().manual_seed(0)).double().float()
        codes, found, same = again(weight, "apot", 4, 200.0)
        assert not codes.any()
        assert found is not None
        assert not same.any()
        assert abs(found.std(ddof=1) - 1) < 1e-9


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32 - 1), st.sampled_from(KINDS), st.floats(0.05, 4), st.integers(4, 200), st.floats(0.2, 4))
def test_any_weights(seed, kind, alpha, count, power):
    """Of distributions from nearly two values to long tails, moved to one side."""
    normal = torch.randn(count, generator=torch.Generator().manual_seed(seed))
    weight = normal.sign() * normal.abs() ** power + 0.3 * normal.square()
    codes, found, same = again(weight, *kind, alpha)
    assert found is not None
    assert np.array_equal(codes, same)


def test_codes_that_no_weights_have_give_none():
    """All weights at the largest level: with mean 0 there are none."""
    book = codebook(3, level_set("apot", 2))
    assert latent_weights(np.full(9, 4.0), book, 4, 3.0) is None
    assert latent_weights(np.zeros(1), book, 4, 3.0) is None


def test_weights_of_one_code_lie_anywhere_in_the_layer():
    """Their order has nothing to do with their place: no filter gets larger ones than another."""
    weight = torch.randn(64, 32, 3, 3, generator=torch.Generator().manual_seed(0))
    _, found, _ = again(weight, "apot", 3, 2.5)
    of_filters = found.reshape(64, -1).mean(1) - weight.reshape(64, -1).mean(1).numpy()
    assert abs(of_filters).max() < 4 / math.sqrt(288) * 0.5
    assert np.corrcoef(found.reshape(-1), weight.reshape(-1))[0, 1] > 0.9
