"""The table of evaluations in integers."""

import json

import pytest

from apot_lit.errors import UserError
from apot_lit.report.compose import integer_sections
from apot_lit.report.integer_tables import integer_tables
from tests.conftest import ROOT


def evaluation(bit, seed, accuracy, stream=None, trained=None, differing=0, checkpoint="last"):
    config = json.loads((ROOT / "results/best/resnet10_2bit_apot_seed0.json").read_text())["config"]
    config = {**config, "seed": seed, "quant": {**config["quant"], "bit": bit}}
    if trained is not None:
        target = "apot_lit.training.callbacks.SimulatedIntegers"
        config["callbacks"] = {**config["callbacks"], "any": {"_target_": target, "stream_bit": trained, "epochs": 5}}
    facts = {"accuracy": accuracy, "loss": 1 - accuracy, "config": config, "hardware": {"cpu": "A CPU"}}
    facts["ckpt_path"] = f"runs/any/checkpoints/{checkpoint}.ckpt"
    if stream is None:
        return {**facts, "arithmetic": "float"}
    integers = {"stream_bit": stream, "differing_predictions": differing}
    return {**facts, "arithmetic": "integer", "integer": integers}


def cells(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_each_checkpoint_has_a_row_and_pairs_are_compared():
    text = integer_tables(
        [
            evaluation(2, 1, 0.9, trained=8),
            evaluation(2, 1, 0.89, stream=8, trained=8, differing=7),
            *(evaluation(2, seed, 0.9 + seed / 100) for seed in (0, 1)),
            *(evaluation(2, seed, 0.8 + seed / 100, stream=8, differing=40 + seed) for seed in (0, 1)),
            evaluation(2, 0, 0.85, stream=16, differing=3),
            evaluation(4, 0, 0.95),
            evaluation(2, 1, 0.93, stream=8, trained=8, checkpoint="best"),  # of another epoch: no partner
        ]
    )
    header, _, *rows = cells(text)
    assert header == ["Network", "Checkpoint", "Seed", "Run", "Floats", "16 bits", "8 bits"]
    assert rows == [
        ["resnet10, 2 bits, APoT", "best", "1", "simulates 8 bits", "-", "-", "93.00 % (0)"],
        ["resnet10, 2 bits, APoT", "last", "0", "floats", "90.00 %", "85.00 % (3)", "80.00 % (40)"],
        ["resnet10, 2 bits, APoT", "last", "1", "floats", "91.00 %", "-", "81.00 % (41)"],
        ["resnet10, 2 bits, APoT", "last", "1", "simulates 8 bits", "90.00 %", "-", "89.00 % (7)"],
        ["resnet10, 4 bits, APoT", "last", "0", "floats", "95.00 %", "-", "-"],
    ]
    # Of the seed and checkpoint alone that runs of both kinds have.
    assert (
        "resnet10, 2 bits, APoT, last checkpoint, mean of 1 seed: 91.00 % (loss 0.0900) in floats; with a stream of "
        "8 bits 81.00 % (loss 0.1900) of runs in floats, 89.00 % (loss 0.1100) of runs that simulate it."
    ) in text
    assert text.count("mean of") == 1
    assert text.endswith("Evaluated on A CPU.")


def test_a_directory_without_evaluations_gives_no_table_and_a_damaged_one_a_line(tmp_path):
    assert integer_sections(tmp_path) == {}
    (tmp_path / "integer").mkdir()
    (tmp_path / "integer/net.json").write_text('{"accuracy": 1}')
    with pytest.raises(UserError, match=r"integer: must hold files that evaluate\.py wrote"):
        integer_sections(tmp_path)
