"""Where configurations, digits and outputs are: in a clone beside the package, in an installed package within it."""

import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
CLONE = None if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent
"""The clone of the repository that the package lies in; None where a wheel was installed."""
CONF = _PACKAGE / "conf" if CLONE is None else CLONE / "conf"
"""The YAML files of all options."""
_PLACES = {"digits": ("digits", "data/mnist"), "published": ("results/published.csv", "results/published.csv")}


def root() -> Path:
    """The directory that ``outputs/`` is in: the clone, or the current directory of an installed command."""
    return Path.cwd() if CLONE is None else CLONE


def place(name: str) -> str:
    """Where something is that every installation brings.

    Args:
        name: ``digits``: the directory of the embedded MNIST; ``published``: the file of published accuracies.
    """
    within, in_clone = _PLACES[name]
    return str(_PACKAGE / within if CLONE is None else CLONE / in_clone)


def called() -> list[str]:
    """The words that call the running program again: ``python train.py``, or ``apot-train``."""
    program = sys.argv[0]
    return ["python", program] if program.endswith(".py") else [Path(program).name]


def train_command() -> list[str]:
    """The words that call the training program: as it was called, or ``apot-train``, or ``python train.py``.

    A job that a launcher started in a process of its own runs in the launcher's program, which is none to call.
    """
    if Path(sys.argv[0]).name in ("train.py", "apot-train"):
        return called()
    return ["apot-train"] if CLONE is None else ["python", "train.py"]


def only_in_clone(path: Path) -> str:
    """What to add to "there is no such file": that an installed package lacks what the repository has there, or ""."""
    lacking = [name for name in path.parts if name in ("results", "pretrained")]
    return f"; {lacking[0]}/ comes with a clone of the repository only" if lacking and CLONE is None else ""
