"""The table after many evaluations: which checkpoint, what it gets right, and where integers say something else."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from apot_lit.runs.files import write_text
from apot_lit.runs.protocol import row
from apot_lit.runs.text import percent, text_table

EVALUATIONS_FILE = "evaluations.csv"
COLUMNS = (
    *("checkpoint", "model", "bit", "scheme", "seed", "split", "arithmetic", "stream_bit"),
    *("accuracy", "loss", "images", "differing_predictions", "cpu", "commit"),
)
_SHOWN = COLUMNS[: COLUMNS.index("cpu")]


def collect_evaluations(evaluations: Sequence[Mapping[str, Any]], directory: Path) -> str:
    """Writes ``evaluations.csv`` with a line for each evaluation.

    Args:
        evaluations: contents of files ``evaluation.json``, in the order of the lines.
        directory: where to write.

    Returns:
        The table for the terminal.
    """
    lines = [_line(evaluation) for evaluation in evaluations]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_text(directory / EVALUATIONS_FILE, text.getvalue())
    cells = [[percent(line[key]) if key == "accuracy" else line.get(key) for key in _SHOWN] for line in lines]
    return text_table(cells, [key.replace("_", " ") for key in _SHOWN])


def _line(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """One line; what an evaluation doesn't tell, such as an export's training, is left empty."""
    config = evaluation.get("config")
    network = {} if config is None else {**row(config)._asdict(), "seed": config["seed"]}
    facts = {key: evaluation.get(key) for key in ("split", "arithmetic", "images", "commit")}
    scores = {key: round(evaluation[key], 6) for key in ("accuracy", "loss")}
    integers = evaluation.get("integer", {})
    return {
        "checkpoint": evaluation["ckpt_path"],
        **network,
        **facts,
        **scores,
        "cpu": evaluation["hardware"]["cpu"],
        **{key: integers.get(key) for key in ("stream_bit", "differing_predictions")},
    }
