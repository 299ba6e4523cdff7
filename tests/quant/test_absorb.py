"""Which ReLUs an unsigned quantiser makes superfluous, and which it does not."""

import pytest
import torch
from torch import nn

from apot_lit.quant import QuantSpec, dequantize_model, quantize_model
from apot_lit.quant.absorb import AbsorbedReLU
from tests.quant import exact


class Branches(nn.Module):
    """ReLUs with several readers, of several kinds; `case` tells what else reads the first one."""

    def __init__(self, case, inplace=False):
        super().__init__()
        self.case = case
        self.first = nn.Conv2d(1, 4, 3)
        self.relu = nn.ReLU(inplace)
        self.a, self.b, self.last = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        before = self.first(x)
        x = self.relu(before)
        y = self.a(x) + self.b(x)
        if self.case == "sum":
            y = y + x
        elif self.case == "again":
            y = self.relu(y)
        elif self.case == "before":
            y = y + before
        elif self.case == "training" and self.training:
            y = y + x
        elif self.case == "untraceable" and x.sum() > 0:
            y = y + 1
        return self.last(y)


@pytest.mark.parametrize(
    ("case", "inplace", "absorbed"),
    [
        ("layers", False, True),
        ("layers", True, True),
        ("sum", False, False),
        ("again", False, True),
        ("before", False, True),
        ("before", True, False),
        ("training", False, False),
        ("untraceable", False, False),
    ],
)
def test_a_relu_goes_only_if_nothing_but_clipping_layers_reads_it(case, inplace, absorbed):
    torch.manual_seed(0)
    model = Branches(case, inplace)
    if case == "again":
        model.last = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1))  # its first layer clips too
    quantized = quantize_model(model, QuantSpec(bit=3))
    assert isinstance(quantized.relu, AbsorbedReLU) == absorbed
    assert model.training
    with_relu = quantize_model(model, QuantSpec(bit=3))
    with_relu.relu = nn.ReLU(inplace)
    for training in (True, False):
        outputs = []
        for network in (quantized.train(training), with_relu.train(training)):
            x = exact.gaussian(2, 1, 8, 8, seed=3).requires_grad_()
            output = network(x)
            output.square().sum().backward()
            outputs.append((output, x.grad))
        assert torch.equal(outputs[0][0], outputs[1][0])
        torch.testing.assert_close(outputs[0][1], outputs[1][1])
    back = dequantize_model(quantized)
    assert repr(back) == repr(model)


def test_layers_with_float_inputs_absorb_nothing():
    quantized = quantize_model(Branches("layers"), QuantSpec(bit=3, act_bit=32))
    assert isinstance(quantized.relu, nn.ReLU)
