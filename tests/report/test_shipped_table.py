"""The table of the networks that come with the project, and their files."""

import json

import pytest
import torch

from apot_lit.data.embedded import load_idx_pair
from apot_lit.report.shipped_table import shipped_table
from apot_lit.stored import load_packed, read_packed
from tests.conftest import ROOT, slowly

FILES = sorted((ROOT / "pretrained").glob("*.safetensors"))


def export(model, bit, power, seed, size, right, in_floats, differing):
    found = {"test_images": 10_000, "right": right, "right_in_floats": in_floats, "differing_predictions": differing}
    config = {"model": {"name": model}, "quant": {"bit": bit, "power": power}, "seed": seed}
    return {"config": config, "bytes": size, "arithmetic": found}


def test_rows_are_those_of_the_files_shallow_networks_and_many_bits_first():
    exports = [
        export("resnet18", 3, 1, 3, 204_800, 9_956, 9_959, 5),
        export("resnet10", 2, 0, 3, 102_400, 9_946, 9_947, 1),
        export("resnet10", 5, 1, 3, 307_200, 9_948, 9_948, 0),
    ]
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in shipped_table(exports).splitlines()]
    assert cells[2:] == [
        ["resnet10", "5", "APoT", "3", "300", "99.48 %", "99.48 %", "0"],
        ["resnet10", "2", "uniform", "3", "100", "99.47 %", "99.46 %", "1"],
        ["resnet18", "3", "APoT", "3", "200", "99.59 %", "99.56 %", "5"],
    ]


def test_each_network_has_its_result():
    assert len(FILES) == 16
    assert [path.stem for path in FILES] == sorted(path.stem for path in (ROOT / "results/shipped").glob("*.json"))


@pytest.mark.parametrize("path", [FILES[0], *slowly(*FILES[1:])], ids=lambda path: path.stem)
def test_a_network_gets_right_what_its_result_says(path):
    """In integers, every bit of which is defined: exactly."""
    images, labels = load_idx_pair(ROOT / "data/mnist", "test")
    executor = load_packed(path)
    found = torch.cat([executor(batch).argmax(1) for batch in images.split(500)])
    result = json.loads((ROOT / f"results/shipped/{path.stem}.json").read_text())
    assert int((found == labels).sum()) == result["arithmetic"]["right"]
    assert path.stat().st_size == result["bytes"]
    assert read_packed(path).config["seed"] == result["config"]["seed"]
