"""The table of networks quantised without training."""

import json

import pytest

from apot_lit.errors import UserError
from apot_lit.report.answer import answering
from apot_lit.report.collect import collect
from apot_lit.report.compose import document_sections
from apot_lit.report.ptq_table import ptq_section
from tests.conftest import ROOT


def result(accuracy, seed, bit=2, scheme="apot", rounding="nearest", epochs=0, **facts):
    whole = json.loads((ROOT / "results/best/resnet10_2bit_apot_seed0.json").read_text())
    quant = {**whole["config"]["quant"], "bit": bit, "power": int(scheme == "apot"), "rounding": rounding}
    trainer = {**whole["config"]["trainer"], "max_epochs": epochs}
    config = {**whole["config"], "seed": seed, "trainer": trainer}
    config["quant"] = {**quant, "calibrate": None if epochs else 16}
    facts = {"hardware": {"cpu": "A CPU", "threads": 1, "device": "cpu"}, **facts}
    return {**whole, "config": config, "epochs": epochs, "test_accuracy": accuracy, **facts}


@pytest.fixture
def results(tmp_path):
    (tmp_path / "ptq").mkdir()
    trained = [result(0.99, 0, epochs=25), result(0.97, 1, epochs=25)]
    untrained = [
        result(0.995, 0, bit=32),
        *(result(0.90 + seed / 100, seed, wall_seconds=3 + seed) for seed in (0, 1)),
        *(result(0.94 + seed / 100, seed, rounding="learned", wall_seconds=9) for seed in (0, 1)),
        result(0.80, 0, scheme="uniform"),
    ]
    for number, one in enumerate(trained):
        (tmp_path / f"{number}.json").write_text(json.dumps(one))
    for number, one in enumerate(untrained):
        (tmp_path / f"ptq/{number}.json").write_text(json.dumps(one))
    return tmp_path


def test_rows_hold_both_ways_of_rounding_beside_the_trained(results):
    text = document_sections(collect(results), {}, results)["ptq"]
    header, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"
    ]
    assert header == ["Network", "Bits", "Levels", "Seeds", "Nearest level", "Learned rounding", "Trained"]
    assert rows == [
        ["resnet10", "32", "float32", "0", "99.50", "-", "-"],
        ["resnet10", "2", "APoT", "0, 1", "90.50 ± 0.71", "94.50 ± 0.71", "98.00 ± 1.41 (2)"],
        ["resnet10", "2", "uniform", "0", "80.00", "-", "-"],
    ]
    assert "-7.50 and -3.50 at 2 bits" in text  # of the only row that has all three
    assert "Fitted to 2,048 training images" in text
    assert text.endswith("9 s with learned rounding, on A CPU, 1 thread, with other work beside it.")


def test_what_was_not_trained_is_in_no_row_of_what_was(results):
    collection = collect(results)
    assert not collection.left_out
    assert [run.test_accuracy for group in collection.groups for runs in group.runs.values() for run in runs] == [
        0.99,
        0.97,
    ]
    for path in results.glob("?.json"):
        path.unlink()
    with pytest.raises(UserError, match="holds no result of a finished training"):
        collect(results)


def test_a_damaged_file_is_one_line(results):
    (results / "ptq/0.json").write_text("{}")
    with pytest.raises(UserError, match=r"ptq: must hold results of experiment=ptq \(KeyError"):
        document_sections(collect(results), {}, results)


@pytest.mark.slow
def test_the_committed_results_are_all_in_the_table():
    paths = sorted((ROOT / "results/ptq").glob("*.json"))
    found = [json.loads(path.read_text()) for path in paths]
    assert all(not one["config"]["init_from"].startswith("/") for one in found)
    assert {one["config"]["recipe"] for one in found} == {"ptq"}
    kinds = {
        (*[one["config"]["quant"][key] for key in ("bit", "power", "rounding")], one["config"]["model"]["name"])
        for one in found
        if one["config"]["quant"]["bit"] < 32
    }
    assert len(kinds) == 4 * 2 * 2 * 2
    text = ptq_section(found, answering(collect(ROOT / "results")))
    assert text.count("| resnet") == 2 * (1 + 4 * 2)
