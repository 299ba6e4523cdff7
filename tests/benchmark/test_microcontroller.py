"""What networks take on a microcontroller: the table, what is refused, and the committed results."""

import json

import pytest
import torch

from apot_lit.benchmark import emulation
from apot_lit.benchmark.emulation import require_emulator
from apot_lit.benchmark.microcontroller_table import microcontroller_table
from apot_lit.data.embedded import load_idx_pair
from apot_lit.errors import UserError
from apot_lit.stored import load_packed
from tests.conftest import ROOT

SMALL = sorted((ROOT / "pretrained/small").glob("*.safetensors"))
AIM = "resnet10_width7_strided_3bit_apot"


def program(flash, **changed):
    facts = {"flash": flash, "memory": 3000, "stack": 500, "instructions": 1_234_567, "images": 100}
    return {**facts, "differing_logits": 0, "differing_predictions": 0, **changed}


def measured(*flashes, **changed):
    row = {"model": "resnet10", "width": 8, "stem": "reference", "bit": 3, "scheme": "apot", "arena": 2048}
    row |= {"right": 9_921, "test_images": 10_000}
    rows = [{**row, "programs": {"-Os": program(flash, **changed), "-O2": program(flash + 1)}} for flash in flashes]
    return {"rows": rows, "board": "a board", "tools": {"gcc": "gcc 1"}}


def test_rows_are_in_order_of_their_flash():
    table, said = microcontroller_table([measured(30_000), measured(20_000)]).split("\n\n")
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    common = ["resnet10", "8", "reference", "3", "APoT", "99.21 %"]
    rest = ["2,048", "500", "3,500", "1.23 M", "1.23 M", "100", "0"]
    assert cells == [[*common, "20,000", "20,001", *rest], [*common, "30,000", "30,001", *rest]]
    assert said.startswith("Of 200 images that the emulated boards classified, logits and predictions are those of P")


def test_what_differs_is_said():
    text = microcontroller_table([measured(20_000, differing_logits=12, differing_predictions=1)])
    assert "differ in 13 places" in text
    assert "without exception" not in text


def test_missing_tools_are_named(monkeypatch):
    monkeypatch.setattr(emulation.shutil, "which", lambda name: None if name.startswith("qemu") else name)
    with pytest.raises(UserError, match=r"^benchmark=microcontroller: needs qemu-system-arm \(on Debian") as error:
        require_emulator("benchmark=microcontroller")
    assert "\n" not in str(error.value)


def rows_of(name):
    found = json.loads((ROOT / f"results/microcontroller_{name}.json").read_text())["rows"]
    return {row["file"].rpartition("/")[2].removesuffix(".safetensors"): row for row in found}


def test_each_network_has_its_results():
    names = [path.stem for path in SMALL]
    assert names == sorted(rows_of("small"))
    assert names == sorted(path.stem.removesuffix("_seed0") for path in (ROOT / "results/small").glob("*.json"))
    assert sorted(rows_of("pretrained")) == sorted(path.stem for path in (ROOT / "pretrained").glob("*.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_a_small_network_gets_right_what_its_row_says(path):
    """In integers, every bit of which is defined: exactly."""
    images, labels = load_idx_pair(ROOT / "data/mnist", "test")
    executor = load_packed(path)
    found = torch.cat([executor(batch).argmax(1) for batch in images.split(500)])
    row = rows_of("small")[path.stem]
    assert int((found == labels).sum()) == row["right"]
    assert path.stat().st_size == row["packed"]


def test_the_aim_is_met():
    row = rows_of("small")[AIM]
    program = row["programs"]["-Os"]
    assert row["right"] / row["test_images"] >= 0.995
    assert program["flash"] <= 32 * 1024
    assert row["arena"] + program["stack"] <= 8 * 1024
    assert row["bit"] <= 4
    assert (program["images"], program["differing_predictions"], program["differing_logits"]) == (10_000, 0, 0)
