"""What the scripts share: one clear line for a mistake of the user, exit codes, the table after a multirun."""

import functools
import json
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from apot_lit.config import plain, register
from apot_lit.errors import Interrupted, UserError, unknown_key

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
_OPTIONAL_SECTIONS = ("sweep", "model")  # null until something is chosen for them

_failed_jobs: list[str] = []


def job(function: Callable[[dict[str, Any]], Any]) -> Callable[[DictConfig], Any]:
    """Wraps the function of a script for `hydra.main`: it gets a plain configuration, and may raise UserError.

    A mistake in one job of a multirun does not keep the others from running.
    """

    @functools.wraps(function)
    def run_job(config: DictConfig) -> Any:
        try:
            settings = plain(config)
            if "trainer" in settings:
                _refuse_distributed_multirun(settings["trainer"])
            return function(settings)
        except (UserError, OmegaConfBaseException) as error:
            _print_error(explain(error))
            _failed_jobs.append(explain(error))
        except Interrupted as interruption:
            _print_interruption(interruption.args[0])
            raise SystemExit(EXIT_INTERRUPTED) from interruption
        return None

    return run_job


def run(main: Callable[[], Any]) -> None:
    """Runs a script's main function and exits: 0, 2 after a mistake of the user, 130 after Ctrl-C.

    With the environment variable ``HYDRA_FULL_ERROR=1`` errors in the configuration keep their traceback.
    """
    os.environ.setdefault("PROJECT_ROOT", str(Path(__file__).resolve().parent.parent))
    tracebacks = os.environ.get("HYDRA_FULL_ERROR") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra would print its errors over several lines and exit by itself
    _failed_jobs.clear()
    register()
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
    except KeyboardInterrupt as interruption:
        _print_error(": ".join(["interrupted", *map(str, interruption.args)]))
        sys.exit(EXIT_INTERRUPTED)
    if _failed_jobs:
        sys.exit(EXIT_USER_ERROR)


def task_overrides() -> list[str]:
    """The overrides on the command line, those of Hydra itself left out."""
    return list(HydraConfig.get().overrides.task)


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
    """Hydra callback that prints one table of all results after a multirun."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Reads every ``result.json`` below the sweep's directory, whichever launcher ran the jobs."""
        from apot_lit.engine import RESULT_FILE, result_table

        sweep_dir = Path(config.hydra.sweep.dir)
        paths = sorted(sweep_dir.rglob(RESULT_FILE), key=lambda path: (len(path.parts), len(str(path)), path))
        if paths:
            print(f"\n{result_table([json.loads(path.read_text()) for path in paths])}\nbelow {sweep_dir}")


def _refuse_distributed_multirun(trainer: dict[str, Any]) -> None:
    """Lightning's other processes repeat the command line, which for a multirun would be all of its jobs."""
    devices = trainer["devices"]
    one = len(devices) == 1 if isinstance(devices, list) else str(devices) == "1"
    several = not one or trainer["num_nodes"] > 1 or "ddp" in trainer["strategy"]
    if several and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise UserError("a multirun runs on one device: give trainer.devices=1 trainer.strategy=auto, or no -m")


def _print_error(message: str) -> None:
    print(f"error: {message}", file=sys.stderr, flush=True)


def _print_interruption(last_checkpoint: Path | None) -> None:
    if last_checkpoint is None:
        _print_error("interrupted before the first checkpoint was written; nothing to resume from")
        return
    overrides = task_overrides()
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        overrides.append(f"hydra.run.dir={HydraConfig.get().runtime.output_dir}")
    kept = [override for override in overrides if not override.startswith(("ckpt_path=", "init_from="))]
    command = shlex.join(["python", sys.argv[0], *kept, f"ckpt_path={last_checkpoint}"])
    _print_error(f"interrupted; to go on from the last checkpoint: {command}")
