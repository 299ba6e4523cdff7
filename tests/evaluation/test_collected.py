"""The table after many evaluations."""

import csv
import json

import pytest

from apot_lit.evaluation.collected import collect_evaluations
from apot_lit.runs.contents import NotUsable, read_evaluation
from tests.conftest import ROOT

NETWORK = ROOT / "pretrained/small/resnet10_width4_2bit_apot.safetensors"


def lines(directory):
    with (directory / "evaluations.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_line_for_each_evaluation_and_empty_cells_for_what_is_not_told(tmp_path):
    config = json.loads((ROOT / "results/best/resnet10_2bit_uniform_seed1.json").read_text())["config"]
    facts = {"ckpt_path": "a/best.ckpt", "split": "test", "images": 200, "hardware": {"cpu": "abacus"}, "commit": "abc"}
    floats = {**facts, "accuracy": 0.985, "loss": 0.1234567, "arithmetic": "float", "config": config}
    integers = {**facts, "accuracy": 0.98, "loss": 0.2, "arithmetic": "integer", "config": config}
    integers["integer"] = {"stream_bit": 12, "differing_predictions": 3}
    export = {**facts, "ckpt_path": "net.onnx", "accuracy": 0.5, "loss": 0.3, "arithmetic": "integer"}
    shown = collect_evaluations([floats, integers, export], tmp_path)
    first, second, third = lines(tmp_path)
    network = [first[key] for key in ("checkpoint", "model", "bit", "scheme", "seed", "split", "cpu", "commit")]
    assert network == ["a/best.ckpt", "resnet10", "2", "uniform", "1", "test", "abacus", "abc"]
    assert (first["arithmetic"], first["stream_bit"], first["differing_predictions"]) == ("float", "", "")
    assert (float(first["accuracy"]), float(first["loss"])) == (0.985, pytest.approx(0.1234567, abs=1e-6))
    assert (second["arithmetic"], second["stream_bit"], second["differing_predictions"]) == ("integer", "12", "3")
    assert (third["checkpoint"], third["model"], third["seed"], third["accuracy"]) == ("net.onnx", "", "", "0.5")
    assert len(shown.splitlines()) == 5
    assert "98.50 %" in shown.splitlines()[2]


def test_what_is_no_evaluation_is_not_taken_for_one(tmp_path):
    path = tmp_path / "evaluation.json"
    with pytest.raises(NotUsable):
        read_evaluation(path)
    path.write_text('{"accuracy": 1}')
    with pytest.raises(NotUsable, match="confusion"):
        read_evaluation(path)


@pytest.mark.slow
def test_many_checkpoints_are_evaluated_in_floats_and_in_integers_by_one_command(run_script, tmp_path):
    """The mistake in one of them is told at the end, and does not keep the others from the table."""
    missing = tmp_path / "missing.ckpt"
    outcome = run_script(
        "evaluate.py",
        "-m",
        f"ckpt_path={NETWORK},{missing}",
        "arithmetic=float,integer",
        "split=val",
        "trainer=cpu",
        f"hydra.sweep.dir={tmp_path}/all",
    )
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith("error: 2 of 4 jobs failed: 2, 3; see error.txt")
    assert str(missing) in outcome.err.splitlines()[-1]
    floats, integers = lines(tmp_path / "all")
    right = []
    for number, line in enumerate((floats, integers)):
        evaluation = json.loads((tmp_path / f"all/{number}/evaluation.json").read_text())
        right.append(sum(row[label] for label, row in enumerate(evaluation["confusion"])))
        assert float(line["accuracy"]) == pytest.approx(right[-1] / 5000)
        assert (line["model"], line["bit"], line["images"]) == ("resnet10", "2", "5000")
        assert line["arithmetic"] in outcome.out
    assert abs(right[0] - right[1]) <= int(integers["differing_predictions"]) < 500
    assert floats["differing_predictions"] == ""
