"""Trials of several processes, some of which die."""

import subprocess
import sys
from contextlib import ExitStack

import pytest

from apot_lit.runs.lock import Taken, exclusive
from apot_lit.search.front import points
from apot_lit.search.next_trial import TRIAL_LOCK, begin, count, fail, give_up, repeat, same_before, stop
from apot_lit.search.space import Space
from apot_lit.search.study import open_study
from tests.conftest import ROOT

pytest.importorskip("optuna", reason="needs the extra search")

SPACE = Space(("a", "b"), (2, 3, 4, 5), {})
SETTINGS = {"trials": 3, "sampler": "tpe", "seed": 0}


@pytest.fixture
def study(tmp_path):
    return open_study(tmp_path, {}, [])


def test_as_many_trials_as_asked_for_those_that_run_included(study, tmp_path):
    with ExitStack() as held:
        begun = [begin(study, SPACE, tmp_path, SETTINGS, held) for _ in range(4)]
        assert [one.directory.name for one in begun[:3]] == ["0000", "0001", "0002"]
        assert begun[3] is None
        with pytest.raises(Taken), exclusive(begun[0].directory, TRIAL_LOCK, ""):
            pass


def test_an_interrupted_trial_is_tried_again_in_its_directory(study, tmp_path):
    with ExitStack() as held:
        first = begin(study, SPACE, tmp_path, SETTINGS, held)
        give_up(study, first.trial)
    with ExitStack() as held:
        again = begin(study, SPACE, tmp_path, SETTINGS, held)
        assert (again.params, again.directory) == (first.params, first.directory)
        assert again.trial.number == 1
        assert (count(study).over, count(study).running) == (0, 1)


KILLED = """
import os, signal, sys
from contextlib import ExitStack
from pathlib import Path
from apot_lit.search.space import Space
from apot_lit.search.study import open_study
from apot_lit.search.next_trial import begin
study = open_study(Path(sys.argv[1]), {}, [])
with ExitStack() as held:
    settings = dict(trials=3, sampler="tpe", seed=0)
    begun = begin(study, Space(("a", "b"), (2, 3, 4, 5), {}), Path(sys.argv[1]), settings, held)
    print(begun.directory.name, *begun.params.values(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_trial_whose_process_was_killed_is_tried_again_and_one_that_lives_is_not(study, tmp_path):
    with ExitStack() as held:
        mine = begin(study, SPACE, tmp_path, SETTINGS, held)
        killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path], cwd=ROOT, capture_output=True, text=True)
        assert killed.returncode == -9, killed.stderr
        assert [one.state.name for one in study.trials] == ["RUNNING", "RUNNING"]
        again = begin(study, SPACE, tmp_path, SETTINGS, held)
        assert " ".join(map(str, [again.directory.name, *again.params.values()])) == killed.stdout.strip()
        assert [one.state.name for one in study.trials] == ["RUNNING", "FAIL", "RUNNING"]
        assert mine.trial.number == 0
        assert points(study) == []


def test_what_became_of_trials(study, tmp_path):
    settings = {**SETTINGS, "trials": 9}
    with ExitStack() as held:
        begun = [begin(study, SPACE, tmp_path, settings, held) for _ in range(4)]
        for one in begun:
            one.trial.set_user_attr("cost", float(one.trial.number))
        begun[0].trial.set_user_attr("epochs", 3)
        study.tell(begun[0].trial, [0.9, 0.0])
        stop(study, begun[1].trial, 2, 0.5)
        fail(study, begun[2].trial, "the loss is no number")
        study.enqueue_trial(dict(begun[1].params))
        study.enqueue_trial(dict(begun[0].params))
        for before in (1, 0):
            equal = begin(study, SPACE, tmp_path, settings, held)
            equal.trial.set_user_attr("cost", float(before))
            found = same_before(study, equal)
            assert found.number == before
            repeat(study, equal.trial, found)
        assert (count(study).over, count(study).running) == (5, 1)
        seen = [(point.trial, point.state, point.cost, point.accuracy, point.epochs) for point in points(study)]
        assert seen == [
            (0, "finished", 0.0, 0.9, 3),
            (1, "stopped", 1.0, 0.5, 2),
            (2, "failed", 2.0, None, None),
            (4, "stopped", 1.0, 0.5, 2),
            (5, "finished", 0.0, 0.9, 3),
        ]
        assert [point.directory for point in points(study)] == ["0000", "0001", "0002", "0001", "0000"]
