"""What trainings took: rows of results written by hand, and counts of the committed ones."""

import json
import statistics

import pytest

from apot_lit.report.collect import Collection, collect
from apot_lit.report.training_time import training_time_table
from tests.conftest import ROOT
from tests.report.test_report import result


def rows(text):
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return table[2:]


def write(directory, name, seconds, threads=1, images=6000, machine=True, **options):
    stem, compiled = options.pop("stem", "reference"), options.pop("compiled", False)
    content = result(**options) | {"wall_seconds": seconds}
    content["config"]["model"]["stem"] = stem
    content["config"]["trainer"]["compile"] = compiled
    if images:
        content["splits"] = {"train": images, "val": 10, "test": 10}
    content["hardware"]["threads"] = threads
    if not machine:
        del content["hardware"]
    (directory / f"{name}.json").write_text(json.dumps(content))


def test_rows_are_medians_of_runs_alike_on_one_machine(tmp_path):
    for seed, seconds in enumerate((600.0, 300.0, 1500.0)):  # 25 epochs of 6,000 images: 250, 500 and 100 a second
        write(tmp_path, f"a{seed}", seconds, seed=seed)
    write(tmp_path, "full", 150.0, bit=32)
    write(tmp_path, "two", 120.0, seed=3, threads=2)
    write(tmp_path, "fast", 60.0, seed=4, compiled=True)
    write(tmp_path, "small", 3000.0, stem="small")
    write(tmp_path, "nameless", 1.0, seed=5, machine=False)
    write(tmp_path, "uncounted", 1.0, seed=6, images=0)
    write(tmp_path, "other", 1.0, seed=7, lr=0.5)  # another protocol
    text = training_time_table(collect(tmp_path))
    one, two = "abacus, 1 thread, cpu", "abacus, 2 threads, cpu"
    assert rows(text) == [
        ["resnet10", "reference", "float32", "eager", one, "1", "1,000", "-", "2.5", "-"],
        ["resnet10", "reference", "quantised", "compiled", one, "1", "2,500", "-", "1.0", "-"],
        ["resnet10", "reference", "quantised", "eager", one, "3", "250", "500", "10.0", "5.0 to 25.0"],
        ["resnet10", "reference", "quantised", "eager", two, "1", "1,250", "-", "2.0", "-"],
        ["resnet10, small stem", "reference", "quantised", "eager", one, "1", "50", "-", "50.0", "-"],
    ]
    assert "don't name CPU and threads are left out (2)." in text
    assert "Other work ran beside most of these runs" in text


def test_without_a_machine_there_is_no_table(tmp_path):
    write(tmp_path, "nameless", 1.0, machine=False)
    assert training_time_table(collect(tmp_path)) is None
    assert training_time_table(Collection([], [], {})) is None


def test_a_committed_row_is_that_of_its_files():
    found = []
    for path in (ROOT / "results/best").glob("resnet10_[2-5]bit_*.json"):
        content = json.loads(path.read_text())
        if not content["config"]["trainer"]["compile"] and content["hardware"]["cpu"] == "AMD EPYC":
            assert content["hardware"]["threads"] == 1
            found.append(content["wall_seconds"])
    named = [row for row in rows(training_time_table(collect(ROOT / "results"))) if row[:2] == ["resnet10", "best"]]
    (row,) = (row for row in named if row[2:5] == ["quantised", "eager", "AMD EPYC, 1 thread, cpu"])
    assert int(row[5]) == len(found)
    assert float(row[6].replace(",", "")) == pytest.approx(25 * 55_000 / statistics.median(found), rel=0.01)
    assert float(row[8]) == pytest.approx(statistics.median(found) / 60, abs=0.051)
