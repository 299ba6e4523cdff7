"""What the scripts share: one clear line for a mistake of the user, exit codes, the table after a multirun."""

import functools
import json
import os
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from apot_lit.config.help import help_text
from apot_lit.config.installed import root
from apot_lit.config.registration import plain, register
from apot_lit.errors import Interrupted, UserError, unknown_key

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
_OPTIONAL_SECTIONS = ("sweep", "model")  # null until something is chosen for them

_failed_jobs: list[str] = []


def job(function: Callable[[dict[str, Any]], Any]) -> Callable[[DictConfig], Any]:
    """Wraps the function of a script for `hydra.main`: it gets a plain configuration, and may raise UserError.

    A mistake in one job of a multirun does not keep the others from running. Of the processes of distributed training,
    which all meet the same mistake, the first one tells of it.
    """

    @functools.wraps(function)
    def run_job(config: DictConfig) -> Any:
        try:
            settings = plain(config)
            if "trainer" in settings:
                _refuse_distributed_multirun(settings["trainer"])
            if "torch" not in sys.modules and _is_first_process():
                print("loading torch ...", flush=True)  # it takes seconds
            return function(settings)
        except (UserError, OmegaConfBaseException) as error:
            # Another process must not fail: Lightning would then kill the first one, perhaps before it has told.
            if _is_first_process():
                _print_error(explain(error))
                _failed_jobs.append(explain(error))
        except Interrupted as interruption:
            if _is_first_process():
                _print_error(str(interruption))
            raise SystemExit(EXIT_INTERRUPTED) from interruption
        return None

    return run_job


def run(main: Callable[[], Any]) -> None:
    """Runs a script's main function and exits: 0, 2 after a mistake of the user, 130 after Ctrl-C.

    With ``--help`` it shows the options instead.

    With the environment variable ``HYDRA_FULL_ERROR=1`` errors in the configuration keep their traceback.
    """
    os.environ.setdefault("PROJECT_ROOT", str(root()))
    tracebacks = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra would print its errors over several lines and exit by itself
    _failed_jobs.clear()
    register()
    if {"--help", "-h"} & set(sys.argv[1:]):
        script = Path(sys.argv[0])
        print(help_text(script.stem.removeprefix("apot-"), None if script.suffix else script.name))
        return
    try:
        main()
    except (UserError, HydraException, OmegaConfBaseException, OSError) as error:
        if tracebacks:
            raise
        _print_error(explain(error))
        sys.exit(EXIT_USER_ERROR)
    except AssertionError as error:
        choice = _missing_choice(error)
        if tracebacks or choice is None:
            raise
        _print_error(choice)
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt:
        _print_error("interrupted")
        sys.exit(EXIT_INTERRUPTED)
    if _failed_jobs:
        sys.exit(EXIT_USER_ERROR)


def task_overrides() -> list[str]:
    """The overrides on the command line, those of Hydra itself left out."""
    return list(HydraConfig.get().overrides.task)


def default_config() -> dict[str, Any]:
    """The configuration of the script that runs, without any override."""
    loader = GlobalHydra.instance().config_loader()
    config = loader.load_configuration(HydraConfig.get().job.config_name, overrides=[], run_mode=RunMode.RUN)
    with open_dict(config):
        del config["hydra"]
    return plain(config)


def explain(error: Exception) -> str:
    """Says in one line what is wrong, where, and what is allowed."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, name = error.missing_cfg_file.rpartition("/")
        return f"{group}={name}: there is no such {group}; choose from {', '.join(error.options)}"
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(cause, MissingMandatoryValue):
        return f"{cause.full_key}: a value is needed; add {cause.full_key}=..."
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and isinstance(cause.parent_node, DictConfig):
        return unknown_key(str(cause.full_key or cause.key), map(str, cause.parent_node))
    message = " ".join(str(cause).replace("full_key:", "at").split())
    if isinstance(cause, ValidationError) and cause.full_key:
        return f"{cause.full_key}: {str(cause).partition(chr(10))[0]}"
    return message


def _missing_choice(error: AssertionError) -> str | None:
    """What to say of an option below a section that nothing was chosen for: OmegaConf only asserts that it is there."""
    below = [override for override in sys.argv[1:] if override.partition(".")[0] in _OPTIONAL_SECTIONS]
    if not below or "type for root" not in str(error):
        return None
    section = below[0].partition(".")[0]
    return f"{below[0]}: needs a {section} to be chosen first, by {section}=..."


class ResultTable(Callback):
    """Hydra callback that prints and writes one table of all results after a multirun."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Reads the ``result.json`` of every job, whichever launcher ran it."""
        from apot_lit.runs.result import RESULT_FILE
        from apot_lit.runs.summary import SUMMARY_FILE, Run, summarise

        sweep_dir = Path(config.hydra.sweep.dir)
        runs = [Run(path.parent, json.loads(path.read_text())) for path in sweep_dir.glob(f"*/{RESULT_FILE}")]
        if runs:
            runs.sort(key=lambda run: int(run.directory.name.partition("_")[0]))
            print(f"\n{summarise(runs, sweep_dir)}\nwritten: {sweep_dir / SUMMARY_FILE}")


class OwnDirectory(Callback):
    """Hydra callback that gives a run a directory that no other run has, also if both start in the same second."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Makes the directory, with another name if a run that started by itself would find it there already."""
        given = any(override.startswith("hydra.run.dir=") for override in config.hydra.overrides.hydra)
        if given or config.get("ckpt_path") is not None or config.get("sweep") is not None:
            return
        wanted = directory = Path(config.hydra.run.dir)
        wanted.parent.mkdir(parents=True, exist_ok=True)
        for number in count(2):
            try:
                directory.mkdir()
                break
            except FileExistsError:
                directory = wanted.with_name(f"{wanted.name}_{number}")
        config.hydra.run.dir = str(directory)


def _refuse_distributed_multirun(trainer: dict[str, Any]) -> None:
    """Lightning's other processes repeat the command line, which for a multirun would be all of its jobs."""
    devices = trainer["devices"]
    one = len(devices) == 1 if isinstance(devices, list) else str(devices) == "1"
    several = not one or trainer["num_nodes"] > 1 or "ddp" in trainer["strategy"]
    if several and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise UserError("a multirun runs on one device: give trainer.devices=1 trainer.strategy=auto, or no -m")


def _is_first_process() -> bool:
    """Whether this is the first or only process on this machine; Lightning numbers those that it starts."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def _print_error(message: str) -> None:
    print(f"error: {message}", file=sys.stderr, flush=True)
