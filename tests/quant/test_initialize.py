"""Thresholds from data against a search of our own."""

import torch
from torch import nn

from apot_lit.quant import QuantSpec, quantize_model
from apot_lit.quant.initialize import initialize_alphas
from apot_lit.quant.levels import level_set


def network(bit):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten()]
    return quantize_model(nn.Sequential(*layers, nn.Linear(4 * 24 * 24, 2)), QuantSpec(bit=bit))


def brute_force(values, bits):
    """The best of 40 thresholds, by nearest levels found among all of them."""
    levels = torch.tensor([float(level) for level in level_set("apot", bits).levels], dtype=torch.float64)
    values = values.double().flatten()
    largest = values.abs().max()
    errors = []
    for step in range(1, 41):
        alpha = largest * step / 40
        nearest = (values.abs()[:, None] - alpha * levels).abs().min(1).values
        errors.append(float(nearest.square().sum()))
    return float(largest) * (1 + min(range(40), key=errors.__getitem__)) / 40


def test_thresholds_minimise_the_squared_error():
    for bit in (2, 3, 4):
        model = network(bit)
        images = torch.randn(8, 1, 28, 28, generator=torch.Generator().manual_seed(1))
        before = {name: buffer.clone() for name, buffer in model.named_buffers()}
        initialize_alphas(model, images)
        layer = model[3]
        weight = layer.weight.detach()
        normalized = (weight - weight.mean()) / weight.std()
        assert float(layer.weight_quantizer.alpha) == torch.tensor(brute_force(normalized, bit - 1)).item()
        inputs = model.train()[:3](images).detach().relu()  # the quantiser has absorbed the ReLU
        assert float(layer.act_quantizer.alpha) == torch.tensor(brute_force(inputs, bit)).item()
        model[:3].eval()
        initialize_alphas(model.eval(), images)
        assert not model.training
        after = dict(model.named_buffers())
        assert all(
            torch.equal(before[name].nan_to_num(7), after[name].nan_to_num(7)) for name in before if "1." not in name
        )


def test_statistics_of_batch_norms_are_left_as_they_were():
    model = network(4)
    initialize_alphas(model, torch.randn(8, 1, 28, 28))
    assert int(model[1].num_batches_tracked) == 0
    assert torch.equal(model[1].running_mean, torch.zeros(4))
    assert not model[3].act_quantizer._forward_pre_hooks
