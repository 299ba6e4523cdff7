"""What must not be lost or mixed up: directories, checkpoints, histories, options of a run that goes on."""

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from apot_lit.runs.checkpoint import sealed
from tests.conftest import ROOT, slowly
from tests.integration.test_train_evaluate import TINY, assert_same_weights, train, weights  # noqa: F401 - a fixture

NASTY = "lr=0.1, (b) {c} [d] 'e' ü"


def start(*arguments, cwd, **options):
    """train.py in a process of its own, on one thread."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PROJECT_ROOT": str(ROOT)}
    own = () if any(argument.startswith("ckpt_path=") for argument in arguments) else (*TINY, "trainer.threads=1")
    command = [sys.executable, str(ROOT / "train.py"), *own, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen(command, cwd=cwd, env=environment, **pipes)


def curves(directory):
    history = json.loads((directory / "result.json").read_text())["history"]
    return {name: values for name, values in history.items() if not name.startswith("val/loss")}


def test_a_second_run_in_a_directory_is_refused_and_changes_nothing(train, tmp_path):  # noqa: F811
    directory, _ = train("trainer.max_epochs=1")
    before = {path: path.read_bytes() for path in directory.rglob("*.*") if path.suffix in (".ckpt", ".json")}
    _, outcome = train("seed=1", code=2)
    outcome.assert_refused(["holds a run already", f"ckpt_path={directory}/checkpoints/last.ckpt"])
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.slow
def test_a_run_in_the_directory_of_another_one_is_refused_whatever_is_left_of_it(train, run_script, tmp_path):  # noqa: F811
    small = ("trainer.max_epochs=1", "model.width=1")
    first, _ = train(*small, name="first")
    second, _ = train(*small, "seed=1", name="second")
    files = {path: path.read_bytes() for path in second.rglob("*.*") if path.suffix in (".ckpt", ".json", ".csv")}
    last = first / "checkpoints/last.ckpt"
    outcome = run_script("train.py", f"ckpt_path={last}", f"hydra.run.dir={second}", "trainer.max_epochs=2")
    outcome.assert_refused([f"hydra.run.dir={second}: holds a run already"])
    for name in ("checkpoints/last.ckpt", "result.json"):  # with its best checkpoint alone it is a run still
        (second / name).unlink()
        _, outcome = train(*small, name="second", code=2)
        outcome.assert_refused([f"hydra.run.dir={second}: holds a run already; give this one another directory"])
    assert all(path.read_bytes() == content for path, content in files.items() if path.exists())
    outcome = run_script("train.py", f"ckpt_path={last}", f"hydra.run.dir={tmp_path}/new", "trainer.max_epochs=2")
    assert outcome.code == 0, outcome.err
    assert json.loads((tmp_path / "new/result.json").read_text())["epochs"] == 2


def test_a_run_holds_its_directory(train, tmp_path):  # noqa: F811
    from apot_lit.runs.lock import exclusive
    from apot_lit.training.fit import LOCK_FILE

    with exclusive(tmp_path / "run", LOCK_FILE, "taken"):
        _, outcome = train(code=2)
    outcome.assert_refused([f"{tmp_path}/run: another run is writing there", "hydra.run.dir"])


@pytest.mark.slow
def test_runs_that_start_in_the_same_second_have_directories_of_their_own(tmp_path):
    overrides = (f"paths.root_dir={tmp_path}", f"data.data_dir={ROOT}/data/mnist", "trainer.max_epochs=1")
    runs = [start(f"seed={seed}", *overrides, cwd=tmp_path) for seed in range(3)]
    for run in runs:
        _, err = run.communicate(timeout=300)
        assert run.returncode == 0, err
    results = [json.loads(path.read_text()) for path in (tmp_path / "outputs/train").glob("*/result.json")]
    assert sorted(result["config"]["seed"] for result in results) == [0, 1, 2]


def test_names_count_up_from_the_second(tmp_path, monkeypatch):
    from omegaconf import OmegaConf

    from apot_lit.multirun import OwnDirectory

    names = []
    for _ in range(3):
        run = {"run": {"dir": f"{tmp_path}/new/12-00-00"}, "overrides": {"hydra": []}}
        config = OmegaConf.create({"hydra": run, "ckpt_path": None})
        OwnDirectory().on_run_start(config)
        names.append(config.hydra.run.dir)
    assert names == [f"{tmp_path}/new/12-00-00{suffix}" for suffix in ("", "_2", "_3")]
    assert len(list((tmp_path / "new").iterdir())) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("quant.bit=3", "seed=4", "data.batch_size=32", "optimizer.lr=0.03", "trainer.gradient_clip_val=1"),
        ("optimizer=adamw", "optimizer.lr=0.003", "scheduler=multistep", "scheduler.milestones=[1,2]"),
    ],
    ids=["sgd", "adamw"],
)
def test_resuming_takes_its_options_from_the_checkpoint(train, run_script, tmp_path, options):  # noqa: F811
    whole, _ = train(*options, "trainer.max_epochs=3", name="whole")
    part, _ = train(*options, "trainer.max_epochs=2", name="part")
    outcome = run_script("train.py", f"ckpt_path={part}/checkpoints/last.ckpt", "trainer.max_epochs=3", "logger=none")
    assert outcome.code == 0, outcome.err
    assert_same_weights(whole / "checkpoints/last.ckpt", part / "checkpoints/last.ckpt")
    first, second = (json.loads((run / "result.json").read_text())["config"] for run in (whole, part))
    for section in ("model", "quant", "data", "optimizer", "scheduler", "trainer", "seed"):
        assert first[section] == second[section]
    assert second["logger"] == {}
    assert curves(whole) == curves(part)


@pytest.mark.slow
@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "trainer.accumulate_grad_batches=2",
        "trainer.gradient_clip_val=1",
        "trainer.precision=bf16-mixed",
        "trainer.limit_train_batches=2",
        "quant=uniform",
        "model.width=8",
        "data.flip=true",
        "trainer.max_steps=3",
    ],
)
def test_resuming_refuses_what_would_make_the_run_end_elsewhere(checkpoint, run_script, override):
    key = override.lstrip("+").partition("=")[0]
    outcome = run_script("train.py", f"ckpt_path={checkpoint}", override)
    outcome.assert_refused([f"ckpt_path={checkpoint}: was trained with {'quant.power' if key == 'quant' else key}="])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The last checkpoint of a run in a directory of its own."""
    directory = tmp_path_factory.mktemp("trained")
    done = start("trainer.max_epochs=1", f"hydra.run.dir={directory}/run", cwd=directory)
    _, err = done.communicate(timeout=300)
    assert done.returncode == 0, err
    return directory / "run/checkpoints/last.ckpt"


@pytest.mark.slow
def test_a_moved_run_keeps_its_best_checkpoint_and_score(checkpoint, run_script, tmp_path):
    moved = tmp_path / NASTY / "run"
    shutil.copytree(checkpoint.parent.parent, moved)
    state = torch.load(moved / "checkpoints/last.ckpt", weights_only=True)
    (key,) = [name for name in state["callbacks"] if name.startswith("ModelCheckpoint")]
    state["callbacks"][key]["best_model_score"] = torch.tensor(0.9999)  # no later epoch is as good
    state["callbacks"][key]["best_k_models"] = {state["callbacks"][key]["best_model_path"]: torch.tensor(0.9999)}
    torch.save(sealed(state), moved / "checkpoints/last.ckpt")
    best = weights(moved / "checkpoints/best.ckpt")
    from apot_lit.config.overrides import override

    path = override("ckpt_path", moved / "checkpoints/last.ckpt")
    outcome = run_script("train.py", path, "trainer.max_epochs=2")
    assert outcome.code == 0, outcome.err
    assert torch.load(moved / "checkpoints/last.ckpt", weights_only=True)["epoch"] == 1
    after = weights(moved / "checkpoints/best.ckpt")
    assert all(torch.equal(after[name], value) for name, value in best.items())
    assert json.loads((moved / "result.json").read_text())["best_epoch"] == 1
    assert torch.load(checkpoint, weights_only=True)["epoch"] == 0  # the original is as it was


def test_without_its_best_checkpoint_a_moved_run_says_so(checkpoint, run_script, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(checkpoint.parent.parent, moved)
    (moved / "checkpoints/best.ckpt").unlink()
    outcome = run_script("train.py", f"ckpt_path={moved}/checkpoints/last.ckpt", "trainer.max_epochs=2")
    assert outcome.code == 0, outcome.err
    assert "best checkpoint" in outcome.out
    assert json.loads((moved / "result.json").read_text())["best_epoch"] == 2


@pytest.mark.parametrize("number", [signal.SIGINT, *slowly(signal.SIGTERM)])
def test_ctrl_c_in_the_evaluation_says_that_training_is_complete(train, run_script, monkeypatch, number):  # noqa: F811
    from apot_lit.training import fit

    def interrupted(*_):
        signal.raise_signal(number)

    monkeypatch.setattr(fit, "evaluate_split", interrupted)
    directory, outcome = train("trainer.max_epochs=1", code=130)
    assert not (directory / "result.json").exists()
    (line,) = outcome.err.strip().splitlines()
    assert line.startswith("error: interrupted; the training is complete; to evaluate it: python ")
    monkeypatch.undo()
    before = (directory / "checkpoints/last.ckpt").read_bytes()
    outcome = run_script("train.py", *shlex.split(line.rpartition(": ")[2])[2:])
    assert outcome.code == 0, outcome.err
    assert (directory / "checkpoints/last.ckpt").read_bytes() == before
    result = json.loads((directory / "result.json").read_text())
    assert (result["epochs"], result["history"]["epoch"]) == (1, [1])


def test_metrics_files_are_not_read(train, run_script):  # noqa: F811
    directory, _ = train("trainer.max_epochs=1")
    (directory / "metrics.csv").write_text("epoch,train/loss\n0,1e\n\x00")
    outcome = run_script("train.py", f"ckpt_path={directory}/checkpoints/last.ckpt", "trainer.max_epochs=2")
    assert outcome.code == 0, outcome.err
    history = json.loads((directory / "result.json").read_text())["history"]
    assert history["epoch"] == [1, 2]
    assert all(value is not None for name in ("train/loss", "train/acc", "val/acc") for value in history[name])
    assert {name.partition("/")[0] for name in history} == {"epoch", "train", "val", "alpha", "lr-SGD"}


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_like_an_uninterrupted_one(tmp_path):
    options = (
        *("experiment=best", "trainer.max_epochs=40", "data.batch_size=16", "data.val_split=500"),
        *("callbacks.last_checkpoint.every_minutes=0.005", "callbacks.reestimated_batch_norm.images=100"),
    )
    whole = start(*options, f"hydra.run.dir={tmp_path}/whole", cwd=tmp_path)
    _, err = whole.communicate(timeout=300)
    assert whole.returncode == 0, err
    part, last = tmp_path / NASTY, tmp_path / NASTY / "checkpoints/last.ckpt"
    from apot_lit.config.overrides import override

    chosen, kills = random.Random(0), 0
    while not (part / "result.json").exists():
        arguments = [override("ckpt_path", last)] if last.exists() else [*options, override("hydra.run.dir", part)]
        run = start(*arguments, cwd=tmp_path)
        if kills < 20:
            moment, began = last.stat().st_mtime_ns if last.exists() else 0, time.monotonic()
            while run.poll() is None and (not last.exists() or last.stat().st_mtime_ns == moment):
                assert time.monotonic() - began < 120
                time.sleep(0.02)
            time.sleep(chosen.uniform(0, 0.4))
            kills += run.poll() is None
            run.send_signal(signal.SIGKILL)
        _, err = run.communicate(timeout=300)
        assert run.returncode in (0, -signal.SIGKILL), err
        if last.exists():
            torch.load(last, weights_only=True)  # never half a file
        assert len(list(part.rglob("*.partial"))) <= 1
    assert kills >= 10
    assert not list(part.rglob("*.partial"))
    for name in ("last", "best"):
        assert_same_weights(tmp_path / f"whole/checkpoints/{name}.ckpt", part / f"checkpoints/{name}.ckpt")
    assert curves(part) == curves(tmp_path / "whole")


@pytest.mark.slow
def test_sweeps_run_and_resume_below_any_directory_and_from_other_weights(checkpoint, run_script, tmp_path):
    from apot_lit.config.overrides import override

    common = ("sweep=quick", *TINY[1:], "trainer.max_epochs=1", f"init_from={checkpoint}", "data.train_images=128")
    place = override("hydra.sweep.dir", tmp_path / NASTY)
    for _ in range(2):  # the second time nothing is left to do
        outcome = run_script("train.py", *common, place)
        assert outcome.code == 0, outcome.err
    assert "2 jobs, 2 of them with a result already" in outcome.out
    bad = tmp_path / NASTY / "resnet10_4bit_apot_seed0/result.json"
    bad.write_text("{")
    outcome = run_script("train.py", *common, place)
    assert outcome.code == 2
    assert "1 of 2 jobs failed: resnet10_4bit_apot_seed0" in outcome.err
