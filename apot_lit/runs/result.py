"""Result files: how they are written, and the table that shows them."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from apot_lit.runs.files import write_text
from apot_lit.runs.protocol import row
from apot_lit.runs.text import duration, percent, text_table

RESULT_FILE = "result.json"
METRICS_FILE = "metrics.csv"
SECONDS = "seconds"
"""The column of the table of metrics that says how long an epoch took."""

_INNERMOST_LIST = re.compile(r"\[[^][{}\"]*\]")  # of numbers: these need no line each


def write_json(path: Path, content: Mapping[str, Any], root: str | Path) -> None:
    """Writes a JSON file in one go: a reader never sees half a file, and an interruption leaves the old one.

    Args:
        path: the file.
        content: plain containers; paths below `root` are written relative to it, so that files can be shared, and
            what is not a finite number as null, since JSON knows no other.
        root: the project's directory.
    """
    text = json.dumps(_portable(content, str(root)), indent=2, allow_nan=False)
    write_text(path, _INNERMOST_LIST.sub(lambda found: " ".join(found[0].split()), text) + "\n")


def _portable(value: Any, root: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _portable(item, root) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(item, root) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return "." if value == root else value.removeprefix(f"{root}/")
    return value


def result_table(result: Mapping[str, Any]) -> str:
    """Formats the result of a training as a table for the terminal."""
    accuracies = (percent(result.get(f"{split}_accuracy")) for split in ("train", "val", "test"))
    seed = result["config"]["seed"]
    cells = [*row(result["config"]), seed, result["epochs"], *accuracies, duration(result["wall_seconds"])]
    return text_table([cells], ["model", "bit", "scheme", "seed", "epochs", "train", "val", "test", "time"])
