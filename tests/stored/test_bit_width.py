"""Levels that weights were not trained with are noticed by the statistics of their batch norms."""

import pytest
import torch

from apot_lit.data.embedded import load_idx_pair
from apot_lit.models.build import build_network
from apot_lit.stored.bit_width import better_fit, deviation
from tests.conftest import ROOT, one_thread

single_thread = pytest.fixture(autouse=True)(one_thread)
TRAINED = {"bit": 3, "power": 1}
IMAGES = load_idx_pair(ROOT / "data/mnist", "train")[0][:200]


def config(quant):
    return {"model": {"name": "resnet10", "width": 8}, "quant": quant, "data": {"mean": 33 / 255, "std": 0.3081}}


@pytest.fixture(scope="module")
def state():
    """Weights of a network whose batch norms have seen images, all of them alike."""
    torch.manual_seed(0)
    network = build_network(config(TRAINED)).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(IMAGES)
    return network.state_dict()


def test_the_deviation_is_none_where_the_statistics_come_from(state):
    network = build_network(config(TRAINED))
    network.load_state_dict(state)
    assert deviation(network, IMAGES) < 0.1


def test_the_levels_of_the_training_are_no_surprise(state):
    assert better_fit(config(TRAINED), state, IMAGES) is None


@pytest.mark.parametrize("given", [{"bit": 2, "power": 1}, {"bit": 2, "power": 0}])
def test_other_levels_are(state, given):
    fit = better_fit(config(given), state, IMAGES)
    assert fit is not None
    assert (fit.bit, fit.power) == (TRAINED["bit"], TRAINED["power"])
    assert fit.deviation < fit.given


def test_full_precision_has_no_levels(state):
    assert better_fit(config({"bit": 32, "power": 1}), state, IMAGES) is None
