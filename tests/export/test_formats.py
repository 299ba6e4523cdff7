"""Every format computes the same function as torch, on real digits."""

import subprocess

import numpy as np
import onnx
import pytest
import torch
import torchvision
from torch import nn

from apot_lit.errors import UserError
from apot_lit.export.c_source import write_c
from apot_lit.export.engines import CEngine, OnnxEngine
from apot_lit.export.onnx_model import build_onnx, float_layers
from apot_lit.export.verify import verify
from apot_lit.graph.steps import Convolution
from apot_lit.graph.trace import build_steps
from apot_lit.models import PixelInput, ResNet
from apot_lit.quant import QuantSpec, quantize_model
from tests.export.conftest import PIXELS, REFERENCE_PIXELS, digits, fit, trained

SHAPE = (1, 28, 28)
KINDS = [(bit, power) for bit in (2, 3, 4, 5) for power in (1, 0)]


def onnx_engine(network, path, shape=SHAPE):
    steps = build_steps(network)
    onnx.save(build_onnx(steps, shape, {}), path)
    return OnnxEngine(path, steps, threads=1)


def c_engine(network, directory, shape=SHAPE):
    steps = build_steps(network)
    write_c(steps, shape, "a test", directory)
    return CEngine(directory, steps, shape)


@pytest.mark.parametrize(("bit", "power"), KINDS)
def test_onnx_is_the_same_function(tmp_path, bit, power):
    network = trained(bit, power)
    found = verify(network, onnx_engine(network, tmp_path / "net.onnx"), digits()[0][:1000], 128)
    assert found.same_predictions == found.images == 1000
    assert found.codes == 128 * sum(sizes_of(network))
    assert found.ties < found.codes / 10_000


@pytest.mark.parametrize(("bit", "power"), KINDS)
def test_c_is_the_same_function(tmp_path, bit, power):
    network = trained(bit, power)
    found = verify(network, c_engine(network, tmp_path / "c"), digits()[0][:500], 64)
    assert found.same_predictions == 500
    assert found.codes == 64 * sum(sizes_of(network))


def sizes_of(network):
    """Codes per image of every quantised activation, seen by hooks."""
    sizes = []
    hooks = [
        module.register_forward_hook(lambda _m, _i, output: sizes.append(output.values.numel()))
        for module in network.modules()
        if type(module).__name__ == "ActivationQuantizer"
    ]
    with torch.no_grad():
        network(digits()[0][:1])
    for hook in hooks:
        hook.remove()
    return sizes


@pytest.mark.parametrize(
    ("name", "stem"),
    [("resnet18", "reference"), ("resnet34", "reference"), ("resnet50", "reference"), ("resnet10", "small")],
)
def test_every_network_and_stem(tmp_path, name, stem):
    network = trained(3, 1, name=name, stem=stem, width=4, steps=4)
    images = digits()[0][:200]
    for engine in (onnx_engine(network, tmp_path / "net.onnx"), c_engine(network, tmp_path / "c")):
        assert verify(network, engine, images, 32).same_predictions == 200


def test_quantised_convolutions_are_integer_convolutions_of_bytes(tmp_path):
    network = trained(4, 1)
    model = build_onnx(build_steps(network), SHAPE, {"bit": 4, "scheme": "apot"})
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("ConvInteger") == 12
    assert "Conv" not in kinds
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    weights = [node.input[1] for node in model.graph.node if node.op_type == "ConvInteger"]
    assert {types[name] for name in weights} == {onnx.TensorProto.INT8}
    metadata = {prop.key: prop.value for prop in model.metadata_props}
    assert (metadata["bit"], metadata["scheme"]) == ("4", "apot")
    (pixels,) = model.graph.input
    assert pixels.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert float_layers(build_steps(network)) == ["fc"]
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    codes = set(np.unique(values["layer1.0.conv1.weight"]).tolist())
    assert codes <= {sign * code for code in (0, 1, 2, 3, 4, 6, 8, 10) for sign in (1, -1)}


def test_pixels_off_the_integer_grid_keep_a_float_first_layer(tmp_path):
    network = trained(4, 1, pixels=REFERENCE_PIXELS)
    steps = build_steps(network)
    assert float_layers(steps) == ["conv1", "fc"]
    images = digits()[0][:300]
    for engine in (
        onnx_engine(network, tmp_path / "net.onnx"),
        c_engine(network, tmp_path / "c"),
    ):
        assert verify(network, engine, images, 32).same_predictions == 300


def test_full_precision_is_exported_in_floats(tmp_path):
    network = trained(32, 1)
    steps = build_steps(network)
    assert len(float_layers(steps)) == 13
    engine = onnx_engine(network, tmp_path / "net.onnx")
    assert verify(network, engine, digits()[0][:300]).codes == 0


@pytest.mark.slow
def test_a_torchvision_network(tmp_path):
    torch.manual_seed(0)
    network = torchvision.models.resnet.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=10)
    network.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    network = fit(quantize_model(nn.Sequential(PixelInput(*PIXELS), network), QuantSpec(bit=3)), 2)
    images = digits()[0][:64]
    for engine in (onnx_engine(network, tmp_path / "net.onnx"), c_engine(network, tmp_path / "c")):
        assert verify(network, engine, images, 8).same_predictions == 64


def test_biases_groups_dilation_and_odd_strides(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(
        PixelInput(*PIXELS),
        nn.Conv2d(1, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 12, (3, 5), stride=(3, 2), padding=(2, 1), dilation=(2, 1), groups=4),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 6, 1, bias=True),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 10),
    )
    network = fit(quantize_model(network, QuantSpec(bit=4)), 10)
    images = digits()[0][:200]
    for engine in (onnx_engine(network, tmp_path / "net.onnx"), c_engine(network, tmp_path / "c")):
        assert verify(network, engine, images, 64).ties <= 3


def flip_onnx(path, layer):
    model = onnx.load(path)
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == f"{layer}.weight")
    values = onnx.numpy_helper.to_array(tensor).copy()
    index = tuple(np.argwhere(values == values.max())[0])
    values[index] = -values[index]
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    del model.metadata_props[:]  # the checksum would tell
    onnx.save(model, path)


@pytest.mark.parametrize("layer", ["conv1", "layer1.0.conv1", "layer4.0.conv2", "layer3.0.downsample.0", "fc"])
def test_one_flipped_weight_code_is_caught(tmp_path, layer):
    network = trained(4, 1)
    path = tmp_path / "net.onnx"
    engine = onnx_engine(network, path)
    images = digits()[0][:300]
    verify(network, engine, images)
    flip_onnx(path, layer)
    damaged = OnnxEngine(path, build_steps(network), threads=1)
    with pytest.raises(UserError, match=r"verification failed: layer .* 1 weight codes differ"):
        verify(network, damaged, images)


class WithoutWeights(OnnxEngine):
    """Cannot be asked for its weights, so that only what it computes tells."""

    def weights(self):
        return {}


@pytest.mark.parametrize("layer", ["conv1", "layer1.0.conv1", "layer3.0.downsample.0", "fc"])
def test_one_flipped_weight_code_is_caught_by_what_it_changes(tmp_path, layer):
    network = trained(4, 1)
    path = tmp_path / "net.onnx"
    onnx_engine(network, path)
    flip_onnx(path, layer)
    damaged = WithoutWeights(path, build_steps(network), threads=1)
    with pytest.raises(UserError, match=r"verification failed: (layer .* activation codes differ|logits differ)"):
        verify(network, damaged, digits()[0][:300])


class Miscoding(OnnxEngine):
    """Says 1 for one activation that is 0."""

    def codes(self, pixels):
        logits, codes = super().codes(pixels)
        wrong = codes["layer2.0.conv1"].copy()
        wrong[tuple(np.argwhere(wrong == 0)[0])] = 1
        return logits, {**codes, "layer2.0.conv1": wrong}


def test_only_a_value_midway_between_two_codes_may_have_either(tmp_path):
    network = trained(4, 1)
    onnx_engine(network, tmp_path / "net.onnx")
    wrong = Miscoding(tmp_path / "net.onnx", build_steps(network), threads=1)
    with pytest.raises(UserError, match=r"layer layer2\.0\.conv1: 1 activation codes differ"):
        verify(network, wrong, digits()[0][:20])


def test_the_c_source_needs_nothing_and_warns_of_nothing(tmp_path):
    c_engine(trained(5, 1), tmp_path / "c")
    sources = ["network.c", "apot_runtime.c", "main.c"]
    flags = [
        "-std=c99",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Wconversion",
        "-Werror",
        "-fsanitize=undefined,address",
    ]
    done = subprocess.run(["cc", *flags, *sources, "-o", "net"], cwd=tmp_path / "c", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pixels = digits()[0][:3].numpy().tobytes()
    ran = subprocess.run(["./net", "1"], cwd=tmp_path / "c", input=pixels, capture_output=True)
    assert ran.returncode == 0, ran.stderr.decode()
    assert not ran.stderr
    runtime = (tmp_path / "c/apot_runtime.c").read_text()
    quantised = runtime[runtime.index("static void multiply") : runtime.index("static void float_convolution")]
    inner = quantised[quantised.index("sum[o] +=") :].partition(";")[0]
    assert "*" not in inner


@pytest.mark.parametrize(
    ("network", "part"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.GELU(), nn.Conv2d(2, 2, 3)), "layer 2: GELU"),
        (nn.Sequential(nn.Conv2d(1, 2, 3, padding_mode="reflect", padding=1)), "layer 1: only zero padding"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(3)), "layer 2: AdaptiveAvgPool2d"),
    ],
)
def test_what_cannot_be_exported_is_named(network, part):
    with pytest.raises(UserError, match=part):
        build_steps(nn.Sequential(PixelInput(*PIXELS), *network).eval())


def test_a_network_that_does_not_say_what_its_pixels_are_is_refused():
    with pytest.raises(UserError, match="needs one PixelInput"):
        build_steps(quantize_model(ResNet("resnet10", width=4), QuantSpec(bit=4)).eval())


def pixel_network():
    return ResNet("resnet10", width=4, input=PixelInput(*PIXELS))


def test_codes_that_do_not_fit_into_bytes_are_refused():
    for bit, power in ((6, 1), (8, 1)):
        network = quantize_model(pixel_network(), QuantSpec(bit=bit, power=power))
        with pytest.raises(UserError, match=r"layer layer1\.0\.conv1: .* don't fit into 8 bits"):
            build_steps(network.eval())
    network = quantize_model(pixel_network(), QuantSpec(bit=8, power=0))
    assert any(isinstance(step, Convolution) for step in build_steps(network.eval()))
