"""callbacks=[best,integer]: what is trained, validated, tested and kept."""

import csv
import json
import shlex
import signal

import pytest

from apot_lit.runs.protocol import protocol
from tests.integration.test_train_evaluate import assert_same_weights, train, weights  # noqa: F401 - a fixture

BEST = ("experiment=best", "quant.bit=3", "callbacks.reestimated_batch_norm.images=300", "data.eval_batch_size=100")
INTEGER = (*BEST, "callbacks=[best,integer]")


def epochs(directory):
    with (directory / "metrics.csv").open() as table:
        return list(csv.DictReader(table))


@pytest.mark.slow
def test_what_is_measured_is_the_network_of_integers(train, run_script, tmp_path):  # noqa: F811
    directory, _ = train(*INTEGER, "callbacks.integer.epochs=1")
    result = json.loads((directory / "result.json").read_text())
    for split in ("val", "test"):
        output = tmp_path / split
        outcome = run_script(
            "evaluate.py", f"ckpt_path={directory}/checkpoints/best.ckpt", f"split={split}", "arithmetic=integer",
            "export.stream_bit=8", f"hydra.run.dir={output}", "batch_size=100",
        )  # fmt: skip
        assert outcome.code == 0, outcome.err
        evaluation = json.loads((output / "evaluation.json").read_text())
        assert evaluation["accuracy"] == pytest.approx(result[f"{split}_accuracy"], abs=1e-7)
        assert evaluation["loss"] == pytest.approx(result[f"{split}_loss"], rel=1e-6)
    assert evaluation["integer"]["differing_predictions"] > 0  # so that floats would have said something else
    best = max(epochs(directory), key=lambda epoch: float(epoch["val/acc"]))
    assert float(best["val/acc"]) == pytest.approx(result["val_accuracy"], abs=1e-5)
    assert int(best["epoch"]) == result["best_epoch"]
    assert float(best["stream/fraction"]) == evaluation["integer"]["fraction"]
    keys = {key: value for key, value in protocol(result["config"]) if key.startswith("callbacks.integer")}
    assert keys["callbacks.integer.stream_bit"] == "8"
    assert keys["callbacks.integer.epochs"] == "1"


@pytest.mark.slow
def test_only_the_last_epochs_are_trained_otherwise(train):  # noqa: F811
    without, _ = train(*BEST, "trainer.max_epochs=3", name="without")
    with_it, _ = train(*INTEGER, "trainer.max_epochs=3", "callbacks.integer.epochs=2", name="with")
    losses = [[float(epoch["train/loss"]) for epoch in epochs(directory)] for directory in (without, with_it)]
    assert losses[0][0] == losses[1][0]
    assert losses[0][1] != losses[1][1]
    assert losses[0][1] == pytest.approx(losses[1][1], rel=0.1)
    paths = [directory / "checkpoints/last.ckpt" for directory in (without, with_it)]
    assert weights(paths[0]).keys() == weights(paths[1]).keys()


@pytest.mark.slow
@pytest.mark.parametrize("step", [6, 9], ids=["within_an_epoch", "at_the_first_batch"])
def test_an_interrupted_run_ends_like_an_uninterrupted_one(train, run_script, step):  # noqa: F811
    arguments = (*INTEGER, "trainer.max_epochs=3", "callbacks.integer.epochs=2")
    whole, _ = train(*arguments, name="whole")
    stop = ("+callbacks.stop._target_=tests.integration.callbacks.InterruptAtStep", f"+callbacks.stop.step={step}")
    handler = signal.getsignal(signal.SIGINT)
    try:
        part, outcome = train(*arguments, *stop, name="part", code=130)
    finally:
        signal.signal(signal.SIGINT, handler)
    command = shlex.split(outcome.err.strip().rpartition(": ")[2])
    resume = [argument for argument in command[2:] if not argument.startswith(("+callbacks", "hydra.run.dir"))]
    outcome = run_script("train.py", *resume)
    assert outcome.code == 0, outcome.err
    for name in ("last", "best"):
        assert_same_weights(whole / f"checkpoints/{name}.ckpt", part / f"checkpoints/{name}.ckpt")
    results = [json.loads((run / "result.json").read_text()) for run in (whole, part)]
    assert results[0]["test_accuracy"] == results[1]["test_accuracy"]
    assert results[0]["history"] == results[1]["history"]


@pytest.mark.slow
def test_a_finished_epoch_is_gone_on_from(train, run_script):  # noqa: F811
    constant = ("quant.bit=3", *INTEGER[2:], "callbacks.integer.epochs=9")
    whole, _ = train(*constant, "trainer.max_epochs=2", name="whole")
    part, _ = train(*constant, "trainer.max_epochs=1", name="part")
    outcome = run_script("train.py", f"ckpt_path={part}/checkpoints/last.ckpt", "trainer.max_epochs=2")
    assert outcome.code == 0, outcome.err
    assert_same_weights(whole / "checkpoints/last.ckpt", part / "checkpoints/last.ckpt")


def test_it_trains_without_validation(train):  # noqa: F811
    directory, _ = train(*INTEGER, "data.val_split=0", "trainer.max_epochs=1")
    result = json.loads((directory / "result.json").read_text())
    assert 0 < result["test_accuracy"] < 1
    assert all(value.isfinite().all() for value in weights(directory / "checkpoints/last.ckpt").values())


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["callbacks.integer.stream_bit=7"], ["callbacks.integer.stream_bit=7", "from 8 to 16"]),
        (["callbacks.integer.epochs=0"], ["callbacks.integer.epochs=0", "at least 1"]),
        (["callbacks.integer.epochs=two"], ["callbacks.integer.epochs=two", "an integer"]),
        (["quant.bit=32"], ["layer conv1: has float weights", "2 to 8 bits"]),
        (["quant.act_bit=8", "quant.weight_bit=8"], ["don't fit into 8 bits"]),
    ],
)
def test_what_it_refuses_is_one_line_before_training(train, arguments, parts):  # noqa: F811
    directory, outcome = train(*INTEGER, *arguments, name="refused", code=2)
    outcome.assert_refused(parts)
    assert not (directory / "checkpoints").exists()
