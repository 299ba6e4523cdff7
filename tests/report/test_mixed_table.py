"""Mixed networks beside those of one width, from results that are made up."""

import json
from copy import deepcopy
from statistics import mean

import pytest

from apot_lit.report.collect import collect
from apot_lit.report.mixed_table import mixed_section, without_mixed
from tests.conftest import ROOT

OVERRIDES = {
    "layer1.*": {"bit": 2},
    "layer2.*": {"bit": 2},
    "layer3.*": {"bit": 2},
    "layer4.*": {"bit": 3},
}
# Weights of ResNet-10 between its first and its last layer, by stage.
WEIGHTS = {1: 2 * 2304, 2: 4608 + 9216 + 512, 3: 18432 + 36864 + 2048, 4: 73728 + 147456 + 8192}


def trial(number, state, cost, accuracy, first, last):
    params = {"bit of layer1.*": first, "bit of layer4.*": last}
    return {"trial": number, "state": state, "cost": cost, "accuracy": accuracy, "params": params}


FRONT = {
    "recipe": "fast",
    "settings": {
        "model.name": "resnet10",
        "levels": "apot",
        "quant.bit": 5,
        "search.bits": [2, 3],
        "search.groups": ["layer1.*", "layer4.*"],
    },
    "search": {"max_cost": None},
    "trials": [
        trial(0, "finished", 90128.0, 0.9, 2, 2),
        trial(1, "stopped", 99999.0, 0.5, 3, 2),
        trial(2, "finished", 118800.0, 0.95, 2, 3),
    ],
    "front": [0, 2],
    "chosen": 2,
    "hardware": {"cpu": "Z80", "threads": 1, "device": "cpu"},
}


@pytest.fixture
def collection(tmp_path):
    (tmp_path / "fast").mkdir()
    (tmp_path / "mixed").mkdir()
    for seed in range(3):
        for bit in (2, 3):
            name = f"resnet10_{bit}bit_apot_seed{seed}.json"
            result = json.loads((ROOT / "results/fast" / name).read_text())
            (tmp_path / "fast" / name).write_text(json.dumps(result))
        mixed = deepcopy(result)
        mixed["config"]["quant"] |= {"bit": 5, "overrides": OVERRIDES}
        mixed["test_accuracy"] -= 0.01
        (tmp_path / f"mixed/trial2_seed{seed}.json").write_text(json.dumps(mixed))
    return collect(tmp_path)


def accuracy(bit, seed):
    return json.loads((ROOT / f"results/fast/resnet10_{bit}bit_apot_seed{seed}.json").read_text())["test_accuracy"]


def test_the_table_has_sizes_mean_bits_and_both_differences(collection):
    text = mixed_section(FRONT, collection)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    rows = {line[0]: line[1:] for line in lines}
    size = 90128 + WEIGHTS[4] / 8
    assert rows["2 2 2 2 2 2 2 2 3 3 3"][0] == f"{size:,.0f}"
    assert rows["2 2 2 2 2 2 2 2 3 3 3"][1] == f"{2 + WEIGHTS[4] / sum(WEIGHTS.values()):.2f}"
    assert rows["2 2 2 2 2 2 2 2 3 3 3"][3] == "0, 1, 2"
    assert (rows["all 2"][0], rows["all 3"][0]) == ("90,128", f"{90128 + sum(WEIGHTS.values()) / 8:,.0f}")
    assert rows["all 2"][4:] == ["-", "-"]
    accuracies = {bit: mean(accuracy(bit, seed) for seed in range(3)) for bit in (2, 3)}
    smaller, larger = rows["2 2 2 2 2 2 2 2 3 3 3"][4:]
    assert smaller.startswith(f"{100 * (accuracies[3] - 0.01 - accuracies[2]):+.2f} ± ")
    assert smaller.endswith("(all 2)")
    assert larger.startswith("-1.00 ± ")
    assert larger.endswith(", more than noise (all 3)")
    assert "0 are better and 1 worse than the next larger one" in text
    assert "3 trials, 1 of them stopped early, 2 on the front; on Z80, 1 thread" in text
    assert rows["2, the knee"] == ["118,800", "2 3", "95.00"]


def test_other_tables_do_not_have_them(collection):
    assert len(collection.groups) == 2
    (left,) = without_mixed(collection).groups
    assert {row.bit for row in left.runs} == {2, 3}


def test_without_runs_there_is_the_search_alone(tmp_path, collection):
    text = mixed_section(FRONT, without_mixed(collection))
    assert "2, the knee" in text
    assert "Test accuracy" not in text
