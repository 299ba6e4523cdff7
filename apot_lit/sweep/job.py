"""What a job of a multirun finds in its directory: its result, or a checkpoint to go on from."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apot_lit.errors import UserError
from apot_lit.runs.checkpoint import LAST_CHECKPOINT, checkpoint_config, checkpoints_of, load_checkpoint, put_aside
from apot_lit.runs.contents import NotUsable, read_result
from apot_lit.runs.protocol import protocol, row
from apot_lit.runs.result import RESULT_FILE


@dataclass(frozen=True)
class Job:
    """One training of a multirun, as the others see it.

    Attributes:
        name: of its directory, unique within the multirun.
        model: name of its network.
        epochs: length of its training.
        directory: where it writes.
    """

    name: str
    model: str
    epochs: int
    directory: Path


def finished(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The result that a job wrote when it was done, None if it is not.

    Args:
        config: plain, resolved configuration of the job.

    Raises:
        UserError: if what lies in its directory belongs to other options, or cannot be read.
    """
    path = _directory(config) / RESULT_FILE
    if not path.exists():
        return None
    try:
        result = read_result(path)
    except NotUsable as error:
        raise UserError(f"{path}: is {error}; remove it to run the job again") from error
    if result is None:
        raise UserError(f"{path}: is damaged (not a result); remove it to run the job again")
    _refuse_others(path, result["config"], config)
    return result


def half_done(config: Mapping[str, Any]) -> str | None:
    """The checkpoint that a job goes on from, None to start afresh.

    A damaged one is put aside, and said so; a job that starts afresh writes over no checkpoint.

    Args:
        config: plain, resolved configuration of the job.

    Raises:
        UserError: if the checkpoint belongs to other options.
    """
    path = _directory(config) / LAST_CHECKPOINT
    checkpoint = None
    if path.exists():
        try:
            checkpoint = load_checkpoint(path)
        except UserError as error:
            print(f"{error}; it is now {put_aside(path).name}, the job starts afresh", file=sys.stderr, flush=True)
    if checkpoint is None:
        for left in checkpoints_of(_directory(config)):
            put_aside(left)
        return None
    _refuse_others(path, checkpoint_config(checkpoint), config)
    return str(path)


def _refuse_others(path: Path, found: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    if _identity(found) == _identity(config):
        return
    there, here = dict(protocol(found)), dict(protocol(config))
    keys = sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key))
    raise UserError(
        f"{path}: comes from other options ({', '.join(keys) or 'another network'}); "
        "give this multirun a directory of its own with hydra.sweep.dir=..."
    )


def _identity(config: Mapping[str, Any]) -> Any:
    return row(config), config["seed"], protocol(config)


def _directory(config: Mapping[str, Any]) -> Path:
    return Path(config["paths"]["output_dir"])
