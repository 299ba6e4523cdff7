"""The same multirun under every launcher: jobs end, are skipped, resumed and refused; one that fails is one of many."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch

from apot_lit.config.launchers import with_launcher
from apot_lit.errors import UserError
from tests.conftest import ROOT

TINY = ("model=resnet10", "model.width=4", "data.train_images=256", "data.val_split=200", "trainer=cpu",
        "trainer.threads=1", "trainer.limit_test_batches=1", "trainer.max_epochs=2")  # fmt: skip
SWEPT = ("model.width=4,8", "quant.bit=2,9")  # two jobs train, two fail
PACKAGES = {"joblib": "joblib", "submitit_local": "submitit", "ray": "ray"}


def start(tmp_path, *arguments, code):
    """train.py as a user starts it, also where the package is not installed."""
    environment = os.environ | {"PROJECT_ROOT": str(ROOT), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "train.py"), "-m", *TINY, *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1500)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", *PACKAGES])
def test_jobs_end_and_are_skipped_resumed_and_refused(launcher, tmp_path):
    if launcher in PACKAGES:
        pytest.importorskip(f"hydra_plugins.hydra_{PACKAGES[launcher]}_launcher", reason=f"needs {launcher}")
        pytest.importorskip(PACKAGES[launcher])
    options = [f"hydra/launcher={launcher}", *(["hydra.launcher.n_jobs=2"] if launcher == "joblib" else [])]
    command = (*options, f"hydra.sweep.dir={tmp_path}/sweep", *SWEPT)
    done = start(tmp_path, *command, code=2)
    assert "4 jobs, 0 of them with a result already" in done.stdout
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: 2 of 4 jobs failed: width-4_bit-9, width-8_bit-9;")
    assert "quant.bit=9: must be one of" in line
    results = {width: tmp_path / f"sweep/width-{width}_bit-2/result.json" for width in (4, 8)}
    first = {width: json.loads(path.read_text()) for width, path in results.items()}
    assert [first[width]["config"]["model"]["width"] for width in (4, 8)] == [4, 8]
    assert (tmp_path / "sweep/results.csv").read_text().count("\n") == 1 + 2

    # One is set back to its last checkpoint, another one gets what other options left, which nothing may touch.
    weights = torch.load(results[4].with_name("checkpoints") / "last.ckpt", weights_only=True)["state_dict"]
    results[4].unlink()
    foreign = tmp_path / "sweep/width-16_bit-2"
    shutil.copytree(results[8].parent, foreign)
    before = [(path, path.read_bytes()) for path in (results[8], foreign / "result.json")]
    done = start(tmp_path, *command[: -len(SWEPT)], "model.width=4,8,16", "quant.bit=2,9", code=2)
    assert "6 jobs, 2 of them with a result already" in done.stdout
    failed = "width-4_bit-9, width-8_bit-9, width-16_bit-2, width-16_bit-9"
    assert f"error: 4 of 6 jobs failed: {failed};" in done.stderr
    reason = f"{foreign}/result.json: comes from other options (model.width); "
    assert (foreign / "error.txt").read_text().startswith(reason)
    assert [(path, path.read_bytes()) for path, _ in before] == before
    again = json.loads(results[4].read_text())
    assert again["config"]["ckpt_path"].endswith("width-4_bit-2/checkpoints/last.ckpt")
    assert again["history"]["train/loss"] == first[4]["history"]["train/loss"]
    after = torch.load(results[4].with_name("checkpoints") / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(after[name], value) for name, value in weights.items())


def test_jobs_side_by_side_are_those_of_joblib():
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    arguments = ["sweep=tables", "sweep.jobs=3"]
    assert with_launcher(arguments) == [*arguments, "hydra/launcher=joblib", "hydra.launcher.n_jobs=3"]
    assert with_launcher(["sweep=tables", "sweep.jobs=1"]) == ["sweep=tables", "sweep.jobs=1"]
    chosen = ["hydra/launcher=joblib", "sweep.jobs=3"]
    assert with_launcher(chosen) == [*chosen, "hydra.launcher.n_jobs=3"]


@pytest.mark.parametrize(
    ("argument", "package"),
    [
        ("hydra/launcher=joblib", "joblib"),
        ("sweep.jobs=2", "joblib"),
        ("hydra/launcher=submitit_local", "submitit"),
        ("hydra/launcher=submitit_slurm", "submitit"),
        ("hydra/launcher=slurm", "submitit"),
        ("hydra/launcher=ray", "ray"),
    ],
)
def test_a_launcher_that_is_not_installed_is_told_in_one_line(monkeypatch, argument, package):
    monkeypatch.setattr("apot_lit.config.launchers.find_spec", lambda name: None)
    with pytest.raises(UserError) as caught:
        with_launcher(["-m", argument])
    extra = "ray" if package == "ray" else "launchers"
    assert str(caught.value) == f"{argument}: needs hydra-{package}-launcher; install apot-lit[{extra}]"


def test_it_is_told_by_the_script_too(run_script, monkeypatch):
    monkeypatch.setattr("apot_lit.config.launchers.find_spec", lambda name: None)
    outcome = run_script("train.py", "-m", "hydra/launcher=ray", "seed=0,1")
    outcome.assert_refused(["hydra/launcher=ray", "install apot-lit[ray]"])
