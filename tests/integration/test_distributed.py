"""Two processes on the CPU train one network, in one directory."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

ARGUMENTS = [
    "trainer=ddp_cpu", "model=resnet10", "model.width=4", "data.train_images=513", "data.val_split=1001",
    "trainer.max_epochs=2", "callbacks=best", "+callbacks.same._target_=tests.integration.callbacks.SameInEveryProcess",
]  # fmt: skip


@pytest.mark.slow
def test_two_processes_share_one_run(tmp_path):
    command = [sys.executable, str(ROOT / "train.py"), *ARGUMENTS, f"paths.root_dir={tmp_path}",
               f"data.data_dir={ROOT}/data/mnist"]  # fmt: skip
    finished = subprocess.run(command, capture_output=True, text=True, timeout=400, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    runs = list((tmp_path / "outputs/train").iterdir())
    assert len(runs) == 1, "each process wrote a directory of its own"
    result = json.loads((runs[0] / "result.json").read_text())
    # 256 images a process and epoch, two batches each; the odd one is dropped.
    assert result["steps"] == 4
    assert finished.stdout.count("written:") == 1
    evaluate = [sys.executable, str(ROOT / "evaluate.py"), f"ckpt_path={result['best_checkpoint']}",
                f"hydra.run.dir={tmp_path}/evaluation", "trainer=cpu"]  # fmt: skip
    subprocess.run(evaluate, check=True, capture_output=True, timeout=400, cwd=tmp_path)
    evaluation = json.loads((tmp_path / "evaluation/evaluation.json").read_text())
    assert evaluation["images"] == 10000
    assert evaluation["accuracy"] == pytest.approx(result["test_accuracy"], abs=1e-7)


def test_a_multirun_over_several_devices_is_refused(run_script, tmp_path):
    outcome = run_script("train.py", "-m", *ARGUMENTS, "seed=0,1", f"hydra.sweep.dir={tmp_path}/sweep")
    assert outcome.code == 2
    assert "trainer.devices=1" in outcome.err
    assert not list(tmp_path.rglob("result.json"))
