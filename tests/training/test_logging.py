"""What loggers get: values under the step they belong to, and a name of its own for each."""

import csv
import json

import pytest

from tests.integration.callbacks import RecordLosses

TINY = ["model=resnet10", "model.width=2", "data.train_images=384", "data.val_split=100", "trainer.accelerator=cpu",
        "data.eval_batch_size=100", "trainer.limit_test_batches=1"]  # fmt: skip
RECORD = "+callbacks.record._target_=tests.integration.callbacks.RecordLosses"


@pytest.fixture
def train(run_script, tmp_path):
    def run(*arguments):
        outcome = run_script("train.py", *TINY, f"hydra.run.dir={tmp_path}", *arguments)
        assert outcome.code == 0, outcome.err
        return json.loads((tmp_path / "result.json").read_text())

    return run


def rows(directory, version=0):
    with (directory / f"metrics/version_{version}/metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def step_losses(directory, version=0):
    return {
        int(row["step"]): float(row["train/loss_step"]) for row in rows(directory, version) if row["train/loss_step"]
    }


@pytest.mark.parametrize(("interval", "accumulated"), [(4, 1), (2, 3)])
def test_the_loss_of_a_step_is_logged_at_that_step(train, tmp_path, interval, accumulated):
    train(
        "data.batch_size=64",
        "trainer.max_epochs=2",
        f"trainer.log_every_n_steps={interval}",
        f"trainer.accumulate_grad_batches={accumulated}",
        RECORD,
    )
    steps = 12 // accumulated
    assert len(RecordLosses.last) == 12
    # The callback counts batches; Lightning's steps count from 0, and every interval ends with one that is logged.
    expected = {step: RecordLosses.last[(step + 1) * accumulated - 1] for step in range(interval - 1, steps, interval)}
    assert step_losses(tmp_path) == pytest.approx(expected, rel=1e-6)


def test_also_after_resuming(train, tmp_path):
    train("trainer.max_epochs=1", "trainer.log_every_n_steps=2")
    train("trainer.max_epochs=3", "trainer.log_every_n_steps=2", RECORD, f"ckpt_path={tmp_path}/checkpoints/last.ckpt")
    assert len(RecordLosses.last) == 6
    assert step_losses(tmp_path, version=1) == pytest.approx({3 + i: RecordLosses.last[i] for i in (0, 2, 4)}, rel=1e-6)


def test_each_split_that_the_final_network_is_tested_on_has_names_of_its_own(train, tmp_path):
    result = train("trainer.max_epochs=1")
    for split in ("train", "val", "test"):
        for metric, key in (("acc", "accuracy"), ("loss", "loss")):
            logged = [row[name] for row in rows(tmp_path) if row[name := f"final/{split}_{metric}"]]
            assert len(logged) == 1
            assert float(logged[0]) == pytest.approx(result[f"{split}_{key}"], rel=1e-6)
    assert not any(name.startswith("test/") for name in rows(tmp_path)[0])
    assert not any(name.startswith("final/") for name in result["history"])
    assert len(result["history"]["epoch"]) == 1
