"""Integers beside floats over many networks of each kind, from the table that evaluate.py writes after many of them."""

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from apot_lit.report.statistics import seed_half_width, spread
from apot_lit.report.tables import Table, percent_spread
from apot_lit.runs.protocol import SCHEME_NAMES, Row
from apot_lit.runs.text import counted

INTEGER_SEEDS = "integer_of_fast.csv"
_HEADERS = [
    "Network",
    "Bits",
    "Levels",
    "Seeds",
    "Floats",
    "Integers",
    "Integers minus floats",
    "Predictions that differ",
]


@dataclass(frozen=True)
class Both:
    """One network, in floats and in integers.

    Attributes:
        floats: share of the images that it classifies correctly in floats.
        integers: the same in integers.
        images: their number.
        differing: of how many it predicts another class.
    """

    floats: float
    integers: float
    images: int
    differing: int

    @property
    def change(self) -> float:
        """Integers minus floats, in points."""
        return 100 * (self.integers - self.floats)


def read_both(path: Path) -> dict[Row, dict[str, Both]]:
    """Reads the networks that were evaluated both ways, by row and checkpoint.

    Args:
        path: a file as `apot_lit.evaluation.collected` writes it.
    """
    by_arithmetic: dict[str, dict[str, Mapping[str, str]]] = {"float": {}, "integer": {}}
    for line in _lines(path):
        by_arithmetic[line["arithmetic"]][line["checkpoint"]] = line
    found: dict[Row, dict[str, Both]] = defaultdict(dict)
    for checkpoint, integers in by_arithmetic["integer"].items():
        floats = by_arithmetic["float"].get(checkpoint)
        if floats is not None:
            accuracies = float(floats["accuracy"]), float(integers["accuracy"])
            both = Both(*accuracies, int(integers["images"]), int(integers["differing_predictions"]))
            found[Row(integers["model"], int(integers["bit"]), integers["scheme"])][checkpoint] = both
    return dict(found)


def integer_seeds_table(path: Path) -> str:
    """The table by network, bits and levels, and a sentence on all networks together.

    Args:
        path: see `read_both`.
    """
    found = read_both(path)
    schemes = list(SCHEME_NAMES)
    rows = []
    for row in sorted(found, key=lambda one: (one.model, -one.bit, schemes.index(one.scheme))):
        networks = list(found[row].values())
        differing = [one.differing for one in networks]
        rows.append(
            [
                row.model,
                str(row.bit),
                SCHEME_NAMES[row.scheme],
                str(len(networks)),
                percent_spread([one.floats for one in networks]),
                percent_spread([one.integers for one in networks]),
                f"{mean(one.change for one in networks):+z.3f}",
                f"{mean(differing):.1f} ({min(differing)} to {max(differing)})",
            ]
        )
    every = [one for networks in found.values() for one in networks.values()]
    return f"{Table('integer_seeds', _HEADERS, rows).markdown()}\n\n{_sentence(every, path)}"


def _sentence(every: list[Both], path: Path) -> str:
    lines = _lines(path)
    cpus, streams = (sorted({line[key] for line in lines if line[key]}) for key in ("cpu", "stream_bit"))
    changes = spread([one.change for one in every])
    half = seed_half_width(changes)
    middle = f"{changes.mean:+z.3f}" + ("" if half is None else f" ± {half:.3f}")
    return (
        f"Over {counted(len(every), 'network')} integers minus floats is {middle} points (mean, 95 % interval of the "
        f"networks), in a single one between {min(one.change for one in every):+z.2f} and "
        f"{max(one.change for one in every):+z.2f}; of {max(one.images for one in every):,} predictions at most "
        f"{max(one.differing for one in every)} differ. Accuracies in percent, mean ± standard deviation over seeds; "
        f"stream of {', '.join(streams)} bits; evaluated on {', '.join(cpus)}."
    )


def _lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
