"""Why a job of a multirun failed, left in its directory for whoever started it, maybe from another machine."""

from collections.abc import Iterable
from pathlib import Path

from apot_lit.runs.files import write_text

FAILURE_FILE = "error.txt"


def leave_failure(directory: Path, message: str) -> None:
    """Writes down in one line why a job failed."""
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / FAILURE_FILE, f"{' '.join(message.split())}\n")


def failure(directory: Path) -> str | None:
    """Why the job in a directory failed, None if it didn't."""
    try:
        return (directory / FAILURE_FILE).read_text().strip()
    except OSError:
        return None


def failures(places: Iterable[Path]) -> dict[str, str]:
    """Why jobs failed, by the names of their directories, for those that did."""
    return {place.name: reason for place in places if (reason := failure(place)) is not None}


def forget_failures(root: Path) -> None:
    """Removes what jobs of an earlier call of a multirun left."""
    for directory in root.glob("*/"):
        (directory / FAILURE_FILE).unlink(missing_ok=True)
