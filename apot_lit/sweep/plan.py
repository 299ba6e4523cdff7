"""The jobs of a sweep, and what is left of them on disk."""

import sys
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from apot_lit.errors import UserError
from apot_lit.runs.checkpoint import read_file
from apot_lit.runs.contents import NotUsable, read_result
from apot_lit.runs.protocol import protocol, row
from apot_lit.runs.result import RESULT_FILE


@dataclass
class Job:
    """One training of a sweep.

    Attributes:
        name: unique within the sweep; its directory below that of the sweep.
        config: the resolved configuration it will have, but for its directories.
        directory: where it writes.
    """

    name: str
    config: dict[str, Any]
    directory: Path

    def result(self) -> dict[str, Any] | None:
        """What the job wrote when it was done, None if it is not.

        Raises:
            UserError: if what lies there belongs to another configuration, or cannot be read.
        """
        path = self.directory / RESULT_FILE
        if not path.exists():
            return None
        try:
            result = read_result(path)
        except NotUsable as error:
            raise UserError(f"{path}: is {error}; remove it to run the job again") from error
        if result is None:
            raise UserError(f"{path}: is damaged (not a result); remove it to run the job again")
        if _identity(result["config"]) != _identity(self.config):
            there, here = dict(protocol(result["config"])), dict(protocol(self.config))
            keys = sorted(key for key in there.keys() | here.keys() if there.get(key) != here.get(key))
            raise UserError(
                f"{path}: comes from other options ({', '.join(keys) or 'another network'}); "
                "give this sweep a directory of its own with hydra.run.dir=..."
            )
        return result

    def checkpoint(self) -> Path | None:
        """The checkpoint to resume from, None to start afresh; a damaged one is put aside, and said so."""
        path = self.directory / "checkpoints/last.ckpt"
        if not path.exists():
            return None
        try:
            read_file(path, "ckpt_path")
        except UserError as error:
            aside = path.replace(path.with_name("last.damaged.ckpt"))
            print(f"{self.name}: {error}; it is now {aside.name}, the job starts afresh", file=sys.stderr, flush=True)
            return None
        return path


def plan(config: Mapping[str, Any], root: Path) -> list[Job]:
    """All jobs of a sweep: for every seed one of each network, bit width and scheme.

    Raises:
        UserError: with a network of another maker.
    """
    if "library" in config["model"]:
        raise UserError(f"sweep={config['sweep']['name']}: trains networks of this project; leave model out, or use -m")
    sweep = config["sweep"]
    jobs: list[Job] = []
    for seed, model, bit, power in product(sweep["seeds"], sweep["models"], sweep["bits"], sweep["powers"]):
        own = deepcopy(dict(config))
        own["seed"] = seed
        own["model"]["name"] = model
        own["quant"] |= {"bit": bit, "power": power}
        stem = own["model"]["stem"]
        kind = row(own)
        width = f"{bit}bit_{kind.scheme}" if kind.scheme != "float" else "float"
        name = f"{model}{'' if stem == 'reference' else f'_{stem}'}_{width}_seed{seed}"
        if name not in (job.name for job in jobs):  # in full precision all schemes are the same
            jobs.append(Job(name, own, root / name))
    return jobs


def _identity(config: Mapping[str, Any]) -> Any:
    return row(config), config["seed"], protocol(config)
