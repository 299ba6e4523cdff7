"""A GPU computes the codes that the CPU computes."""

import copy

import pytest
import torch

from apot_lit.quant.levels import level_set
from apot_lit.quant.normalize import normalize_weight
from apot_lit.quant.quantizers import ActivationQuantizer, MaxWeightQuantizer, WeightQuantizer
from tests.quant import exact

pytestmark = pytest.mark.cuda

schemes = pytest.mark.parametrize("scheme", exact.SCHEMES)
ALPHAS = (0.37, 1.0, 3.3)


def values(quantizer, alpha, seed):
    """Gaussians, and the half grid of a quantiser with its neighbours among floats: all midpoints are on it."""
    grid = torch.arange(-2 * quantizer.unit - 2, 2 * quantizer.unit + 3) * (alpha / (2 * quantizer.unit))
    around = [grid, grid.nextafter(torch.tensor(-torch.inf)), grid.nextafter(torch.tensor(torch.inf))]
    return torch.cat([exact.gaussian(20_000, seed=seed), *around, torch.tensor([0.0, -0.0, 1e30, -1e30, 1e-30])])


def assert_same_codes(quantizer, x):
    on_gpu = copy.deepcopy(quantizer).cuda()
    here, there = quantizer(x), on_gpu(x.cuda())
    assert there.values.is_cuda
    torch.testing.assert_close(there.values.cpu(), here.values, rtol=0, atol=0)
    torch.testing.assert_close(torch.as_tensor(there.scale).cpu(), torch.as_tensor(here.scale), rtol=1e-6, atol=0)


@schemes
@pytest.mark.parametrize("bit", range(2, 9))
@pytest.mark.parametrize("alpha", ALPHAS)
def test_activations(scheme, bit, alpha):
    quantizer = ActivationQuantizer(level_set(scheme, bit), alpha)
    assert_same_codes(quantizer, values(quantizer, alpha, seed=bit))


@schemes
@pytest.mark.parametrize("bit", range(2, 9))
@pytest.mark.parametrize("alpha", ALPHAS)
def test_weights(scheme, bit, alpha):
    quantizer = WeightQuantizer(level_set(scheme, bit - 1), alpha, normalize=False)
    assert_same_codes(quantizer, values(quantizer, alpha, seed=bit))


@schemes
@pytest.mark.parametrize("bit", range(2, 9))
def test_normalised_weights_away_from_midpoints(scheme, bit):
    """Mean and deviation are sums, whose order differs: next to a midpoint either code is right."""
    weight = exact.gaussian(64, 32, 3, 3, seed=bit) * 0.05 + 0.02
    quantizer = WeightQuantizer(level_set(scheme, bit - 1), 1.5)
    normalized = normalize_weight(weight).double().numpy()
    _, _, certain = exact.project64(normalized, 1.5, scheme, bit - 1, signed=True, tolerance=1e-5)
    assert certain.mean() > 0.98
    there = copy.deepcopy(quantizer).cuda()(weight.cuda()).values.cpu()
    assert torch.equal(there[torch.from_numpy(certain)], quantizer(weight).values[torch.from_numpy(certain)])


@pytest.mark.parametrize("bit", range(2, 9))
def test_weights_of_first_and_last_layers(bit):
    assert_same_codes(MaxWeightQuantizer(bit), exact.gaussian(64, 1, 7, 7, seed=bit))
