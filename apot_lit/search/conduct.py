"""search.py: runs trials until there are as many as asked for, and writes what came out."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from apot_lit.errors import Interrupted, UserError
from apot_lit.installed import called
from apot_lit.runs.lock import in_turn
from apot_lit.runs.text import counted, percent
from apot_lit.search.front import Point, pareto_front, points
from apot_lit.search.next_trial import STUDY_LOCK, Begun, begin, count, fail, give_up, repeat, same_before, stop
from apot_lit.search.outcome import FILES, write_outcome
from apot_lit.search.plan import Compose, Plan
from apot_lit.search.space import bits_of, options_of
from apot_lit.search.stopping import ACCURACY, FarBehind, bars
from apot_lit.search.study import STUDY_FILE, open_study, readable
from apot_lit.search.trial_cost import UNITS
from apot_lit.search.trial_run import run_trial


def search(settings: Mapping[str, Any], directory: Path, compose: Compose) -> None:
    """Runs trials in a directory until there are as many as asked for, perhaps with other processes, and tells of them.

    Args:
        settings: the section ``search``, see `apot_lit.config.search_options.SearchOptions`.
        directory: where everything is written.
        compose: see `Compose`.

    Raises:
        UserError: for whatever can't work in any trial, and a study that can't be used.
        Interrupted: after Ctrl-C; what was done is kept.
    """
    plan = Plan(settings, directory, compose)
    with readable(directory / STUDY_FILE):
        with in_turn(directory, STUDY_LOCK):
            study = open_study(directory, plan.identity(), plan.space.uniform())
        while _one_trial(study, plan):
            found, _ = _written(study, plan)
            over, front = count(study).over, pareto_front(found)
            print(f"{over} of {counted(settings['trials'], 'trial')} over, {len(front)} on the front", flush=True)
        running = count(study).running
        if running:
            print(f"{counted(running, 'trial')} left to other processes", flush=True)
        _tell(*_written(study, plan), plan)


def _one_trial(study: Any, plan: Plan) -> bool:
    """Runs the next trial; False if there are as many as there shall be."""
    with ExitStack() as held:
        begun = begin(study, plan.space, plan.directory, plan.settings, held)
        if begun is None:
            return False
        try:
            _try(study, plan, begun)
        except (Interrupted, KeyboardInterrupt) as error:
            with in_turn(plan.directory, STUDY_LOCK):
                give_up(study, begun.trial)
            again = shlex.join([*called(), *sys.argv[1:]])
            raise Interrupted(f"interrupted; finished trials are kept, to go on: {again}") from error
    return True


def _try(study: Any, plan: Plan, begun: Begun) -> None:
    trial, name = begun.trial, f"trial {begun.trial.number}"
    config = plan.config(begun.params, begun.directory)
    cost = plan.cost(config)
    trial.set_user_attr("cost", cost)
    print(f"\n{name}: {_cost(cost, plan)}; {_words(begun.params)}", flush=True)
    before = same_before(study, begun)
    if before is not None:
        repeat(study, trial, before)
        print(f"{name}: the same as trial {before.number}", flush=True)
        return
    needed = None
    if plan.settings["margin"] is not None:
        finished = [one for one in study.get_trials(deepcopy=False) if one.state.name == "COMPLETE"]
        curves = [(one.user_attrs["cost"], one.user_attrs["curve"]) for one in finished]
        needed = bars(curves, cost, plan.settings["margin"])
    try:
        result = run_trial(config, needed)
    except FarBehind as behind:
        stop(study, trial, behind.epochs, behind.accuracy)
        print(f"{name}: {behind}", flush=True)
    except UserError as error:
        fail(study, trial, str(error))
        if not pareto_front(points(study)):
            raise
        print(f"{name}: failed: {error}", flush=True)
    else:
        trial.set_user_attr("curve", result.get("history", {}).get(ACCURACY, []))
        trial.set_user_attr("epochs", result["epochs"])
        study.tell(trial, [result["val_accuracy"], cost])


def _written(study: Any, plan: Plan) -> tuple[list[Point], Point | None]:
    """Writes all files anew; the points, and the chosen one."""
    with in_turn(plan.directory, STUDY_LOCK):
        found = points(study)
        return found, write_outcome(plan, found)


def _tell(found: Sequence[Point], chosen: Point | None, plan: Plan) -> None:
    if chosen is None:
        print("no trial has finished yet", flush=True)
        return
    print()
    for point in pareto_front(found):
        mark = " <- chosen" if point == chosen else ""
        print(f"trial {point.trial}: {percent(point.accuracy)}, {_cost(point.cost, plan)}{mark}")
    print("written:", *(plan.directory / name for name in FILES), sep="\n  ")


def _cost(cost: float, plan: Plan) -> str:
    return f"{cost:,.0f} {UNITS[plan.settings['cost']]}"


def _words(params: Mapping[str, Any]) -> str:
    bits = " ".join(str(options["bit"]) for options in bits_of(params).values())
    rest = [f"{name}={value}" for name, value in options_of(params).items()]
    return ", ".join([*([f"bits {bits}"] if bits else []), *rest])
