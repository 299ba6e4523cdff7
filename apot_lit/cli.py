"""What the scripts share: one clear line for a mistake of the user, and exit codes."""

import functools
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from copy import deepcopy
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from apot_lit.config.devices import refuse_several_devices
from apot_lit.config.explain import explain, missing_choice, null_choice, refuse_several_choices
from apot_lit.config.help import help_text
from apot_lit.config.launchers import with_launcher
from apot_lit.config.overrides import override
from apot_lit.config.registration import plain, register
from apot_lit.errors import EXIT_INTERRUPTED, EXIT_USER_ERROR, Interrupted, UserError, tell
from apot_lit.installed import root
from apot_lit.sweep.failure import leave_failure

_LAUNCHERS = ("joblib", "submitit", "ray")

_failed: list[str] = []
_started = False


def job(function: Callable[[dict[str, Any]], Any]) -> Callable[[DictConfig], Any]:
    """Wraps the function of a script for `hydra.main`: it gets a plain configuration, and may raise UserError.

    A mistake in one job of a multirun does not keep the others from running: it is left in the job's directory, and
    told at the end. What a job prints that has a process of its own is in its log only. Of the processes of distributed
    training, which all meet the same mistake, the first one tells of it.
    """

    @functools.wraps(function)
    def run_job(config: DictConfig) -> Any:
        with _silence() if in_multirun() and not _started_by_user() else nullcontext():
            try:
                settings = plain(config)
                if "trainer" in settings and in_multirun():
                    refuse_several_devices(settings["trainer"], "a multirun", ", or no -m")
                if "torch" not in sys.modules and is_first_process():
                    print("loading torch ...", flush=True)  # it takes seconds
                return function(settings)
            except (UserError, OmegaConfBaseException) as error:
                # Another process must not fail: Lightning would then kill the first one, perhaps before it has told.
                if in_multirun():
                    leave_failure(Path(HydraConfig.get().runtime.output_dir), explain(error))
                elif is_first_process():
                    _fail(explain(error))
            except Interrupted as interruption:
                if in_multirun() and _started_by_user():
                    raise KeyboardInterrupt(goes_on(HydraConfig.get())) from interruption
                if is_first_process():
                    tell(interruption)
                raise SystemExit(EXIT_INTERRUPTED) from interruption
            except Exception as error:
                if not in_multirun():
                    raise
                traceback.print_exc()
                leave_failure(Path(HydraConfig.get().runtime.output_dir), f"{type(error).__name__}: {error}")
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
    global _started
    _started = True
    _failed.clear()
    register()
    if {"--help", "-h"} & set(sys.argv[1:]):
        script = Path(sys.argv[0])
        print(help_text(script.stem.removeprefix("apot-"), None if script.suffix else script.name))
        return
    try:
        for given in sys.argv[1:]:
            refuse_several_choices(given)
        flags = [given for given in sys.argv[1:] if given in ("-m", "--multirun")]  # argparse takes them first alone
        sys.argv[1:] = with_launcher([*flags, *(given for given in sys.argv[1:] if given not in flags)])
        main()
    except (UserError, HydraException, OmegaConfBaseException, YAMLError, OSError) as error:
        if tracebacks:
            raise
        tell(explain(error))
        sys.exit(EXIT_USER_ERROR)
    except AssertionError as error:
        choice = missing_choice(error, sys.argv[1:])
        if tracebacks or choice is None:
            raise
        tell(choice)
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt as interruption:
        tell(str(interruption) or "interrupted")
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        choice = null_choice(error, sys.argv[1:])
        if choice is not None and not tracebacks:
            tell(choice)
            sys.exit(EXIT_USER_ERROR)
        if tracebacks or type(error).__module__.partition(".")[0] not in _LAUNCHERS:
            raise
        tell(f"the process of a job has ended before its job; the same command goes on from here: {explain(error)}")
        sys.exit(EXIT_USER_ERROR)
    if _failed:
        sys.exit(EXIT_USER_ERROR)


def in_multirun() -> bool:
    """Whether this is a job of a multirun."""
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def goes_on(hydra: Any) -> str:
    """Says what goes on with an interrupted multirun: the same command, with its directory if that is named by time.

    Args:
        hydra: Hydra's own configuration.
    """
    timed = "${now:" in str(OmegaConf.to_container(hydra.sweep, resolve=False))
    same = f"the same command with {override('hydra.sweep.dir', hydra.sweep.dir)}" if timed else "the same command"
    return f"interrupted; {same} goes on from here"


def task_overrides() -> list[str]:
    """The overrides on the command line, those of Hydra itself left out."""
    return list(HydraConfig.get().overrides.task)


def default_config() -> dict[str, Any]:
    """The configuration of the script that runs, without any override."""
    return plain(_composed(str(HydraConfig.get().job.config_name), []))


def composer(script: str, overrides: Sequence[str]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A function from values of options, by name, to a configuration of another script, with these overrides besides.

    The function raises UserError for a wrong name, type or value.

    Raises:
        UserError: for overrides that cannot be composed.
    """
    try:
        composed = _composed(script, overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error)) from error

    def compose(values: Mapping[str, Any]) -> dict[str, Any]:
        config = deepcopy(composed)
        try:
            for key, value in values.items():
                OmegaConf.update(config, key, value, merge=False)
            return plain(config)
        except OmegaConfBaseException as error:
            raise UserError(explain(error)) from error

    return compose


def _composed(script: str, overrides: Sequence[str]) -> DictConfig:
    loader = GlobalHydra.instance().config_loader()
    config = loader.load_configuration(script, overrides=list(overrides), run_mode=RunMode.RUN)
    with open_dict(config):
        del config["hydra"]
    return config


def _started_by_user() -> bool:
    """Whether this is the process of the command line; launchers start others for jobs, and send them `run_job`."""
    return _started


def _fail(message: str) -> None:
    tell(message)
    _failed.append(message)


@contextmanager
def _silence() -> Iterator[None]:
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield


def is_first_process() -> bool:
    """Whether this is the first or only process of a run; Lightning, torchrun and Slurm number what they start."""
    return all(os.environ.get(number, "0") == "0" for number in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"))
