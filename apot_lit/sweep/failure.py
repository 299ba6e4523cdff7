"""Why a job of a multirun failed, left in its directory for whoever started it, maybe from another machine."""

from pathlib import Path

from apot_lit.runs.files import write_text

FAILURE_FILE = "error.txt"


def leave_failure(directory: Path, message: str) -> None:
    """Writes down why a job failed."""
    directory.mkdir(parents=True, exist_ok=True)
    write_text(directory / FAILURE_FILE, f"{message}\n")


def failure(directory: Path) -> str | None:
    """Why the job in a directory failed, None if it didn't."""
    try:
        return (directory / FAILURE_FILE).read_text().strip()
    except OSError:
        return None


def forget_failure(directory: Path) -> None:
    """Removes what an earlier call of a job left."""
    (directory / FAILURE_FILE).unlink(missing_ok=True)
