"""The time that a sweep has left, against sums by hand, and what it says of its jobs."""

import pytest

from apot_lit.sweep.estimate import epoch_seconds, last_progress, seconds_left
from apot_lit.sweep.job import Job


@pytest.fixture
def job(tmp_path):
    def make(name, model="resnet10", epochs=10, seconds=()):
        directory = tmp_path / name
        directory.mkdir()
        if seconds:
            rows = "".join(f"{index},{value}\n" for index, value in enumerate(seconds, start=1))
            (directory / "metrics.csv").write_text(f"epoch,seconds\n{rows}")
        return Job(name, model, epochs, directory)

    return make


def test_nothing_is_known_before_an_epoch_is_done(job):
    assert seconds_left([(job("a"), 100.0)], [job("b")], [], []) is None


def test_the_first_epochs_tell_how_long_all_jobs_take(job):
    running = [(job("a", seconds=(3, 5)), 20.0)]
    # 8 epochs of 4 s are left of it; the other two jobs have 10 of them each.
    assert seconds_left(running, [job("b"), job("c", model="resnet50")], [], []) == 8 * 4 + 2 * 40


def test_jobs_of_a_network_take_what_those_of_the_same_network_took(job):
    done = [("resnet10", 30.0), ("resnet10", 50.0), ("resnet50", 400.0)]
    waiting = [job("a"), job("b", model="resnet50"), job("c", model="resnet18")]
    expected = 40 + 400 + (30 + 50 + 400) / 3 + 3 * 5
    assert seconds_left([], waiting, done, [4.0, 6.0]) == pytest.approx(expected)
    assert seconds_left([(waiting[0], 15.0)], [], done, [5.0]) == 40 + 5 - 15
    assert seconds_left([(waiting[0], 1000.0)], [], done, []) == 0


@pytest.mark.parametrize("text", ["", "epoch\n1\n", "epoch,seconds\n1,x\n", "\0", "epoch,seconds\n1\n"])
def test_a_table_that_cannot_be_read_tells_nothing(tmp_path, text):
    (tmp_path / "metrics.csv").write_text(text)
    assert epoch_seconds(tmp_path) == []


def test_progress_is_that_since_the_last_start(tmp_path):
    log, now = tmp_path / "train.log", "2026-01-31 12:00:00"
    lines = ["command: python train.py", "epoch 1/2: loss 1", "epoch 2/2: step 3 of 4, loss 0.5", "an epoch 3"]
    log.write_text("".join(f"{now} {line}\n" for line in lines))
    assert last_progress(log) == "epoch 2/2: step 3 of 4, loss 0.5"
    with log.open("a") as file:
        file.write(f"{now} command: python train.py\n{now} loading torch ...\n")
    assert last_progress(log) == "starting"
