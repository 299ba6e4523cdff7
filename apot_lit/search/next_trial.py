"""The trials of a study: which are done, which one comes next, and those whose process is gone."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apot_lit.runs.lock import Taken, exclusive, in_turn
from apot_lit.search.space import Space
from apot_lit.search.study import sampler

STUDY_LOCK = ".study.lock"
TRIAL_LOCK = ".trial.lock"
TRIALS = "trials"
_RUN, _ERROR = "run", "error"


@dataclass(frozen=True)
class Begun:
    """A trial that this process has begun.

    Attributes:
        trial: Optuna's.
        params: what it tries.
        directory: of its run; that of an interrupted trial which it goes on with.
    """

    trial: Any
    params: Mapping[str, Any]
    directory: Path


@dataclass(frozen=True)
class Count:
    """How many trials of a study are over, stopped ones and failed ones too, and how many run."""

    over: int
    running: int


def count(study: Any) -> Count:
    """Counts trials; those that were interrupted, and are tried again, count once."""
    trials = study.get_trials(deepcopy=False)
    over = sum(one.state.name in ("COMPLETE", "PRUNED") or _ERROR in one.user_attrs for one in trials)
    return Count(over, sum(one.state.name == "RUNNING" for one in trials))


def begin(study: Any, space: Space, directory: Path, settings: Mapping[str, Any], held: ExitStack) -> Begun | None:
    """Begins the next trial, None if there are as many as there shall be.

    One process at a time does so; each holds a lock on the directory of its trial as long as it lives.

    Args:
        study: see `open_study`.
        space: what it chooses from.
        directory: of the search.
        settings: the section ``search``.
        held: keeps the lock of the trial.
    """
    with in_turn(directory, STUDY_LOCK):
        recover(study, directory)
        now = count(study)
        if now.over + now.running >= settings["trials"]:
            return None
        study.sampler = sampler(settings["sampler"], settings["seed"], len(study.get_trials(deepcopy=False)))
        trial = study.ask()
        if _RUN not in trial.user_attrs:
            trial.set_user_attr(_RUN, f"{trial.number:04d}")
        place = _place(directory, trial)
        held.enter_context(exclusive(place, TRIAL_LOCK, f"{place}: another process holds it"))
        return Begun(trial, space.suggest(trial), place)


def recover(study: Any, directory: Path) -> None:
    """Gives up trials whose process is gone, and lets them be tried again; the study's lock is held."""
    for trial in study.get_trials(deepcopy=False):
        if trial.state.name != "RUNNING":
            continue
        try:
            with exclusive(_place(directory, trial), TRIAL_LOCK, ""):
                give_up(study, trial)
        except Taken:
            continue


def give_up(study: Any, trial: Any) -> None:
    """Ends a trial that was interrupted; another one with its parameters and its directory waits in its place."""
    name = trial.user_attrs.get(_RUN, f"{trial.number:04d}")
    study.tell(trial.number, state=_state("FAIL"))
    study.enqueue_trial(dict(trial.params), user_attrs={_RUN: name})


def fail(study: Any, trial: Any, reason: str) -> None:
    """Ends a trial that can't be trained; it is not tried again."""
    trial.set_user_attr(_ERROR, reason)
    study.tell(trial, state=_state("FAIL"))


def stop(study: Any, trial: Any, epochs: int, accuracy: float) -> None:
    """Ends a trial that was stopped for being far behind, with what it had reached."""
    trial.set_user_attr("epochs", epochs)
    trial.set_user_attr("accuracy", accuracy)
    study.tell(trial, state=_state("PRUNED"))


def repeat(study: Any, trial: Any, before: Any) -> None:
    """Ends a trial as one of the same parameters ended, without another training."""
    for name in (_RUN, "curve", "epochs", "accuracy"):
        if name in before.user_attrs:
            trial.set_user_attr(name, before.user_attrs[name])
    if before.state.name == "COMPLETE":
        study.tell(trial, before.values)
    else:
        study.tell(trial, state=before.state)


def same_before(study: Any, begun: Begun) -> Any | None:
    """A trial that is over, finished or stopped, and had the same parameters."""
    alike = (one for one in study.get_trials(deepcopy=False) if one.params == dict(begun.params))
    return next((one for one in alike if one.state.name in ("COMPLETE", "PRUNED")), None)


def _state(name: str) -> Any:
    from optuna.trial import TrialState

    return TrialState[name]


def _place(directory: Path, trial: Any) -> Path:
    return directory / TRIALS / trial.user_attrs.get(_RUN, f"{trial.number:04d}")
