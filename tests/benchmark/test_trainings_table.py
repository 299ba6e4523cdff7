"""The table of trainings, from contents written by hand."""

import json

import pytest

from apot_lit.benchmark.trainings_table import trainings_table
from apot_lit.errors import UserError
from apot_lit.report.compose import benchmark_tables


def measured(**changed):
    row = {"recipe": "best", "model": "resnet10", "scheme": "apot", "bit": 4, "width": 16, "images": 55_000}
    row |= {"epoch_seconds": [12.0, 11.0], "start_seconds": 6.04, "end_seconds": 2.5, "images_per_second": 5000.0}
    row |= {"epochs": 25, "minutes": 4.7257, "other_work": 0.0123}
    return {**row, "hardware": {"cpu": "abacus", "threads": 2, "device": "cpu"}, **changed}


def cells(text):
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_each_training_is_a_row():
    text = trainings_table(
        [
            {"rows": [measured(), measured(scheme="float", bit=32, other_work=None)]},
            {"rows": [measured(other_work=0.5)]},
        ]
    )
    place = "abacus, 2 threads, cpu"
    times = [place, "5,000", "11.0", "6.0", "2.5", "25", "4.7"]
    assert cells(text) == [
        ["resnet10", "best", "4", "APoT", *times, "1.2 %"],
        ["resnet10", "best", "32", "float32", *times, "-"],
        ["resnet10", "best", "4", "APoT", *times, "50.0 %"],
    ]
    assert text.endswith("It was 50.0 % at most.")


def test_without_shares_nothing_is_said_of_the_largest():
    assert "at most" not in trainings_table([{"rows": [measured(other_work=None)]}])


def test_the_report_finds_files_of_trainings(tmp_path):
    content = {"rows": [measured()]}
    (tmp_path / "trainings_cpu.json").write_text(json.dumps(content))
    assert benchmark_tables(tmp_path) == {"trainings": trainings_table([content])}
    (tmp_path / "trainings_gpu.json").write_text('{"rows": [{"model": "resnet10"}]}')
    with pytest.raises(UserError, match=r"trainings_gpu.json: must be files that benchmark.py wrote"):
        benchmark_tables(tmp_path)
