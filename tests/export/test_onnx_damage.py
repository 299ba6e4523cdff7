"""ONNX files that were changed after they were written are refused, and what computes otherwise is found."""

import numpy as np
import onnx
import pytest
import torch

from apot_lit.errors import UserError
from apot_lit.export.onnx_checksum import CHECKSUM, add_checksum
from apot_lit.export.onnx_engine import OnnxEngine
from apot_lit.export.onnx_model import build_onnx
from apot_lit.export.verify import verify
from apot_lit.integer import to_integers
from apot_lit.models import PixelInput
from apot_lit.quant import QuantSpec, quantize_model
from tests.export.conftest import PIXELS, REFERENCE_PIXELS, digits, trained


def assert_one_line(error, path):
    assert str(error).startswith(f"{path}: ")
    assert "\n" not in str(error)


@pytest.fixture(scope="module")
def real():
    """A network with constants of every kind, and its model."""
    network = to_integers(trained(4, 1, pixels=REFERENCE_PIXELS), digits("train")[0][:200], fold=False)
    return network, build_onnx(network, {"bit": 4})


@pytest.fixture(scope="module")
def folded():
    network = to_integers(trained(4, 1), digits("train")[0][:200], fold=True)
    return network, build_onnx(network, {"bit": 4})


def flipped(model, name, bit, path, checksum):
    """Writes a model of which one bit of one value of a constant is another."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    (tensor,) = (tensor for tensor in changed.graph.initializer if tensor.name == name)
    data = bytearray(tensor.raw_data)
    data[bit // 8] ^= 1 << bit % 8
    tensor.raw_data = bytes(data)
    if checksum:
        kept = [entry for entry in changed.metadata_props if entry.key != CHECKSUM]
        del changed.metadata_props[:]
        changed.metadata_props.extend(kept)
        add_checksum(changed)
    onnx.save(changed, path)
    return path


WEIGHTS = ["conv1.index", "layer1.0.conv1.index", "layer4.0.conv2.index", "layer3.0.downsample.0.index", "fc.index"]
# A bit of the first value that is large enough to matter on some digits: of what is rounded, the last ones do not.
OTHERS = [
    ("layer1.0.conv1.thresholds", 8),
    ("bn1.multiplier", 12),
    ("layer1_0_bn1.multiplier", 13),
    ("bn1.bias", 25),
    ("layer2_0_downsample_1.bias", 28),
    ("bn1.shift", 0),
    ("layer3_0_bn2.shift", 1),
    ("apot_4_codes", 8),
    ("apot_3_codes", 8),
    ("conv1.multiplier", 52),
    ("conv1.offset", 50),
    ("smallest", 31),
    ("largest", 14),
    ("zero", 10),
    ("fc.bias", 9),
    ("one_image", 64 * 2),
]


def test_every_kind_of_constant_is_among_those_flipped(real):
    kinds = {tensor.name.split(".")[-1] for tensor in real[1].graph.initializer}
    assert kinds == {name.split(".")[-1] for name, _ in [*OTHERS, ("index", 0)]}


@pytest.mark.parametrize(("name", "bit"), [*((name, 0) for name in WEIGHTS), *OTHERS])
def test_a_flipped_bit_does_not_fit_the_checksum(tmp_path, real, name, bit):
    path = flipped(real[1], name, bit, tmp_path / "net.onnx", checksum=False)
    with pytest.raises(UserError, match="does not fit its checksum") as error:
        OnnxEngine(path)
    assert_one_line(error.value, path)


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("bit", [0, 1, 1001])
def test_any_flipped_weight_is_found_without_the_checksum(tmp_path, real, name, bit):
    path = flipped(real[1], name, bit, tmp_path / "net.onnx", checksum=True)
    layer = name.removesuffix(".index")
    with pytest.raises(UserError, match=rf"verification failed: 1 of [\d,]+ weights of layer {layer} differ"):
        verify(real[0], OnnxEngine(path, 1), digits()[0][:10])


@pytest.mark.parametrize(("name", "bit"), OTHERS)
def test_other_flipped_bits_are_found_by_what_they_change(tmp_path, real, name, bit):
    path = flipped(real[1], name, bit, tmp_path / "net.onnx", checksum=True)
    with pytest.raises(UserError, match=r"verification failed: .* differ|is damaged"):
        verify(real[0], OnnxEngine(path, 1), digits()[0][:200])


@pytest.mark.parametrize(("name", "bit"), [("layer1.0.conv2.thresholds", 8), ("layer1.0.conv2.sign", 1)])
def test_flipped_bits_of_thresholds_of_channels_are_found(tmp_path, folded, name, bit):
    network, model = folded
    path = flipped(model, name, bit, tmp_path / "net.onnx", checksum=True)
    with pytest.raises(UserError, match=r"verification failed: .* activation codes of layer layer1\.0\.conv2 differ"):
        verify(network, OnnxEngine(path, 1), digits()[0][:200])


@pytest.fixture(scope="module")
def small():
    network = torch.nn.Sequential(
        PixelInput(*PIXELS),
        torch.nn.Conv2d(1, 2, 3, stride=2),
        torch.nn.BatchNorm2d(2),
        torch.nn.ReLU(),
        torch.nn.Conv2d(2, 3, 3, padding=1),
        torch.nn.MaxPool2d(3),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(3, 4),
    )
    torch.manual_seed(0)
    images = torch.randint(0, 256, (50, 1, 9, 9), dtype=torch.uint8)
    return to_integers(quantize_model(network, QuantSpec(bit=3)).eval(), images, fold=False)


def test_a_file_with_another_byte_is_refused_or_the_same_function(tmp_path, small):
    data = build_onnx(small, {"bit": 3}).SerializeToString()
    path, refused = tmp_path / "net.onnx", 0
    path.write_bytes(data)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 1, 9, 9), np.uint8)
    expected = OnnxEngine(path, threads=1)
    logits, codes = expected.codes(pixels)
    generator = np.random.default_rng(0)
    for place in generator.choice(len(data), 400, replace=False):
        changed = bytearray(data)
        changed[place] ^= int(generator.integers(1, 256))
        path.write_bytes(bytes(changed))
        try:
            found = OnnxEngine(path, threads=1)
        except UserError as error:
            refused += 1
            assert_one_line(error, path)
            continue
        assert np.array_equal(found.logits(pixels), logits)
        assert all(np.array_equal(found.codes(pixels)[1][layer], codes[layer]) for layer in codes)
        assert all(np.array_equal(found.weights()[layer], value) for layer, value in expected.weights().items())
    assert refused >= 390


@pytest.mark.parametrize("change", ["attribute", "function", "metadata", "input"])
def test_a_file_that_says_anything_else_does_not_fit_its_checksum(tmp_path, small, change):
    model = build_onnx(small, {"bit": 3})
    if change == "attribute":
        next(node for node in model.graph.node if node.op_type == "MaxPool").attribute[0].ints[0] += 1
    elif change == "function":
        function = next(function for function in model.functions if function.name == "Rescale")
        next(node for node in function.node if node.op_type == "Floor").op_type = "Ceil"
    elif change == "metadata":
        next(entry for entry in model.metadata_props if entry.key == "fraction").value = "4"
    else:
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 10
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    with pytest.raises(UserError, match="does not fit its checksum") as error:
        OnnxEngine(path)
    assert_one_line(error.value, path)


def test_a_file_keeps_its_checksum_when_other_tools_save_it_again(tmp_path, small):
    path = tmp_path / "net.onnx"
    onnx.save(build_onnx(small, {"bit": 3}), path)
    model = onnx.load(path)
    assert [entry.key for entry in model.metadata_props] == ["stream_bit", "fraction", "logit_scale", "bit", CHECKSUM]
    onnx.save(onnx.load_model_from_string(model.SerializeToString()), path)
    OnnxEngine(path)
    del model.metadata_props[-1]
    onnx.save(model, path)
    OnnxEngine(path)
