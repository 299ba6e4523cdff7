"""The table of what networks take on a microcontroller."""

from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from apot_lit.runs.protocol import SCHEME_NAMES
from apot_lit.runs.text import percent

_HEADERS = [
    *("Network", "Width", "Stem", "Bits", "Levels", "Right", "Flash, -Os", "Flash, -O2"),
    *("Arena", "Stack", "RAM", "Instructions, -Os", "-O2", "Images", "Differ"),
]
_SIZE, _SPEED = "-Os", "-O2"


def microcontroller_table(results: Sequence[Mapping[str, Any]]) -> str:
    """Formats the contents of files ``microcontroller.json``: a row for each network, the smallest flash first.

    Args:
        results: the contents, at least one.

    Returns:
        Lines of Markdown, without an empty line at either end.
    """
    networks = sorted((row for result in results for row in result["rows"]), key=lambda row: _flash(row, _SIZE))
    table = tabulate([_cells(row) for row in networks], _HEADERS, tablefmt="github", disable_numparse=True)
    machines = {result["board"] for result in results}
    tools = {version for result in results for version in result["tools"].values()}
    differing = sum(row["programs"][name][key] for row in networks for name in (_SIZE, _SPEED) for key in _DIFFERING)
    images = sum(row["programs"][_SIZE]["images"] for row in networks)
    verdict = f"differ in {differing:,} places" if differing else "are those of Python without exception"
    return (
        f"{table}\n\n"
        f"Of {images:,} images that the emulated boards classified, logits and predictions {verdict}. "
        f"Board: {', '.join(sorted(machines))}. Tools: {'; '.join(sorted(tools))}."
    )


_DIFFERING = ("differing_logits", "differing_predictions")


def _flash(row: Mapping[str, Any], optimization: str) -> int:
    return int(row["programs"][optimization]["flash"])


def _cells(row: Mapping[str, Any]) -> list[str]:
    size, speed = (row["programs"][name] for name in (_SIZE, _SPEED))
    return [
        *(row["model"], str(row["width"]), row["stem"], str(row["bit"]), SCHEME_NAMES[row["scheme"]]),
        *(percent(row["right"] / row["test_images"]), f"{size['flash']:,}", f"{speed['flash']:,}"),
        *(f"{row['arena']:,}", f"{size['stack']:,}", f"{size['memory'] + size['stack']:,}"),
        *(f"{program['instructions'] / 1e6:.2f} M" for program in (size, speed)),
        *(f"{size['images']:,}", str(size["differing_predictions"])),
    ]
