"""Hydra's callbacks: a directory for every run, and what is said before, during and after a multirun."""

import os
import signal
from collections.abc import Mapping, Sequence
from copy import deepcopy
from itertools import count
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from apot_lit.cli import goes_on, is_first_process
from apot_lit.config.explain import explain
from apot_lit.config.registration import plain
from apot_lit.errors import EXIT_USER_ERROR, UserError, tell
from apot_lit.runs.text import counted

_NUMBERS_OF_PROCESSES = ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
_BASIC = "hydra._internal.core_plugins.basic_"
_SWEPT = {
    "model": "models",
    "model.name": "models",
    "quant.bit": "bits",
    "quant.power": "powers",
    "seed": "seeds",
}
"""What a sweep varies by itself -> the option that narrows it."""


class OwnDirectory(Callback):
    """Gives a run a directory that no other run has, also if both start in the same second."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Makes the directory, with another name if a run that started by itself would find it there already."""
        given = any(override.startswith("hydra.run.dir=") for override in config.hydra.overrides.hydra)
        if given or config.get("ckpt_path") is not None:
            return
        if any(int(os.environ.get(number, "1")) > 1 for number in _NUMBERS_OF_PROCESSES):
            if is_first_process():
                tell("hydra.run.dir: a value is needed where torchrun or srun starts several processes for one run")
            raise SystemExit(EXIT_USER_ERROR)
        wanted = directory = Path(config.hydra.run.dir)
        wanted.parent.mkdir(parents=True, exist_ok=True)
        for number in count(2):
            try:
                directory.mkdir()
                break
            except FileExistsError:
                directory = wanted.with_name(f"{wanted.name}_{number}")
        config.hydra.run.dir = str(directory)


class Jobs(Callback):
    """Tells how many jobs a multirun has, which of them end, what is left, and at the end all results in one table.

    It reads the directories of the jobs; so it does not matter which launcher runs them. Hydra's callbacks can't raise
    errors but by leaving.
    """

    def __init__(self) -> None:
        self._watch: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: launchers send the callbacks to the jobs, where they have nothing to do."""
        return {"_watch": None}

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuses what no job could work with, counts the jobs and begins to watch them."""
        from apot_lit.sweep.failure import forget_failures  # late: single runs have no use for it
        from apot_lit.sweep.watch import Watch

        root = Path(config.hydra.sweep.dir)
        try:
            _check(config)
            jobs = _jobs(config, root)
        except (UserError, HydraException, OmegaConfBaseException) as error:
            tell(explain(error))
            raise SystemExit(EXIT_USER_ERROR) from error
        forget_failures(root)
        _listen(goes_on(config.hydra))
        if jobs:
            self._watch = Watch(jobs, shows_running=not config.hydra.launcher._target_.startswith(_BASIC))
            done = len(self._watch.done)
            print(f"{counted(len(jobs), 'job')}, {done} of them with a result already; below {root}", flush=True)
            self._watch.start()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Prints and writes the table of all results; tells of the jobs that failed."""
        from apot_lit.runs.contents import NotUsable, read_result
        from apot_lit.runs.result import RESULT_FILE
        from apot_lit.runs.summary import SUMMARY_FILE, Run, summarise
        from apot_lit.sweep.failure import failures

        root = Path(config.hydra.sweep.dir)
        if self._watch is None:
            places = sorted(path for path in root.glob("*/") if not path.name.startswith("."))
        else:
            self._watch.stop()
            places = [job.directory for job in self._watch.jobs.values()]
        failed = failures(places)
        runs = []
        for place in places:
            try:
                result = read_result(place / RESULT_FILE) if place.name not in failed else None
            except NotUsable:
                result = None
            if result is not None:
                runs.append(Run(place, result))
        if runs:
            print(f"\n{summarise(runs, root)}\nwritten: {root / SUMMARY_FILE}")
        _tell_failed(failed, places)


class Evaluations(Callback):
    """Tells at the end of many evaluations which failed, and puts all others into one table."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Forgets what failed in an earlier call with the same directory."""
        from apot_lit.sweep.failure import forget_failures  # late: single evaluations have no use for it

        forget_failures(Path(config.hydra.sweep.dir))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Prints and writes the table of all evaluations; tells of the jobs that failed."""
        from apot_lit.evaluation.collected import EVALUATIONS_FILE, collect_evaluations
        from apot_lit.evaluation.evaluate import EVALUATION_FILE
        from apot_lit.runs.contents import NotUsable, read_evaluation
        from apot_lit.sweep.failure import failures

        root = Path(config.hydra.sweep.dir)
        places = _numbered(root)
        failed = failures(places)
        evaluations = []
        for place in places:
            if place.name in failed:
                continue
            try:
                evaluations.append(read_evaluation(place / EVALUATION_FILE))
            except NotUsable as error:
                failed[place.name] = f"{place / EVALUATION_FILE}: {error}"
        if evaluations:
            print(f"\n{collect_evaluations(evaluations, root)}\nwritten: {root / EVALUATIONS_FILE}")
        _tell_failed(failed, places)


class Failures(Callback):
    """Tells at the end of many jobs of another script which failed."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Forgets what failed in an earlier call with the same directory."""
        from apot_lit.sweep.failure import forget_failures  # late: single calls have no use for it

        forget_failures(Path(config.hydra.sweep.dir))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Tells of the jobs that failed."""
        from apot_lit.sweep.failure import failures

        places = _numbered(Path(config.hydra.sweep.dir))
        _tell_failed(failures(places), places)


def _numbered(root: Path) -> list[Path]:
    return sorted(root.glob("*/"), key=lambda path: (len(path.name), path.name))


def _tell_failed(failed: Mapping[str, str], places: Sequence[Path]) -> None:
    """Tells which jobs of a multirun failed and leaves; nothing where none did."""
    if failed:
        tell(
            f"{len(failed)} of {len(places)} jobs failed: {', '.join(failed)}; see error.txt in the directory of "
            f"each; the first: {next(iter(failed.values()))}"
        )
        raise SystemExit(EXIT_USER_ERROR)


def _check(config: DictConfig) -> None:
    """Refuses what is wrong in all jobs: options that do not vary, and those that a sweep chooses itself."""
    OmegaConf.select(config, "hydra.sweep.subdir", throw_on_resolution_failure=False)  # what varies, for all jobs
    for given in config.hydra.overrides.hydra:
        if given.startswith("hydra.run.dir="):
            raise UserError(f"{given}: the directory of a multirun is hydra.sweep.dir=...")
    common = deepcopy(config)
    with open_dict(common):
        del common["hydra"]
        common.paths.output_dir = str(config.hydra.sweep.dir)
    settings = plain(common)
    if settings.get("sweep") is None:
        return
    for given in config.hydra.overrides.task:
        key = given.lstrip("+~").partition("=")[0]
        if key in _SWEPT:
            raise UserError(f"{given}: a sweep chooses this itself; narrow it with sweep.{_SWEPT[key]}=[...]")
        if key == "ckpt_path":
            raise UserError(f"{given}: a sweep resumes its jobs by itself")


def _jobs(config: DictConfig, root: Path) -> list[Any]:
    """The jobs that Hydra's own sweeper will make; none where another sweeper chooses as it goes."""
    from apot_lit.sweep.job import Job

    if not config.hydra.sweeper._target_.startswith(_BASIC):
        return []
    loader: ConfigLoader = GlobalHydra.instance().config_loader()
    given = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    parsed = OverridesParser.create(config_loader=loader).parse_overrides([*given, *config.hydra.overrides.task])
    jobs = {}
    for (overrides,) in BasicSweeper.split_arguments(parsed, 1):
        job = loader.load_sweep_config(config, list(overrides))
        name = str(job.hydra.sweep.subdir)
        jobs[name] = Job(name, str(job.model.name), int(job.trainer.max_epochs), root / name)
    return list(jobs.values())


def _listen(message: str) -> None:
    """Lets Ctrl-C and a termination signal stop the multirun with a message.

    Ctrl-C as well: shells start background commands with it ignored.
    """

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt(message)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
