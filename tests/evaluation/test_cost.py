"""Costs against hand counts and against the figures of the APoT paper."""

import ast
import json

import pytest
import torch
import torchvision
from torch import nn

from apot_lit.evaluation.cost import cost_table, measure_cost
from apot_lit.models import PixelInput, ResNet
from apot_lit.quant import QuantSpec, quantize_model
from tests.conftest import ROOT


def small():
    """8x8 pixels; the middle convolution has two groups, a stride, and a bias."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(54, 5),
    )


def with_pixels(mean=33 / 255):
    """The same, which knows its pixels; the layers keep their names."""
    network = nn.Sequential()
    network.add_module("input", PixelInput(mean, 0.308))
    for name, module in small().named_children():
        network.add_module(name, module)
    return network


FIRST_MACS = 6 * 6 * 4 * 9  # 6x6 outputs of 4 channels, filters of 9
MIDDLE_MACS = 3 * 3 * 6 * (2 * 9)  # each output channel reads 2 of the 4 channels
LAST_MACS = 54 * 5


def test_hand_counts_of_a_small_network():
    cost = measure_cost(quantize_model(with_pixels(), QuantSpec(bit=4)), (1, 1, 8, 8))
    first, middle, last = cost.layers
    assert [layer.name for layer in cost.layers] == ["0", "3", "6"]
    assert [layer.macs for layer in cost.layers] == [FIRST_MACS, MIDDLE_MACS, LAST_MACS]
    assert [layer.parameters for layer in cost.layers] == [36, 108 + 6 + 2, 270 + 5]
    assert (cost.other_parameters, cost.statistics) == (8, 8)
    assert cost.parameters == 36 + 116 + 275 + 8
    assert [(layer.weight_bit, layer.act_bit) for layer in cost.layers] == [(8, 8), (4, 4), (8, 32)]
    assert cost.bit_operations == 64 * FIRST_MACS + 16 * MIDDLE_MACS + 256 * LAST_MACS
    assert cost.fixops == FIRST_MACS + MIDDLE_MACS / 4 + LAST_MACS
    assert first.quantized_kib * 1024 == 36
    assert middle.quantized_kib * 1024 == 108 / 2 + 4 * (6 + 2)
    assert last.quantized_kib * 1024 == 270 + 4 * 5
    assert middle.float_kib * 1024 == 4 * (108 + 6)
    assert cost.quantized_kib * 1024 == 36 + 86 + 290 + 4 * 16
    assert cost.float_kib * 1024 == 4 * (36 + 114 + 275 + 16)


@pytest.mark.parametrize(
    ("options", "terms"),
    [
        ({"bit": 5}, 2 * 3),  # 4 magnitude bits in two terms; 5 bits in two and an extra one
        ({"bit": 4}, 2 * 2),
        ({"bit": 3}, 1 * 2),
        ({"bit": 2}, 1 * 1),
        ({"bit": 5, "additive": False}, 1),
        ({"bit": 5, "power": 0}, 4 * 5),
        ({"bit": 5, "act_bit": 2}, 2 * 1),
        ({"bit": 5, "act_bit": 32}, None),
        ({"bit": 5, "weight_bit": 32}, None),
    ],
)
def test_shift_adds_are_products_of_terms(options, terms):
    cost = measure_cost(quantize_model(with_pixels(), QuantSpec(**options)), (1, 1, 8, 8))
    assert [layer.shift_adds for layer in cost.layers] == [7 * 8, terms, None]
    assert cost.shift_adds == 56 * FIRST_MACS + (terms or 0) * MIDDLE_MACS


@pytest.mark.parametrize(("mean", "bit"), [(33 / 255, 8), (0.131, 16), (0.1307, 32)])
def test_pixels_have_the_bits_of_their_integers(mean, bit):
    # 200 p - 6681 for a mean of 0.131: 200 * 255 has 16 bits
    assert measure_cost(quantize_model(with_pixels(mean), QuantSpec(bit=4)), (1, 1, 8, 8)).layers[0].act_bit == bit


def test_float_input_and_float_network():
    without_grid = measure_cost(quantize_model(small(), QuantSpec(bit=4)), (1, 1, 8, 8))
    assert without_grid.layers[0].act_bit == 32
    assert without_grid.layers[0].shift_adds is None
    assert without_grid.fixops == FIRST_MACS + MIDDLE_MACS / 4 + LAST_MACS
    cost = measure_cost(small(), (1, 1, 8, 8))
    assert cost.quantized_kib == cost.float_kib == without_grid.float_kib
    assert cost.fixops == cost.macs == without_grid.macs
    assert cost.bit_operations == 32 * 32 * cost.macs
    assert cost.parameters == sum(value.numel() for value in small().parameters())


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("resnet10", 309_200), ("resnet18", 701_856), ("resnet34", 1_335_040), ("resnet50", 1_484_642)],
)
def test_parameters_of_our_networks(name, parameters):
    network = quantize_model(ResNet(name), QuantSpec(bit=5))
    cost = measure_cost(network, (1, 1, 28, 28))
    assert cost.parameters == parameters == sum(value.numel() for value in network.parameters())


@pytest.mark.parametrize(("bit", "fixops", "mebibytes"), [(5, "781", "7.22"), (3, "357", "4.56")])
def test_figures_of_the_paper_for_uniform_resnet18(bit, fixops, mebibytes):
    network = quantize_model(torchvision.models.resnet18(), QuantSpec(bit=bit, power=0))
    cost = measure_cost(network, (1, 3, 224, 224))
    assert f"{cost.fixops / 1e6:.0f}" == fixops
    assert f"{cost.quantized_kib / 1024:.2f}" == mebibytes
    assert cost.macs == 1_814_073_344


def test_the_model_stays_as_it_was():
    model = quantize_model(small(), QuantSpec(bit=4))
    model[1].eval()  # a frozen batch norm in a network that trains
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure_cost(model, (2, 1, 8, 8))
    assert model.training
    assert not model[1].training
    assert model[3].act_quantizer.training
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(RuntimeError):
        measure_cost(model, (1, 3, 8, 8))
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_repeated_calls_and_shared_weights():
    layer, tied = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    tied.weight = layer.weight
    cost = measure_cost(nn.Sequential(layer, layer, tied), (3, 4))
    assert [(item.parameters, item.macs) for item in cost.layers] == [(16, 2 * 3 * 16), (0, 3 * 16)]
    assert cost.parameters == 16


def test_table_and_plain_containers():
    cost = measure_cost(quantize_model(with_pixels(), QuantSpec(bit=4)), (1, 1, 8, 8))
    content = cost.to_dict()
    assert json.loads(json.dumps(content)) == content
    assert content["total"]["parameters"] == 435
    assert content["layers"][1]["shift_adds"] == 4
    lines = [line.split() for line in cost_table(cost).splitlines()]
    assert ["3", "116", "972", "4/4", "0.45", "0.08", "15,552", "4"] in lines
    assert ["total", "435", "2,538", "-", "1.72", "0.46", "167,616", "-"] in lines


def test_neither_lightning_nor_hydra():
    tree = ast.walk(ast.parse((ROOT / "apot_lit/evaluation/cost.py").read_text()))
    modules = {node.module for node in tree if isinstance(node, ast.ImportFrom)}
    assert {name for name in modules if name.startswith("apot_lit")} == {
        "apot_lit.quant.layers",
        "apot_lit.quant.quantizers",
        "apot_lit.quant.spec",
        "apot_lit.runs.text",
    }
    assert not {"pytorch_lightning", "hydra", "omegaconf"} & {name.partition(".")[0] for name in modules}
