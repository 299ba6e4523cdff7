"""Hydra's launchers: what they need installed, and which one trains several jobs side by side."""

import re
from collections.abc import Sequence
from importlib.util import find_spec

from apot_lit.errors import UserError

_PACKAGES = {
    "joblib": "joblib",
    "submitit_local": "submitit",
    "submitit_slurm": "submitit",
    "slurm": "submitit",
    "ray": "ray",
}
"""Launcher -> what Hydra's package for it is named after."""
_SIDE_BY_SIDE = re.compile(r"\+{0,2}sweep\.jobs=(\d+)")


def with_launcher(arguments: Sequence[str]) -> list[str]:
    """The arguments of a script, with the launcher that ``sweep.jobs`` asks for: joblib, for so many jobs at a time.

    Raises:
        UserError: for a launcher that is not installed, or one that takes no ``sweep.jobs``.
    """
    chosen = [one.partition("=")[2] for one in arguments if one.startswith("hydra/launcher=")]
    several = [one for one in arguments if (found := _SIDE_BY_SIDE.fullmatch(one)) and int(found[1]) > 1]
    name = chosen[-1] if chosen else "joblib" if several else "basic"
    if several and name != "joblib":
        raise UserError(f"{several[-1]}: is for hydra/launcher=joblib; hydra/launcher={name} has options of its own")
    if name in _PACKAGES and not _is_installed(_PACKAGES[name]):
        asked = f"hydra/launcher={name}" if chosen else several[-1]
        extra = "ray" if name == "ray" else "launchers"
        raise UserError(f"{asked}: needs hydra-{_PACKAGES[name]}-launcher; install apot-lit[{extra}]")
    if not several:
        return list(arguments)
    jobs = several[-1].partition("=")[2]
    return [*arguments, *([] if chosen else ["hydra/launcher=joblib"]), f"hydra.launcher.n_jobs={jobs}"]


def _is_installed(name: str) -> bool:
    try:
        return find_spec(f"hydra_plugins.hydra_{name}_launcher") is not None and find_spec(name) is not None
    except ModuleNotFoundError:  # no plugin of Hydra at all
        return False
