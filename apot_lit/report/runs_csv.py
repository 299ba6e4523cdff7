"""All runs as one file of comma-separated values."""

import csv
from pathlib import Path
from typing import Any

from apot_lit.report.collect import Collection


def write_csv(collection: Collection, path: Path) -> None:
    """Writes one line per run."""
    columns = ["recipe", "protocol", "model", "bit", "scheme", "seed", "epochs", "best_epoch"]
    columns += [
        "train_accuracy",
        "val_accuracy",
        "test_accuracy",
        "wall_seconds",
        "cpu",
        "threads",
        "device",
        "commit",
        "file",
    ]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for group in collection.groups:
            options = " ".join(f"{key}={value}" for key, value in group.protocol)
            for row, runs in group.runs.items():
                for run in runs:
                    facts: dict[str, Any] = {**run.result, **run.result.get("hardware", {}), **row._asdict()}
                    writer.writerow(
                        facts | {"recipe": group.recipe, "protocol": options, "seed": run.seed, "file": str(run.path)}
                    )
