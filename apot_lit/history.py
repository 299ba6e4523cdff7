"""What the CSV logger wrote, epoch by epoch."""

import csv
from collections.abc import Iterator
from pathlib import Path

History = dict[str, list[float | None]]

_NOT_OF_AN_EPOCH = ("epoch", "step", "train/loss_step", "test/")


def read_history(run_dir: Path) -> History:
    """Reads the metrics of all epochs of a run, those of resumed parts included.

    Args:
        run_dir: the directory of the run, with ``metrics/version_*/metrics.csv`` below it.

    Returns:
        Columns of equal length: ``epoch``, counted from 1, and every metric that was logged once an epoch; None where
        an epoch lacks it. Empty without a CSV logger.
    """
    epochs: dict[int, dict[str, float]] = {}
    for row in _rows(run_dir):
        metrics = {key: float(value) for key, value in row.items() if value and not key.startswith(_NOT_OF_AN_EPOCH)}
        if metrics and row.get("epoch"):
            epochs.setdefault(int(row["epoch"]) + 1, {}).update(metrics)
    names = sorted({name for metrics in epochs.values() for name in metrics})
    if not names:
        return {}
    history: History = {"epoch": [float(epoch) for epoch in sorted(epochs)]}
    for name in names:
        values = (epochs[epoch].get(name) for epoch in sorted(epochs))
        history[name] = [None if value is None else float(f"{value:.6g}") for value in values]
    return history


def _rows(run_dir: Path) -> Iterator[dict[str, str]]:
    """Rows of all parts, a later part after those before it."""
    for path in sorted(run_dir.glob("metrics/version_*/metrics.csv"), key=lambda path: (len(str(path)), path)):
        with path.open(newline="") as file:
            yield from csv.DictReader(file)
