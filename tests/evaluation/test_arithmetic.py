"""evaluate.py arithmetic=integer: what it says, and what it refuses."""

import json

import pytest
import torch

from apot_lit.data.split import split_by_class
from apot_lit.integer import Executor, to_integers
from tests.export.conftest import digits, save_checkpoint, trained


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    directory = tmp_path_factory.mktemp("checkpoints")
    for bit in (4, 32):
        save_checkpoint(directory / f"{bit}.ckpt", bit, 1)
    return directory


def evaluate(run_script, checkpoints, tmp_path, bit, *arguments):
    return run_script("evaluate.py", f"ckpt_path={checkpoints}/{bit}.ckpt", f"hydra.run.dir={tmp_path}/run", *arguments)


@pytest.mark.slow
def test_accuracy_is_that_of_the_network_of_integers(run_script, checkpoints, tmp_path):
    outcome = evaluate(run_script, checkpoints, tmp_path, 4, "arithmetic=integer", "export.stream_bit=10")
    assert outcome.code == 0, outcome.err
    evaluation = json.loads((tmp_path / "run/evaluation.json").read_text())

    (images, labels), (train, train_labels) = digits(), digits("train")
    chosen, _ = split_by_class(train_labels.numpy(), 5000, 55000, 0)
    integers = to_integers(trained(4, 1, width=4), train[chosen[:1000]], 10)
    network, executor = trained(4, 1, width=4), Executor(integers)
    with torch.no_grad():
        found = torch.cat([executor(batch).argmax(1) for batch in images.split(1000)])
        floats = torch.cat([network(batch).argmax(1) for batch in images.split(1000)])
    right = int((found == labels).sum())
    assert sum(row[i] for i, row in enumerate(evaluation["confusion"])) == right
    assert evaluation["accuracy"] == pytest.approx(right / 10000, abs=1e-6)
    facts = evaluation["integer"]
    assert (facts["stream_bit"], facts["fraction"]) == (10, integers.fraction)
    # The float network's own predictions may differ on a tie, by the memory format it is evaluated in.
    assert abs(facts["differing_predictions"] - int((found != floats).sum())) <= 2
    assert [width["layer"] for width in facts["widths"]][::12] == ["conv1", "fc"]
    assert "stream of 10 bits" in outcome.out
    assert "accumulator" in outcome.out


def test_evaluation_in_floats_says_nothing_of_integers(run_script, checkpoints, tmp_path):
    outcome = evaluate(run_script, checkpoints, tmp_path, 4)
    assert outcome.code == 0, outcome.err
    evaluation = json.loads((tmp_path / "run/evaluation.json").read_text())
    assert evaluation["arithmetic"] == "float"
    assert "integer" not in evaluation
    assert "stream" not in outcome.out


@pytest.mark.parametrize(
    ("bit", "argument", "said"),
    [
        (32, "arithmetic=integer", "layer conv1: has float weights; integers need weights of 2 to 8 bits"),
        (4, "arithmetic=exact", "arithmetic=exact: must be null or float or integer"),
        (4, "export.stream_bit=17", "export.stream_bit=17: must be null or an integer from 8 to 16"),
    ],
)
def test_what_it_refuses_is_one_line(run_script, checkpoints, tmp_path, bit, argument, said):
    outcome = evaluate(run_script, checkpoints, tmp_path, bit, argument)
    assert outcome.code != 0
    assert outcome.err.strip().splitlines() == [outcome.err.strip()]
    assert said in outcome.err
    assert not (tmp_path / "run/evaluation.json").exists()
