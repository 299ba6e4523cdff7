"""ONNX models compute the integers of the reference executor, whatever engines make of the graph."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from apot_lit.export.onnx_engine import OnnxEngine
from apot_lit.export.onnx_model import build_onnx
from apot_lit.export.verify import verify
from apot_lit.graph.steps import Flatten
from apot_lit.integer import Executor, IntegerNetwork, to_integers
from apot_lit.integer.network import Accumulate, Head, Rescale, SumPositions, Threshold
from apot_lit.models import PixelInput
from apot_lit.quant import QuantSpec, quant_layers, quantize_model
from apot_lit.quant.convert import act_quantizers
from apot_lit.quant.levels import level_set
from tests.conftest import slowly
from tests.export.conftest import PIXELS, REFERENCE_PIXELS, digits, fit, trained
from tests.export.onnx_sessions import LEVELS, run
from tests.integer import test_executor

APOT, POT, UNIFORM = {"power": 1}, {"power": 1, "additive": False}, {"power": 0}
COARSE = {**UNIFORM, "weight_alpha": 1.5}  # 2 bits of the larger initial threshold leave channels without any weight
KINDS = [
    *((bit, APOT) for bit in (2, 3, 4, 5)),
    *((bit, POT) for bit in (2, 3)),
    *((bit, UNIFORM) for bit in (3, 4, 5)),
    (2, COARSE),
]


@cache
def integers(network, stream_bit=16, fold=False):
    return to_integers(network, digits("train")[0][:200], stream_bit, fold)


def engine_of(network, path):
    path.write_bytes(build_onnx(network, {}).SerializeToString())
    return OnnxEngine(path, threads=1)


@pytest.mark.parametrize("fold", [*slowly(True), False])
@pytest.mark.parametrize(("bit", "kind"), KINDS)
def test_every_scheme_is_the_same_function(tmp_path, bit, kind, fold):
    floats = trained(bit, **kind)
    network = integers(floats, fold=fold)
    found = verify(network, engine_of(network, tmp_path / "net.onnx"), digits()[0][:300])
    assert found.weights == sum(layer.weight.numel() for _, layer in quant_layers(floats))
    assert (found.images, found.codes) == (300, 300 * codes_of(floats))


def codes_of(network):
    """Codes per image of all quantised activations, seen by hooks."""
    sizes = []
    hooks = [
        quantizer.register_forward_hook(lambda _m, _i, output: sizes.append(output.values.numel()))
        for quantizer in act_quantizers(network).values()
    ]
    with torch.no_grad():
        network(digits()[0][:1])
    for hook in hooks:
        hook.remove()
    return sum(sizes)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("batch", "threads"), [(1, 1), (128, 1), (128, 2)])
def test_no_optimisation_of_the_graph_changes_a_logit(level, batch, threads):
    images = digits()[0][:batch]
    for bit, kind, fold in [(5, APOT, False), (2, COARSE, True), (3, POT, False)]:
        network = integers(trained(bit, **kind), fold=fold)
        found = run(build_onnx(network, {}), images.numpy(), level, threads)
        assert found.dtype == np.int64
        assert np.array_equal(found, Executor(network)(images).numpy())


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {"stem": "small"},
        {"name": "resnet18"},
        {"name": "resnet50"},
        {"pixels": REFERENCE_PIXELS},
        {"pixels": REFERENCE_PIXELS, "stem": "small"},
    ],
    ids=str,
)
def test_every_network_stem_and_mean(tmp_path, options, fold):
    network = integers(trained(3, 1, width=4, steps=4, **options), fold=fold)
    assert verify(network, engine_of(network, tmp_path / "net.onnx"), digits()[0][:100]).images == 100


@pytest.mark.parametrize("stream_bit", [8, 9, 10, 12, 14])
def test_every_width_of_the_stream(tmp_path, stream_bit):
    for bit, kind in [(4, APOT), (5, UNIFORM)]:
        network = integers(trained(bit, **kind), stream_bit)
        assert network.stream_bit == stream_bit
        assert verify(network, engine_of(network, tmp_path / "net.onnx"), digits()[0][:100]).images == 100


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("bit", "kind"), [(5, APOT), (4, APOT), (3, UNIFORM), (2, COARSE)])
def test_all_test_images_at_every_optimisation(level, bit, kind):
    network, images = integers(trained(bit, **kind)), digits()[0]
    model = build_onnx(network, {})
    for batch in images.split(1000):
        assert np.array_equal(run(model, batch.numpy(), level), Executor(network)(batch).numpy())


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("channels", "size", "stream_bit", "pixels"),
    [(1, (7, 6), 16, (1, 33)), (3, (5, 5), 8, (1, 0)), (2, (8, 9), 12, (200, 6681))],
)
def test_random_steps_of_every_kind_are_those_of_loops(level, channels, size, stream_bit, pixels):
    network = test_executor.network(channels, channels, size, stream_bit, *pixels)
    images = np.random.default_rng(1).integers(0, 256, (3, channels, *size)).astype(np.uint8)
    found = run(build_onnx(network, {}), images, level)
    for image, logits in zip(images, found, strict=True):
        assert logits.tolist() == test_executor.loops(network, image)["m"].tolist()


def chain(weight, rescale, levels, largest):
    """Pixels times 1 to codes by thresholds, a layer on them, its batch norm and a head that shows every channel."""
    count = len(weight)
    ones = np.ones((weight.shape[1], 1, 1, 1), np.int8)
    point = ((1, 1), (0, 0), (1, 1), 1)
    same = Rescale(
        "b", ("a",), *(np.full(len(ones), v, d) for v, d in ((1, np.int32), (0, np.int64), (0, np.int32))), "a"
    )
    thresholds = np.arange(1, len(levels.codes), dtype=np.int32)
    steps = [
        Accumulate("a", ("pixels",), ones, *point, None, "a", 1, 0, 255),
        same,
        Threshold("c", ("b",), thresholds, levels.codes, levels, "d"),
        Accumulate("d", ("c",), weight, *point, None, "d", 1, 0, largest),
        rescale,
        SumPositions("f", ("e",), 1),
        Flatten("g", ("f",)),
        Head("h", ("g",), np.eye(count, dtype=np.int8), "h", np.zeros(count, np.int64)),
    ]
    return IntegerNetwork(steps, (1, 1, 1), 16, 0, 1.0)


def shown(network, pixels):
    found = run(build_onnx(network, {}), np.array(pixels, np.uint8).reshape(-1, 1, 1, 1))
    return found.tolist()


def saturate(value):
    return max(-(2**15), min(2**15 - 1, value))


def test_sums_that_float32_does_not_hold():
    """With 600 inputs of 8 bits sums reach 255 * 127 * 600, more than 2^24; they are odd for odd pixels."""
    weight = np.full((2, 600, 1, 1), 127, np.int8)
    weight[1, 0] = 126
    parts = [np.array([1, 1], np.int32), np.array([-19_400_000, -19_400_000], np.int64), np.zeros(2, np.int32)]
    network = chain(weight, Rescale("e", ("d",), *parts, "d"), level_set("uniform", 8), 255)
    expected = [[saturate(p * s - 19_400_000) for s in (76_200, 76_199)] for p in (255, 254, 253)]
    assert -(2**15) < expected[0][1] < expected[0][0] < 2**15
    assert shown(network, [255, 254, 253]) == expected


def test_products_that_float64_does_not_hold():
    """Bits far below the last one decide, beside an offset of 2^61."""
    multiplier, shift = np.array([1, -3, 0], np.int32), np.array([40, 40, 40], np.int32)
    bias = np.array([(2**14 << 40) - 2, (-(2**13) << 40) + 5, (2**21 << 40) - 1], np.int64)
    network = chain(
        np.ones((3, 1, 1, 1), np.int8), Rescale("e", ("d",), multiplier, bias, shift, "d"), level_set("uniform", 2), 3
    )
    channels = list(zip(multiplier.tolist(), bias.tolist(), strict=True))
    expected = [[saturate((p * m + b) >> 40) for m, b in channels] for p in range(4)]
    assert expected[1][0] + 1 == expected[2][0] == 2**14
    assert expected[1][1] == expected[2][1] + 1 == -(2**13)
    assert shown(network, range(4)) == expected


def test_a_threshold_that_a_saturated_value_never_reaches():
    """A batch norm and the quantiser behind it are one function of the file: it saturates as both do."""
    network = integers(trained(4, 1))
    at = next(i for i, step in enumerate(network.steps) if isinstance(step, Threshold) and i > 5)
    step = network.steps[at]
    unreached = np.append(step.thresholds[:-2], [network.largest, network.largest + 1]).astype(np.int32)
    rescale = network.steps[at - 1]
    assert isinstance(rescale, Rescale)
    steps = list(network.steps)
    steps[at] = replace(step, thresholds=unreached)
    steps[at - 1] = replace(rescale, multiplier=np.full_like(rescale.multiplier, 32767), shift=rescale.shift * 0)
    changed = replace(network, steps=steps)
    images = digits()[0][:20]
    codes = Executor(changed).codes(images)[1][step.layer]
    assert int(codes.max()) == step.codes[-2]
    assert np.array_equal(run(build_onnx(changed, {}), images.numpy()), Executor(changed)(images).numpy())


def test_weights_take_as_few_bits_as_types_allow():
    types, sizes = {}, {}
    for bit in (2, 3, 4, 5):
        model = build_onnx(integers(trained(bit, 1, width=16, steps=2)), {})
        (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == "layer4.0.conv2.index")
        types[bit], sizes[bit] = onnx.TensorProto.DataType.Name(tensor.data_type), len(model.SerializeToString())
    assert types == {2: "INT2", 3: "INT4", 4: "INT4", 5: "INT8"}
    assert sizes[2] < 0.6 * sizes[4]
    assert sizes[4] < 0.6 * sizes[5]


def test_the_file_says_what_it_is():
    network = integers(trained(2, 1))
    model = build_onnx(network, {"bit": 2, "scheme": "apot", "accuracy": 0.5})
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(metadata["logit_scale"]) == network.logit_scale
    assert (metadata["stream_bit"], metadata["fraction"]) == ("16", str(network.fraction))
    assert (metadata["bit"], metadata["scheme"], metadata["accuracy"]) == ("2", "apot", "0.5")
    assert [entry.version for entry in model.opset_import if entry.domain == ""] == [25]
    layers = {node.name.removesuffix(".codes") for node in model.graph.node if node.name.endswith(".codes")}
    assert layers == {step.layer for step in network.steps if isinstance(step, Threshold)}
    (pixels,), (logits,) = model.graph.input, model.graph.output
    assert pixels.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert logits.type.tensor_type.elem_type == onnx.TensorProto.INT64


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
    for fold in (True, False):
        converted = integers(network, fold=fold)
        assert verify(converted, engine_of(converted, tmp_path / "net.onnx"), digits()[0][:200]).images == 200


@pytest.mark.parametrize("first", [0, -5, -(2**15)])
def test_thresholds_below_one_are_reached_by_values_below_one(first):
    network = test_executor.network(0, 1, (7, 6), 16, 1, 33)
    at = next(i for i, step in enumerate(network.steps) if isinstance(step, Threshold))
    steps = list(network.steps)
    steps[at] = replace(steps[at], inputs=("c",), thresholds=np.arange(first, first + 7, dtype=np.int32))
    network = replace(network, steps=steps)
    images = np.random.default_rng(0).integers(0, 256, (9, 1, 7, 6)).astype(np.uint8)
    expected = Executor(network)(torch.from_numpy(images)).numpy()
    assert np.array_equal(run(build_onnx(network, {}), images, LEVELS[-1]), expected)
