"""How weights lie before and after quantisation."""

import pytest
import torch
from torch import nn

from apot_lit.quant import QuantSpec, quantize_model
from apot_lit.quant.histogram import weights_before_and_after


@pytest.mark.parametrize("normalize", [True, False])
def test_weights_before_and_after_are_in_one_unit(normalize):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 8, 3), nn.Flatten(), nn.Linear(8, 2)]
    spec = QuantSpec(bit=3, weight_norm=normalize, weight_alpha=3.0 if normalize else 0.1)
    model = quantize_model(nn.Sequential(*layers), spec)
    found = list(weights_before_and_after(model))
    assert [name for name, _, _ in found] == ["0", "2", "4"]
    for name, before, after in found:
        levels = after.unique()
        assert len(levels) <= (7 if name == "2" else 255)
        inside = before.abs() <= levels.abs().max()
        nearest = (before[..., None] - levels).abs().amin(-1)
        assert torch.allclose((before - after).abs()[inside], nearest[inside], atol=1e-6)
    weight = model[2].weight.detach()
    expected = (weight - weight.mean()) / weight.std() if normalize else weight
    assert torch.allclose(found[1][1], expected, atol=1e-6)


def test_layers_in_full_precision_have_none():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    assert list(weights_before_and_after(quantize_model(model, QuantSpec(bit=32)))) == []
