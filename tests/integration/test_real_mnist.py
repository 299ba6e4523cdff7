"""Real learning on real digits."""

import json

import pytest


@pytest.mark.slow
def test_a_few_hundred_steps_read_digits(run_script, tmp_path):
    outcome = run_script(
        "train.py", "model=resnet10", "quant.bit=4", "trainer.max_epochs=2", "data.train_images=19200",
        "trainer.accelerator=cpu", f"hydra.run.dir={tmp_path}/run",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["steps"] == 300
    assert result["val_accuracy"] > 0.95
    assert result["test_accuracy"] > 0.95
