"""Networks of other code than the project's: to integers, exported from Python, the same to the bit."""

import json

import numpy as np
import pytest
import torch
import torchvision.models
from torch import nn

from apot_lit.errors import UserError
from apot_lit.export import export_network
from apot_lit.integer import Executor, to_integers
from apot_lit.integer.network import Accumulate, Clip, Rescale, Threshold
from apot_lit.models import PixelInput
from apot_lit.quant import QuantSpec, quantize_model
from apot_lit.quant.channel_thresholds import ChannelWeightQuantizer
from apot_lit.stored import load_packed, read_packed
from apot_lit.stored.description import Description, describe, restore
from tests.conftest import slowly
from tests.export.networks import DepthwiseNet, made, noise, seen
from tests.integer.test_conversion import compare_layer_by_layer

BIG = ["resnet18", "vgg11", "mobilenet_v2", "densenet121"]


@pytest.mark.parametrize("name", ["depthwise", "joined", *slowly(*BIG)])
def test_every_layer_computes_what_floats_do(name):
    network, images = made(name)
    compare_layer_by_layer(network, to_integers(network, images, fold=False), images)


@pytest.mark.parametrize("form", ["onnx", "packed"])
@pytest.mark.parametrize("name", ["depthwise", "joined", *slowly(*BIG)])
def test_exports_are_the_same_to_the_bit(tmp_path, name, form):
    network, images = made(name)
    was_training = network.training
    found = export_network(network, images, tmp_path / "net", form)
    assert found.verification.images == len(images)
    layers = [step for step in found.integers.steps if hasattr(step, "weight")]
    assert found.verification.weights == sum(step.weight.size for step in layers)
    assert found.verification.codes > len(images) * 50
    assert network.training == was_training
    # Others than those that it was calibrated by, which may saturate.
    others = noise(5, images.shape[-1], seed=7)
    expected = Executor(found.integers)(others)
    assert len(np.unique(expected.numpy(), axis=0)) == 5
    if form == "packed":
        assert torch.equal(load_packed(tmp_path / "net")(others), expected)


@pytest.mark.parametrize("name", ["depthwise", "joined"])
@pytest.mark.parametrize(("stream_bit", "options"), [(16, {}), (8, {"power": 0, "bit": 8}), (11, {"bit": 2})])
def test_c_is_the_same_to_the_bit(tmp_path, name, stream_bit, options):
    network, images = made(name, **options)
    found = export_network(network, images, tmp_path / "net", "c", stream_bit=stream_bit)
    assert found.verification.codes > len(images) * 50


def of_channels(**options):
    """A network whose weights have a threshold for each channel, all different, and layers with bits of their own."""
    torch.manual_seed(0)
    images = noise(12, 16)
    network = seen(DepthwiseNet(), images, weight_per_channel=True, **options)
    for module in network.modules():
        if isinstance(module, ChannelWeightQuantizer):
            module.raw_alpha.data *= torch.linspace(0.7, 1.3, len(module.raw_alpha))
    return network, images


@pytest.mark.parametrize("form", ["onnx", "packed", "c"])
def test_thresholds_of_channels_and_bits_of_layers(tmp_path, form):
    own = {"1.deep.0": {"bit": 8, "power": 0}, "1.grouped.0": {"bit": 2}, "1.last": {"act_bit": 3}}
    network, images = of_channels(overrides=own)
    found = export_network(network, images, tmp_path / "net", form)
    compare_layer_by_layer(network, found.integers, images)
    convolutions = [step for step in found.integers.steps if isinstance(step, Accumulate)]
    bits = {step.layer: step.levels.bits + 1 for step in convolutions if step.levels}
    assert bits == {"1.expand.0": 4, "1.deep.0": 8, "1.project.0": 4, "1.grouped.0": 2}
    assert {step.layer for step in found.integers.steps if isinstance(step, Threshold)} == {*bits, "1.last"}
    if form == "packed":
        again = read_packed(tmp_path / "net", network).network
        assert torch.equal(again(images), network(images))


def test_a_last_layer_has_one_scale():
    network, images = of_channels(overrides={"1.last": {"weight_bit": 4}})
    with pytest.raises(UserError, match=r"^layer 1\.last: the last layer must have one scale"):
        to_integers(network, images)


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("name", ["depthwise", "joined"])
def test_descriptions_come_back(name, fold):
    network, images = made(name)
    integers = to_integers(network, images, fold=fold)
    plain, arrays, weights = describe(integers)
    again = restore(Description(json.loads(json.dumps(plain)), arrays, weights))
    for step, expected in zip(again.steps, integers.steps, strict=True):
        assert type(step) is type(expected)
        assert all(np.array_equal(getattr(step, key), value) for key, value in vars(expected).items())
    signed = next(step for step in plain["steps"] if step["kind"] == "signed_accumulate")
    signed["kind"] = "accumulate"
    with pytest.raises(UserError, match="must know whether codes have a sign"):
        restore(Description(plain, arrays, weights))


def test_signs_bounds_and_depthwise_layers_are_there():
    network, images = made("depthwise")
    integers = to_integers(network, images, fold=False)
    sums = {step.layer: step for step in integers.steps if isinstance(step, Accumulate)}
    assert sums["1.deep.0"].groups == 18
    assert sums["1.grouped.0"].is_signed
    assert not sums["1.deep.0"].is_signed
    # The bound of what a quantiser alone reads is within its thresholds; that of the sum's operand is not.
    clips = [step for step in integers.steps if isinstance(step, Clip)]
    assert {(step.lowest, step.highest) for step in clips} == {(0, 6 * 2**integers.fraction)}
    assert len(clips) == 2
    (threshold,) = [step for step in integers.steps if isinstance(step, Threshold) and step.layer == "1.deep.0"]
    assert isinstance({step.output: step for step in integers.steps}[threshold.inputs[0]], Rescale)


def test_an_earlier_export_is_kept_unless_it_may_be_replaced(tmp_path):
    network, images = made("depthwise")
    export_network(network, images, tmp_path / "net.onnx")
    before = (tmp_path / "net.onnx").read_bytes()
    with pytest.raises(UserError, match="exists already"):
        export_network(network, images, tmp_path / "net.onnx")
    assert (tmp_path / "net.onnx").read_bytes() == before
    assert export_network(network, images, tmp_path / "net.onnx", overwrite=True).path == tmp_path / "net.onnx"


def refused(network, images=None, bit=4, **options):
    images = noise(2, 16) if images is None else images
    with pytest.raises(UserError) as error:
        export_network(quantize_model(network, QuantSpec(bit=bit)).eval(), images, "/nonexistent/net", **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_can_not_be_exported_is_named_in_one_line():
    pixels = PixelInput(0.5, 0.25)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    first = nn.Conv2d(3, 4, 3)
    assert "nn.Sequential(PixelInput(mean, std), network)" in refused(nn.Sequential(first, *head))
    for kind in (nn.Hardswish(), nn.GELU(), nn.Softmax(1), nn.LayerNorm([4, 14, 14])):
        said = refused(nn.Sequential(pixels, first, kind, nn.Conv2d(4, 4, 1), *head))
        assert said.startswith(f"layer 2: {type(kind).__name__} can't be exported")
    assert "edge out of its means" in refused(nn.Sequential(pixels, first, nn.AvgPool2d(3, 1, 1, False, False), *head))
    assert "a map of 14x14 can't be averaged to 5x5" in refused(
        nn.Sequential(pixels, first, nn.AdaptiveAvgPool2d(5), nn.Conv2d(4, 4, 1), *head)
    )
    assert "format=web: must be one of" in refused(nn.Sequential(pixels, first, *head), format="web")
    assert "example: must be uint8" in refused(nn.Sequential(pixels, first, *head), torch.rand(2, 3, 16, 16))


def test_a_vision_transformer_is_refused_with_what_it_is_made_of():
    said = refused(nn.Sequential(PixelInput(0.5, 0.25), torchvision.models.vit_b_16(image_size=32)), noise(2, 32))
    assert "can't be exported" in said
    assert "LayerNorm" in said
    assert "GELU" in said


def test_squeeze_and_excitation_is_refused_by_name():
    said = refused(nn.Sequential(PixelInput(0.5, 0.25), torchvision.models.mobilenet_v3_small()), noise(2, 32))
    assert "Hardswish can't be exported, nor can Hardsigmoid" in said
