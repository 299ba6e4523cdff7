"""Costs against sums that are written out here."""

import json
import math

import pytest

from apot_lit.errors import UserError
from apot_lit.search.trial_cost import cost_of
from tests.conftest import ROOT

WIDTH = 2
# Of ResNet-10 of width 2 on 28x28: name, inputs and outputs of a filter, kernel, height and width of its map.
INNER = [
    *(("layer1.0.conv1", 2, 2, 3, 7), ("layer1.0.conv2", 2, 2, 3, 7)),
    *(("layer2.0.conv1", 2, 4, 3, 4), ("layer2.0.conv2", 4, 4, 3, 4), ("layer2.0.downsample.0", 2, 4, 1, 4)),
    *(("layer3.0.conv1", 4, 8, 3, 2), ("layer3.0.conv2", 8, 8, 3, 2), ("layer3.0.downsample.0", 4, 8, 1, 2)),
    *(("layer4.0.conv1", 8, 16, 3, 1), ("layer4.0.conv2", 16, 16, 3, 1), ("layer4.0.downsample.0", 8, 16, 1, 1)),
]
BITS = {"layer1.*": 2, "layer2.*": 3, "layer3.*": 4, "layer4.*": 5}


def config(power=1, **more):
    overrides = {pattern: {"bit": bit} for pattern, bit in BITS.items()}
    return {
        "model": {"name": "resnet10", "stem": "reference", "width": WIDTH, "residual_gamma": None},
        "quant": {"bit": 5, "power": power, "overrides": overrides, **more},
        "data": {"mean": 33 / 255, "std": 0.3081, "channels": 1, "size": 28, "classes": 10, "data_dir": "x"},
    }


def bit(name):
    return BITS[f"{name.partition('.')[0]}.*"]


def test_size_is_weights_in_their_bits_and_all_else_in_floats():
    weights = sum(reads * gives * kernel**2 * bit(name) for name, reads, gives, kernel, _ in INNER) / 8
    edges = 7 * 7 * 2 + 16 * 10  # 8 bits each
    thresholds = 2 * len(INNER)
    norms = 4 * (2 + sum(gives for _, _, gives, _, _ in INNER))  # weight, bias, mean and variance of each channel
    assert cost_of("size", "")(config()) == pytest.approx(weights + edges + 4 * (thresholds + norms + 10))


def test_operations_are_products_of_bits():
    inner = sum(reads * gives * kernel**2 * size**2 * bit(name) ** 2 for name, reads, gives, kernel, size in INNER)
    first, last = 7 * 7 * 2 * 14 * 14 * 8 * 8, 16 * 10 * 8 * 32
    assert cost_of("operations", "")(config()) == inner + first + last


@pytest.mark.parametrize(("power", "scheme"), [(1, "apot"), (0, "uniform")])
def test_gates_are_the_cheapest_dot_products_times_operations(power, scheme):
    units = [
        unit
        for path in (ROOT / "results").glob("hardware_*.json")
        for unit in json.loads(path.read_text()).get("units", [])
    ]
    dots = [
        unit
        for unit in units
        if (unit["unit"], unit["target"], unit["weight_scheme"], unit["act_scheme"]) == ("dot", "gates", scheme, scheme)
    ]

    def price(width):
        own = [unit for unit in dots if unit["weight_bit"] == unit["act_bit"] == width]
        cheapest = min(own, key=lambda unit: (unit["area"], unit["delay"]))
        return cheapest["area"] / cheapest["lanes"]

    wanted = math.fsum(
        reads * gives * kernel**2 * size**2 * price(bit(name)) for name, reads, gives, kernel, size in INNER
    )
    assert cost_of("gates", str(ROOT / "results"))(config(power)) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"overrides": {"layer1.*": {"bit": 7}}}, "layer1.0.conv1 has apot weights of 7 bits and apot inputs of 7"),
        ({"act_bit": 4, "overrides": {}}, "apot weights of 5 bits and apot inputs of 4"),
        ({"additive": False, "overrides": {}}, "pot weights"),
    ],
)
def test_levels_without_a_price_are_refused(more, said):
    with pytest.raises(UserError, match=r"^search\.cost=gates: ") as error:
        cost_of("gates", str(ROOT / "results"))(config(**more))
    assert said in str(error.value)
    assert "2, 3, 4, 5 bits" in str(error.value)


def test_a_directory_without_prices_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"^search\.prices=.*has no prices of dot products in gates"):
        cost_of("gates", str(tmp_path))
    (tmp_path / "hardware_x.json").write_text("[]")
    with pytest.raises(UserError, match=r"must be files that hardware\.py wrote"):
        cost_of("gates", str(tmp_path))


def test_the_random_state_is_left_alone():
    import torch

    torch.manual_seed(0)
    before = torch.get_rng_state()
    cost_of("size", "")(config())
    assert torch.equal(torch.get_rng_state(), before)
