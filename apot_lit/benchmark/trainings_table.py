"""The table of what trainings take on a machine without other work."""

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from apot_lit.runs.protocol import SCHEME_NAMES
from apot_lit.runs.text import processor

_HEADERS = [
    *("Network", "Recipe", "Bits", "Levels", "Machine", "Images per second", "Seconds per epoch"),
    *("Start, s", "End, s", "Epochs", "Minutes per run", "Other work"),
]


def trainings_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Formats the contents of files ``trainings.json``: a row for each training, in the order of measurement.

    Args:
        results: the contents, at least one.

    Returns:
        Lines of Markdown, without an empty line at either end.
    """
    rows = [row for result in results for row in result["rows"]]
    table = tabulate([_cells(row) for row in rows], _HEADERS, tablefmt="github", disable_numparse=True)
    shares = [row["other_work"] for row in rows if row["other_work"] is not None]
    most = f" It was {100 * max(shares):.1f} % at most." if shares else ""
    return (
        f"{table}\n\nAn epoch includes its validation. The start lasts until the first epoch begins, loading torch "
        "included; the end is the evaluation of the best epoch, without the test. Minutes are those of start, all "
        "epochs of the recipe and end. Other work is the share of all processors' time that other processes used."
        f"{most}"
    )


def _cells(row: Mapping[str, Any]) -> list[str]:
    machine = row["hardware"]
    levels = SCHEME_NAMES[row["scheme"]]
    return [
        *(row["model"], row["recipe"], str(row["bit"]), levels),
        f"{processor(machine)}, {machine['device']}",
        *(f"{row['images_per_second']:,.0f}", f"{row['images'] / row['images_per_second']:.1f}"),
        *(f"{row['start_seconds']:.1f}", f"{row['end_seconds']:.1f}", str(row["epochs"]), f"{row['minutes']:.1f}"),
        "-" if row["other_work"] is None else f"{100 * row['other_work']:.1f} %",
    ]
