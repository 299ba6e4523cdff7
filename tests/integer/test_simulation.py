"""The simulated stream against the network of integers, and its gradients."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from apot_lit.graph.steps import Add
from apot_lit.integer import Executor, Simulation, to_integers
from apot_lit.integer.fixed_point import rescaling
from apot_lit.integer.network import Rescale
from apot_lit.integer.simulation import rounded_factor
from apot_lit.models import PixelInput
from apot_lit.quant import QuantSpec, quantize_model
from tests.export.conftest import PIXELS, REFERENCE_PIXELS, digits, fit, trained
from tests.export.networks import made

KINDS = [
    pytest.param({"bit": 4, "power": 1}, id="apot"),
    pytest.param({"bit": 2, "power": 0, "lr": 0.001}, id="uniform"),
    pytest.param({"bit": 3, "power": 1, "stem": "small", "name": "resnet18", "width": 4}, id="small"),
    pytest.param({"bit": 3, "power": 0, "name": "resnet50", "width": 4, "steps": 20}, id="bottleneck"),
    pytest.param({"bit": 4, "power": 1, "pixels": REFERENCE_PIXELS}, id="0.131"),
]


class Bare(nn.Module):
    """Convolutions with a bias and no batch norm, and a batch norm of a sum."""

    def __init__(self):
        super().__init__()
        self.input = PixelInput(*PIXELS)
        self.conv1 = nn.Conv2d(1, 4, 5, stride=4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4, 10)

    def forward(self, x):
        x = self.conv1(self.input(x))
        return self.fc(self.pool(self.norm(x + self.conv2(x))).flatten(1))


def bare():
    torch.manual_seed(0)
    return fit(quantize_model(Bare(), QuantSpec(bit=4)), 20)


class Forced(Simulation):
    """Holds every value that is put onto the stream to that of the integers, and goes on with the latter.

    Attributes:
        expected: steps of the stream by name, and whether float32 may round each to the next one: it was nearer to that
            than 2^-21 of the larger of its two parts.
    """

    expected: dict[str, tuple[torch.Tensor, torch.Tensor]]

    def run_node(self, n):
        value = super().run_node(n)
        if n.name in self.expected:
            steps, near = (values.view_as(value) for values in self.expected.pop(n.name))
            off = (value.double() / self.step - steps).abs()
            assert off.max() <= 1, n.name
            assert near[off > 0].all(), n.name
            return (steps * self.step).float()
        assert n.name not in self.layers
        assert n.name not in self.sums
        return value


def integers_of(network, images, stream_bit, calibration=None):
    """The network of integers; its values on the stream by name, see `Forced.expected`; its logits."""
    calibration = digits("train")[0][:300] if calibration is None else calibration
    integers = to_integers(network, calibration, stream_bit, fold=False)
    values, expected, top = {}, {}, integers.largest

    def watch(step, value):
        values[step.output] = value
        if isinstance(step, Add):
            expected[step.output] = value.clamp(-top - 1, top).double(), torch.zeros_like(value)
        elif isinstance(step, Rescale):
            m, b, s = (torch.from_numpy(x).long().view(-1, 1, 1) for x in (step.multiplier, step.bias, step.shift))
            product = values[step.inputs[0]] * m
            rest = ((product + b) & ((1 << s) - 1)).double() / 2.0**s
            near = torch.minimum(rest, 1 - rest) <= torch.maximum(product.abs(), b.abs()) / 2.0 ** (s + 21)
            expected[step.output] = value.clamp(-top - 1, top).double(), near

    logits = Executor(integers, watch=watch)(images).double() * integers.logit_scale
    return integers, expected, logits


@pytest.mark.parametrize("stream_bit", [8, 16])
@pytest.mark.parametrize("kind", [*KINDS, pytest.param(None, id="bare")])
def test_every_value_in_evaluation_is_that_of_the_integers(kind, stream_bit):
    network, images = bare() if kind is None else trained(**kind), digits()[0][:100]
    integers, expected, logits = integers_of(network, images, stream_bit)
    simulation = Forced(network, stream_bit, integers.fraction)
    simulation.expected = expected
    with torch.no_grad():
        found = simulation(images)
    assert not simulation.expected
    assert torch.allclose(found.double(), logits, rtol=1e-4, atol=1e-4 * float(logits.abs().max()))
    assert torch.equal(found.argmax(1), logits.argmax(1))


@pytest.mark.parametrize("stream_bit", [8, 16])
@pytest.mark.parametrize("name", ["depthwise", "joined"])
def test_every_value_of_networks_of_other_kinds_is_that_of_the_integers(name, stream_bit):
    network, images = made(name, weight_bit=4)
    integers, expected, logits = integers_of(network, images, stream_bit, images)
    simulation = Forced(network, stream_bit, integers.fraction)
    simulation.expected = expected
    with torch.no_grad():
        found = simulation(images)
    assert not simulation.expected
    # The bias of the last layer is a whole number of steps of the logits.
    allowed = 1e-4 * float(logits.abs().max()) + integers.logit_scale
    assert (found.double() - logits).abs().max() <= allowed


def test_a_stream_of_eight_bits_predicts_what_the_integers_do():
    network, images = trained(4, 1), digits()[0][:1000]
    integers, _, logits = integers_of(network, images, 8)
    with torch.no_grad():
        simulated, floats = Simulation(network, 8, integers.fraction)(images), network(images)
    # A value that is one step off may change a code of the next layer, and a code a prediction near a tie.
    assert (simulated.argmax(1) != logits.argmax(1)).sum() <= 2
    assert (floats.argmax(1) != logits.argmax(1)).sum() > 2


def test_factors_are_rounded_as_in_a_conversion():
    generator = np.random.default_rng(0)
    factors = generator.normal(size=500) * 2.0 ** generator.integers(-50, 20, 500)
    factors[:4] = [0, 32767.6, 2.0**-3 * (1 - 2.0**-17), 1]
    multiplier, _, shift = rescaling(factors, np.zeros(500), "")
    expected = [math.ldexp(m, -s) for m, s in zip(multiplier.tolist(), shift.tolist(), strict=True)]
    assert rounded_factor(torch.from_numpy(factors)).tolist() == expected


def test_the_gradient_passes_where_nothing_is_saturated():
    torch.manual_seed(0)
    network = quantize_model(Bare(), QuantSpec(bit=4)).train()
    simulation = Simulation(network, 8, 5)
    seen = {}

    def watch(name, value):
        value.register_hook(lambda gradient: seen.update({name: (value.detach().clone(), gradient)}))

    network.norm.register_forward_hook(lambda _, __, value: watch("norm", value))
    network.pool.register_forward_pre_hook(lambda _, inputs: watch("pool", inputs[0]))
    simulation(digits()[0][:64]).square().sum().backward()
    (before, gradient), (after, passed) = seen["norm"], seen["pool"]
    inside = (before >= -4) & (before < 4 - 1 / 64)
    assert int(inside.sum()) > 0
    assert torch.equal(gradient[inside], passed[inside])
    assert gradient[(before > 4) | (before < -4 - 1 / 64)].abs().sum() == 0
    assert torch.equal(after, after.clamp(-4, 4 - 1 / 32))
    assert torch.equal(after * 32, (after * 32).round())
    assert (after - before)[inside].abs().max() <= 1 / 64 + 1e-3
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_the_network_stays_what_it_was():
    network = trained(4, 1)
    keys, hooks = list(network.state_dict()), [len(module._forward_hooks) for module in network.modules()]
    before = to_integers(network, digits("train")[0][:100], 8)
    simulation = Simulation(network, 8, before.fraction)
    with torch.no_grad():
        simulation(digits()[0][:10])
    assert list(network.state_dict()) == keys
    assert [len(module._forward_hooks) for module in network.modules()] == hooks
    assert not isinstance(simulation, nn.Module)  # so that whoever holds it does not register it
    after = to_integers(network, digits("train")[0][:100], 8)
    assert torch.equal(Executor(before)(digits()[0][:50]), Executor(after)(digits()[0][:50]))


def test_training_mode_normalises_by_the_batch():
    torch.manual_seed(0)
    network = quantize_model(Bare(), QuantSpec(bit=4)).train()
    values = []
    network.pool.register_forward_pre_hook(lambda _, inputs: values.append(inputs[0].detach()))
    tracked = int(network.norm.num_batches_tracked)
    Simulation(network, 16, 11)(digits()[0][:256])
    assert values[0].mean((0, 2, 3)).abs().max() < 1e-3
    assert (values[0].var((0, 2, 3), correction=0) - 1).abs().max() < 1e-2
    assert int(network.norm.num_batches_tracked) == tracked + 1
