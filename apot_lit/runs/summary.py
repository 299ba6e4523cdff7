"""The table after many runs: what varied among them, what came out, and where it is."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from apot_lit.runs.files import write_text
from apot_lit.runs.protocol import row
from apot_lit.runs.text import duration, percent, text_table

SUMMARY_FILE = "results.csv"
_SHOWN = ("model.name", "quant.bit", "quant.power", "quant.additive", "seed")  # have columns of their own
_PLACES = ("paths.", "sweep.", "ckpt_path")


class Run(NamedTuple):
    """A finished run: its directory and the content of its ``result.json``."""

    directory: Path
    result: Mapping[str, Any]


def summarise(runs: Sequence[Run], directory: Path) -> str:
    """Writes a table of runs in CSV to their common directory.

    Args:
        runs: in the order of the rows.
        directory: where they lie.

    Returns:
        The table for the terminal: network, bits, scheme, seed, every other option that differs, epochs, accuracies,
        time and directory.
    """
    options = [dict(_flat(run.result["config"])) for run in runs]
    varied = _varied(runs, options)
    headers = ["model", "bit", "scheme", "seed", *varied, "epochs", "train", "val", "test", "time", "directory"]
    shown, written = [], []
    for run, own in zip(runs, options, strict=True):
        accuracies = [run.result.get(f"{split}_accuracy") for split in ("train", "val", "test")]
        first = [*row(run.result["config"]), run.result["config"]["seed"], *(own.get(key) for key in varied)]
        place = str(run.directory.relative_to(directory))
        seconds, epochs = run.result["wall_seconds"], run.result["epochs"]
        shown.append([*first, epochs, *map(percent, accuracies), duration(seconds), place])
        written.append([*first, epochs, *accuracies, seconds, place])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([headers, *written])
    write_text(directory / SUMMARY_FILE, text.getvalue())
    return text_table(shown, headers)


def _varied(runs: Sequence[Run], options: Sequence[Mapping[str, Any]]) -> list[str]:
    """The options that are not the same in all runs, but for the directories that each has of its own."""
    own = [str(run.result["config"].get("paths", {}).get("output_dir", "")) for run in runs]
    varied = []
    for key in dict.fromkeys(key for one in options for key in one):
        values = {repr(one.get(key)).replace(place, "") for one, place in zip(options, own, strict=True)}
        if len(values) > 1 and key not in _SHOWN and not key.startswith(_PLACES):
            varied.append(key)
    return varied


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
