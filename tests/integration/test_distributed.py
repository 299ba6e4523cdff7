"""Two processes on the CPU train one network, in one directory."""

import csv
import json
import os
import socket
import subprocess
import sys

import pytest

from tests.conftest import ROOT

CALLBACKS = "tests.integration.callbacks"
NETWORK = ["model=resnet10", "model.width=4", "trainer.threads=1"]
ARGUMENTS = ["trainer=ddp_cpu", *NETWORK, "data.train_images=513", "data.val_split=1001", "trainer.max_epochs=2",
             f"+callbacks.same._target_={CALLBACKS}.SameInEveryProcess"]  # fmt: skip


def start(script, tmp_path, *arguments, code=0):
    """Runs a script in a process of its own, which starts the others."""
    command = [sys.executable, str(ROOT / script), *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=400, cwd=tmp_path)
    assert finished.returncode == code, finished.stderr
    return finished


def train(tmp_path, *arguments, code=0):
    places = (f"paths.root_dir={tmp_path}", f"data.data_dir={ROOT}/data/mnist")
    return start("train.py", tmp_path, *arguments, *places, code=code)


@pytest.mark.slow
def test_two_processes_share_one_run(tmp_path):
    # Each has its own share of 501 and 500 validation images: one and two batches.
    other = f"+callbacks.other._target_={CALLBACKS}.OtherImagesInTheLastProcess"
    finished = train(tmp_path, *ARGUMENTS, "callbacks=best", "data.eval_batch_size=500", other)
    runs = list((tmp_path / "outputs/train").iterdir())
    assert len(runs) == 1, "each process wrote a directory of its own"
    result = json.loads((runs[0] / "result.json").read_text())
    # 256 images a process and epoch, two batches each; the odd one is dropped.
    assert result["steps"] == 4
    assert finished.stdout.count("written:") == 1
    assert "Warning" not in finished.stderr
    assert sum(map(sum, result["confusion"])) == 10000
    for split, images in (("val", 1001), ("test", 10000)):
        where = f"hydra.run.dir={tmp_path}/{split}"
        start("evaluate.py", tmp_path, f"ckpt_path={result['best_checkpoint']}", where, "trainer=cpu", f"split={split}")
        evaluation = json.loads((tmp_path / split / "evaluation.json").read_text())
        assert evaluation["images"] == images
        assert evaluation["accuracy"] == pytest.approx(result[f"{split}_accuracy"], abs=1e-7)
        assert evaluation["loss"] == pytest.approx(result[f"{split}_loss"], rel=1e-5)
    # What was validated is what was saved: the same images, weights and statistics in every process.
    assert max(result["history"]["val/acc"]) == pytest.approx(result["val_accuracy"], abs=1e-6)


@pytest.mark.slow
def test_two_processes_of_64_images_train_like_one_of_128(tmp_path):
    common = (*NETWORK, "data.train_images=640", "data.val_split=500", "trainer.max_epochs=2",
              "trainer.log_every_n_steps=1", "trainer.limit_test_batches=1", "logger=csv")  # fmt: skip
    curves = []
    for name, arguments in (
        ("one", ("trainer=cpu", "data.batch_size=128", "trainer.channels_last=false")),  # as several have it
        ("two", ("trainer=ddp_cpu", "data.batch_size=64", "trainer.sync_batchnorm=true")),
    ):
        train(tmp_path, *common, *arguments, f"hydra.run.dir={tmp_path}/{name}")
        with (tmp_path / name / "steps/version_0/metrics.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        names = ("train/loss_step", "train/loss", "val/loss")
        curves.append({key: [float(row[key]) for row in rows if row[key]] for key in names})
    one, two = curves
    assert [len(one[key]) for key in one] == [10, 2, 2]
    assert one["train/loss_step"][-1] < 0.95 * one["train/loss_step"][0]
    for key, values in one.items():
        assert two[key] == pytest.approx(values, rel=1e-3), key


@pytest.mark.slow
def test_a_loss_that_is_no_number_in_one_process_stops_all_with_one_line(tmp_path):
    # The last step of the second epoch: without a word to each other only the second process would see it.
    poison = (f"+callbacks.poison._target_={CALLBACKS}.PoisonAtStep", "+callbacks.poison.step=3",
              "+callbacks.poison.rank=1")  # fmt: skip
    finished = train(tmp_path, *ARGUMENTS, *poison, code=2)
    # Where Slurm is installed, Lightning warns that it isn't used.
    (line,) = [line for line in finished.stderr.splitlines() if line.strip() and "`srun`" not in line]
    assert line.startswith("error: ")
    assert "step 4 (epoch 2)" in line
    assert "last.ckpt" in line
    assert "written:" not in finished.stdout


def test_a_multirun_over_several_devices_is_refused(run_script, tmp_path):
    outcome = run_script("train.py", "-m", *ARGUMENTS, "seed=0,1", f"hydra.sweep.dir={tmp_path}/sweep")
    assert outcome.code == 2
    assert "trainer.devices=1" in outcome.err
    assert not list(tmp_path.rglob("result.json"))


def torchrun(tmp_path, *arguments, places=()):
    """One agent of torchrun, as a node has it."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PROJECT_ROOT": str(ROOT)}
    given = (f"paths.root_dir={tmp_path}", f"data.data_dir={ROOT}/data/mnist", *places)
    command = [sys.executable, "-m", "torch.distributed.run", *arguments, str(ROOT / "train.py"), *ARGUMENTS, *given]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes)


def outcome_of(directory):
    result = json.loads((directory / "result.json").read_text())
    history = {key: values for key, values in result["history"].items() if key != "seconds"}
    return history, result["confusion"], result["test_loss"], result["steps"]


@pytest.mark.slow
def test_torchrun_on_one_node_and_on_two_trains_like_lightnings_own_start(tmp_path):
    train(tmp_path, *ARGUMENTS, f"hydra.run.dir={tmp_path}/own")
    one = torchrun(tmp_path, "--standalone", "--nproc-per-node", "2", places=[f"hydra.run.dir={tmp_path}/one"])
    said, error = one.communicate(timeout=900)
    assert one.returncode == 0, error
    assert said.count("written:") == 1
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    nodes = [
        torchrun(
            *(tmp_path, "--nnodes", "2", "--node-rank", str(node), "--nproc-per-node", "1"),
            *("--master-addr", "localhost", "--master-port", str(port)),
            places=["trainer.devices=1", "trainer.num_nodes=2", f"hydra.run.dir={tmp_path}/two"],
        )
        for node in (0, 1)
    ]
    for node, said, error in [(node, *node.communicate(timeout=900)) for node in nodes]:
        assert node.returncode == 0, error
        assert said.count("written:") == (node is nodes[0])
    assert outcome_of(tmp_path / "one") == outcome_of(tmp_path / "own")
    assert outcome_of(tmp_path / "two") == outcome_of(tmp_path / "own")


def test_processes_that_were_started_together_need_one_directory(run_script, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    run_script("train.py", *ARGUMENTS).assert_refused(["hydra.run.dir", "torchrun"])
