"""A packed file computes the network of integers that it comes from, on real digits."""

import pytest
import torch

from apot_lit.export.packed_engine import PackedEngine
from apot_lit.export.verify import verify
from apot_lit.integer import to_integers
from apot_lit.stored.packed import read_packed, save_packed
from tests.conftest import slowly
from tests.export.conftest import PIXELS, REFERENCE_PIXELS, digits, trained

NETWORKS = [
    *({"bit": bit, "power": power, "lr": 0.001 if bit == 2 else 0.05} for bit in (2, 3, 4, 5) for power in (1, 0)),
    {"bit": 3, "power": 1, "additive": False},
    {"bit": 4, "power": 1, "name": "resnet18", "stem": "small", "width": 4},
    {"bit": 3, "power": 0, "name": "resnet50", "width": 4, "steps": 10},
    {"bit": 4, "power": 1, "pixels": REFERENCE_PIXELS},
]


@pytest.mark.parametrize("options", [*NETWORKS[:2], *slowly(*NETWORKS[2:])], ids=str)
def test_packed_is_the_same_function(tmp_path, options):
    network = trained(**options)
    integers = to_integers(network, digits("train")[0][:200])
    mean, std = options.get("pixels", PIXELS)
    model = {"width": 8, **{key: value for key, value in options.items() if key in ("stem", "width")}}
    quant = {key: options[key] for key in ("bit", "power", "additive") if key in options}
    config = {"model": {"name": options.get("name", "resnet10"), **model}, "quant": quant}
    save_packed(network, integers, {**config, "data": {"mean": mean, "std": std}}, tmp_path / "net")
    images = digits()[0][:200]
    found = verify(integers, PackedEngine(tmp_path / "net"), images)
    assert found.images == 200
    assert found.codes == 200 * codes_of_an_image(network)
    with torch.no_grad():
        assert torch.equal(read_packed(tmp_path / "net").network(images), network(images))


def codes_of_an_image(network):
    """Counted by hooks on the network in floats."""
    sizes = []
    hooks = [
        module.register_forward_hook(lambda _m, _i, output: sizes.append(output.values.numel()))
        for module in network.modules()
        if type(module).__name__ == "ActivationQuantizer"
    ]
    with torch.no_grad():
        network(digits()[0][:1])
    for hook in hooks:
        hook.remove()
    return sum(sizes)
