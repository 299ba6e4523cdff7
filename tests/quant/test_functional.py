"""The definition `fake_quantize` against brute force, and the fast ways against the definition."""

import pytest
import torch

from apot_lit.quant.functional import fake_quantize, quantize_codes
from apot_lit.quant.levels import level_set
from apot_lit.quant.projection import half_grid_table
from tests.quant import exact

BITS = range(1, 9)
CASES = [
    (scheme, bits)
    for scheme in exact.SCHEMES
    for bits in BITS
    if scheme != "pot" or bits <= 3  # the definition's table would have 2^(2^bits) entries
]


def values(signed):
    """On both sides of the clip, zeros among them."""
    x = exact.gaussian(3000, seed=5, scale=2.0)
    x[::50] = 0
    return x if signed else x + 0.5


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(("scheme", "bits"), CASES)
def test_the_definition_takes_the_nearest_level(scheme, bits, signed):
    levels, alpha = level_set(scheme, bits), 1.7
    x = values(signed).double()
    found = fake_quantize(x, torch.tensor(alpha, dtype=torch.float64), levels, signed=signed)
    grid = alpha * torch.tensor([float(level) for level in levels.levels], dtype=torch.float64)
    grid = torch.cat([-grid, grid]) if signed else grid
    distance = (x[:, None] - grid).abs()
    nearest = distance.min(1).values
    torch.testing.assert_close((found - x).abs(), nearest, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("signed", "straight_through"), [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize(("scheme", "bits"), CASES)
def test_codes_and_gradients_are_those_of_the_definition(scheme, bits, signed, straight_through):
    levels = level_set(scheme, bits)
    grad = exact.gaussian(3000, seed=6)
    results = []
    for fast in (True, False):
        x, alpha = values(signed).requires_grad_(), torch.tensor(1.7, requires_grad=True)
        if fast:
            table = half_grid_table(levels, signed)
            codes, step = quantize_codes(
                x, alpha, levels, signed=signed, table=table, straight_through=straight_through
            )
            quantized = codes * step
        else:
            quantized = fake_quantize(x, alpha, levels, signed=signed, straight_through=straight_through)
            codes = (quantized * levels.denominator / alpha).round()
        quantized.backward(grad)
        results.append((codes.detach(), quantized.detach(), x.grad, alpha.grad))
    (codes, quantized, grad_x, grad_alpha), expected = results
    assert torch.equal(codes, expected[0])
    torch.testing.assert_close(quantized, expected[1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grad_x, expected[2], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(grad_alpha, expected[3], rtol=1e-4, atol=1e-3)
    assert grad_x.any()
