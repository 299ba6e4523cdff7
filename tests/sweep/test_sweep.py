"""Sweeps that survive: jobs done are skipped, interrupted ones resume, mistakes lose nothing."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

from apot_lit.runs.protocol import protocol
from apot_lit.sweep.plan import plan
from apot_lit.sweep.schedule import _Runner
from tests.conftest import ROOT

TINY = [
    "sweep=quick",
    "model.width=4",
    "data.train_images=512",
    "data.val_split=500",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
]


@pytest.fixture
def sweep(run_script, tmp_path):
    def run(*arguments, code=0):
        outcome = run_script("train.py", *TINY, f"hydra.run.dir={tmp_path}/sweep", *arguments)
        assert outcome.code == code, outcome.err
        return outcome

    return run


def configuration(**sweep):
    return {
        "model": {"name": "resnet18", "stem": "reference"},
        "quant": {"bit": 5, "power": 1, "additive": True},
        "seed": 0,
        "sweep": {"models": ["resnet10"], "bits": [4], "powers": [1], "seeds": [0], "jobs": 1} | sweep,
    }


def test_tables_has_every_row_once_with_every_seed_and_the_first_seed_first(tmp_path):
    jobs = plan(
        configuration(
            models=["resnet10", "resnet18", "resnet34", "resnet50"],
            bits=[5, 4, 3, 2],
            powers=[1, 0],
            seeds=[0, 1, 2],
        ),
        tmp_path,
    )
    assert len(jobs) == len({job.name for job in jobs}) == 96
    assert [job.config["seed"] for job in jobs] == [0] * 32 + [1] * 32 + [2] * 32
    assert jobs[0].name == "resnet10_5bit_apot_seed0"
    assert jobs[1].name == "resnet10_5bit_uniform_seed0"
    assert jobs[-1].name == "resnet50_2bit_uniform_seed2"
    assert jobs[-1].config["quant"] == {"bit": 2, "power": 0, "additive": True}


def test_full_precision_is_trained_once_whatever_the_scheme(tmp_path):
    jobs = plan(configuration(bits=[32], powers=[1, 0]), tmp_path)
    assert [job.name for job in jobs] == ["resnet10_float_seed0"]


def test_jobs_done_are_skipped_and_new_ones_run(sweep, tmp_path):
    outcome = sweep("sweep.powers=[1]", "trainer.max_epochs=1")
    assert "1 job, 0 of them done already" in outcome.out
    assert re.search(r"\[1/1\] resnet10_4bit_apot_seed0: \d+\.\d\d % test", outcome.out)
    path = tmp_path / "sweep/resnet10_4bit_apot_seed0/result.json"
    first = path.read_text()
    outcome = sweep("trainer.max_epochs=1", "sweep.jobs=2")
    assert "2 jobs, 1 of them done already" in outcome.out
    assert path.read_text() == first
    result = json.loads((tmp_path / "sweep/resnet10_4bit_uniform_seed0/result.json").read_text())
    assert (result["config"]["quant"]["power"], result["config"]["model"]["name"]) == (0, "resnet10")
    assert "uniform" in outcome.out.partition("2 jobs")[2]

    outcome = sweep("trainer.max_epochs=1", "optimizer.lr=0.02", code=2)
    outcome.assert_refused(["result.json", "optimizer.lr", "hydra.run.dir"])
    assert path.read_text() == first
    path.write_text("{")
    sweep("trainer.max_epochs=1", code=2).assert_refused([str(path), "damaged"])


LONG = ["trainer.max_epochs=40", "data.train_images=256", "sweep.powers=[1]"]


@pytest.fixture
def background_sweep(tmp_path):
    """A sweep of one job started as `sh -c "... &"` does it, with SIGINT ignored; running, after its first epoch."""
    command = [sys.executable, str(ROOT / "train.py"), *TINY, *LONG, f"hydra.run.dir={tmp_path}/sweep"]
    running = subprocess.Popen(
        command,
        env=os.environ | {"PROJECT_ROOT": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    checkpoint = tmp_path / "sweep/resnet10_4bit_apot_seed0/checkpoints/last.ckpt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    yield running
    subprocess.run(["pkill", "-KILL", "-f", f"hydra.run.dir={tmp_path}/sweep"], check=False)


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on_where_it_stopped(sweep, background_sweep, tmp_path):
    running, checkpoint = background_sweep, tmp_path / "sweep/resnet10_4bit_apot_seed0/checkpoints/last.ckpt"
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said.splitlines()[-1] == "error: interrupted: 0 of 1 jobs are done; the same command goes on from here"
    assert (tmp_path / "sweep/sweep.log").read_text().splitlines()[-1][20:] == said.splitlines()[-1]
    done = torch.load(checkpoint, weights_only=True)["epoch"] + 1
    assert 0 < done < 40
    outcome = sweep(*LONG)
    log = (checkpoint.parent.parent / "sweep.log").read_text()
    assert "ckpt_path=" in log
    assert str(checkpoint) in log
    result = json.loads((checkpoint.parent.parent / "result.json").read_text())
    assert result["epochs"] == 40
    assert result["history"]["epoch"] == list(range(1, 41))
    assert "[1/1]" in outcome.out


@pytest.mark.slow
def test_while_the_job_of_a_killed_sweep_runs_no_other_sweep_starts(sweep, background_sweep):
    background_sweep.kill()
    background_sweep.wait()
    sweep(*LONG, code=2).assert_refused(["another sweep is running"])


def test_an_error_leaves_no_job_running(monkeypatch):
    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(_Runner, "_finish", fail)
    runner = _Runner([], 2, [], None)
    runner.running = [(None, subprocess.Popen(["sleep", seconds])) for seconds in ("0", "60")]
    (_, endless) = runner.running[1]
    with pytest.raises(OSError, match="the disk is full"):
        runner.run()
    assert endless.poll() is not None


@pytest.mark.slow
def test_a_running_sweep_says_what_its_jobs_do_and_what_is_left(sweep, monkeypatch):
    monkeypatch.setattr("apot_lit.sweep.schedule._LINE_SECONDS", 0.3)
    said = sweep("trainer.max_epochs=8", "callbacks.progress.line_seconds=0").out
    assert "[0/2] running\n  resnet10_4bit_apot_seed0: starting\n" in said
    step = r"epoch \d/8: .*loss \d\.\d{4}, acc .* images/s, .* left"
    assert re.search(rf"\[0/2\] running; about .* left for 2 jobs\n  resnet10_4bit_apot_seed0: {step}", said)
    assert re.search(rf"\[1/2\] running; about .* left for 1 job\n  resnet10_4bit_uniform_seed0: {step}", said)


def test_a_checkpoint_cut_off_while_written_is_no_obstacle(tmp_path, capsys):
    (job,) = plan(configuration(), tmp_path)
    path = job.directory / "checkpoints/last.ckpt"
    path.parent.mkdir(parents=True)
    assert job.checkpoint() is None
    torch.save({"state_dict": {"weight": torch.zeros(1000)}}, path)
    assert job.checkpoint() == path
    path.write_bytes(path.read_bytes()[:1000])
    assert job.checkpoint() is None
    assert f"{job.name}: ckpt_path={path}: is damaged" in capsys.readouterr().err
    assert [kept.name for kept in path.parent.iterdir()] == ["last.damaged.ckpt"]


@pytest.mark.slow
def test_a_failing_job_does_not_keep_the_others_from_running(sweep, tmp_path):
    blocked = tmp_path / "sweep/resnet10_4bit_apot_seed0"
    blocked.mkdir(parents=True)
    (blocked / "checkpoints").write_text("a file where a directory should be")
    outcome = sweep("trainer.max_epochs=1", code=2)
    outcome.assert_refused(["1 of 2 jobs failed: resnet10_4bit_apot_seed0", "sweep.log"])
    assert (tmp_path / "sweep/resnet10_4bit_uniform_seed0/result.json").exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["model=resnet18"], ["model=resnet18", "sweep.models"]),
        (["quant.bit=3"], ["quant.bit=3", "sweep.bits"]),
        (["seed=1"], ["seed=1", "sweep.seeds"]),
        (["sweep.seeds=[]"], ["sweep.seeds"]),
        (["sweep.models=[resnet99]"], ["sweep.models", "resnet99", "resnet10, resnet14"]),
        (["sweep.bits=[9]"], ["sweep.bits=[9]", "2, 3, 4"]),
        (["sweep.jobs=0"], ["sweep.jobs=0"]),
        (["sweep=every"], ["sweep=every", "quick", "tables"]),
        (["ckpt_path=x.ckpt"], ["ckpt_path=x.ckpt"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_mistakes_are_one_line(sweep, arguments, parts):
    sweep(*arguments, code=2).assert_refused(parts)


def test_two_sweeps_do_not_share_a_directory(sweep, tmp_path):
    import fcntl

    (tmp_path / "sweep").mkdir()
    with (tmp_path / "sweep/.sweep.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        sweep(code=2).assert_refused(["another sweep is running"])


def test_a_protocol_is_what_differs_from_the_defaults_and_may_matter():
    old = json.loads((ROOT / "results/reference/resnet10_4bit_apot_60k_seed0.json").read_text())["config"]
    assert dict(protocol(old)) == {
        "data.val_split": "0",
        "data.mean": "0.131",
        "data.std": "0.308",
        "data.flip": "True",
    }
    other = json.loads(json.dumps(old))
    other["seed"], other["model"]["name"], other["quant"]["bit"] = 3, "resnet18", 2
    other["trainer"] |= {"compile": True, "threads": 3}
    assert protocol(other) == protocol(old)
    for section, key, value in (
        *(("optimizer", "lr", 0.02), ("model", "stem", "small"), ("trainer", "max_epochs", 26)),
        *(("trainer", "devices", 2), ("trainer", "limit_test_batches", 3), ("data", "eval_batch_size", 10)),
    ):
        changed = json.loads(json.dumps(old))
        changed[section][key] = value
        assert protocol(changed) != protocol(old)
    averaged = json.loads(json.dumps(old))
    averaged["callbacks"]["average"] = {"_target_": "apot_lit.callbacks.MovingAverage", "decay": 0.99}
    assert ("callbacks.average.decay", "0.99") in protocol(averaged)


def test_another_choice_of_the_tested_checkpoint_is_another_protocol():
    usual = json.loads((ROOT / "results/best/resnet10_2bit_apot_seed0.json").read_text())["config"]

    def changed(**options):
        config = json.loads(json.dumps(usual))
        config["callbacks"]["best_checkpoint"] |= options
        return dict(protocol(config)).items() - dict(protocol(usual)).items()

    assert changed(dirpath="elsewhere", filename="top") == set()
    loss = {("checkpoint.monitor", "val/loss"), ("checkpoint.mode", "min")}
    assert changed(monitor="val/loss", mode="min") == loss
    assert changed(every_n_epochs=5) == {("checkpoint.every_n_epochs", "5")}
    last = json.loads(json.dumps(usual))
    del last["callbacks"]["best_checkpoint"]
    assert ("checkpoint.monitor", "None") in protocol(last)
