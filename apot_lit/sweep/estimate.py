"""How long a sweep will take, learned from the epochs and jobs that are done."""

import csv
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

from apot_lit.runs.log import TIME_WIDTH
from apot_lit.runs.result import METRICS_FILE, SECONDS
from apot_lit.sweep.job import Job


def seconds_left(
    running: Sequence[tuple[Job, float]],
    waiting: Sequence[Job],
    done: Sequence[tuple[str, float]],
    around: Sequence[float],
) -> float | None:
    """Estimates the work that is left, in seconds of one job at a time.

    A running job takes for each epoch left what its epochs took so far. Any other takes what jobs of its network take,
    or, where there are none yet, the mean of all.

    Args:
        running: jobs and how long ago each was started, in seconds.
        waiting: jobs not started.
        done: network and seconds of training of each finished job.
        around: seconds that finished jobs took before and after their training.

    Returns:
        None if no epoch is done yet.
    """
    known, rest = [*done], dict[str, float]()
    for job, _ in running:
        epochs, total = epoch_seconds(job.directory), job.epochs
        if epochs:
            known.append((job.model, mean(epochs) * total))
            rest[job.name] = mean(epochs) * max(0, total - len(epochs))
    if not known:
        return None
    extra = mean(around) if around else 0.0
    left = 0.0
    for job, gone in [*running, *((job, 0.0) for job in waiting)]:
        alike = [seconds for model, seconds in known if model == job.model] or [seconds for _, seconds in known]
        left += extra + rest[job.name] if job.name in rest else max(0.0, extra + mean(alike) - gone)
    return left


def epoch_seconds(directory: Path) -> list[float]:
    """The seconds of every epoch that a run has done; none without a readable table."""
    try:
        with (directory / METRICS_FILE).open(newline="") as file:
            return [float(row[SECONDS]) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return []


def last_progress(log: Path) -> str:
    """The last line of progress that a run wrote to its log since its last start."""
    since = log.read_text(errors="replace").rpartition(" command: ")[2]
    lines = [line[TIME_WIDTH:] for line in since.splitlines() if line[TIME_WIDTH:].startswith("epoch ")]
    return lines[-1] if lines else "starting"
