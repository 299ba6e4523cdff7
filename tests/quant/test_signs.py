"""Inputs that are negative in places: which are found, and what their quantisers do."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from apot_lit.quant import Inputs, QuantSpec, find_inputs, quant_layers, quantize_model
from apot_lit.quant.initialize import initialize_alphas
from apot_lit.quant.levels import level_set
from apot_lit.quant.quantizers import ActivationQuantizer
from tests.quant import exact


def model(*between):
    return nn.Sequential(nn.Conv2d(1, 4, 3), *between, nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(4 * 16, 2))


def images(size=8):
    return exact.gaussian(4, 1, size, size, seed=3)


BETWEEN = [
    ((), True),
    ((nn.ReLU(),), False),
    ((nn.BatchNorm2d(4),), True),
    ((nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5)), False),
    ((nn.ReLU6(), nn.MaxPool2d(3, 1, 1)), False),
    ((nn.Hardswish(),), True),
    ((nn.GELU(), nn.AvgPool2d(3, 1, 1)), True),
    ((nn.Sigmoid(),), False),
    ((nn.Tanh(), nn.ReLU(), nn.BatchNorm2d(4)), True),
]


@pytest.mark.parametrize(("between", "signed"), BETWEEN, ids=lambda value: str(value)[:40])
def test_negative_inputs_are_found_by_watching_and_by_structure(between, signed):
    torch.manual_seed(0)
    network = model(*between)
    inner = str(1 + len(between))
    for found in (find_inputs(network), find_inputs(network, images())):
        assert (inner in found.signed) == signed
        assert not found.idle
    layer = dict(quant_layers(quantize_model(network, QuantSpec(bit=4), images())))[inner]
    assert (layer.act_quantizer.signed, layer.act_quantizer.bit) == (signed, 4)


class Functions(nn.Module):
    """Residual sums and functions in place of modules."""

    def __init__(self):
        super().__init__()
        self.first, self.a, self.b, self.c, self.d = (nn.Linear(6, 6) for _ in range(5))

    def forward(self, x):
        x = F.relu(self.first(x))
        y = self.b(F.gelu(self.a(x))) + x
        return self.d(torch.sigmoid(self.c(y)))


def test_sums_and_functions_are_followed():
    found = find_inputs(Functions())
    assert found.signed == ("b", "c")
    assert find_inputs(Functions(), torch.randn(64, 6)).signed == ("first", "b", "c")


def test_what_cannot_be_traced_is_unsigned_without_images():
    class Depends(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

        def forward(self, x):
            for layer in self.layers:
                x = layer(x) if x.sum() > -1e9 else x
            return x

    assert find_inputs(Depends()) == Inputs()
    assert find_inputs(Depends(), torch.randn(8, 4)).signed == ("layers.0", "layers.1", "layers.2")


def test_a_negligible_part_is_none():
    class Shifted(nn.Module):
        def __init__(self, low):
            super().__init__()
            self.low = low

        def forward(self, x):
            return x.abs().clamp(max=1.0) * (1 + self.low) - self.low

    for low, signed in ((1e-4, False), (1e-2, True)):
        network = model(Shifted(low))
        with torch.no_grad():
            network[0].weight.zero_()[:, :, 1, 1] = 1
            network[0].bias.zero_()
        batch = torch.zeros(1, 1, 8, 8)
        batch[0, 0, 3, 3] = 1
        assert ("2" in find_inputs(network, batch).signed) == signed


def test_layers_whose_weights_are_read_past_their_forward_stay_float():
    class Past(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.past, self.last = (nn.Linear(4, 4) for _ in range(3))

        def forward(self, x):
            return self.last(F.linear(self.first(x).relu(), self.past.weight, self.past.bias))

    network = Past()
    assert find_inputs(network, torch.randn(8, 4)).idle == ("past",)
    quantized = quantize_model(network, QuantSpec(bit=4), torch.randn(8, 4))
    assert dict(quant_layers(quantized)).keys() == {"first", "last"}
    assert type(quantized.past) is nn.Linear


def test_watching_changes_nothing():
    network = model(nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    find_inputs(network, images())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training and not module._forward_pre_hooks for module in network.modules())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_patterns_decide_by_hand():
    network = model(nn.Hardswish(), nn.Conv2d(4, 4, 1), nn.ReLU())
    spec = QuantSpec(bit=4, overrides={"2": {"signed": False}, "4": {"signed": True, "act_bit": 5}})
    layers = dict(quant_layers(quantize_model(network, spec, images())))
    assert (layers["2"].act_quantizer.signed, layers["4"].act_quantizer.signed) == (False, True)
    assert (layers["2"].act_quantizer.bit, layers["4"].act_quantizer.bit) == (4, 5)
    assert "signed=True" in repr(layers["4"])
    assert "signed" not in repr(layers["2"])


def test_a_relu_before_a_signed_quantiser_stays():
    network = model(nn.ReLU())
    assert type(quantize_model(network, QuantSpec(bit=4))[1]).__name__ == "AbsorbedReLU"
    spec = QuantSpec(bit=4, overrides={"2": {"signed": True}})
    assert type(quantize_model(network, spec)[1]) is nn.ReLU


def test_what_was_found_rebuilds_the_network_without_images():
    network = model(nn.Hardswish())
    found = find_inputs(network, images())
    again = quantize_model(network, QuantSpec(bit=3), inputs=Inputs(*map(tuple, found)))
    assert torch.equal(again(images()), quantize_model(network, QuantSpec(bit=3), images())(images()))


def test_mobilenet_v2_is_signed_where_it_has_no_relu():
    """Every first 1x1 convolution of a block reads a linear bottleneck, and so does the last convolution."""
    network = torchvision.models.mobilenet_v2(num_classes=4)
    expected = [f"features.{block}.conv.0.0" for block in range(2, 18)] + ["features.18.0"]
    assert list(find_inputs(network).signed) == expected
    quantized = quantize_model(network, QuantSpec(bit=4))
    acts = {name: layer.act_quantizer for name, layer in quant_layers(quantized)}
    inner = [act for act in acts.values() if isinstance(act, ActivationQuantizer)]
    assert (len(inner), sum(act.signed for act in inner)) == (51, 17)
    assert [name for name, act in acts.items() if getattr(act, "signed", False)] == expected


@pytest.mark.parametrize("scheme", ["apot", "pot", "uniform"])
@pytest.mark.parametrize("bit", [2, 3, 4, 8])
def test_levels_are_mirrored_and_have_the_gradients_of_their_definition(scheme, bit):
    if scheme == "pot" and bit == 8:
        pytest.skip("its codes are no integers")
    levels = level_set(scheme, bit - 1)
    quantizer = ActivationQuantizer(levels, alpha=2.0, signed=True)
    assert quantizer.bit == bit
    x = torch.cat([torch.linspace(-3, 3, 101), torch.tensor([-2.0, 2.0, 0.0])]).requires_grad_()
    got = quantizer(x).fake_quantized()
    nearest = exact.levels(scheme, bit - 1)
    for value, quantized in zip(x.tolist(), got.tolist(), strict=True):
        ratio = min(abs(Fraction(value) / 2), Fraction(1))
        level = min(nearest, key=lambda one, ratio=ratio: (abs(one - ratio), -one))
        assert quantized == pytest.approx(float(2 * level) * (1 if value >= 0 else -1), abs=1e-6), value
    weights = torch.linspace(-1, 2, len(x))
    codes = quantizer(x)
    (codes.values * codes.scale * weights).sum().backward()
    ratio = x.detach() / 2
    inside = ratio.abs() <= 1
    assert torch.allclose(x.grad, weights * inside)
    of_alpha = torch.where(inside, got.detach() / 2 - ratio, ratio.sign())
    assert float(quantizer.raw_alpha.grad) == pytest.approx(float((weights * of_alpha).sum()), rel=1e-4, abs=1e-4)


def test_initial_thresholds_see_both_sides():
    network = quantize_model(model(nn.Tanh()), QuantSpec(bit=4), images())
    flipped = quantize_model(model(nn.Tanh()), QuantSpec(bit=4), images())
    flipped.load_state_dict(network.state_dict())
    with torch.no_grad():
        flipped[0].weight.neg_()
        flipped[0].bias.neg_()  # the inner input changes its sign, and nothing else
    for one in (network, flipped):
        initialize_alphas(one, images())
    assert float(network[2].act_quantizer.alpha) == pytest.approx(float(flipped[2].act_quantizer.alpha), rel=1e-6)
