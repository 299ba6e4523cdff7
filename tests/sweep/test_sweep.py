"""Sweeps that survive: jobs done are skipped, interrupted ones resume, mistakes lose nothing."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from apot_lit.config.registration import register
from apot_lit.multirun import _jobs
from apot_lit.runs.protocol import protocol
from apot_lit.sweep.failure import leave_failure
from apot_lit.sweep.job import Job, half_done
from apot_lit.sweep.watch import Watch
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
        outcome = run_script("train.py", *TINY, f"hydra.sweep.dir={tmp_path}/sweep", *arguments)
        assert outcome.code == code, outcome.err
        return outcome

    return run


@pytest.fixture
def planned(monkeypatch, tmp_path):
    """The jobs that a command line has."""

    def plan(*overrides):
        monkeypatch.setenv("PROJECT_ROOT", str(ROOT))
        register()
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            config = loader.load_configuration("train", list(overrides), run_mode=RunMode.MULTIRUN)
            str(config.hydra.sweep.subdir)
            return _jobs(config, tmp_path)

    return plan


@pytest.mark.slow
def test_tables_has_every_row_once_with_every_seed_and_the_first_seed_first(planned):
    jobs = planned("sweep=tables")
    assert len(jobs) == len({job.name for job in jobs}) == 96
    assert [job.name.rpartition("seed")[2] for job in jobs] == ["0"] * 32 + ["1"] * 32 + ["2"] * 32
    assert jobs[0].name == "resnet10_5bit_apot_seed0"
    assert jobs[1].name == "resnet10_5bit_uniform_seed0"
    assert jobs[-1].name == "resnet50_2bit_uniform_seed2"
    assert (jobs[-1].model, jobs[-1].epochs) == ("resnet50", 25)


def test_full_precision_is_one_job_whatever_the_scheme(planned):
    assert [job.name for job in planned("sweep=quick", "sweep.bits=[32]")] == ["resnet10_float_seed0"]


def test_any_other_option_can_be_swept_too(planned):
    names = [job.name for job in planned("sweep=quick", "sweep.powers=[1]", "model.width=4,8")]
    assert names == ["resnet10_4bit_apot_seed0_width-4", "resnet10_4bit_apot_seed0_width-8"]
    names = [job.name for job in planned("model.width=4,8", "quant.bit=2,3")]
    assert names == [f"width-{width}_bit-{bit}" for width in (4, 8) for bit in (2, 3)]


@pytest.mark.slow
def test_jobs_done_are_skipped_and_new_ones_run(sweep, tmp_path):
    outcome = sweep("sweep.powers=[1]", "trainer.max_epochs=1")
    assert "1 job, 0 of them with a result already" in outcome.out
    assert re.search(r"\[1/1\] resnet10_4bit_apot_seed0: \d+\.\d\d % test", outcome.out)
    path = tmp_path / "sweep/resnet10_4bit_apot_seed0/result.json"
    first = path.read_text()
    outcome = sweep("trainer.max_epochs=1")
    assert "2 jobs, 1 of them with a result already" in outcome.out
    assert "resnet10_4bit_apot_seed0: done already" in outcome.out
    assert path.read_text() == first
    result = json.loads((tmp_path / "sweep/resnet10_4bit_uniform_seed0/result.json").read_text())
    assert (result["config"]["quant"]["power"], result["config"]["model"]["name"]) == (0, "resnet10")
    assert "uniform" in outcome.out.partition("2 jobs")[2]

    outcome = sweep("trainer.max_epochs=1", "optimizer.lr=0.02", code=2)
    outcome.assert_refused(["2 of 2 jobs failed", "result.json", "optimizer.lr", "hydra.sweep.dir"])
    assert path.read_text() == first
    path.write_text("{")
    sweep("trainer.max_epochs=1", code=2).assert_refused(["1 of 2 jobs failed", str(path), "damaged"])


LONG = ["trainer.max_epochs=40", "data.train_images=256", "sweep.powers=[1]"]


@pytest.fixture
def background_sweep(tmp_path):
    """A sweep of one job started as `sh -c "... &"` does it, with SIGINT ignored; running, after its first epoch."""
    command = [sys.executable, str(ROOT / "train.py"), *TINY, *LONG, f"hydra.sweep.dir={tmp_path}/sweep"]
    running = subprocess.Popen(
        command,
        env=os.environ | {"PROJECT_ROOT": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    checkpoint = tmp_path / "sweep/resnet10_4bit_apot_seed0/checkpoints/last.ckpt"
    while not checkpoint.exists() and running.poll() is None:
        time.sleep(0.1)
    yield running
    running.kill()


@pytest.mark.slow
def test_an_interrupted_sweep_goes_on_where_it_stopped(sweep, background_sweep, tmp_path):
    running, checkpoint = background_sweep, tmp_path / "sweep/resnet10_4bit_apot_seed0/checkpoints/last.ckpt"
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=300)
    assert running.returncode == 130
    assert said.splitlines()[-1] == "error: interrupted; the same command goes on from here"
    done = torch.load(checkpoint, weights_only=True)["epoch"] + 1
    assert 0 < done < 40
    outcome = sweep(*LONG)
    result = json.loads((checkpoint.parent.parent / "result.json").read_text())
    assert result["epochs"] == 40
    assert result["history"]["epoch"] == list(range(1, 41))
    assert f"ckpt_path={checkpoint}" in (checkpoint.parent.parent / "train.log").read_text()
    assert "[1/1]" in outcome.out


def test_a_watch_tells_what_jobs_do_and_what_is_left(tmp_path, capfd, monkeypatch):
    jobs = [Job(name, "resnet10", 4, tmp_path / name) for name in "abc"]
    monkeypatch.setattr("apot_lit.sweep.watch._LINE_SECONDS", -1.0)
    watch = Watch(jobs, shows_running=True)
    jobs[0].directory.mkdir()
    (jobs[0].directory / "train.log").write_text(
        "2026-01-31 12:00:00 command: x\n2026-01-31 12:00:01 epoch 1/4: loss 1\n"
    )
    (jobs[0].directory / "metrics.csv").write_text("epoch,seconds\n1,10\n")
    leave_failure(jobs[2].directory, "quant.bit=9: no")
    watch.look()
    first, *rest = capfd.readouterr().out.splitlines()
    # Three epochs of 10 s are left of the first job, and 40 s for the second one.
    assert first == "[1/3] c: failed: quant.bit=9: no; about 1 min 10 s left for 2 jobs"
    assert rest == ["[1/3] running; about 1 min 10 s left for 2 jobs", "  a: epoch 1/4: loss 1"]


def test_a_checkpoint_cut_off_while_written_is_no_obstacle(tmp_path, capsys):
    config = {"paths": {"output_dir": str(tmp_path)}}
    path = tmp_path / "checkpoints/last.ckpt"
    path.parent.mkdir(parents=True)
    assert half_done(config) is None
    torch.save({"state_dict": {"weight": torch.zeros(1000)}}, path)
    path.write_bytes(path.read_bytes()[:1000])
    assert half_done(config) is None
    assert f"ckpt_path={path}: is damaged" in capsys.readouterr().err
    assert [kept.name for kept in path.parent.iterdir()] == ["last.damaged.ckpt"]
    (path.parent / "best.ckpt").write_bytes(b"best")  # the job starts afresh, and would write over it
    assert half_done(config) is None
    assert sorted(kept.name for kept in path.parent.iterdir()) == ["best.damaged.ckpt", "last.damaged.ckpt"]


@pytest.mark.slow
def test_a_failing_job_does_not_keep_the_others_from_running(sweep, tmp_path):
    blocked = tmp_path / "sweep/resnet10_4bit_apot_seed0"
    blocked.mkdir(parents=True)
    (blocked / "result.json").write_text("{")
    sweep("trainer.max_epochs=1", code=2).assert_refused(["1 of 2 jobs failed: resnet10_4bit_apot_seed0", "error.txt"])
    assert (tmp_path / "sweep/resnet10_4bit_uniform_seed0/result.json").exists()


def test_a_job_that_breaks_off_is_told_like_one_with_a_mistake(sweep, run_script, tmp_path, monkeypatch):
    from apot_lit.training import fit

    def trained(config, *_):
        if config["quant"]["power"]:
            raise ZeroDivisionError("one line\nand another")
        return {"val_accuracy": 0.5}

    monkeypatch.setattr(fit, "train", trained)
    outcome = sweep(code=2)
    assert "error: 1 of 2 jobs failed: resnet10_4bit_apot_seed0; see error.txt" in outcome.err
    assert outcome.err.strip().endswith("the first: ZeroDivisionError: one line and another")
    assert "in trained" in outcome.err  # for whoever looks for the cause, the traceback stays


@pytest.mark.slow
def test_jobs_of_other_scripts_that_fail_are_told_at_the_end(run_script, tmp_path):
    (tmp_path / "empty").mkdir()
    found = (
        "results_dir=results,empty,nowhere",
        f"hydra.sweep.dir={tmp_path}/out",
        "hydra.sweep.subdir=${hydra.job.num}",
    )
    (tmp_path / "results").symlink_to(ROOT / "results/best")
    outcome = run_script("report.py", "-m", *found)
    assert outcome.code == 2
    assert "error: 2 of 3 jobs failed: 1, 2; see error.txt in the directory of each; the first: " in outcome.err
    assert (tmp_path / "out/0/results.csv").exists()


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
        (["sweep.jobs=2", "hydra/launcher=basic"], ["sweep.jobs=2", "hydra/launcher=joblib"]),
        (["sweep=every"], ["sweep=every", "quick", "tables"]),
        (["ckpt_path=x.ckpt"], ["ckpt_path=x.ckpt"]),
        (["hydra.run.dir=x"], ["hydra.run.dir=x", "hydra.sweep.dir"]),
        (["optimizer.lr=-1"], ["optimizer.lr=-1"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_mistakes_are_one_line(sweep, tmp_path, arguments, parts):
    sweep(*arguments, code=2).assert_refused(parts)
    assert not list(tmp_path.rglob("train.log"))


def test_a_job_that_another_process_trains_is_left_to_it(sweep, tmp_path):
    place = tmp_path / "sweep/resnet10_4bit_apot_seed0"
    place.mkdir(parents=True)
    with (place / ".run.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        outcome = sweep("sweep.powers=[1]")
    assert "resnet10_4bit_apot_seed0: another process trains it" in outcome.out
    assert not (place / "result.json").exists()


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
