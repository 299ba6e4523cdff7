"""The table after many runs, against rows written by hand."""

import csv

import pytest

from apot_lit.runs.summary import Run, summarise

BASE = {
    "seed": 0,
    "recipe": "default",
    "model": {"name": "resnet10"},
    "quant": {"bit": 4, "power": 1},
    "optimizer": {"lr": 0.1},
    "callbacks": {"last": {"dirpath": "out/0/checkpoints"}},
    "paths": {"output_dir": "out/0"},
}


def run(tmp_path, name, test, **changes):
    config = {key: dict(value) if isinstance(value, dict) else value for key, value in BASE.items()}
    config["paths"] = {"output_dir": f"out/{name}"}
    config["callbacks"] = {"last": {"dirpath": f"out/{name}/checkpoints"}}
    for key, value in changes.items():
        section, _, option = key.partition("__")
        if option:
            config[section] = {**config[section], option: value}
        else:
            config[section] = value
    result = {"config": config, "epochs": 3, "test_accuracy": test, "wall_seconds": 75.4}
    return Run(tmp_path / name, result)


def test_columns_are_those_that_vary_and_directories_stand_last(tmp_path):
    runs = [
        run(tmp_path, "0_lr-0.1", 0.985),
        run(tmp_path, "1_lr-0.2", 0.99, optimizer__lr=0.2, quant__power=0),
        run(tmp_path, "2", 0.5, optimizer__lr=0.1, quant__weight_bit=2),
    ]
    lines = [line.split() for line in summarise(runs, tmp_path).splitlines()]
    assert lines[0] == [
        *("model", "bit", "scheme", "seed", "optimizer.lr", "quant.weight_bit", "epochs"),
        *("train", "val", "test", "time", "directory"),
    ]
    assert " ".join(lines[2]) == "resnet10 4 apot 0 0.1 3 - - 98.50 % 1 min 15 s 0_lr-0.1"

    assert lines[3][2:5] == ["uniform", "0", "0.2"]
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["test"] for row in rows] == ["0.985", "0.99", "0.5"]
    assert [row["optimizer.lr"] for row in rows] == ["0.1", "0.2", "0.1"]
    assert [row["quant.weight_bit"] for row in rows] == ["", "", "2"]
    assert [row["directory"] for row in rows] == ["0_lr-0.1", "1_lr-0.2", "2"]


@pytest.mark.parametrize("changes", [{"seed": 1}, {"quant__bit": 2}, {"model__name": "resnet18"}])
def test_what_has_a_column_of_its_own_gets_no_second_one(tmp_path, changes):
    headers = summarise([run(tmp_path, "0", 0.9), run(tmp_path, "1", 0.9, **changes)], tmp_path).splitlines()[0]
    assert headers.split() == [
        *("model", "bit", "scheme", "seed", "epochs", "train", "val", "test", "time", "directory")
    ]  # fmt: skip
