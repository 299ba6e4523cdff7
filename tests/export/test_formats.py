"""All formats of one network compute the same bits, on real digits."""

import pytest
import torch
import torchvision
from torch import nn

from apot_lit.export.c_engine import CEngine
from apot_lit.export.c_source import write_c
from apot_lit.export.onnx_engine import OnnxEngine
from apot_lit.export.onnx_model import build_onnx
from apot_lit.export.packed_engine import PackedEngine
from apot_lit.export.verify import verify
from apot_lit.integer import to_integers
from apot_lit.integer.folding import fold_batch_norms
from apot_lit.models import PixelInput
from apot_lit.quant import QuantSpec, quantize_model
from apot_lit.stored.packed import save_packed
from tests.export.conftest import PIXELS, REFERENCE_PIXELS, digits, fit, trained


def engines(network, integers, directory):
    """The three formats as export.py writes them."""
    (directory / "net.onnx").write_bytes(build_onnx(integers, {}).SerializeToString())
    write_c(fold_batch_norms(integers), "a test", directory / "c")
    save_packed(network, integers, {}, directory / "net.safetensors")
    return OnnxEngine(directory / "net.onnx"), CEngine(directory / "c"), PackedEngine(directory / "net.safetensors")


def compare(network, directory, count, stream_bit=16):
    images = digits()[0][:count]
    integers = to_integers(network, digits("train")[0][:200], stream_bit, fold=False)
    for engine in engines(network, integers, directory):
        for written in (integers, fold_batch_norms(integers)):
            verification = verify(written, engine, images)
            assert verification.images == count
            assert verification.codes > 0


@pytest.mark.parametrize(("bit", "power", "additive"), [(5, 1, True), (4, 0, True), (3, 1, False), (2, 1, True)])
def test_levels(tmp_path, bit, power, additive):
    compare(trained(bit, power, additive=additive), tmp_path, 200)


@pytest.mark.parametrize("stream_bit", [8, 11])
def test_narrow_streams(tmp_path, stream_bit):
    compare(trained(4, 1), tmp_path, 200, stream_bit)


@pytest.mark.parametrize(
    "options",
    [
        {"stem": "small", "width": 4},
        pytest.param({"name": "resnet50", "width": 4}, marks=pytest.mark.slow),
        pytest.param({"pixels": REFERENCE_PIXELS}, marks=pytest.mark.slow),
    ],
)
def test_networks_stems_and_means(tmp_path, options):
    compare(trained(4, 1, **options), tmp_path, 50)


@pytest.mark.slow
def test_a_torchvision_network(tmp_path):
    torch.manual_seed(0)
    network = torchvision.models.resnet.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=10)
    network.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    compare(fit(quantize_model(nn.Sequential(PixelInput(*PIXELS), network), QuantSpec(bit=3)), 2), tmp_path, 64)


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
    compare(fit(quantize_model(network, QuantSpec(bit=4)), 10), tmp_path, 200)
