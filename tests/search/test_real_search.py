"""Real trainings of tiny networks: killed and gone on with, by two processes, without the test images."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT
from tests.search.conftest import front

pytest.importorskip("optuna", reason="needs the extra search")
pytestmark = pytest.mark.slow

SMALL = [
    *("model=resnet10", "model.width=1", "data.train_images=256", "data.val_split=500"),
    *("trainer.threads=1", "trainer.accelerator=cpu", "search.groups=[layer4.*]", "search.bits=[2,3]"),
]


@pytest.fixture
def start(tmp_path):
    """Starts a search in a process of its own, on digits whose test images can't be read."""
    digits = tmp_path / "digits"
    digits.mkdir()
    for path in (ROOT / "data/mnist").glob("train-*"):
        shutil.copy(path, digits)
    for path in (ROOT / "data/mnist").glob("t10k-*.xz"):
        (digits / path.name).write_bytes(b"damaged")
    processes = []

    def run(*arguments):
        command = [sys.executable, str(ROOT / "search.py"), *SMALL, f"data.data_dir={digits}", *arguments]
        environment = os.environ | {"PROJECT_ROOT": str(tmp_path), "OMP_NUM_THREADS": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        processes.append(subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()


def states(directory):
    with sqlite3.connect(directory / "study.db") as database:
        return [state for (state,) in database.execute("SELECT state FROM trials ORDER BY number")]


def test_a_killed_search_goes_on_within_its_trial(start, tmp_path):
    options = ("search.trials=2", "search.name=mine", "trainer.max_epochs=25", "search.margin=null")
    directory = tmp_path / "outputs/search/mine"
    killed = start(*options)
    checkpoint = directory / "trials/0001/checkpoints/last.ckpt"
    while not checkpoint.exists() and killed.poll() is None:
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    said, _ = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, said
    assert states(directory) == ["COMPLETE", "RUNNING"]
    again = start(*options)
    said, _ = again.communicate(timeout=500)
    assert again.returncode == 0, said
    assert states(directory) == ["COMPLETE", "FAIL", "COMPLETE"]
    found = front(directory)
    assert [(one["trial"], one["directory"], one["state"]) for one in found["trials"]] == [
        (0, "0000", "finished"),
        (2, "0001", "finished"),
    ]
    assert f"ckpt_path={checkpoint}" in (directory / "trials/0001/train.log").read_text()
    for one in found["trials"]:
        result = json.loads((directory / "trials" / one["directory"] / "result.json").read_text())
        assert result["val_accuracy"] == one["accuracy"]
        assert result["history"]["epoch"] == list(range(1, 26))
        assert result["config"]["test"] is False
        assert not {"test_accuracy", "confusion", "misclassified"} & result.keys()
        assert result["config"]["quant"]["overrides"] == {"layer4.*": {"bit": one["params"]["bit of layer4.*"]}}


def test_two_processes_share_a_study(start, tmp_path):
    options = ("search.trials=4", "search.groups=[layer1.*,layer4.*]", "search.name=both", "trainer.max_epochs=8")
    processes = [start(*options) for _ in range(2)]
    said = [process.communicate(timeout=500)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    directory = tmp_path / "outputs/search/both"
    assert not {"RUNNING", "FAIL", "WAITING"} & set(states(directory))
    trials = front(directory)["trials"]
    assert [one["trial"] for one in trials] == [0, 1, 2, 3]
    assert [one["params"] for one in trials[:2]] == [{"bit of layer1.*": bit, "bit of layer4.*": bit} for bit in (2, 3)]
    trained = [sum(f"trials/{one['directory']}\n" in text for text in said) for one in trials]
    assert set(trained) == {1}
    assert all(any(f"trial {one}: " in text for one in range(4)) for text in said)
