"""Learned rounding against every choice of levels there is."""

from itertools import product

import pytest
import torch
from torch import nn

from apot_lit.quant import QuantSpec, quantize_model
from apot_lit.quant.initialize import initialize_alphas
from apot_lit.quant.rounding import learn_all_roundings, learn_rounding

LEVELS = {"apot": [0, 1, 2, 4], "uniform": [0, 1, 2, 3]}  # magnitudes of 3 bits, of 4 and of 3


def solved(power, seed):
    """A small layer with learned rounding.

    Returns its levels, what was minimised for each output (nearest levels, chosen ones), and the same of all levels
    that the output could have.
    """
    torch.manual_seed(seed)
    layers = [nn.Linear(3, 3), nn.Linear(3, 2), nn.Linear(2, 2)]
    layer = quantize_model(nn.Sequential(*layers), QuantSpec(bit=3, power=power, weight_norm=False))[1]
    layer.weight_quantizer.raw_alpha.data.fill_(2.0 if power else 1.5)
    before = torch.randn(2, 3)
    layer.weight.data.copy_(before)
    inputs = torch.rand(50, 3).cumsum(1)  # correlated: there the nearest levels are not the best
    nearest = layer.weight_quantizer(layer.weight).fake_quantized().detach().double()
    x = layer.act_quantizer(inputs).fake_quantized().detach().double()
    learn_rounding(layer, inputs, (inputs @ before.T + layer.bias).detach())
    chosen = layer.weight.detach()
    assert torch.equal(layer.weight_quantizer(layer.weight).fake_quantized(), chosen)  # they stay what they are

    levels = sorted({sign * level / 2 for level in LEVELS["apot" if power else "uniform"] for sign in (-1, 1)})
    every = torch.tensor(list(product(levels, repeat=3)), dtype=torch.float64)
    wanted = (inputs @ before.T).double()
    damping = 0.01 * x.square().sum(0).mean()

    def minimised(weights, output):
        sums = (x @ weights.T - wanted[:, output : output + 1]).square().sum(0)
        return sums + damping * (weights - before[output].double()).square().sum(1)

    found = [
        [float(minimised(some[output : output + 1].double(), output)) for some in (nearest, chosen)]
        for output in range(2)
    ]
    return (
        chosen,
        found,
        [dict(zip(map(tuple, every.tolist()), minimised(every, k).tolist(), strict=True)) for k in (0, 1)],
    )


@pytest.mark.parametrize("power", [0, 1])
def test_levels_are_better_than_the_nearest_and_mostly_the_best_of_all(power):
    best = better = 0
    for seed in range(10):
        _, found, every = solved(power, seed)
        for (nearest, chosen), of_every in zip(found, every, strict=True):
            smallest = min(of_every.values())
            assert smallest - 1e-4 <= chosen <= nearest + 1e-4
            best += chosen <= smallest + 1e-4
            better += chosen < nearest - 1e-4
    assert best >= (10 if power else 5)
    assert better >= 10


@pytest.mark.parametrize("power", [0, 1])
def test_no_weight_alone_could_have_a_better_level(power):
    for seed in range(10):
        chosen, found, every = solved(power, seed)
        for output, (_, reached) in enumerate(found):
            own = chosen[output].tolist()
            others = [levels for levels in every[output] if sum(a != b for a, b in zip(levels, own, strict=True)) == 1]
            assert len(others) == 3 * (len({levels[0] for levels in every[output]}) - 1)
            assert all(every[output][levels] >= reached - 1e-4 for levels in others)


def network(**spec):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)]
    layers += [nn.ReLU(), nn.Conv2d(6, 6, 1), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 16, 2)]
    return quantize_model(nn.Sequential(*layers), QuantSpec(**spec))


def test_convolutions_come_nearer_to_full_precision():
    images = torch.randn(32, 1, 10, 10, generator=torch.Generator().manual_seed(1))
    found = {}
    for learned in (False, True):
        model = network(bit=3, weight_norm=False)
        in_floats = model[3].weight.detach().clone()
        model[1].momentum = None
        model.train()(images)  # running statistics of the float network are those of the images, or near them
        initialize_alphas(model, images)
        state = {name: buffer.clone() for name, buffer in model.named_buffers()}
        if learned:
            learn_all_roundings(model, images)
            assert all(
                torch.equal(state[name], buffer) for name, buffer in model.named_buffers() if "table" not in name
            )
            assert not torch.equal(model[3].weight, in_floats)
        assert not model[3]._forward_pre_hooks
        with torch.no_grad():
            inputs = model[:3].train()(images)
            x = model[3].act_quantizer(inputs).fake_quantized()
            wanted = nn.functional.conv2d(model[:3].eval()(images).relu(), in_floats, stride=2, padding=1)
            weight = model[3].weight_quantizer(model[3].weight).fake_quantized()
            given = nn.functional.conv2d(x, weight, stride=2, padding=1)
        found[learned] = float((given - wanted).square().sum())
    assert found[True] < 0.8 * found[False]


def test_normalised_weights_are_refused():
    model = network(bit=3)
    with pytest.raises(ValueError, match="not normalised"):
        learn_all_roundings(model, torch.randn(2, 1, 10, 10))
