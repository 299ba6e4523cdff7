"""Names of the directories of runs, and of the jobs of a multirun; what `conf/` computes."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from apot_lit.data.options import DataOptions
from apot_lit.quant.spec import spec_of

_LONGEST_NAME = 100
_OUTSIDE_NAMES = re.compile(r"[^A-Za-z0-9.+_-]+")


def run_dir(ckpt_path: str | None, parent: str) -> str:
    """Directory of a run: a resumed one goes on where its checkpoint lies, a new one is named by its start."""
    if ckpt_path is not None:
        run = Path(ckpt_path).absolute().parent.parent
        if (run / ".hydra").is_dir():
            return str(run)
    return str(Path(parent) / datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))


def varied(params: Mapping[str, Any] | None, overrides: Sequence[str]) -> list[str]:
    """The options of a multirun that have several values.

    Args:
        params: of Hydra's sweeper.
        overrides: of the command line, as ``key=value,value``.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    return [*(params or {}), *(one.get_key_element() for one in parsed if one.is_sweep_override())]


def job_dir(keys: Sequence[str], overrides: Sequence[str]) -> str:
    """The name of a multirun job's directory: the options that vary, with their values.

    It does not depend on the values of other jobs, so that a multirun with more values finds those that are done. The
    last names of options are enough where these differ. A name that doesn't hold a value whole ends with a checksum.

    Args:
        keys: the options that vary.
        overrides: of the job, as ``key=value``.

    Returns:
        A name such as ``bit-2_power-0``, of letters, digits and ``_ - . +`` only; ``job`` where nothing varies.
    """
    short = {key: key.rpartition(".")[2] for key in keys}
    if len(set(short.values())) < len(short):
        short = {key: key for key in keys}
    pairs = [(key, value) for key, _, value in (one.partition("=") for one in overrides) if key in short]
    parts = [f"{_plain(short[key])}-{_plain(value)}" for key, value in pairs]
    name = "_".join(parts) or "job"
    if len(name) <= _LONGEST_NAME and all(_plain(value) == value for _, value in pairs):
        return name
    return f"{name[: _LONGEST_NAME - 9]}_{sha256(repr(pairs).encode()).hexdigest()[:8]}"


def row_dir(
    model: Mapping[str, Any], quant: Mapping[str, Any], seed: int, keys: Sequence[str], overrides: Sequence[str]
) -> str:
    """The name of the directory of a job that trains a row of the tables, such as ``resnet10_4bit_apot_seed0``.

    Args:
        model: section of the job.
        quant: section of the job.
        seed: of the job.
        keys: options that vary besides.
        overrides: of the job, as ``key=value``.
    """
    spec, _ = spec_of(quant)
    stem = "" if model.get("stem", "reference") == "reference" else f"_{model['stem']}"
    width = "float" if spec.full_precision else f"{spec.bit}bit_{spec.scheme}"
    name = f"{model['name']}{stem}_{width}_seed{seed}"
    return f"{name}_{job_dir(keys, overrides)}" if keys else name


def choices(values: Sequence[Any]) -> str:
    """A list as the values of a multirun."""
    return ",".join(map(str, values))


def _plain(text: str) -> str:
    return _OUTSIDE_NAMES.sub("-", text).strip("-")


def sweep_name(recipe: str, data: str) -> str:
    """The name of a sweep's directory: one of its own for each recipe and data set."""
    return recipe if data == DataOptions.name else f"{recipe}_{data}"
