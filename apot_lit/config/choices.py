"""The names that a group of configuration files offers to whoever chooses one."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from apot_lit.installed import CONF

_COMPOSED = ("model", "callbacks")  # of these, a file that is composed of no others is only a part of others
_OF_OTHERS = "library"  # what networks of other makers have, which can be trained only
_NUMBER = re.compile(r"(\d+)")


def choices(group: str, names: Iterable[str], others: bool = True, parts: bool = False) -> list[str]:
    """Those of a group's names that can be chosen: schemas of sections and parts of other files are left out.

    Args:
        group: directory below `conf`, or a group of Hydra itself.
        names: all that Hydra finds in it.
        others: whether networks of other makers are among them.
        parts: whether parts of other files are, where several names can be chosen at once.

    Returns:
        Names in the order of the numbers in them: resnet18 before resnet101.
    """
    names = [name for name in names if not name.endswith("_schema")]
    if group in _COMPOSED and not parts:
        names = [name for name in names if _is_whole(CONF / group / f"{name}.yaml", others)]
    return sorted(names, key=lambda name: [int(part) if part.isdigit() else part for part in _NUMBER.split(name)])


def _is_whole(path: Path, others: bool) -> bool:
    if not path.exists():  # of a user's own directory
        return True
    file: Any = OmegaConf.load(path)
    if _OF_OTHERS in file:
        return others
    return any(not str(part).endswith("_schema") for part in file.get("defaults", ()))
