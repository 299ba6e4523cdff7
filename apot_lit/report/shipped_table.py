"""The networks that come with the project, in floats and in integers."""

from collections.abc import Mapping, Sequence
from typing import Any

from apot_lit.report.tables import Table
from apot_lit.runs.protocol import SCHEME_NAMES, row
from apot_lit.runs.text import percent

_HEADERS = ["Network", "Bits", "Levels", "Seed", "KiB", "Floats", "Integers", "Predictions that differ"]


def shipped_table(exports: Sequence[Mapping[str, Any]]) -> str:
    """A table with a row for each network.

    Args:
        exports: contents of files ``export.json`` of packed files.
    """
    lines = sorted(((row(export["config"]), export) for export in exports), key=lambda one: _order(one[0]))
    rows = []
    for network, export in lines:
        found = export["arithmetic"]
        shares = [percent(found[key] / found["test_images"]) for key in ("right_in_floats", "right")]
        facts = [network.model, network.bit, SCHEME_NAMES[network.scheme], export["config"]["seed"]]
        rows.append([*map(str, facts), f"{export['bytes'] / 1024:.0f}", *shares, str(found["differing_predictions"])])
    return Table("shipped", _HEADERS, rows).markdown()


def _order(network: Any) -> tuple[int, int, str]:
    return int(network.model.removeprefix("resnet")), -network.bit, network.scheme
