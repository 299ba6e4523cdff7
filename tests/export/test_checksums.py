"""ONNX files that were changed after they were written are refused, or change nothing."""

import numpy as np
import onnx
import pytest
import torch

from apot_lit.errors import UserError
from apot_lit.export.engines import OnnxEngine
from apot_lit.export.onnx_model import build_onnx
from apot_lit.graph.trace import build_steps
from apot_lit.models import PixelInput
from apot_lit.quant import QuantSpec, quantize_model
from tests.export.conftest import PIXELS


def mutations(data, count, places):
    """Copies of a file with one byte changed, at places that are the same in every run."""
    generator = np.random.default_rng(0)
    for place in generator.choice(places, count):
        changed = bytearray(data)
        changed[place] ^= int(generator.integers(1, 256))
        yield bytes(changed)


def attempt(function, *arguments, **options):
    """What a function returns, or the UserError that it raises; nothing else may be raised."""
    try:
        return function(*arguments, **options), None
    except UserError as error:
        return None, error


def assert_one_line(error, path):
    assert str(error).startswith(f"{path}: ")
    assert "\n" not in str(error)


@pytest.fixture(scope="module")
def steps():
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
    return build_steps(quantize_model(network, QuantSpec(bit=3)).eval())


def test_an_onnx_file_with_another_byte_is_refused_or_the_same_function(tmp_path, steps):
    data = build_onnx(steps, (1, 9, 9), {"bit": 3}).SerializeToString()
    path, refused = tmp_path / "net.onnx", 0
    path.write_bytes(data)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 1, 9, 9), np.uint8)
    expected = OnnxEngine(path, steps, threads=1)
    logits, codes = expected.codes(pixels)
    for changed in mutations(data, 400, np.arange(len(data))):
        path.write_bytes(changed)
        found, error = attempt(OnnxEngine, path, steps, threads=1)
        if error:
            refused += 1
            assert_one_line(error, path)
        else:
            assert np.array_equal(found.logits(pixels), logits)
            assert all(np.array_equal(found.codes(pixels)[1][layer], codes[layer]) for layer in codes)
            weights = found.weights()
            assert all(np.array_equal(weights[layer], value) for layer, value in expected.weights().items())
    assert refused >= 390


@pytest.mark.parametrize("change", ["weight", "scale", "attribute", "metadata", "input"])
def test_an_onnx_file_that_says_anything_else_does_not_fit_its_checksum(tmp_path, steps, change):
    model = build_onnx(steps, (1, 9, 9), {"bit": 3})
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    if change == "weight":
        tensor = tensors["1.weight"]
        tensor.raw_data = tensor.raw_data[:-1] + bytes([tensor.raw_data[-1] ^ 1])
    elif change == "scale":
        tensor = next(tensor for name, tensor in tensors.items() if name.startswith("scalar_"))
        tensor.raw_data = np.float32(0.5).tobytes()
    elif change == "attribute":
        node = next(node for node in model.graph.node if node.op_type == "MaxPool")
        node.attribute[0].ints[0] += 1
    elif change == "metadata":
        next(prop for prop in model.metadata_props if prop.key == "bit").value = "4"
    else:
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 10
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    with pytest.raises(UserError, match="does not fit its checksum") as error:
        OnnxEngine(path, steps)
    assert_one_line(error.value, path)


def test_an_onnx_file_keeps_its_checksum_when_other_tools_save_it_again(tmp_path, steps):
    path = tmp_path / "net.onnx"
    onnx.save(build_onnx(steps, (1, 9, 9), {"bit": 3}), path)
    model = onnx.load(path)
    kept = [prop.key for prop in model.metadata_props]
    assert kept == ["bit", "checksum"]
    onnx.save(onnx.load_model_from_string(model.SerializeToString()), path)
    OnnxEngine(path, steps)
    del model.metadata_props[1]
    onnx.save(model, path)
    OnnxEngine(path, steps)
