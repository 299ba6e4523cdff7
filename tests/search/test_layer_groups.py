"""Groups of layers, against the names themselves."""

from fnmatch import fnmatchcase

import pytest
from torch import nn

from apot_lit.errors import UserError
from apot_lit.models import ResNet
from apot_lit.quant import QuantSpec, quant_layers, quantize_model
from apot_lit.search.layer_groups import layer_groups


@pytest.fixture(scope="module")
def network():
    return quantize_model(ResNet("resnet18", width=2), QuantSpec())


def inner(network):
    return [name for name, _ in quant_layers(network)][1:-1]


@pytest.mark.parametrize(("groups", "count"), [("layers", 19), ("blocks", 8), ("stages", 4)])
def test_every_inner_layer_is_in_one_group(network, groups, count):
    found = layer_groups(network, groups)
    assert len(found) == count
    for name in inner(network):
        assert sum(fnmatchcase(name, pattern) for pattern in found) == 1, name
    for edge in ("conv1", "fc"):
        assert not any(fnmatchcase(edge, pattern) for pattern in found)


def test_blocks_and_stages_are_named_after_what_they_hold(network):
    assert layer_groups(network, "stages") == ["layer1.*", "layer2.*", "layer3.*", "layer4.*"]
    assert layer_groups(network, "blocks")[:3] == ["layer1.0.*", "layer1.1.*", "layer2.0.*"]


def test_what_all_names_share_does_not_count():
    def stage():
        return nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU())

    net = nn.ModuleDict({"net": nn.Sequential(nn.Conv2d(1, 4, 1), stage(), stage(), nn.Conv2d(4, 2, 1))})
    quantised = quantize_model(net, QuantSpec())
    assert layer_groups(quantised, "stages") == ["net.1.*", "net.2.*"]
    assert layer_groups(quantised, "blocks") == ["net.1.0", "net.1.2", "net.2.0", "net.2.2"]


def test_patterns_are_taken_as_they_are_and_may_name_the_first_layer(network):
    assert layer_groups(network, ["conv1", "*.conv?"]) == ["conv1", "*.conv?"]


@pytest.mark.parametrize("pattern", ["layer5.*", "layer1"])
def test_a_pattern_without_layers_is_refused_with_what_is_near(network, pattern):
    with pytest.raises(UserError, match=r"search\.groups: layer\S+ matches no layer; near it are layer") as error:
        layer_groups(network, ["layer1.*", pattern])
    assert "\n" not in str(error.value)


def test_a_network_of_two_layers_has_nothing_to_search():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 1))
    with pytest.raises(UserError, match="no layer between"):
        layer_groups(quantize_model(net, QuantSpec()), "stages")
