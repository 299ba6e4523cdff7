"""Quantised networks go through torch.export, torch.compile and torch.onnx.export, and are refused by TorchScript."""

import copy
import io
import shutil

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from apot_lit.models import PixelInput, ResNet
from apot_lit.quant import ActivationQuantizer, QuantSpec, level_set, quantize_model
from tests.conftest import slowly

BATCH = torch.export.Dim("batch", min=2, max=64)
"""Of which size batches may be, when a graph is to take more than one size."""


BACKENDS = [
    "aot_eager",
    pytest.param(
        "inductor",
        marks=pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="needs a C++ compiler"),
    ),
]


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(5, 12)
        self.layer = nn.TransformerEncoderLayer(12, 2, 24, dropout=0.0, batch_first=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x):
        return self.head(self.layer(self.embed(x)).mean(1))


def small():
    """Negative and positive inputs, and two kinds of convolutions."""
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.Hardswish()]
    return nn.Sequential(*layers, nn.Conv2d(6, 6, 3, groups=2), nn.ReLU(), nn.Flatten(2), nn.Conv1d(6, 2, 3), Last())


class Last(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(28, 3))


MADE = {
    "resnet": (lambda: ResNet("resnet10", width=4, input=PixelInput(33 / 255, 0.3081)), {}, (1, 28, 28)),
    "torchvision": (lambda: torchvision.models.resnet18(num_classes=10), {}, (3, 32, 32)),
    "transformer": (Transformer, {}, (6, 5)),
    "uniform": (small, {"power": 0}, (1, 10, 10)),
    "pot": (small, {"additive": False, "bit": 6}, (1, 10, 10)),
    "channels": (small, {"weight_per_channel": True, "bit": 3}, (1, 10, 10)),
    "float edges": (small, {"first_bit": 32, "last_bit": 32, "weight_norm": False}, (1, 10, 10)),
}


def made(name, count=4):
    """A network whose batch norms have seen data, in evaluation mode, and inputs."""
    make, options, shape = MADE[name]
    torch.manual_seed(0)
    x = torch.randn(count, *shape) if name != "resnet" else torch.randint(0, 256, (count, *shape), dtype=torch.uint8)
    network = quantize_model(make(), QuantSpec(**{"bit": 4, **options}), x)
    with torch.no_grad():
        for _ in range(3):
            network.train()(x)
    return network.eval(), x


@pytest.mark.parametrize("strict", [False, *slowly(True)])
@pytest.mark.parametrize("name", ["pot", *slowly(*(name for name in MADE if name != "pot"))])
def test_an_exported_graph_computes_the_same_for_every_size_of_batch(name, strict):
    network, x = made(name)
    exported = torch.export.export(network, (x,), strict=strict, dynamic_shapes=({0: BATCH},))
    file = io.BytesIO()
    torch.export.save(exported, file)
    file.seek(0)
    loaded = torch.export.load(file)
    for images in (x, x[:3], torch.cat([x, x.flip(0)])):
        expected = network(images)
        torch.testing.assert_close(loaded.module()(images), expected, rtol=1e-5, atol=1e-5)
        assert expected.std() > 1e-3
    targets = {str(node.target) for node in loaded.graph.nodes if node.op == "call_function"}
    known = {"aten", "_operator", "<built-in function getitem>", "wrap_with_set_grad_enabled"}
    assert {target.split(".")[0] for target in targets} <= known


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["pot", "resnet", "transformer"])
def test_compiled_training_and_evaluation_compute_the_same(name, backend):
    network, x = made(name)
    twin = copy.deepcopy(network)
    torch.compiler.reset()
    compiled = torch.compile(twin, fullgraph=True, backend=backend)
    expected, found = network.train()(x), (twin.train(), compiled(x))[1]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    for logits in (expected, found):
        logits.square().sum().backward()
    # Of biases before batch norms there is only rounding.
    largest = max(float(parameter.grad.abs().max()) for parameter in network.parameters())
    for (place, one), other in zip(network.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-3, atol=1e-5 * largest, msg=place)
    network.eval(), twin.eval()
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), network(x), rtol=1e-4, atol=1e-4)
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE)
def test_an_onnx_graph_computes_the_same_in_onnxruntime(name):
    """Up to rounding: onnxruntime may join a batch norm with a convolution, so a few values may get another code."""
    pytest.importorskip("onnxscript", reason="needs the extra export")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra export")
    network, x = made(name)
    program = torch.onnx.export(network, (x,), dynamo=True, dynamic_shapes=({0: BATCH},), verbose=False)
    file = io.BytesIO()
    program.save(file)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    for images in (x, torch.cat([x, x.flip(0), x])):
        (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
        expected = network(images).detach().numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
        assert (found.argmax(1) == expected.argmax(1)).all()


REFUSAL = r"quantised networks can't go through TorchScript .+; use torch.export.export, torch.compile, or torch.onnx"


@pytest.mark.parametrize("name", ["resnet", "transformer", "float edges"])
@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_torchscript_is_refused_in_one_line(name):
    network, x = made(name)
    for record in (lambda: torch.jit.script(network), lambda: torch.jit.trace(network, (x,))):
        with pytest.raises(NotImplementedError, match=REFUSAL) as refused:
            record()
        assert "\n" not in str(refused.value)
    assert network(x).isfinite().all()


@pytest.mark.filterwarnings("ignore:.*deprecated")
def test_a_quantiser_alone_is_refused_too():
    quantizer = ActivationQuantizer(level_set("apot", 3), alpha=2.0)
    for record in (lambda: torch.jit.script(quantizer), lambda: torch.jit.trace(quantizer, (torch.rand(5),))):
        with pytest.raises(NotImplementedError, match=REFUSAL):
            record()
