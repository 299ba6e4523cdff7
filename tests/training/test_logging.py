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
        outcome = run_script("train.py", *TINY, "logger=csv", f"hydra.run.dir={tmp_path}", *arguments)
        assert outcome.code == 0, outcome.err
        return json.loads((tmp_path / "result.json").read_text())

    return run


def rows(directory, version=0):
    with (directory / f"steps/version_{version}/metrics.csv").open(newline="") as file:
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
            name = f"test/{metric}" if split == "test" else f"final/{split}_{metric}"
            logged = [row[name] for row in rows(tmp_path) if row[name]]
            assert len(logged) == 1
            assert float(logged[0]) == pytest.approx(result[f"{split}_{key}"], rel=1e-6)
    assert not any(name.startswith(("final/", "test/")) for name in result["history"])
    assert len(result["history"]["epoch"]) == 1


def table(directory):
    with (directory / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_the_table_has_a_full_row_for_every_epoch_over_resumes_whatever_the_logger(run_script, tmp_path):
    for arguments in (
        ("trainer.max_epochs=2", f"hydra.run.dir={tmp_path}"),
        ("trainer.max_epochs=4", f"ckpt_path={tmp_path}/checkpoints/last.ckpt"),
    ):
        outcome = run_script("train.py", *TINY, "logger=none", *arguments)
        assert outcome.code == 0, outcome.err
    rows, result = table(tmp_path), json.loads((tmp_path / "result.json").read_text())
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert all(value for row in rows for value in row.values())
    assert list(rows[0])[:6] == ["epoch", "seconds", "train/loss", "train/acc", "val/loss", "val/acc"]
    assert list(rows[0])[6:] == sorted(list(rows[0])[6:])
    layers = 8 + 3  # of a ResNet-10 between first and last: two a block, and three shortcuts
    alphas = [name for name in rows[0] if name.startswith("alpha/")]
    assert len(alphas) == 2 * layers
    assert {"lr-SGD/weights", "lr-SGD/norms", "lr-SGD/alphas"} == set(rows[0]) - set(alphas) - set(list(rows[0])[:6])
    for name, values in result["history"].items():
        assert [float(row[name]) for row in rows] == pytest.approx(values)
    assert set(rows[0]) - set(result["history"]) == {"seconds"}
    assert sum(float(row["seconds"]) for row in rows) == pytest.approx(result["wall_seconds"], abs=10)


def test_a_missing_validation_leaves_its_cells_empty(run_script, tmp_path):
    outcome = run_script(
        "train.py", *TINY, f"hydra.run.dir={tmp_path}", "trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2"
    )
    assert outcome.code == 0, outcome.err
    assert [bool(row["val/acc"]) for row in table(tmp_path)] == [False, True, False]
