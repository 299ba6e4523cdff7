"""Trained networks as networks of integers: what they predict, and what can't become one."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models import resnet18
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from apot_lit.errors import UserError
from apot_lit.integer import Executor, to_integers
from apot_lit.integer.network import ChannelThreshold, Rescale, Threshold
from apot_lit.integer.widths import bit_widths
from apot_lit.models import PixelInput
from apot_lit.quant import QuantSpec, quantize_model
from apot_lit.quant.convert import act_quantizers
from apot_lit.quant.quantizers import Codes
from apot_lit.stored.trained import read_any_trained
from tests.conftest import ROOT
from tests.export.conftest import REFERENCE_PIXELS, digits, fit, trained

RELEASED = ROOT.parent / "shared/reference/resnet10_4bit_apot.pth.tar"
KINDS = [
    *(
        pytest.param({"bit": bit, "power": power, "lr": 0.001 if bit == 2 else 0.05}, id=f"{bit}-{power}")
        for bit in (2, 3, 4, 5)
        for power in (0, 1)
    ),
    pytest.param({"bit": 3, "power": 1, "additive": False}, id="pot"),
    pytest.param({"bit": 4, "power": 1, "stem": "small", "name": "resnet18"}, id="small", marks=pytest.mark.slow),
    pytest.param({"bit": 3, "power": 0, "name": "resnet50", "width": 4, "steps": 20}, id="bottleneck"),
    pytest.param({"bit": 4, "power": 1, "pixels": REFERENCE_PIXELS}, id="0.131"),
    pytest.param({"bit": 2, "power": 1, "first_bit": 4, "last_bit": 2}, id="edges"),
    pytest.param({"bit": 8, "power": 0}, id="8"),
]


def logits(network, images):
    with torch.no_grad():
        return torch.cat([network(batch) for batch in images.split(250)])


def compare_layer_by_layer(network, integers, images):
    """Holds every activation to its float value, torch's layers being given the codes of the integers."""
    sources = {step.layer: step.inputs[0] for step in integers.steps if isinstance(step, Threshold)}
    values, codes = {}, {}

    def watch(step, value):
        values[step.output] = value
        if isinstance(step, Threshold):
            codes[step.layer] = value

    found = Executor(integers, watch=watch)(images).double() * integers.logit_scale
    compared = []

    def hook_of(layer):
        def hook(quantizer, inputs, output):
            alpha = float(quantizer.alpha)
            expected = inputs[0].clamp(-alpha if quantizer.signed else 0, alpha)
            # Bounds of a clamp before a quantiser are within its thresholds.
            stream = (values[sources[layer]].double() / 2**integers.fraction).clamp(expected.min(), expected.max())
            stream = stream.reshape(expected.shape)
            # A few steps of the stream, and what multipliers of 16 bits leave of the largest value.
            allowed = 8 / 2**integers.fraction + float(inputs[0].abs().max()) / 2**13
            assert (stream - expected).abs().max() <= allowed, layer
            compared.append(layer)
            return Codes(codes[layer].float().reshape(expected.shape), output.scale)

        return hook

    hooks = [quantizer.register_forward_hook(hook_of(layer)) for layer, quantizer in act_quantizers(network).items()]
    with torch.no_grad():
        expected = network(images)
    for hook in hooks:
        hook.remove()
    assert compared
    assert (found - expected).abs().max() <= 0.01 * expected.abs().max() + 8 / 2**integers.fraction
    for width in bit_widths(integers):
        assert width.accumulator <= 54


@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_computes_what_floats_do(kind):
    integers = to_integers(trained(**kind), digits("train")[0][:300], fold=False)
    compare_layer_by_layer(trained(**kind), integers, digits()[0][:300])


@pytest.mark.parametrize("power", [0, 1])
def test_folded_thresholds_change_no_bit(power):
    network, images = trained(4, power), digits()[0][:500]
    calibration = digits("train")[0][:300]
    with_folds, without = (to_integers(network, calibration, fold=fold) for fold in (True, False))
    assert any(isinstance(step, ChannelThreshold) for step in with_folds.steps)
    assert not any(isinstance(step, ChannelThreshold) for step in without.steps)
    assert with_folds.fraction == without.fraction
    assert torch.equal(logits(Executor(with_folds), images), logits(Executor(without), images))


@pytest.mark.parametrize("stream_bit", [8, 12, 16])
def test_the_stream_holds_what_calibration_saw_and_one_bit_more_would_not_fit(stream_bit):
    calibration = digits("train")[0][:300]
    integers = to_integers(trained(4, 1), calibration, stream_bit, fold=False)
    left, reach = [], []

    def watch(step, value):
        if isinstance(step, Rescale):
            left.append(int((value > integers.largest).sum()))
            reach.append(int(value.abs().max()))

    executor = Executor(integers, watch=watch)
    logits(executor, calibration)
    # Values that quantisers alone read may pass the last threshold, and then saturate without harm.
    assert integers.stream_bit == stream_bit
    assert sum(left) <= 0.001 * 300 * 49 * 16 * len(left)
    assert max(reach) > integers.largest // 2


def test_a_stream_of_eight_bits_still_classifies():
    network, (images, labels) = trained(4, 1, steps=60), digits()
    integers = to_integers(network, digits("train")[0][:300], 8)
    right = (logits(Executor(integers), images[:1000]).argmax(1) == labels[:1000]).float().mean()
    expected = (logits(network, images[:1000]).argmax(1) == labels[:1000]).float().mean()
    assert right > expected - 0.03


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_torchvision_networks_of_three_channels_become_integers(block):
    torch.manual_seed(0)
    body = ResNet(block, [1, 1, 1, 1], num_classes=7)
    network = quantize_model(nn.Sequential(PixelInput(0.5, 0.25), body), QuantSpec(bit=4))
    images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        for _ in range(3):
            network.train()(images)
    integers = to_integers(network.eval(), images, fold=False)
    compare_layer_by_layer(network, integers, images)


@pytest.mark.slow
def test_torchvisions_resnet18_at_its_own_size_becomes_integers():
    torch.manual_seed(0)
    network = quantize_model(nn.Sequential(PixelInput(33 / 255, 0.3), resnet18(num_classes=10)), QuantSpec(bit=3))
    images = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    with torch.no_grad():
        network.train()(images)
    compare_layer_by_layer(network, to_integers(network.eval(), images, fold=False), images)


@pytest.mark.slow
@pytest.mark.skipif(not RELEASED.exists(), reason="no released checkpoint at hand")
@pytest.mark.parametrize(("stream_bit", "differing"), [(16, 30), (8, 150)])
def test_the_released_checkpoint_predicts_in_integers_what_it_does_in_floats(stream_bit, differing):
    _, network, _ = read_any_trained(str(RELEASED), {"name": "resnet10"}, {"bit": 4, "power": 1}, ROOT / "data/mnist")
    integers = to_integers(network.eval(), digits("train")[0][:1000], stream_bit)
    images, labels = digits()
    found, expected = logits(Executor(integers), images).argmax(1), logits(network, images).argmax(1)
    assert int((found != expected).sum()) <= differing
    assert abs(int((found == labels).sum()) - int((expected == labels).sum())) <= differing // 3


def test_a_batch_norm_of_negative_slope_or_none_is_folded_right():
    network = fit(quantize_model(small(), QuantSpec(bit=3)), 5)
    with torch.no_grad():
        network[2].weight[:3] = torch.tensor([-0.7, 0.0, 1e-9])
    images = digits()[0][:200]
    integers, plain = (to_integers(network, digits("train")[0][:200], fold=fold) for fold in (True, False))
    (folded,) = [step for step in integers.steps if isinstance(step, ChannelThreshold)]
    assert folded.sign[:2].tolist() == [-1, 1]
    assert torch.equal(logits(Executor(integers), images), logits(Executor(plain), images))


def small(*middle):
    """Two convolutions and what a test puts between them."""
    torch.manual_seed(0)
    return nn.Sequential(
        PixelInput(33 / 255, 0.3),
        nn.Conv2d(1, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        *middle,
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, 2, 1, bias=True),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10),
    )


def test_biases_and_convolutions_without_batch_norm():
    network = fit(quantize_model(small(), QuantSpec(bit=4)), 20)
    images = digits()[0][:500]
    integers = to_integers(network, digits("train")[0][:300])
    real, expected = logits(Executor(integers), images).double() * integers.logit_scale, logits(network, images)
    assert (real - expected).abs().max() < 0.02 * expected.abs().max()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"bit": 32}, "layer conv1: has float weights; integers need weights of 2 to 8 bits"),
        ({"bit": 4, "first_bit": 32}, "layer conv1: has float weights"),
        ({"bit": 4, "last_bit": 32}, "layer fc: has float weights"),
        ({"bit": 4, "act_bit": 32}, "layer layer1.0.conv1: its input stays float; integers need activations"),
        ({"bit": 4, "weight_bit": 32}, "layer layer1.0.conv1: has float weights"),
        ({"bit": 6}, "layer layer1.0.conv1: activation codes up to 448"),
        (
            {"bit": 4, "additive": False},
            "layer layer1.0.conv1: activation codes up to 16384 don't fit into 8 bits (pot",
        ),
    ],
)
def test_layers_that_cannot_be_integers_are_named(spec, said):
    network = trained(steps=0, **{"power": 1, **spec}) if spec["bit"] != 32 else trained(32, 1, steps=0)
    with pytest.raises(UserError) as error:
        to_integers(network, digits()[0][:2])
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_other_things_that_cannot_be_integers_are_named():
    images = digits()[0][:50]

    def refused(network, stream_bit=16):
        with pytest.raises(UserError) as error:
            to_integers(network.eval(), images, stream_bit)
        return str(error.value)

    assert "0.1307" in refused(trained(4, 1, pixels=(0.1307, 0.3081), steps=0))
    network = quantize_model(small(), QuantSpec(bit=4))
    with torch.no_grad():
        network[4].bias.fill_(1e4)
    assert "layer 4: reaches 1.002e+04, which a stream of 8 bits can't hold; more bits would" in refused(network, 8)
    with torch.no_grad():
        network[2].weight[3] = np.nan
    assert "channel 3" in refused(network)
    network = quantize_model(small(), QuantSpec(bit=4))
    assert "must end with a linear layer" in refused(network[:-1])
    assert "layer 8: a linear layer that is not the last one" in refused(nn.Sequential(*network, nn.ReLU()))
