"""Optuna's study of a search: one file that several processes share, of one space and one set of settings."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from apot_lit.errors import UserError
from apot_lit.runs.schema import one_line

STUDY_FILE = "study.db"
_SETTINGS = "settings"
_WAIT_SECONDS = 120  # for another process that writes
_POPULATION = 20


def require_optuna() -> None:
    """Checks that Optuna is installed.

    Raises:
        UserError: naming the extra that brings it.
    """
    if find_spec("optuna") is None:
        raise UserError("search.py: needs optuna; install apot-lit[search]")


def open_study(directory: Path, settings: Mapping[str, Any], first: Sequence[Mapping[str, Any]]) -> Any:
    """Opens the study of a directory, or begins one; the caller holds the directory's lock.

    Args:
        directory: where its file is.
        settings: plain containers; a study that was begun with others is refused.
        first: parameters of the trials that a new study begins with.

    Raises:
        UserError: for a file that is damaged or something else, and for a study of other settings.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path = directory / STUDY_FILE
    _check_file(path)
    with readable(path):
        try:
            storage = optuna.storages.RDBStorage(
                f"sqlite:///{path.absolute()}", engine_kwargs={"connect_args": {"timeout": _WAIT_SECONDS}}
            )
        except RuntimeError as error:  # of another version
            raise UserError(_unusable(path, error)) from error
        study = optuna.create_study(
            storage=storage, study_name="search", directions=["maximize", "minimize"], load_if_exists=True
        )
        if _SETTINGS not in study.user_attrs:
            for params in first:
                study.enqueue_trial(dict(params), skip_if_exists=True)
            study.set_user_attr(_SETTINGS, json.dumps(settings, sort_keys=True))
        found = study.user_attrs[_SETTINGS]
    wanted = json.loads(json.dumps(settings))
    before = json.loads(found)
    keys = sorted(key for key in before.keys() | wanted.keys() if before.get(key) != wanted.get(key))
    if keys:
        raise UserError(
            f"{path}: is a search with other settings ({', '.join(keys)}); "
            "give this one a directory of its own with search.name=..."
        )
    return study


def sampler(name: str, seed: int, trial: int) -> Any:
    """The sampler of one trial, whose choice depends on seed, number of the trial and the trials before alone.

    Args:
        name: tpe or nsga2.
        seed: of the search.
        trial: how many trials there are already.
    """
    import optuna

    own = int(np.random.SeedSequence([seed, trial]).generate_state(1)[0])
    if name == "nsga2":
        return optuna.samplers.NSGAIISampler(population_size=_POPULATION, seed=own)
    return optuna.samplers.TPESampler(seed=own)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Says in one line that the study's file can't be used, whatever Optuna or SQLAlchemy find wrong with it."""
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (OptunaError, SQLAlchemyError, sqlite3.Error) as error:
        raise UserError(_unusable(path, error)) from error


def _check_file(path: Path) -> None:
    """Refuses a file that is no whole database of Optuna; it is not changed."""
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_WAIT_SECONDS)) as file:
            (state,) = file.execute("PRAGMA quick_check(1)").fetchone()
            tables = {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        raise UserError(_unusable(path, error)) from error
    if state != "ok":
        raise UserError(_unusable(path, state))
    if tables and not {"studies", "trials"} <= tables:
        raise UserError(f"{path}: is not a study of Optuna; give this search another search.name")


def _unusable(path: Path, reason: object) -> str:
    return f"{path}: can't be used ({one_line(reason, 120)}); if it is damaged, move it away to begin the search anew"
