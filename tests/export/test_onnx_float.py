"""Networks in full precision as ONNX say what torch says."""

import numpy as np
import pytest
import torch
from torch import nn

from apot_lit.errors import UserError
from apot_lit.export.onnx_engine import OnnxEngine
from apot_lit.export.onnx_float import build_float_onnx
from apot_lit.graph.trace import build_steps
from tests.export.conftest import digits, trained

SHAPE = (1, 28, 28)


@pytest.mark.parametrize("options", [{}, {"stem": "small"}, {"name": "resnet50", "width": 4}], ids=str)
def test_logits_are_those_of_torch(tmp_path, options):
    network = trained(32, 1, **{"steps": 5, **options})
    path = tmp_path / "net.onnx"
    path.write_bytes(build_float_onnx(build_steps(network), SHAPE, {"scheme": "float"}).SerializeToString())
    engine, images = OnnxEngine(path, threads=1), digits()[0][:300]
    with torch.no_grad():
        expected = network(images).numpy()
    found, codes = engine.codes(images.numpy())
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    assert np.array_equal(found, engine.logits(images.numpy()))
    assert codes == {}
    assert engine.metadata["scheme"] == "float"
    layers = {name: m.weight for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    weights = engine.weights()
    assert weights.keys() == layers.keys()
    assert all(np.array_equal(weights[name], weight.detach().numpy()) for name, weight in layers.items())


def test_quantised_layers_are_refused():
    with pytest.raises(UserError, match=r"^layer conv1: is quantised"):
        build_float_onnx(build_steps(trained(4, 1, steps=1, width=4)), SHAPE, {})
