"""A threshold for each output channel, against quantising every channel by itself as it is defined."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from apot_lit.quant import QuantSpec, clipping_thresholds, quantize_model
from apot_lit.quant.channel_thresholds import ChannelWeightQuantizer
from apot_lit.quant.functional import fake_quantize
from apot_lit.quant.histogram import weight_histogram
from apot_lit.quant.initialize import initialize_alphas
from apot_lit.quant.levels import level_set
from apot_lit.quant.quantizers import WeightQuantizer
from tests.quant import exact

LAYERS = [nn.Conv2d(4, 3, 3), nn.Conv2d(4, 4, 3, groups=4), nn.Conv1d(4, 3, 2), nn.Linear(4, 5)]


def quantized(layer, bit, scheme, **options):
    power, additive = {"apot": (1, True), "pot": (1, False), "uniform": (0, True)}[scheme]
    spec = QuantSpec(bit=bit, power=power, additive=additive, weight_per_channel=True, **options)
    return quantize_model(nn.Sequential(nn.Linear(1, 1), layer, nn.Linear(1, 1)), spec)[1]


def alphas(layer):
    return torch.linspace(0.7, 2.5, len(layer.weight), dtype=torch.float64)


@pytest.mark.parametrize("scheme", ["apot", "pot", "uniform"])
@pytest.mark.parametrize("bit", [2, 4])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("norm", [True, False])
def test_every_channel_is_quantised_by_its_own_threshold(layer, bit, scheme, norm):
    own = quantized(copy.deepcopy(layer), bit, scheme, weight_norm=norm, grad_scale=0.5)
    with torch.no_grad():
        own.weight_quantizer.raw_alpha.copy_(alphas(own))
        own.weight.copy_(exact.gaussian(*own.weight.shape, seed=4))
    size = {2: (5, 4), 3: (2, 4, 6), 4: (2, 4, 6, 6)}[own.weight.dim()]
    x = exact.gaussian(*size, seed=3)
    got = own(x)

    weight = own.weight.detach().double().requires_grad_()
    of_channels = [alpha.clone().requires_grad_() for alpha in alphas(own)]
    target = (weight - weight.mean()) / weight.std() if norm else weight
    levels = level_set(scheme, bit - 1)
    rows = [
        fake_quantize(row, alpha, levels, signed=True, straight_through=bit == 2)
        for row, alpha in zip(target, of_channels, strict=True)
    ]
    codes = own.act_quantizer(x).fake_quantized().double()
    if isinstance(own, nn.Linear):
        expected = F.linear(codes, torch.stack(rows), own.bias.double())
    else:
        convolve = F.conv1d if isinstance(own, nn.Conv1d) else F.conv2d
        expected = convolve(codes, torch.stack(rows), own.bias.double(), groups=own.groups)
    assert torch.allclose(got.double(), expected, atol=1e-5)

    direction = exact.gaussian(*got.shape, seed=5)
    (got * direction).sum().backward()
    (expected * direction.double()).sum().backward()
    assert torch.allclose(own.weight.grad.double(), weight.grad, rtol=1e-3, atol=1e-3)
    theirs = torch.stack([alpha.grad for alpha in of_channels])
    assert torch.allclose(own.weight_quantizer.raw_alpha.grad.double(), 0.5 * theirs, rtol=1e-3, atol=1e-3)


def network(**options):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)]
    return quantize_model(nn.Sequential(*layers), QuantSpec(bit=4, **options))


def test_equal_thresholds_are_one_threshold_to_the_bit():
    x = exact.gaussian(2, 1, 8, 8, seed=1)
    one, each = network(), network(weight_per_channel=True)
    assert torch.equal(one(x), each(x))
    assert type(one[2].weight_quantizer) is WeightQuantizer
    assert each[2].weight_quantizer.raw_alpha.shape == (4,)
    assert clipping_thresholds(one) == clipping_thresholds(each)
    assert "alpha=3" in repr(each[2].weight_quantizer)


def test_one_layer_can_have_them():
    mixed = network(overrides={"2": {"weight_per_channel": True}})
    assert isinstance(mixed[2].weight_quantizer, ChannelWeightQuantizer)


def test_initial_thresholds_are_those_of_every_channel_alone():
    each = network(weight_per_channel=True, weight_norm=False)
    with torch.no_grad():
        each[2].weight[1] *= 5
        each[2].weight[3] = 0
    initialize_alphas(each, exact.gaussian(4, 1, 8, 8, seed=1))
    levels = torch.tensor([float(level) for level in level_set("apot", 3).levels], dtype=torch.float64)
    found = each[2].weight_quantizer.alpha
    for row, alpha in zip(each[2].weight.detach().double(), found.tolist(), strict=True):
        largest = row.abs().max()
        if largest == 0:
            assert alpha == 3.0
            continue
        errors = [
            float((row.abs().flatten()[:, None] - largest * step / 40 * levels).abs().amin(1).square().sum())
            for step in range(1, 41)
        ]
        assert alpha == pytest.approx(float(largest) * (1 + errors.index(min(errors))) / 40, rel=1e-6)
    assert weight_histogram(each)["layer"] == "2"


def test_tiny_and_negative_thresholds_stay_positive():
    own = quantized(nn.Linear(4, 3), 4, "apot")
    with torch.no_grad():
        own.weight_quantizer.raw_alpha.copy_(torch.tensor([-2.0, 1e-4, 2.0]))
    assert (own.weight_quantizer.alpha > 0).all()
    assert own.weight_quantizer.alpha[2] == 2
    own(exact.gaussian(2, 4, seed=1)).sum().backward()
    assert own.weight_quantizer.raw_alpha.grad.isfinite().all()
