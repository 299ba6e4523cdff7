"""A trial that is stopped in a real training, and gone on with."""

import csv

import pytest

from apot_lit.search.stopping import FarBehind
from apot_lit.search.trial_run import run_trial
from tests.configs.test_configs import composed

TINY = [
    *("model=resnet10", "model.width=1", "data.train_images=256", "data.val_split=500", "trainer.max_epochs=3"),
    *("trainer.threads=1", "trainer.accelerator=cpu", "test=false"),
]


@pytest.mark.slow
def test_a_stopped_trial_leaves_its_epochs_and_a_checkpoint(tmp_path):
    config = composed("train", tmp_path, *TINY)
    with pytest.raises(FarBehind) as stopped:
        run_trial(config, [0.0, 1.1, 1.1])
    with (tmp_path / "metrics.csv").open(newline="") as file:
        epochs = list(csv.DictReader(file))
    assert stopped.value.epochs == len(epochs) == 2
    assert stopped.value.accuracy == pytest.approx(float(epochs[1]["val/acc"]), abs=1e-6)
    assert not (tmp_path / "result.json").exists()
    assert (tmp_path / "train.log").read_text().splitlines()[-1].endswith(str(stopped.value))

    result = run_trial(config, None)
    assert result["history"]["epoch"] == [1, 2, 3]
    assert result["val_accuracy"] == pytest.approx(max(result["history"]["val/acc"]))
    written = (tmp_path / "result.json").read_bytes()
    assert run_trial(config, [1.1, 1.1])["history"] == result["history"]
    assert (tmp_path / "result.json").read_bytes() == written
