"""Codes are integers and their sums exact: how a batch is computed does not change what a network sees."""

import pytest
import torch

from apot_lit.data.embedded import load_idx_pair
from apot_lit.models.build import build_network
from apot_lit.quant import quant_layers
from tests.conftest import ROOT

SETTINGS = [
    (1, 5, 1, True),
    (7, 28, 2, False),
    (7, 28, 1, True),
    (128, 256, 1, False),
    (128, 256, 2, True),
    (1000, 1000, 1, True),
]


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def network_and_digits(name, power):
    pixels, _ = load_idx_pair(ROOT / "data/mnist", "test")
    torch.manual_seed(0)
    model = {"name": name, "residual_gamma": 1}  # else most layers of ResNet-50 would change little
    data = {"mean": 33 / 255, "std": 0.3081}
    network = build_network({"model": model, "quant": {"bit": 5, "power": power}, "data": data})
    pixels = pixels[:1000]
    network.train()
    with torch.no_grad():
        for batch in pixels.split(100)[:4]:  # running statistics of real digits
            network(batch)
    return network.eval(), pixels


def codes_and_logits(network, images, batch_size, channels_last):
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    network.to(memory_format=memory_format)
    seen = {}
    hooks = []
    for name, layer in quant_layers(network):
        record = seen.setdefault(name, [])
        hooks.append(
            layer.act_quantizer.register_forward_hook(lambda _m, _i, out, record=record: record.append(out.values))
        )
    with torch.no_grad():
        logits = torch.cat([network(b.contiguous(memory_format=memory_format)) for b in images.split(batch_size)])
        weights = {name: layer.weight_quantizer(layer.weight).values for name, layer in quant_layers(network)}
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(batches) for name, batches in seen.items()}, weights, logits


@pytest.mark.slow
@pytest.mark.parametrize(("name", "power"), [("resnet10", 1), ("resnet10", 0), ("resnet18", 1), ("resnet50", 1)])
def test_batch_threads_and_memory_format_change_nothing(name, power, threads):
    network, pixels = network_and_digits(name, power)
    threads(2)
    codes, weights, logits = codes_and_logits(network, pixels, 1000, channels_last=False)
    assert torch.equal(codes["conv1"], pixels.float() - 33)  # the first layer sees integers
    for layer, values in codes.items():
        if layer != "fc":  # the last layer's input is not quantised
            assert torch.equal(values, values.round()), layer
    for batch_size, count, thread_count, channels_last in SETTINGS:
        threads(thread_count)
        other, other_weights, other_logits = codes_and_logits(network, pixels[:count], batch_size, channels_last)
        for layer in weights:
            assert torch.equal(other_weights[layer], weights[layer]), layer
            if layer != "fc":
                assert torch.equal(other[layer], codes[layer][:count]), (layer, batch_size, thread_count, channels_last)
        assert torch.equal(other_logits.argmax(1), logits[:count].argmax(1))
        torch.testing.assert_close(other_logits, logits[:count], rtol=0, atol=1e-5)
